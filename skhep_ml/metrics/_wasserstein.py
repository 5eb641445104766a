"""Distances between distributions of features: Wasserstein, sliced Wasserstein, separation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhep_ml._validation import check_edges
from skhep_ml.metrics._samples import (
    Array,
    Scale,
    check_replicas,
    check_samples,
    with_std,
)


def wasserstein_distance(
    X1: Any,
    X2: Any,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    scale: Scale = None,
    return_std: bool = False,
    n_replicas: int = 50,
    random_state: Any = 0,
) -> Any:
    r"""Wasserstein distance of every feature, for weights of any sign.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features) or (n_events,), DataFrame, cloud or image
        Two samples. Columns of DataFrames are matched by name; of clouds and images the event
        features are compared (see :func:`two_sample_auc`).
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    scale : {"std", "max"} or None, default=None
        Unit of the distance: that of the feature, its standard deviation in the first sample (over
        the absolute weights), or its greatest size there. A feature that is constant in the first
        sample keeps its own unit.
    return_std : bool, default=False
        Also return statistical errors, from the Poisson bootstrap of both samples.
    n_replicas : int, default=50
        Replicas of the bootstrap.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    distance : ndarray of shape (n_features,), or float for one-dimensional samples
        The distances.
    std : ndarray or float
        Their statistical errors, when ``return_std``.

    Raises
    ------
    ValueError
        Different features, NaN or infinite values, or weights of wrong length or without a positive
        sum.

    See Also
    --------
    sliced_wasserstein_distance : Of all features together.
    scipy.stats.wasserstein_distance : The same for one feature and weights >= 0.

    Notes
    -----
    :math:`W_1 = \int |F_1(x) - F_2(x)|\,dx` with the weighted distribution functions. For weights
    >= 0 it is the least mean way from one sample to the other; with negative weights, where nothing
    can be carried, this integral is the definition.

    The distance of two samples of one distribution is not 0 but of the order of
    :math:`\sigma/\sqrt{n}` with the smaller number of events: compare it with that of two halves of
    the first sample. The errors say how far it fluctuates, not how far it is from 0.

    References
    ----------
    L. N. Vaserstein, Markov processes over denumerable products of spaces, Probl. Peredachi Inf. 5
    (1969) 64; S. S. Vallender, Theory Probab. Appl. 18 (1974) 784.

    Examples
    --------
    >>> from skhep_ml.metrics import wasserstein_distance
    >>> wasserstein_distance([0.0, 1.0, 3.0], [5.0, 6.0, 8.0])
    5.0
    >>> wasserstein_distance([[0.0, 1.0], [2.0, 1.0]], [[1.0, 4.0], [3.0, 4.0]]).tolist()
    [1.0, 3.0]
    """
    n_replicas = check_replicas(n_replicas, return_std)
    samples = check_samples(X1, X2, weight1, weight2).scaled(scale)
    columns = [
        _SortedPair(first, second)
        for first, second in zip(samples.first.T, samples.second.T, strict=True)
    ]
    values = [
        [column.distance(one, two) for column in columns]
        for one, two in samples.replicas(n_replicas, _seed(random_state))
    ]
    return with_std(values, return_std, samples.single)


def sliced_wasserstein_distance(
    X1: Any,
    X2: Any,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    scale: Scale = "std",
    n_projections: int = 100,
    return_std: bool = False,
    n_replicas: int = 50,
    random_state: Any = 0,
) -> Any:
    r"""Wasserstein distance of the projections on random directions, on average.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features), DataFrame, cloud or image
        Two samples, as in :func:`wasserstein_distance`.
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    scale : {"std", "max"} or None, default="std"
        Unit of every feature, as in :func:`wasserstein_distance`; without one, features of large
        numbers decide alone.
    n_projections : int, default=100
        Number of directions, uniform on the sphere.
    return_std : bool, default=False
        Also return the statistical error, from the Poisson bootstrap with the same directions.
    n_replicas : int, default=50
        Replicas of the bootstrap.
    random_state : int, RandomState instance or None, default=0
        Seed of the directions and of the bootstrap.

    Returns
    -------
    distance : float
        The mean distance over the directions.
    std : float
        Its statistical error, when ``return_std``.

    Raises
    ------
    ValueError
        As :func:`wasserstein_distance`, or no projection.

    Notes
    -----
    It is 0 for equal distributions only, and sees correlations, since projections mix features. The
    distances of single directions are those of :func:`wasserstein_distance`.

    References
    ----------
    N. Bonneel, J. Rabin, G. Peyré, H. Pfister, Sliced and Radon Wasserstein barycenters of
    measures, J. Math. Imaging Vis. 51 (2015) 22.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import sliced_wasserstein_distance
    >>> X = np.random.default_rng(0).normal(size=(2000, 2))
    >>> distance = sliced_wasserstein_distance(X, X + [1.0, 0.0], n_projections=500)
    >>> bool(abs(distance - 2 / np.pi) < 0.05)            # the mean of |cos| over a circle
    True
    """
    n_replicas = check_replicas(n_replicas, return_std)
    if not isinstance(n_projections, (int, np.integer)) or n_projections < 1:
        msg = f"n_projections must be an integer of at least 1, got {n_projections!r}"
        raise ValueError(msg)
    samples = check_samples(X1, X2, weight1, weight2).scaled(scale)
    seed = _seed(random_state)
    directions = np.random.default_rng(seed).normal(size=(n_projections, samples.first.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights = list(samples.replicas(n_replicas, seed))
    total = np.zeros(len(weights))
    for direction in directions:
        pair = _SortedPair(samples.first @ direction, samples.second @ direction)
        total += [pair.distance(one, two) for one, two in weights]
    return with_std(list(total / n_projections), return_std)


class _SortedPair:
    """Values of two samples in common order, to compare them with many sets of weights."""

    def __init__(self, first: Array, second: Array) -> None:
        values = np.concatenate([first, second])
        self.order = np.argsort(values, kind="stable")
        self.steps = np.diff(values[self.order])

    def distance(self, weight1: Array, weight2: Array) -> float:
        """Integral of the difference between the distribution functions."""
        signed = np.concatenate([weight1, -weight2])[self.order]
        return float(np.abs(np.cumsum(signed)[:-1]) @ self.steps)


def separation_power(
    X1: Any,
    X2: Any,
    *,
    bins: int | ArrayLike = 50,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    return_std: bool = False,
    n_replicas: int = 50,
    random_state: Any = 0,
) -> Any:
    r"""Separation power of the histograms of every feature: 0 alike, 1 without overlap.

    Parameters
    ----------
    X1, X2 : array-like of shape (n_events, n_features) or (n_events,), DataFrame, cloud or image
        Two samples, as in :func:`wasserstein_distance`. For two histograms, pass the centres of
        their bins as both samples, their contents as weights and their edges as ``bins``.
    bins : int or array-like of shape (n_bins + 1,), default=50
        Edges, or a number of bins of equal width over the range of the first sample. Events beyond
        the outermost edges count in the outermost bins. A feature that is constant in the first
        sample has three bins: below, at and above its value.
    weight1, weight2 : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Their sums do not matter.
    return_std : bool, default=False
        Also return statistical errors, from the Poisson bootstrap of both samples.
    n_replicas : int, default=50
        Replicas of the bootstrap.
    random_state : int, RandomState instance or None, default=0
        Seed of the bootstrap.

    Returns
    -------
    separation : ndarray of shape (n_features,), or float for one-dimensional samples
        The separation powers.
    std : ndarray or float
        Their statistical errors, when ``return_std``.

    Raises
    ------
    ValueError
        As :func:`wasserstein_distance`, or bins that are not rising edges.

    Notes
    -----
    .. math:: S = \frac12 \sum_k \frac{(h_{1k} - h_{2k})^2}{|h_{1k}| + |h_{2k}|}

    with histograms whose contents sum to 1: the triangular discrimination of the Fast Calorimeter
    Simulation Challenge. Absolute values matter in bins of negative content only. Two samples of n
    events of one distribution have about (number of bins) / (2n) on average.

    References
    ----------
    M. Faucci Giannelli et al., Fast Calorimeter Simulation Challenge 2022,
    https://calochallenge.github.io/homepage; S. Diefenbacher et al., DCTRGAN, arXiv:2009.03796,
    equation 15.

    Examples
    --------
    >>> from skhep_ml.metrics import separation_power
    >>> separation_power([0.1, 0.2, 0.7], [0.1, 0.7, 0.8], bins=[0.0, 0.5, 1.0])
    0.1111111111111111
    """
    n_replicas = check_replicas(n_replicas, return_std)
    samples = check_samples(X1, X2, weight1, weight2)
    edges = check_edges(bins)
    columns = [
        _BinnedPair(first, second, edges)
        for first, second in zip(samples.first.T, samples.second.T, strict=True)
    ]
    values = [
        [column.separation(one, two) for column in columns]
        for one, two in samples.replicas(n_replicas, _seed(random_state))
    ]
    return with_std(values, return_std, samples.single)


class _BinnedPair:
    """Bins of the values of two samples, to compare them with many sets of weights."""

    def __init__(self, first: Array, second: Array, edges: NDArray[np.float64] | int) -> None:
        if isinstance(edges, int):
            low, high = first.min(), first.max()
            around = np.array([-np.inf, low, np.nextafter(low, np.inf), np.inf])
            edges = np.linspace(low, high, edges + 1) if high > low else around
        self.n_bins = len(edges) - 1
        self.bins1, self.bins2 = (
            np.searchsorted(edges[1:-1], values, side="right") for values in (first, second)
        )

    def separation(self, weight1: Array, weight2: Array) -> float:
        """Triangular discrimination of the histograms."""
        one = np.bincount(self.bins1, weight1, self.n_bins)
        two = np.bincount(self.bins2, weight2, self.n_bins)
        size = np.abs(one) + np.abs(two)
        filled = size > 0
        return float(0.5 * np.sum((one - two)[filled] ** 2 / size[filled]))


def _seed(random_state: Any) -> int:
    return int(check_random_state(random_state).randint(2**31 - 1))
