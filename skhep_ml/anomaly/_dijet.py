"""Smooth fits of falling mass spectra."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Array = NDArray[np.float64]

#: Gauss-Legendre nodes and weights on [-1, 1]: exact for polynomials of degree 5 within a bin.
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(3)
_MAX_STEPS = 100


class DijetFit(NamedTuple):
    """A dijet function with parameters from a fit.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        Coefficients of the logarithm of the density in the transformed basis.
    covariance : ndarray of shape (n_parameters, n_parameters)
        Their covariance.
    transform : ndarray of shape (n_parameters, n_parameters)
        Makes the basis of the fit from 1, ln(1 - x) and powers of ln x.
    energy : float
        Centre-of-mass energy, in units of the mass.
    scale : float
        Variance over mean of the sums of weights in bins: 1 for counts.
    chi2 : float
        Pearson's chi-squared of the fitted bins.
    n_dof : int
        Fitted bins less parameters.
    pvalue : float
        Probability of a greater chi-squared.
    """

    parameters: Array
    covariance: Array
    transform: Array
    energy: float
    scale: float
    chi2: float
    n_dof: int
    pvalue: float

    def density(self, mass: Array) -> Array:
        """Events per unit of mass."""
        n_parameters = len(self.parameters)
        basis = dijet_basis(mass, self.energy, n_parameters) @ self.transform
        return np.exp(basis @ self.parameters)

    def expected(self, edges: Array) -> tuple[Array, Array]:
        """Events in bins, and their covariance from that of the parameters."""
        nodes, widths = _bin_nodes(edges)
        basis = dijet_basis(nodes, self.energy, len(self.parameters)) @ self.transform
        mean, slope = _bin_means(self.parameters, basis, widths)
        return mean, slope @ self.covariance @ slope.T


def dijet_basis(mass: Array, energy: float, n_parameters: int) -> Array:
    """Terms of ln f: 1, ln(1 - x), ln x, (ln x)^2, ... for x = mass / energy."""
    x = mass / energy
    log_x = np.log(x)
    powers = [log_x**k for k in range(1, n_parameters - 1)]
    return np.stack([np.ones_like(x), np.log1p(-x), *powers], axis=-1)


def check_dijet(n_parameters: Any, energy: Any, low: float, high: float) -> None:
    """Refuse parameters that no dijet function has, or masses where it is not defined.

    Raises
    ------
    ValueError
        Other than 3 to 5 parameters, or masses outside (0, energy).
    """
    if n_parameters not in (3, 4, 5):
        msg = f"n_parameters must be 3, 4 or 5, got {n_parameters!r}"
        raise ValueError(msg)
    if not 0 < low < high < energy:
        msg = (
            f"masses reach from {low:g} to {high:g}, but the dijet function is defined between 0 "
            f"and energy={energy!r}: give the centre-of-mass energy in units of the mass"
        )
        raise ValueError(msg)


def fit_dijet(
    edges: Array,
    values: Array,
    squares: Array,
    used: NDArray[np.bool_],
    *,
    n_parameters: int,
    energy: float,
) -> DijetFit:
    r"""Fit the dijet function to bins of a spectrum.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    values, squares : ndarray of shape (n_bins,)
        Sums of w and of w^2.
    used : ndarray of bool, shape (n_bins,)
        Bins of the fit.
    n_parameters : int
        3, 4 or 5.
    energy : float
        Centre-of-mass energy, in units of the mass.

    Returns
    -------
    DijetFit
        The function.

    Raises
    ------
    ValueError
        Too few bins, bins whose weights sum to 0 or less, or no convergence.

    Notes
    -----
    Quasi-likelihood: the equations are those of Poisson counts, and errors are scaled by
    :math:`\sum w^2 / \sum w` of the fitted bins, which is 1 for counts. Fisher scoring from a
    least-squares start; the density is integrated over each bin.
    """
    if np.count_nonzero(used) <= n_parameters:
        msg = (
            f"{np.count_nonzero(used)} bins in the sidebands cannot fix {n_parameters} parameters: "
            "use more bins or wider sidebands"
        )
        raise ValueError(msg)
    total = float(values[used].sum())
    if not total > 0:
        msg = f"the sidebands sum to {total:.6g}: there is no spectrum to fit"
        raise ValueError(msg)
    scale = float(squares[used].sum()) / total
    nodes, widths = _bin_nodes(edges)
    nodes, widths, n = nodes[used], widths[used], values[used]
    raw = dijet_basis(nodes, energy, n_parameters)
    # orthogonal terms: the powers of ln x are nearly the same over a narrow range
    _, upper = np.linalg.qr(raw.reshape(-1, n_parameters))
    transform = np.linalg.inv(upper) * np.sqrt(nodes.size)
    basis = raw @ transform
    start = np.log(np.maximum(n, 0.3 * scale) / widths)
    weight = np.sqrt(np.maximum(n, 0.3 * scale))
    theta = np.linalg.lstsq(basis.mean(axis=1) * weight[:, None], start * weight, rcond=None)[0]
    with np.errstate(over="ignore"):
        theta = _solve(theta, basis, widths, n)
    mean, slope = _bin_means(theta, basis, widths)
    information = slope.T @ (slope / mean[:, None])
    covariance = np.asarray(scale * np.linalg.inv(information), dtype=np.float64)
    distance = float(np.sum((n - mean) ** 2 / (scale * mean)))
    n_dof = len(n) - n_parameters
    pvalue = float(chi2.sf(distance, n_dof))
    return DijetFit(theta, covariance, transform, energy, scale, distance, n_dof, pvalue)


def binned_sums(index: NDArray[np.intp], weight: Array, n_bins: int) -> tuple[Array, Array]:
    """Sums of w and of w^2 in bins."""
    sums = [np.bincount(index, weight**power, n_bins).astype(np.float64) for power in (1, 2)]
    return sums[0], sums[1]


def _solve(theta: Array, basis: Array, widths: Array, n: Array) -> Array:
    """Fisher scoring with halved steps where they overshoot."""
    mean, slope = _bin_means(theta, basis, widths)
    for _ in range(_MAX_STEPS):
        gradient = slope.T @ ((n - mean) / mean)
        step = np.linalg.solve(slope.T @ (slope / mean[:, None]), gradient)
        gain = float(gradient @ step)
        if gain < 1e-10:
            return theta
        before = n @ np.log(mean) - mean.sum()
        for _ in range(40):
            mean, slope = _bin_means(theta + step, basis, widths)
            if np.all(mean > 0) and n @ np.log(mean) - mean.sum() > before:
                break
            step = step / 2
        else:
            if gain < 1e-4:  # rounding hides what is left
                return theta
            break
        theta = theta + step
    msg = (
        "the fit of the sidebands does not converge: use fewer parameters, wider bins or a looser "
        "cut"
    )
    raise ValueError(msg)


def _bin_nodes(edges: Array) -> tuple[Array, Array]:
    """Masses in each bin at which the density is evaluated, and the widths of the bins."""
    widths = np.diff(edges)
    centres = (edges[1:] + edges[:-1]) / 2
    return centres[:, None] + widths[:, None] / 2 * _NODES, widths


def _bin_means(theta: Array, basis: Array, widths: Array) -> tuple[Array, Array]:
    """Integrals of the density over the bins, and their derivatives."""
    density = np.exp(basis @ theta) * (_NODE_WEIGHTS * widths[:, None] / 2)
    return density.sum(axis=1), np.einsum("bn,bnp->bp", density, basis)
