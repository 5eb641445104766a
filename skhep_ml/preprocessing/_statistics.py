"""Weighted statistics of features: blocked, blind to NaN, and mergeable over chunks.

A table has one row for each event, a cloud one for each particle of each event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skhep_ml._clouds import present_particles
from skhep_ml.preprocessing._histogram import HISTOGRAM_ROWS, ValueHistogram

FloatArray = NDArray[np.floating[Any]]
ColumnNames = NDArray[Any] | None

# numbers in one block: a float64 copy of it stays in the second-level cache
BLOCK_SIZE = 65536
# numbers in the inner loop of an operation with one number for each column
_INNER_LOOP = 2048
# numbers in one call of BLAS
_BLAS_PIECE = 8192
# relative tolerance at which a cumulative weight counts as reached
_TOLERANCE = 1e-12
# range of absolute values that a histogram of float32 numbers resolves
_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)
QUARTILES = np.array([0.25, 0.5, 0.75])


def block_rows(n_features: int) -> int:
    """Rows in one block of a table."""
    return max(16, BLOCK_SIZE // n_features)


def memory_order(table: NDArray[Any]) -> Literal["C", "F"]:
    """Memory order in which buffers fit the table."""
    return "F" if table.flags.f_contiguous else "C"


def column_label(names: ColumnNames, index: int) -> str:
    """Name of a column in messages."""
    return f"column {index}" if names is None else f"column {str(names[index])!r}"


def refuse_infinity(block: FloatArray, names: ColumnNames) -> None:
    """Raise a ValueError that names the first column with an infinite value."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = block.sum()
    # a finite sum proves that neither NaN nor infinity is there
    if np.isfinite(total):
        return
    infinite = np.isinf(block)
    if infinite.any():
        label = column_label(names, int(infinite.any(axis=0).argmax()))
        msg = (
            f"Input X contains infinity in {label}: repair the feature where it is computed, "
            "or set these values to NaN, which stands for a missing value"
        )
        raise ValueError(msg)


