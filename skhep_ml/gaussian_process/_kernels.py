"""scikit-learn's kernel objects, evaluated in torch so that gradients and GPUs come for free."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.gaussian_process import kernels
from torch import Tensor

_SUPPORTED = (
    "ConstantKernel, DotProduct, ExpSineSquared, Exponentiation, Matern (nu 0.5, 1.5, 2.5, inf), "
    "RationalQuadratic, RBF, WhiteKernel, their sums, products and powers"
)
_MATERN = (0.5, 1.5, 2.5, np.inf)
# events on which a kernel is tried before anything is fitted
_TRIAL_EVENTS = 256
# smallest squared distance under a square root, whose derivative is infinite at 0
_TINY = 1e-30


def covariance(kernel: Any, theta: Tensor, X: Tensor, Z: Tensor) -> Tensor:
    """Covariance of the function at X and Z, white noise left out; shape (len(X), len(Z)).

    ``theta`` holds the logarithms of the free parameters, in the order of ``kernel.theta``.
    """
    if isinstance(kernel, (kernels.Sum, kernels.Product)):
        cut = kernel.k1.n_dims
        first = covariance(kernel.k1, theta[:cut], X, Z)
        second = covariance(kernel.k2, theta[cut:], X, Z)
        return first + second if isinstance(kernel, kernels.Sum) else first * second
    if isinstance(kernel, kernels.Exponentiation):
        return covariance(kernel.kernel, theta, X, Z) ** kernel.exponent
    p = _parameters(kernel, theta)
    if isinstance(kernel, kernels.WhiteKernel):
        return X.new_zeros(len(X), len(Z))
    if isinstance(kernel, kernels.ConstantKernel):
        return p["constant_value"].expand(len(X), len(Z))
    if isinstance(kernel, kernels.DotProduct):
        return p["sigma_0"] ** 2 + X @ Z.T
    if isinstance(kernel, kernels.Matern):  # before RBF, its base class
        return _matern(kernel.nu, X / p["length_scale"], Z / p["length_scale"])
    if isinstance(kernel, kernels.RBF):
        return torch.exp(-0.5 * _squared(X / p["length_scale"], Z / p["length_scale"]))
    if isinstance(kernel, kernels.RationalQuadratic):
        stretch = 2 * p["alpha"] * p["length_scale"] ** 2
        return (1 + _squared(X, Z) / stretch) ** -p["alpha"]
    if isinstance(kernel, kernels.ExpSineSquared):
        distance = _squared(X, Z).clamp_min(_TINY).sqrt()
        wave = torch.sin(torch.pi * distance / p["periodicity"]) / p["length_scale"]
        return torch.exp(-2 * wave**2)
    msg = f"kernel {kernel} is not supported: take {_SUPPORTED}"
    raise ValueError(msg)


def variance(kernel: Any, theta: Tensor, X: Tensor, *, noise: bool) -> Tensor:
    """Prior variance at each row of X, with or without the part of white noise."""
    if isinstance(kernel, (kernels.Sum, kernels.Product)):
        cut = kernel.k1.n_dims
        first = variance(kernel.k1, theta[:cut], X, noise=noise)
        second = variance(kernel.k2, theta[cut:], X, noise=noise)
        return first + second if isinstance(kernel, kernels.Sum) else first * second
    if isinstance(kernel, kernels.Exponentiation):
        return variance(kernel.kernel, theta, X, noise=noise) ** kernel.exponent
    p = _parameters(kernel, theta)
    if isinstance(kernel, kernels.WhiteKernel):
        return p["noise_level"].expand(len(X)) if noise else X.new_zeros(len(X))
    if isinstance(kernel, kernels.ConstantKernel):
        return p["constant_value"].expand(len(X))
    if isinstance(kernel, kernels.DotProduct):
        return p["sigma_0"] ** 2 + (X * X).sum(1)
    return X.new_ones(len(X))


def white_noise(kernel: Any, theta: Tensor, X: Tensor) -> Tensor:
    """Variance of the white noise in the kernel, at each row of X."""
    with_noise = variance(kernel, theta, X, noise=True)
    return with_noise - variance(kernel, theta, X, noise=False)


def _parameters(kernel: Any, theta: Tensor) -> dict[str, Tensor]:
    """Parameters of a single kernel: free ones from theta, fixed ones as they are."""
    found, start = {}, 0
    for parameter in kernel.hyperparameters:
        if parameter.fixed:
            value = torch.as_tensor(getattr(kernel, parameter.name))
            found[parameter.name] = value.to(theta)
        else:
            value = theta[start : start + parameter.n_elements].exp()
            found[parameter.name] = value[0] if parameter.n_elements == 1 else value
            start += parameter.n_elements
    return found


def _squared(X: Tensor, Z: Tensor) -> Tensor:
    """Squared distances of all rows of X from all rows of Z."""
    # the mean is taken off, so that large offsets do not cancel in the difference below
    centre = Z.detach().mean(0)
    X, Z = X - centre, Z - centre
    squares = (X * X).sum(1)[:, None] + (Z * Z).sum(1)
    return torch.addmm(squares, X, Z.T, alpha=-2).clamp_min(0)


def _matern(nu: float, X: Tensor, Z: Tensor) -> Tensor:
    squared = _squared(X, Z)
    if nu == np.inf:
        return torch.exp(-0.5 * squared)
    distance = (2 * nu * squared).clamp_min(_TINY).sqrt()
    decay = torch.exp(-distance)
    if nu == 0.5:
        return decay
    if nu == 1.5:
        return (1 + distance) * decay
    return (1 + distance + distance**2 / 3) * decay


# --- checks -------------------------------------------------------------------------------------


def check_kernel(kernel: Any, X: NDArray[Any]) -> None:
    """Refuse what is no kernel of ours, does not fit the features, or is not positive.

    Raises
    ------
    ValueError
        A kernel that is not supported, a parameter that is not positive, a wrong number of length
        scales, or covariances with negative eigenvalues.
    """
    for leaf in _leaves(kernel):
        if isinstance(leaf, kernels.Matern) and leaf.nu not in _MATERN:
            msg = f"Matern with nu={leaf.nu!r} has no closed form: nu must be one of {_MATERN}"
            raise ValueError(msg)
        for parameter in leaf.hyperparameters:
            value = np.asarray(getattr(leaf, parameter.name), dtype=np.float64)
            # a constant or offset of 0 takes its term away, if it is not to be learned
            may_vanish = parameter.fixed and parameter.name in ("constant_value", "sigma_0")
            good = np.isfinite(value) & ((value >= 0) if may_vanish else (value > 0))
            if not good.all():
                msg = (
                    f"the kernel is no covariance: {parameter.name}={value.tolist()} of "
                    f"{type(leaf).__name__} must be positive"
                )
                raise ValueError(msg)
            if parameter.n_elements not in (1, X.shape[1]):
                msg = (
                    f"{leaf} has {parameter.n_elements} length scales, but X has {X.shape[1]} "
                    "features: give one for each feature, or a single one"
                )
                raise ValueError(msg)
    rows = np.linspace(0, len(X) - 1, min(len(X), _TRIAL_EVENTS)).astype(np.intp)
    sample = torch.as_tensor(np.unique(X[rows], axis=0), dtype=torch.float64)
    trial = covariance(kernel, torch.as_tensor(kernel.theta), sample, sample)
    lowest = np.nan
    if torch.isfinite(trial).all():
        eigenvalues = torch.linalg.eigvalsh(trial)
        lowest = float(eigenvalues[0])
        if lowest >= -1e-8 * max(float(eigenvalues[-1]), 1e-300):
            return
    msg = (
        f"kernel {kernel} is not positive: the covariance of {len(sample)} events has the "
        f"eigenvalue {lowest:.3g}. ExpSineSquared is a covariance for a single feature only, "
        "powers must be positive integers"
    )
    raise ValueError(msg)


def _leaves(kernel: Any) -> list[Any]:
    """The single kernels that a kernel is made of."""
    if isinstance(kernel, (kernels.Sum, kernels.Product)):
        return _leaves(kernel.k1) + _leaves(kernel.k2)
    if isinstance(kernel, kernels.Exponentiation):
        return _leaves(kernel.kernel)
    known = (
        kernels.ConstantKernel,
        kernels.DotProduct,
        kernels.ExpSineSquared,
        kernels.Matern,
        kernels.RationalQuadratic,
        kernels.RBF,
        kernels.WhiteKernel,
    )
    # a subclass may be another function, which would not be seen here
    if type(kernel) not in known:
        msg = f"kernel {kernel!r} is not supported: take {_SUPPORTED}"
        raise ValueError(msg)
    return [kernel]


def spread(X: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation of each feature, 1 where it is constant."""
    std = X.std(axis=0, dtype=np.float64)
    return np.where(std > 0, std, 1.0)


def default_kernel(X: NDArray[Any], *, noise: bool) -> Any:
    """An RBF with one length scale a feature, in units of the features, and white noise."""
    scale = spread(X)
    bounds = np.column_stack([1e-2 * scale, 1e3 * scale])
    # events are sqrt(2 n_features) standard deviations apart: shorter scales see no neighbours,
    # and the search would end in pure noise
    start = np.sqrt(X.shape[1]) * scale
    kernel = kernels.ConstantKernel(1.0, (1e-3, 1e3)) * kernels.RBF(start, bounds)
    return kernel + kernels.WhiteKernel(0.1, (1e-8, 1e2)) if noise else kernel
