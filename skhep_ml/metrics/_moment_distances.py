"""Distances between samples from their moments: kernel and Frechet distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from skhep_ml.metrics._samples import (
    Array,
    Scale,
    check_replicas,
    check_samples,
    with_std,
)

#: Rows of a kernel matrix that are in memory at once.
_BLOCK = 1000
#: The extrapolation cuts samples in 1, 2, 3 and 4 parts, which are unions of twelve.
_SPLITS = (1, 2, 3, 4)
_N_ATOMS = 12


def kernel_distance(
    X1: Any,
    X2: Any,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    scale: Scale = "std",
    degree: int = 4,
    batch_size: int | None = 5000,
    return_std: bool = False,
    n_replicas: int = 50,
    random_state: Any = 0,
) -> Any:
    r"""Kernel distance: unbiased squared mean discrepancy with a polynomial kernel.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features), DataFrame, cloud or image
        Two samples of physics features, as in :func:`wasserstein_distance`.
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    scale : {"std", "max"} or None, default="std"
        Unit of every feature: its standard deviation in the first sample, from whose mean it is
        then measured; its greatest size there, as in published values of the kernel physics
        distance; or its own.
    degree : int, default=4
        Degree of the kernel: the moments that are compared.
    batch_size : int or None, default=5000
        Events of each sample whose pairs are compared, at random; larger samples are cut in
        batches. None compares all pairs.
    return_std : bool, default=False
        Also return the statistical error, from the Poisson bootstrap of both samples.
    n_replicas : int, default=50
        Replicas of the bootstrap.
    random_state : int, RandomState instance or None, default=0
        Seed of the batches and of the bootstrap.

    Returns
    -------
    distance : float
        The squared distance; on average 0 for samples of one distribution, and then as often below
        0 as above.
    std : float
        Its statistical error, when ``return_std``.

    Raises
    ------
    ValueError
        As :func:`wasserstein_distance`, or sizes that are not positive.

    See Also
    --------
    frechet_distance : From means and covariances only.

    Notes
    -----
    With :math:`k(x, y) = (x \cdot y / d + 1)^4` for d features,

    .. math:: D = \frac{\sum_{i \ne j} w_i w_j k(x_i, x_j)}{(\sum w)^2 - \sum w^2}
              + \frac{\sum_{i \ne j} v_i v_j k(y_i, y_j)}{(\sum v)^2 - \sum v^2}
              - 2\,\frac{\sum_{i,j} w_i v_j k(x_i, y_j)}{\sum w \sum v},

    numerators and denominators summed over the batches. For unit weights and one batch that is the
    quadratic unbiased estimate. The bootstrap error is right where the samples differ; without a
    difference it is up to twice too large. The kernel physics distance as published divides
    features by their greatest size and takes the median over batches of 5000 events.

    References
    ----------
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023)
    076017, arXiv:2211.10295; M. Bińkowski et al., Demystifying MMD GANs, arXiv:1801.01401.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import kernel_distance
    >>> rng = np.random.default_rng(0)
    >>> X, same = rng.normal(size=(2, 2000, 3))
    >>> value, std = kernel_distance(X, same, return_std=True)
    >>> bool(abs(value) < 3 * std), kernel_distance(X, 1.2 * same) > 10 * std
    (True, True)
    """
    n_replicas = check_replicas(n_replicas, return_std)
    _check_size("degree", degree)
    samples = check_samples(X1, X2, weight1, weight2).scaled(scale)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    n_batches = 1
    if batch_size is not None:
        _check_size("batch_size", batch_size)
        n_batches = -(-max(len(samples.first), len(samples.second)) // batch_size)
    if min(len(samples.first), len(samples.second)) < 2 * n_batches:
        msg = (
            f"samples of {len(samples.first)} and {len(samples.second)} events are too small for "
            f"{n_batches} batches of two or more: draw more events"
        )
        raise ValueError(msg)
    samples = samples.shuffled(np.random.default_rng(seed))
    one, two = (
        np.column_stack(columns)
        for columns in zip(*samples.replicas(n_replicas, seed), strict=True)
    )
    terms = np.zeros((3, 2, n_replicas + 1))
    for x, y, w, v in zip(
        *(np.array_split(table, n_batches) for table in (samples.first, samples.second, one, two)),
        strict=True,
    ):
        terms[0] += _pairs(x, x, w, w, degree, same=True)
        terms[1] += _pairs(y, y, v, v, degree, same=True)
        terms[2] += _pairs(x, y, w, v, degree, same=False)
    first, second, both = terms[:, 0] / terms[:, 1]
    return with_std(list(first + second - 2 * both), return_std)


def _pairs(x: Array, y: Array, w: Array, v: Array, degree: int, *, same: bool) -> Array:
    """Weighted sum of the kernel over pairs and that of the weights alone, for every replica."""
    total = np.zeros(w.shape[1])
    for begin in range(0, len(x), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        kernel = (x[rows] @ y.T / x.shape[1] + 1) ** degree
        total += np.einsum("ir,ir->r", w[rows], kernel @ v)
    weights = w.sum(axis=0) * v.sum(axis=0)
    if same:
        diagonal = ((x**2).sum(axis=1) / x.shape[1] + 1) ** degree
        total -= diagonal @ w**2
        weights -= (w**2).sum(axis=0)
    return np.stack([total, weights])


def frechet_distance(
    X1: Any,
    X2: Any,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    scale: Scale = "std",
    extrapolate: bool = True,
    return_std: bool = False,
    n_replicas: int = 50,
    random_state: Any = 0,
) -> Any:
    r"""Frechet distance of the gaussians with the samples' means and covariances, squared.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features), DataFrame, cloud or image
        Two samples of physics features, as in :func:`wasserstein_distance`.
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    scale : {"std", "max"} or None, default="std"
        Unit of every feature: its standard deviation in the first sample; its greatest size there,
        as in published values of the Frechet physics distance; or its own.
    extrapolate : bool, default=True
        Extrapolate to samples of infinite size.
    return_std : bool, default=False
        Also return the statistical error, from the Poisson bootstrap of both samples.
    n_replicas : int, default=50
        Replicas of the bootstrap.
    random_state : int, RandomState instance or None, default=0
        Seed of the parts of the extrapolation and of the bootstrap.

    Returns
    -------
    distance : float
        The squared distance. Extrapolated, it is about 0 on average for samples of one
        distribution, and can then be negative.
    std : float
        Its statistical error, when ``return_std``.

    Raises
    ------
    ValueError
        As :func:`wasserstein_distance`, or fewer than 24 events for each feature in a sample that
        is extrapolated.

    See Also
    --------
    kernel_distance : Compares higher moments too, without a bias.

    Notes
    -----
    .. math:: D = |\mu_1 - \mu_2|^2
              + \mathrm{tr}\left(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}\right)

    with :math:`\Sigma = \sum w (x - \mu)(x - \mu)^T / (\sum w - \sum w^2 / \sum w)`. Fluctuations
    of both add a positive term that falls as 1/n. The samples are therefore cut at random in 1, 2,
    3 and 4 parts, distances of the parts averaged, and a straight line in the number of parts
    followed to 0, as the Frechet physics distance does with random subsets. The bootstrap error is
    right where the samples differ; without a difference it is up to twice too large.
    Where negative weights make a covariance indefinite, its negative eigenvalues count as 0.

    References
    ----------
    R. Kansal et al., Evaluating generative models in high energy physics, Phys. Rev. D 107 (2023)
    076017, arXiv:2211.10295; D. C. Dowson, B. V. Landau, J. Multivariate Anal. 12 (1982) 450; M.
    J. Chong, D. Forsyth, Effectively unbiased FID and inception score, arXiv:1911.07023.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import frechet_distance
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(20_000, 2)), rng.normal(size=(20_000, 2))
    >>> bool(abs(frechet_distance(X, 2 * Y + [3.0, 0.0], scale=None) - 11) < 0.2)
    True
    """
    n_replicas = check_replicas(n_replicas, return_std)
    samples = check_samples(X1, X2, weight1, weight2).scaled(scale)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    splits = np.array(_SPLITS if extrapolate else _SPLITS[:1])
    least = 24 * samples.first.shape[1] if extrapolate else 2
    for number, table in enumerate((samples.first, samples.second), start=1):
        if len(table) < least:
            msg = (
                f"X{number} holds {len(table)} events, at least {least} are needed for "
                f"{table.shape[1]} features: draw more events, or pass extrapolate=False"
            )
            raise ValueError(msg)
    samples = samples.shuffled(np.random.default_rng(seed))
    # which of the twelve make up each part, and what each part counts in the straight line
    parts = np.concatenate([np.kron(np.eye(n), np.ones(_N_ATOMS // n)) for n in splits])
    line = np.linalg.pinv(np.vander(splits, 2 if extrapolate else 1))[-1]
    share = np.repeat(line / splits, splits)
    values = []
    for one, two in samples.replicas(n_replicas, seed):
        first = _gaussians(samples.first, one, parts)
        second = _gaussians(samples.second, two, parts)
        values.append(share @ _gaussian_distances(*first, *second))
    return with_std(values, return_std)


def _gaussians(table: Array, weight: Array, parts: Array) -> tuple[Array, Array]:
    """Means and covariances of parts of a sample."""
    atoms = list(
        zip(np.array_split(table, _N_ATOMS), np.array_split(weight, _N_ATOMS), strict=True)
    )
    total = parts @ [w.sum() for _, w in atoms]
    square = parts @ [w @ w for _, w in atoms]
    mean = parts @ [w @ x for x, w in atoms] / total[:, None]
    products = np.tensordot(parts, [(x * w[:, None]).T @ x for x, w in atoms], axes=1)
    products -= total[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return mean, products / (total - square / total)[:, None, None]


def _gaussian_distances(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> Array:
    """Squared Frechet distances of pairs of gaussians."""
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.swapaxes(1, 2)
    product = np.linalg.eigvalsh(root @ cov2 @ root)
    overlap = np.sqrt(np.maximum(product, 0.0)).sum(axis=1)
    traces = np.trace(cov1, axis1=1, axis2=2) + np.trace(cov2, axis1=1, axis2=2)
    return ((mean1 - mean2) ** 2).sum(axis=1) + traces - 2 * overlap


def _check_size(name: str, value: Any) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        msg = f"{name} must be an integer of at least 1, got {value!r}"
        raise ValueError(msg)
