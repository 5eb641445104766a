"""Dependence of features on run, time or event number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc


class OrderBins(NamedTuple):
    """Bins of nearly equal numbers of events along an ordering column.

    Attributes
    ----------
    of_event : ndarray of shape (n_events,)
        Bin of each event.
    low, high : ndarray of shape (n_bins,)
        Smallest and largest value in each bin.
    center : ndarray of shape (n_bins,)
        Value of the event in the middle of each bin.
    events : ndarray of shape (n_bins,)
        Number of events.
    """

    of_event: NDArray[np.intp]
    low: NDArray[Any]
    high: NDArray[Any]
    center: NDArray[Any]
    events: NDArray[np.intp]


class Trend(NamedTuple):
    r"""Weighted means of a feature along the bins, and the test that they are all the same.

    Attributes
    ----------
    mean, error : ndarray of shape (n_bins,)
        Mean and its statistical error; NaN in bins without a value.
    overall : float
        The common mean that fits best.
    spread : float
        Standard deviation of the feature inside the bins.
    chi2 : float
        Sum of the squared distances from the common mean, in errors.
    ndf : int
        Number of bins with values, less one.
    pvalue : float
        Probability of a greater or equal chi2 without a trend.
    drift : float
        Movement of the means beyond their noise (root mean square), in units of ``spread``.

    Notes
    -----
    All sums are with abs(w). The errors use one variance of the feature for all bins,
    :math:`\sigma_b^2 = s^2 S_2 / S_1^2` with :math:`S_k = \sum_b |w|^k`: without a trend it is
    known better than that of a bin, and a mean and its error do not move together where a feature
    has tails. It is the greater of two unbiased estimates:
    :math:`\sum w^2 (x - m_b)^2 / \sum_b (S_2 - 2 S_3 / S_1 + S_2^2 / S_1^2)`, right where weights
    go with the feature, and :math:`\sum |w| (x - m_b)^2 / \sum_b (S_1 - S_2 / S_1)`, steadier
    where a few weights dominate. Without weights :math:`\chi^2` is the number of bins less one
    times the F statistic of the analysis of variance.
    """

    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    overall: float
    spread: float
    chi2: float
    ndf: int
    pvalue: float
    drift: float


def check_order(order: ArrayLike, n_events: int, name: str) -> NDArray[Any]:
    """Return an ordering column of numbers or times."""
    values = np.asarray(order)
    if values.shape != (n_events,):
        msg = f"{name} has shape {values.shape}, but there are {n_events} events"
        raise ValueError(msg)
    if values.dtype.kind not in "iufM":
        msg = f"{name} must hold numbers or times (datetime64), got {values.dtype}"
        raise ValueError(msg)
    if values.dtype.kind in "fM":
        bad = np.isnat(values) if values.dtype.kind == "M" else ~np.isfinite(values)
        if bad.any():
            msg = f"{name} is missing or infinite in event {int(np.argmax(bad))}: remove the event"
            raise ValueError(msg)
    return values


def check_bins(n_bins: Any) -> int:
    """Return a number of bins of at least two."""
    if not isinstance(n_bins, (int, np.integer)) or n_bins < 2:
        msg = f"n_bins={n_bins!r} must be an integer of at least 2"
        raise ValueError(msg)
    return int(n_bins)


def order_bins(order: NDArray[Any], n_bins: int, name: str) -> OrderBins:
    """Cut events into bins of nearly equal numbers; equal values are never cut."""
    rows = np.argsort(order, kind="stable")
    values = order[rows]
    # where a bin may end: after the last event of each run of equal values
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(values))
    if len(ends) < 2:
        msg = f"{name} has the one value {values[0]} only: there is nothing to order by"
        raise ValueError(msg)
    targets = len(values) * np.arange(1, n_bins) / n_bins
    right = np.minimum(np.searchsorted(ends, targets), len(ends) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(targets - ends[left] < ends[right] - targets, left, right)
    stops = np.unique(np.append(ends[nearer], len(values)))
    starts = np.append(0, stops[:-1])
    index = np.empty(len(values), dtype=np.intp)
    index[rows] = np.repeat(np.arange(len(stops)), stops - starts)
    middle = (starts + stops - 1) // 2
    return OrderBins(index, values[starts], values[stops - 1], values[middle], stops - starts)


def trend(
    values: NDArray[np.floating[Any]], index: NDArray[np.intp], weight: Any, n_bins: int
) -> Trend:
    """Test finite values for a dependence on their bins; ``weight`` is abs(w) or None."""
    nothing = np.full(n_bins, np.nan)
    if not len(values):
        return Trend(nothing, nothing, np.nan, np.nan, np.nan, 0, np.nan, np.nan)
    if weight is None:
        weight = np.ones(len(values))
    origin = float(values[0])
    distance = values.astype(np.float64) - origin
    # in units of the largest distance, no square overflows
    unit = float(np.abs(distance).max())
    distance /= unit or 1.0
    squares = weight * weight
    sums = np.bincount(index, weight, n_bins)
    sums2 = np.bincount(index, squares, n_bins)
    sums3 = np.bincount(index, squares * weight, n_bins)
    filled = sums > 0
    mean = np.full(n_bins, np.nan)
    np.divide(np.bincount(index, weight * distance, n_bins), sums, out=mean, where=filled)
    # an event of weight zero may be alone in its bin
    distance -= np.where(filled, mean, 0.0)[index]
    distance *= distance
    ndf = int(np.count_nonzero(filled)) - 1
    s1, s2, s3 = sums[filled], sums2[filled], sums3[filled]
    freedom1 = float(np.sum(s1 - s2 / s1))
    freedom2 = float(np.sum(s2 - 2 * s3 / s1 + (s2 / s1) ** 2))
    # with one event in every bin nothing is known about their spread
    known = freedom1 > 1e-9 * s1.sum() and freedom2 > 1e-9 * s2.sum()
    variance = np.nan
    if known:
        variance = float(max(weight @ distance / freedom1, squares @ distance / freedom2))
    error = np.full(n_bins, np.nan)
    np.divide(np.sqrt(variance * sums2), sums, out=error, where=filled)
    spread = unit * np.sqrt(variance)
    if ndf < 1 or not variance > 0:
        # one bin, or a feature that is constant inside every bin
        moves = known and ndf >= 1 and np.ptp(mean[filled]) > 0
        chi2, p = (np.inf, 0.0) if moves else (np.nan, np.nan)
        common = float(np.mean(mean[filled])) if filled.any() else np.nan
        drift = np.inf if moves else 0.0 if known else np.nan
    else:
        precision = 1.0 / error[filled] ** 2
        common = float(precision @ mean[filled] / precision.sum())
        residual = mean[filled] - common
        chi2 = float(precision @ residual**2)
        p = float(chdtrc(ndf, chi2))
        excess = float(np.mean(residual**2 - error[filled] ** 2))
        drift = float(np.sqrt(max(excess, 0.0) / variance))
    return Trend(
        origin + unit * mean,
        unit * error,
        origin + unit * common,
        float(spread),
        chi2,
        ndf,
        p,
        drift,
    )


def global_pvalue(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that the smallest of as many independent p-values is at most this one."""
    trials = np.count_nonzero(~np.isnan(p))
    with np.errstate(divide="ignore"):
        return -np.expm1(trials * np.log1p(-p))
