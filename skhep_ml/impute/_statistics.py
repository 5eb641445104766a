"""Weighted statistics of the values that are not missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.impute._masks import mask_missing, refuse_present_infinity, replaced
from skhep_ml.preprocessing._histogram import float_key, key_value
from skhep_ml.preprocessing._statistics import (
    ColumnNames,
    FloatArray,
    row_blocks,
)

ColumnStatistic = Callable[[FloatArray, NDArray[np.float64] | None], float]

# columns, and rows of them, transposed at a time: little memory, and strips that fit the cache
_GROUP = 8
_STRIP = 2048
# relative tolerance at which a cumulative weight counts as exactly one half
_HALF_TOLERANCE = 1e-12


def weighted_median(values: FloatArray, weight: NDArray[np.float64] | None) -> float:
    """Median of the values that are not NaN, each repeated weight times.

    Where a value ends exactly at half of the total weight, the mean of it and the next one.
    """
    missing = np.isnan(values)
    if missing.any():
        values = values[~missing]
        weight = None if weight is None else weight[~missing]
    # a histogram over the leading bits finds the few values among which the median is
    key = float_key(values) >> 16
    first = int(key.min())
    histogram = np.cumsum(np.bincount(key - first, weight))
    half = histogram[-1] / 2
    slack = histogram[-1] * _HALF_TOLERANCE
    low = np.searchsorted(histogram, half - slack)
    high = np.searchsorted(histogram, half + slack, side="right")
    near = (key >= low + first) & (key <= high + first)
    candidates = values[near]
    order = np.argsort(candidates)
    near_weight = np.ones(len(order)) if weight is None else weight[near][order]
    cumulative = np.cumsum(near_weight) + (histogram[low - 1] if low > 0 else 0.0)
    last = len(order) - 1
    left = candidates[order[min(np.searchsorted(cumulative, half - slack), last)]]
    right = candidates[order[min(np.searchsorted(cumulative, half + slack, side="right"), last)]]
    return float(left) / 2 + float(right) / 2


def weighted_mode(values: FloatArray, weight: NDArray[np.float64] | None) -> float:
    """Value that is not NaN with the largest weight, the smallest of them where several tie."""
    if weight is None and values.dtype == np.float32:
        # integers are sorted faster; what lies beyond infinity is NaN
        keys = np.sort(float_key(values))
        low, high = float_key(np.array([-np.inf, np.inf], np.float32))
        first, end = np.searchsorted(keys, [low, high + 1])
        return float(key_value(np.array([longest_run(keys[first:end])]))[0])
    order = np.argsort(values) if weight is not None else None
    ordered = np.sort(values) if order is None else values[order]
    ordered = ordered[: np.searchsorted(ordered, np.inf, side="right")]
    if weight is None or order is None:
        return float(longest_run(ordered))
    edges = run_edges(ordered)
    weights = np.add.reduceat(weight[order[: len(ordered)]], edges[:-1])
    # sums of the same weights in another order may differ by rounding
    largest = np.argmax(weights >= weights.max() * (1 - _HALF_TOLERANCE))
    return float(ordered[edges[largest]])


def longest_run(ordered: NDArray[Any]) -> Any:
    """Most frequent of sorted values, the first of them where several tie."""
    equal = ordered[1:] == ordered[:-1]
    if 2 * np.count_nonzero(equal) > len(equal):
        edges = run_edges(ordered)
        return ordered[edges[np.argmax(np.diff(edges))]]
    # mostly distinct: those that equal their successor are fewer than the runs
    repeated = np.flatnonzero(equal)
    if not len(repeated):
        return ordered[0]
    edges = run_edges(repeated - np.arange(len(repeated)))
    return ordered[repeated[edges[np.argmax(np.diff(edges))]]]


def run_edges(values: NDArray[Any]) -> NDArray[np.intp]:
    """Where each run of equal values begins, in sorted values, and the end of the last."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1], [True]]))


@dataclass
class MissingSums:
    """Counts and sums of weights over the events of non-zero weight.

    ``values`` is the sum of weight times value where the mean is asked for, 0 elsewhere.
    """

    n_rows: int
    total: float
    n_missing: NDArray[np.float64]
    present: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def from_table(
        cls,
        table: FloatArray,
        weight: NDArray[np.float64] | None,
        sentinels: Sequence[float],
        names: ColumnNames,
        *,
        mean: bool = False,
        finite: bool = True,
    ) -> MissingSums:
        """Sum over a table, whose values must be finite unless ``finite`` is False."""
        sums = cls(0, 0.0, *np.zeros((3, table.shape[1])))
        for block, block_weight in row_blocks(table, weight):
            missing = mask_missing(block, sentinels)
            if finite:
                refuse_present_infinity(block, missing, names)
            if mean:
                values = replaced(block, missing, block.dtype.type(0))
                # matrix products are the fastest sums over rows
                sums.values += block_weight @ values.astype(np.float64, copy=False)
            sums.n_rows += len(block)
            sums.total += float(block_weight.sum())
            if not missing.any():
                sums.present += block_weight.sum()
                continue
            # whole numbers this small are exact in float32
            count = np.ones(len(block), np.float32) @ missing.astype(np.float32)
            sums.n_missing += count
            # sum what is present: the difference of two large sums could lose a small weight
            sums.present += (
                len(block) - count if weight is None else block_weight @ (~missing).astype(float)
            )
        return sums

    @property
    def missing_fraction(self) -> NDArray[np.float64]:
        """Share of each column's weight that is missing; 0 without any row."""
        share = 1.0 - self.present / (self.total or 1.0)
        return np.where(self.n_missing > 0, np.maximum(share, 0.0), 0.0)

    @property
    def empty(self) -> NDArray[np.intp]:
        """Indices of the columns without a value."""
        return np.flatnonzero(self.n_missing == self.n_rows)


def column_statistics(
    find: ColumnStatistic,
    table: FloatArray,
    weight: NDArray[np.float64] | None,
    sentinels: Sequence[float],
) -> NDArray[np.float64]:
    """``find(values, weight)`` of each column, NaN for what is missing; NaN where all is missing.

    Rows of weight zero are left out.
    """
    used = None
    if weight is not None and not weight.all():
        used = weight != 0
        weight = weight[used]
    nan = table.dtype.type(np.nan)

    def statistic(values: FloatArray) -> float:
        if used is not None:
            values = values[used]
        if sentinels:
            values = replaced(values, mask_missing(values, sentinels), nan)
        return float("nan") if np.isnan(values).all() else find(values, weight)

    found = []
    for start in range(0, table.shape[1], _GROUP):
        group = table[:, start : start + _GROUP]
        columns = np.empty(group.shape[::-1], group.dtype)
        for row in range(0, len(group), _STRIP):
            columns[:, row : row + _STRIP] = group[row : row + _STRIP].T
        found += [statistic(values) for values in columns]
    return np.array(found)
