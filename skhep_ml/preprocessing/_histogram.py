"""Histograms of floating-point numbers whose bins follow the data and which merge exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 2**14
# rows counted at a time: a count and the sum of remainders then fit one float64 exactly
HISTOGRAM_ROWS = 2**17
_COUNT_UNIT = 2.0**35
# columns, and rows of them, transposed at a time: the copy stays in the second-level cache
_GROUP = 32
_STRIP = 2048
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


def key_value(key: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers that the keys of `float_key` stand for."""
    largest = int(np.float32(_LARGEST).view(np.int32))
    bits = np.clip(key, -1 - largest, largest).astype(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return bits.view(np.float32).astype(np.float64)


def mid_quantile(
    values: NDArray[np.float64], weight: NDArray[np.float64], q: Any
) -> NDArray[np.float64]:
    """Weighted quantiles of sorted distinct values, each placed in the middle of its weight."""
    cumulative = np.cumsum(weight)
    return np.interp(q, (cumulative - 0.5 * weight) / cumulative[-1], values)


@dataclass
class _Column:
    """Occupied bins of one column: keys ``first + index``, in units of ``2**level``.

    ``rest`` is the weighted sum of the keys' distances from the lower end of their bin.
    """

    level: int
    first: int
    index: NDArray[np.int64]
    weight: NDArray[Any]
    rest: NDArray[Any]

    def add(self, values: NDArray[np.float32], weight: NDArray[np.float64] | None) -> None:
        """Count at most HISTOGRAM_ROWS values, of which some may be NaN."""
        missing = np.isnan(values)
        if missing.any():
            values = values[~missing]
            weight = None if weight is None else weight[~missing]
        key = float_key(values)
        rest = (key & np.int32((1 << self.level) - 1)).astype(np.float64)
        index = np.subtract(key >> np.int32(self.level), self.first, dtype=np.int64)
        if weight is None:
            # one pass for both sums: the count stands above the largest sum of remainders
            rest += _COUNT_UNIT
            packed = np.bincount(index, rest)
            occupied = np.flatnonzero(packed)
            self.insert(occupied, *np.divmod(packed[occupied], _COUNT_UNIT))
        else:
            weights = np.bincount(index, weight)
            rests = np.bincount(index, weight * rest)
            occupied = np.flatnonzero(weights)
            self.insert(occupied, weights[occupied], rests[occupied])

    def insert(self, index: NDArray[np.int64], weight: NDArray[Any], rest: NDArray[Any]) -> None:
        """Add bins, of which several may be the same."""
        position = np.concatenate([self.index, index])
        weights = np.bincount(position, np.concatenate([self.weight, weight]))
        rests = np.bincount(position, np.concatenate([self.rest, rest]))
        self.index = np.flatnonzero(weights)
        self.weight = weights[self.index]
        self.rest = rests[self.index]

    def values(self) -> NDArray[np.float64]:
        """Mean value of each bin."""
        # a bin lies within one power of two, where the value is linear in the key
        low, high = self.edges()
        step = (high - low) / max(1, (1 << self.level) - 1)
        return np.clip(low + self.rest / self.weight * step, low, high)

    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest value of each bin."""
        low = (self.first + self.index) << self.level
        return key_value(low), key_value(low + ((1 << self.level) - 1))

    def __getstate__(self) -> dict[str, Any]:
        # float32 keeps the 18 bits of a remainder exactly, and weights to 6e-8
        arrays = {
            "index": self.index.astype(np.uint16),
            "weight": _compact(self.weight),
            "rest": _compact(self.rest / self.weight),
        }
        return self.__dict__ | arrays

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.index = state["index"].astype(np.int64)
        self.weight = state["weight"].astype(np.float64)
        self.rest = self.weight * state["rest"]


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers >= 0 as small integers where they are such, else as float32; for pickles."""
    largest = values.max(initial=0.0)
    if largest < 2**16 and not (values % 1).any():
        return values.astype(np.min_scalar_type(int(largest)))
    smallest = values.min(initial=largest, where=values > 0)
    # weights of an odd unit do not fit
    return values.astype(np.float32) if smallest > 1e-30 and largest < 1e30 else values


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
    out some 1e-5 exact. Values are taken as float32 numbers, those beyond at its limits.
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

    def add(
        self, block: NDArray[np.floating[Any]], weight: NDArray[np.float64] | None = None
    ) -> None:
        """Count the rows of a block, whose values lie between the limits or are NaN.

        Without weights each counts as one.
        """
        for start in range(0, len(block), HISTOGRAM_ROWS):
            rows = slice(start, start + HISTOGRAM_ROWS)
            part_weight = None if weight is None else weight[rows]
            for first in range(0, len(self._columns), _GROUP):
                group = slice(first, first + _GROUP)
                for column, values in zip(
                    self._columns[group], _transposed(block[rows, group]), strict=True
                ):
                    if column is not None:
                        column.add(values, part_weight)

    def merge(self, other: ValueHistogram) -> ValueHistogram:
        """Return the histograms of both samples together."""
        merged = ValueHistogram.empty(
            np.fmin(self.minimum, other.minimum), np.fmax(self.maximum, other.maximum)
        )
        for target, *parts in zip(merged._columns, self._columns, other._columns, strict=True):
            for part in parts:
                if target is not None and part is not None:
                    step = target.level - part.level
                    index = part.index + part.first
                    shift = (index & ((1 << step) - 1)) << part.level
                    rest = part.rest + part.weight * shift
                    target.insert((index >> step) - target.first, part.weight, rest)
        return merged

    def column(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean value and weight of the occupied bins of a column, in rising order."""
        column = self._columns[index]
        if column is None:
            return np.empty(0), np.empty(0)
        return np.clip(column.values(), self.minimum[index], self.maximum[index]), column.weight

    def neighbours(self, index: int) -> NDArray[np.float64]:
        """Weight of the heavier of the two bins beside each occupied bin of a column."""
        column = self._columns[index]
        if column is None:
            return np.empty(0)
        touching = np.diff(column.index) == 1
        beside = np.zeros(len(column.index))
        beside[1:] = np.where(touching, column.weight[:-1], 0.0)
        beside[:-1] = np.fmax(beside[:-1], np.where(touching, column.weight[1:], 0.0))
        return beside

    def quantile(self, index: int, q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted quantiles of a column, within the width of a bin; NaN for an empty column.

        Exact where a value stands alone, with empty bins beside it. Quantiles in one bin are
        equal.
        """
        column = self._columns[index]
        if column is None:
            return np.full(len(q), np.nan)
        values, weight = self.column(index)
        cumulative = np.cumsum(weight)
        found = np.searchsorted(cumulative, q * cumulative[-1] * (1 - 1e-12))
        found = np.minimum(found, len(values) - 1)
        # between touching bins the quantile moves on smoothly, but not out of its bin
        touching = np.diff(column.index) == 1
        low, high = column.edges()
        low[1:] = np.where(touching, low[1:], values[1:])
        high[:-1] = np.where(touching, high[:-1], values[:-1])
        low[0], high[-1] = values[0], values[-1]
        smooth = np.clip(mid_quantile(values, weight, q), low[found], high[found])
        shared = np.isin(found, found[np.flatnonzero(np.diff(found) == 0)])
        return np.where(shared, values[found], smooth)


def _transposed(block: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Columns of a block as contiguous float32 rows, values beyond float32 at its limits."""
    columns = np.empty(block.shape[::-1], dtype=np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(block), _STRIP):
            columns[:, start : start + _STRIP] = block[start : start + _STRIP].T
    if block.dtype != np.float32:
        np.clip(columns, -_LARGEST, _LARGEST, out=columns)
    return columns