def block_events(X: FloatArray) -> int:
    """Events in one block of a table or cloud."""
    n_particles = X.shape[1] if X.ndim == 3 else 1
    return max(1, block_rows(X.shape[-1]) // max(1, n_particles))


def by_column(
    operation: np.ufunc, block: FloatArray, row: Any, out: FloatArray | None = None
) -> FloatArray:
    """``operation(block, row)`` with one number of the row for each column of the block."""
    n_features = block.shape[-1]
    repeats = _INNER_LOOP // n_features
    size = len(block) // repeats * repeats if repeats > 1 else 0
    contiguous = block.flags.c_contiguous and (out is None or out.flags.c_contiguous)
    if np.ndim(row) == 0 or not size or not contiguous:
        return operation(block, row, out=out)
    if out is None:
        out = np.empty(block.shape, np.result_type(block, row))
    # the same numbers in fewer, longer rows: inner loops worth their overhead
    longer = (size // repeats, repeats * n_features)
    repeated = np.broadcast_to(row, (repeats, n_features)).reshape(-1)
    operation(block[:size].reshape(longer), repeated, out=out[:size].reshape(longer))
    operation(block[size:], row, out=out[size:])
    return out


def weighted_sums(weight: NDArray[np.float64], block: FloatArray) -> NDArray[np.float64]:
    """``weight @ block``, to the last bit the same for any number of BLAS threads."""
    # pieces this small are never shared among threads, whose start would cost more than the sum
    rows = max(1, _BLAS_PIECE // block.shape[1])
    sums = np.zeros(block.shape[1])
    for start in range(0, len(block), rows):
        sums += weight[start : start + rows] @ block[start : start + rows]
    return sums


def row_blocks(
    X: FloatArray, weight: NDArray[np.float64] | None, *, rows: int | None = None
) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
    """Yield (rows, weights) without the events of weight zero and without absent particles.

    A block is made from ``rows`` events. Every particle has the weight of its event.
    """
    rows = block_events(X) if rows is None else rows
    ones = np.ones(min(rows, len(X)))
    for start in range(0, len(X), rows):
        block = X[start : start + rows]
        block_weight = ones[: len(block)]
        if weight is not None:
            block_weight = weight[start : start + rows]
            used = block_weight != 0
            if not used.all():
                block, block_weight = block[used], block_weight[used]
        if X.ndim == 3:
            present = present_particles(block).ravel()
            block_weight = np.repeat(block_weight, X.shape[1])
            block = block.reshape(-1, X.shape[2])
            if not present.all():
                block, block_weight = block[present], block_weight[present]
        if len(block):
            yield block, block_weight


def column_values(
    X: FloatArray, weight: NDArray[np.float64] | None, index: int
) -> tuple[FloatArray, NDArray[np.float64] | None]:
    """Values of a feature that are not NaN, in events of non-zero weight, and their weights."""
    values = X[..., index]
    used = ~np.isnan(values)
    if weight is None:
        return values[used], None
    event_weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    used &= event_weight != 0
    return values[used], np.broadcast_to(event_weight, values.shape)[used]


def weighted_quantile(
    values: FloatArray, weight: NDArray[np.float64] | None, q: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of the values, each repeated weight times; NaN where there are none.

    The smallest value with a share q of the weight at or below it; where that share is q
    exactly, the mean of it and the next value.
    """
    if not len(values):
        return np.full(len(q), np.nan)
    if weight is None:
        ordered = np.sort(values)
        target = q * len(values)
        slack = _TOLERANCE * len(values)
        low = np.ceil(target - slack).astype(np.int64) - 1
        high = np.floor(target + slack).astype(np.int64)
    else:
        order = np.argsort(values)
        ordered = values[order]
        cumulative = np.cumsum(weight[order])
        target, slack = q * cumulative[-1], _TOLERANCE * cumulative[-1]
        low = np.searchsorted(cumulative, target - slack)
        high = np.searchsorted(cumulative, target + slack, side="right")
    last = len(ordered) - 1
    low, high = np.clip(low, 0, last), np.clip(high, 0, last)
    return ordered[low].astype(np.float64) / 2 + ordered[high].astype(np.float64) / 2


@dataclass
class ColumnStatistics:
    """Extremes, and on request moments, histograms and quartiles, of every column.

    Sums of weights are of abs(w); a column without a value has NaN extremes.
    """

    n_rows: int
    total_weight: float
    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    moments: bool
    histogram: ValueHistogram | None = None
    exact_quartiles: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    # what to say when the histogram of a column is asked for that cannot hold its values
    unresolved: dict[int, str] = field(default_factory=dict)

    @classmethod
    def from_table(
        cls,
        X: FloatArray,
        weight: NDArray[np.float64] | None,
        names: ColumnNames,
        *,
        moments: bool = False,
        histogram: bool = False,
        quartiles: Sequence[int] = (),
    ) -> ColumnStatistics:
        """Collect the statistics of one table or cloud; moments stay 0 unless asked for.

        ``quartiles`` are the columns whose quartiles are wanted; they need the histogram too.
        """
        n_features = X.shape[-1]
        # twice the usual: the many small merges of blocks cost as much as the cache gives
        events = min(2 * block_events(X), len(X))
        rows = events * (X.shape[1] if X.ndim == 3 else 1)
        order = memory_order(X)
        # running extremes per position in the block: long inner loops, one reduction at the end
        low = np.full((rows, n_features), np.nan, dtype=X.dtype, order=order)
        high = low.copy(order="K")
        buffer = np.empty((rows if moments else 0, n_features), order=order)
        zero = np.zeros(n_features)
        found = cls(len(X), 0.0, zero, zero, zero, zero, zero, moments)
        for block, block_weight in row_blocks(X, weight, rows=events):
            size = len(block)
            np.fmin(low[:size], block, out=low[:size])
            np.fmax(high[:size], block, out=high[:size])
            if moments:
                # float64 values may overflow; who uses the moments checks them
                with np.errstate(over="ignore", invalid="ignore"):
                    found._add_moments(block, block_weight, buffer[:size])
        found.minimum = np.fmin.reduce(low, axis=0, initial=np.nan).astype(np.float64)
        found.maximum = np.fmax.reduce(high, axis=0, initial=np.nan).astype(np.float64)
        # an infinity is an extreme
        refuse_infinity(np.stack([found.minimum, found.maximum]), names)
        if histogram:
            found.histogram = ValueHistogram.empty(found.minimum, found.maximum)
            events = max(1, HISTOGRAM_ROWS * len(X) // max(1, X.size // n_features))
            for block, block_weight in row_blocks(X, weight, rows=events):
                found.histogram.add(block, None if weight is None else block_weight)
            if X.dtype == np.float64:
                found._find_unresolved(X, weight, names)
        for index in quartiles:
            found.exact_quartiles[index] = weighted_quantile(
                *column_values(X, weight, index), QUARTILES
            )
        return found

    def _find_unresolved(
        self, X: FloatArray, weight: NDArray[np.float64] | None, names: ColumnNames
    ) -> None:
        """Note the columns whose values the histogram, of float32 numbers, cannot tell apart."""
        assert self.histogram is not None
        for index in np.flatnonzero(~self.empty).tolist():
            largest = max(abs(self.minimum[index]), abs(self.maximum[index]))
            beyond = f"goes up to {largest:.3g} in absolute value" if largest > _LARGEST else ""
            binned, bin_weight = self.histogram.column(index)
            tiny = bin_weight[np.abs(binned) < _SMALLEST].sum()
            # the zeros among them have to be told apart only where they may matter
            if not beyond and largest > 0 and tiny > bin_weight.sum() / 2:
                values, value_weight = column_values(X, weight, index)
                used = values != 0
                size = np.abs(values[used])
                used_weight = None if value_weight is None else value_weight[used]
                if np.average(size < _SMALLEST, weights=used_weight) > 0.5:
                    beyond = f"is mostly below {_SMALLEST:.3g} in absolute value"
            if beyond:
                self.unresolved[index] = (
                    f"{column_label(names, index)} {beyond}, out of the range of float32 in which "
                    "its distribution is taken: change the unit"
                )

    def _add_moments(
        self, block: FloatArray, weight: NDArray[np.float64], buffer: NDArray[np.float64]
    ) -> None:
        np.copyto(buffer, block)
        sums = weighted_sums(weight, buffer)
        total = float(weight.sum())
        block_weight = np.full(buffer.shape[1], total)
        missing = None
        if np.isnan(sums).any():
            missing = np.isnan(buffer)
            block_weight = weighted_sums(weight, (~missing).astype(np.float64))
            np.copyto(buffer, 0.0, where=missing)
            sums = weighted_sums(weight, buffer)
        mean = np.divide(sums, block_weight, out=np.zeros_like(sums), where=block_weight > 0)
        by_column(np.subtract, buffer, mean, buffer)
        if missing is not None:
            np.copyto(buffer, 0.0, where=missing)
        np.multiply(buffer, buffer, out=buffer)
        squares = weighted_sums(weight, buffer)
        self.total_weight += total
        self._merge_moments(block_weight, mean, squares)

    def _merge_moments(
        self,
        weight: NDArray[np.float64],
        mean: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> None:
        # Chan, Golub, LeVeque: updating formulae for sample variances (1979)
        total = self.weight + weight
        share = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
        with np.errstate(over="ignore", invalid="ignore"):
            step = mean - self.mean
            self.squares = self.squares + squares + step * step * self.weight * share
            self.mean = self.mean + step * share
        self.weight = total

    def merge(self, other: ColumnStatistics) -> ColumnStatistics:
        """Return the statistics of both tables together.

        Raises
        ------
        ValueError
            Other kinds of statistics in one of them.
        """
        if (self.histogram is None, self.moments) != (other.histogram is None, other.moments):
            msg = (
                "parameters were changed after the first chunk, and the statistics of the chunks "
                "so far do not serve them: start again with fit"
            )
            raise ValueError(msg)
        merged = ColumnStatistics(
            self.n_rows + other.n_rows,
            self.total_weight + other.total_weight,
            self.weight,
            self.mean,
            self.squares,
            np.fmin(self.minimum, other.minimum),
            np.fmax(self.maximum, other.maximum),
            self.moments,
        )
        merged.unresolved = self.unresolved | other.unresolved
        merged._merge_moments(other.weight, other.mean, other.squares)
        if self.histogram is not None and other.histogram is not None:
            merged.histogram = self.histogram.merge(other.histogram)
        return merged

    def column(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and weights of a column, binned by the histogram, in rising order.

        Raises
        ------
        ValueError
            The histogram cannot hold the values.
        """
        assert self.histogram is not None
        if index in self.unresolved:
            raise ValueError(self.unresolved[index])
        return self.histogram.column(index)

    def quartiles(self, index: int) -> NDArray[np.float64]:
        """Quartiles of a column: exact after one table, from the histogram after chunks."""
        if index in self.exact_quartiles:
            return self.exact_quartiles[index]
        assert self.histogram is not None
        if index in self.unresolved:
            raise ValueError(self.unresolved[index])
        return self.histogram.quantile(index, QUARTILES)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Columns without a single value."""
        return np.isnan(self.minimum)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Columns with one value only."""
        return self.minimum == self.maximum

    @property
    def variance(self) -> NDArray[np.float64]:
        """Weighted variance; exactly 0 for constant columns, NaN for empty ones."""
        variance = np.divide(
            self.squares, self.weight, out=np.full_like(self.weight, np.nan), where=self.weight > 0
        )
        return np.where(self.constant, 0.0, variance)
