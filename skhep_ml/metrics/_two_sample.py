"""Comparison of two weighted samples."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import kolmogorov
from sklearn.utils import check_random_state

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum, check_score
from skhep_ml.weights._base import effective_sample_size


class KSResult(NamedTuple):
    """Outcome of a Kolmogorov-Smirnov test.

    Attributes
    ----------
    statistic : float
        Greatest distance of the distribution functions.
    pvalue : float
        Probability of a greater or equal distance when both samples come from one distribution.
    """

    statistic: float
    pvalue: float


def ks_2samp_weighted(
    sample1: ArrayLike,
    sample2: ArrayLike,
    *,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    n_permutations: int = 500,
    random_state: Any = 0,
) -> KSResult:
    r"""Two-sample Kolmogorov-Smirnov test for weights of any sign.

    Parameters
    ----------
    sample1 : array-like of shape (n1,)
        Values of the first sample.
    sample2 : array-like of shape (n2,)
        Values of the second sample.
    weight1 : array-like of shape (n1,), default=None
        Weights of the first sample; None counts events.
    weight2 : array-like of shape (n2,), default=None
        Weights of the second sample.
    n_permutations : int, default=500
        Permutations behind the p-value when there are negative weights.
    random_state : int, RandomState instance or None, default=0
        Seed of the permutations.

    Returns
    -------
    KSResult
        Named tuple ``(statistic, pvalue)``. The normalisation of the samples does not matter.

    Raises
    ------
    ValueError
        NaN values, lengths that differ, or weights of a sample that sum to 0 or less.

    Notes
    -----
    :math:`D = \max_x |F_1(x) - F_2(x)|` with weighted distribution functions. For weights >= 0,
    :math:`p = Q_{KS}(\sqrt{n_1 n_2/(n_1+n_2)}\,D)` with :math:`n = (\sum w)^2 / \sum w^2`, which is
    asymptotic and, for values with ties, conservative. With negative weights the distribution
    functions are not monotone and no formula holds: events, each with its weight in units of its
    sample's mean, are then dealt to the two samples again and p is the share of deals with at
    least this D, the observed one included. That supposes that values and weights of both samples
    are drawn alike, as for training and test events.

    References
    ----------
    J. F. Monahan, Numerical Methods of Statistics, Cambridge 2001, section 12.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import ks_2samp_weighted
    >>> rng = np.random.default_rng(0)
    >>> result = ks_2samp_weighted(rng.normal(size=300), rng.normal(0.5, size=200))
    >>> round(result.statistic, 2), result.pvalue < 0.01
    (0.25, True)
    """
    sample1, weight1 = _check_sample(sample1, weight1, 1)
    sample2, weight2 = _check_sample(sample2, weight2, 2)
    values = np.concatenate([sample1, sample2])
    order = np.argsort(values, kind="stable")
    values = values[order]
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    weight = np.concatenate([weight1, weight2])[order]
    first = order < len(sample1)
    distance = _distance(weight, first, last)
    if weight.min() >= 0:
        n1, n2 = effective_sample_size(weight1), effective_sample_size(weight2)
        return KSResult(distance, float(kolmogorov(np.sqrt(n1 * n2 / (n1 + n2)) * distance)))
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
    # distances that differ by rounding only are equal
    limit = distance * (1 - 1e-9)
    exceeding = sum(
        _distance(weight, rng.permutation(first), last) >= limit for _ in range(n_permutations)
    )
    return KSResult(distance, (1 + exceeding) / (1 + n_permutations))


def _check_sample(
    sample: ArrayLike, sample_weight: ArrayLike | None, number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = check_score(sample, name=f"sample{number}").astype(np.float64, copy=False)
    if not len(values):
        msg = f"sample{number} is empty"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(values), name=f"weight{number}")
    if weight is None:
        return values, np.ones(len(values))
    return values, weight * (len(weight) / check_positive_sum(weight, f"sample{number}"))


def _distance(
    weight: NDArray[np.float64], first: NDArray[np.bool_], last: NDArray[np.intp]
) -> float:
    """Greatest distance of the two distribution functions; infinite where one has none."""
    sum1 = np.cumsum(np.where(first, weight, 0.0))[last]
    sum2 = np.cumsum(np.where(first, 0.0, weight))[last]
    if sum1[-1] <= 0 or sum2[-1] <= 0:
        return float("inf")
    return float(np.max(np.abs(sum1 / sum1[-1] - sum2 / sum2[-1])))
