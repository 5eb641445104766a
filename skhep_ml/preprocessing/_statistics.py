"""Weighted statistics of table columns: blocked, blind to NaN, and mergeable over chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._histogram import ValueHistogram

FloatArray = NDArray[np.floating[Any]]
ColumnNames = NDArray[Any] | None

# numbers in one block: a float64 copy of it stays in the second-level cache
BLOCK_SIZE = 65536


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


def row_blocks(
    X: FloatArray, weight: NDArray[np.float64] | None, *, rows: int | None = None
) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
    """Yield (rows, weights) without the rows of weight zero."""
    rows = block_rows(X.shape[1]) if rows is None else rows
    ones = np.ones(min(rows, len(X)))
    for start in range(0, len(X), rows):
        block = X[start : start + rows]
        block_weight = ones[: len(block)]
        if weight is not None:
            block_weight = weight[start : start + rows]
            used = block_weight != 0
            if not used.all():
                block, block_weight = block[used], block_weight[used]
                if not len(block):
                    continue
        yield block, block_weight


@dataclass
class ColumnStatistics:
    """Extremes, and on request moments and histograms, of every column.

    Sums of weights are of abs(w); a column without a value has NaN extremes.
    """

    n_rows: int
    total_weight: float
    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    histogram: ValueHistogram | None = None

    @classmethod
    def from_table(
        cls,
        X: FloatArray,
        weight: NDArray[np.float64] | None,
        names: ColumnNames,
        *,
        moments: bool = False,
        histogram: bool = False,
    ) -> ColumnStatistics:
        """Collect the statistics of one table; moments stay 0 unless asked for."""
        n_features = X.shape[1]
        rows = min(block_rows(n_features), len(X))
        order = memory_order(X)
        # running extremes per position in the block: long inner loops, one reduction at the end
        low = np.full((rows, n_features), np.nan, dtype=X.dtype, order=order)
        high = low.copy(order="K")
        buffer = np.empty((rows if moments else 0, n_features), order=order)
        found = cls(len(X), 0.0, *np.zeros((5, n_features)))
        for block, block_weight in row_blocks(X, weight):
            refuse_infinity(block, names)
            size = len(block)
            np.fmin(low[:size], block, out=low[:size])
            np.fmax(high[:size], block, out=high[:size])
            if moments:
                # float64 values may overflow; who uses the moments checks them
                with np.errstate(over="ignore", invalid="ignore"):
                    found._add_moments(block, block_weight, buffer[:size])
        found.minimum = np.fmin.reduce(low, axis=0).astype(np.float64)
        found.maximum = np.fmax.reduce(high, axis=0).astype(np.float64)
        if histogram:
            found.histogram = ValueHistogram.empty(found.minimum, found.maximum)
            for block, block_weight in row_blocks(X, weight, rows=BLOCK_SIZE):
                found.histogram.add(block, block_weight)
        return found

    def _add_moments(
        self, block: FloatArray, weight: NDArray[np.float64], buffer: NDArray[np.float64]
    ) -> None:
        np.copyto(buffer, block)
        sums = weight @ buffer
        total = float(weight.sum())
        block_weight = np.full(buffer.shape[1], total)
        missing = None
        if np.isnan(sums).any():
            missing = np.isnan(buffer)
            block_weight = weight @ (~missing).astype(np.float64)
            np.copyto(buffer, 0.0, where=missing)
            sums = weight @ buffer
        mean = np.divide(sums, block_weight, out=np.zeros_like(sums), where=block_weight > 0)
        buffer -= mean
        if missing is not None:
            np.copyto(buffer, 0.0, where=missing)
        np.multiply(buffer, buffer, out=buffer)
        squares = weight @ buffer
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
        """Return the statistics of both tables together."""
        merged = ColumnStatistics(
            self.n_rows + other.n_rows,
            self.total_weight + other.total_weight,
            self.weight,
            self.mean,
            self.squares,
            np.fmin(self.minimum, other.minimum),
            np.fmax(self.maximum, other.maximum),
        )
        merged._merge_moments(other.weight, other.mean, other.squares)
        if self.histogram is not None and other.histogram is not None:
            merged.histogram = self.histogram.merge(other.histogram)
        return merged

    def column(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and weights of a column, binned by the histogram, in rising order."""
        assert self.histogram is not None
        return self.histogram.column(index)

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
