"""Histograms of floating-point numbers whose bins follow the data and which merge exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 2**14
_LARGEST = float(np.finfo(np.float32).max)


def float_key(values: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Integers in the order of the values, one for each float32.

    Neighbouring float32 numbers have neighbouring keys, so equal steps of the key are roughly
    equal relative steps of the value.
    """
    if values.dtype != np.float32:
        values = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
    # adding 0 turns -0 into +0; both are the same value
    bits = (values + np.float32(0.0)).view(np.int32)
    return bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))


def mid_quantile(
    values: NDArray[np.float64], weight: NDArray[np.float64], q: Any
) -> NDArray[np.float64]:
    """Weighted quantiles of sorted distinct values, each placed in the middle of its weight."""
    cumulative = np.cumsum(weight)
    return np.interp(q, (cumulative - 0.5 * weight) / cumulative[-1], values)


@dataclass
class _Column:
    """Occupied bins of one column: keys ``first + index``, in units of ``2**level``."""

    level: int
    first: int
    index: NDArray[np.int64]
    weight: NDArray[Any]
    sums: NDArray[Any]


def _level(low: int, high: int) -> int:
    """Smallest level at which the keys from low to high fill at most MAX_BINS bins."""
    level = 0
    while (high >> level) - (low >> level) >= MAX_BINS:
        level += 1
    return level


class ValueHistogram:
    """Weighted histograms of all columns, with the mean of every bin.

    The bin width depends on the smallest and largest value alone (never on the order of the
    rows), and a coarser width is a union of finer bins: chunks merge into what the whole gives.

    A bin is at most 3% wide relative to the value where a column takes both signs, much
    finer elsewhere; the mean of each bin is kept, so that moments of a smooth function come
    out some 1e-5 exact. Values beyond float32 count at its limits.
    """

    def __init__(
        self,
        minimum: NDArray[np.float64],
        maximum: NDArray[np.float64],
        columns: list[_Column | None],
    ) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self._columns = columns

    @classmethod
    def empty(cls, minimum: NDArray[np.float64], maximum: NDArray[np.float64]) -> ValueHistogram:
        """Histograms for values between the given limits; NaN limits make an empty column."""
        columns: list[_Column | None] = []
        for low, high in zip(minimum, maximum, strict=True):
            if np.isnan(low):
                columns.append(None)
                continue
            low_key, high_key = (int(key) for key in float_key(np.array([low, high])))
            level = _level(low_key, high_key)
            nothing = np.empty(0)
            index = np.empty(0, dtype=np.int64)
            columns.append(_Column(level, low_key >> level, index, nothing, nothing))
        return cls(minimum, maximum, columns)

    def add(self, block: NDArray[np.floating[Any]], weight: NDArray[np.float64]) -> None:
        """Count the rows of a block, whose values lie between the limits or are NaN."""
        for column, strided in zip(self._columns, block.T, strict=True):
            if column is None:
                continue
            values = np.ascontiguousarray(strided)
            present = ~np.isnan(values)
            value_weight = weight
            if not present.all():
                values, value_weight = values[present], weight[present]
            index = (float_key(values) >> column.level) - column.first
            weights = np.bincount(index, value_weight)
            sums = np.bincount(index, value_weight * values)
            occupied = np.flatnonzero(weights)
            _insert(column, occupied, weights[occupied], sums[occupied])

    def merge(self, other: ValueHistogram) -> ValueHistogram:
        """Return the histograms of both samples together."""
        merged = ValueHistogram.empty(
            np.fmin(self.minimum, other.minimum), np.fmax(self.maximum, other.maximum)
        )
        for target, *parts in zip(merged._columns, self._columns, other._columns, strict=True):
            for part in parts:
                if target is not None and part is not None:
                    keys = (part.index + part.first) >> (target.level - part.level)
                    _insert(target, keys - target.first, part.weight, part.sums)
        return merged

    def column(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean value and weight of the occupied bins of a column, in rising order."""
        column = self._columns[index]
        if column is None:
            return np.empty(0), np.empty(0)
        with np.errstate(over="ignore"):
            means = column.sums / column.weight
        return np.clip(means, self.minimum[index], self.maximum[index]), column.weight


def _insert(
    column: _Column,
    index: NDArray[np.int64],
    weight: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    position = np.concatenate([column.index, index])
    weights = np.bincount(position, np.concatenate([column.weight, weight]))
    totals = np.bincount(position, np.concatenate([column.sums, sums]))
    column.index = np.flatnonzero(weights)
    column.weight = weights[column.index]
    column.sums = totals[column.index]
