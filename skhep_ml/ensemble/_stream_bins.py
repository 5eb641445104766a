"""Edges of the bins of a stream: all values of features with few, quantiles of a sample of others.

The engine's own sketches of all events take megabytes for each feature, and most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

# events whose values give the quantiles; scikit-learn bins histogram trees from as many
SAMPLE_SIZE = 200_000
# bytes of the sample held at once, some features after the others, and of the file
_GROUP_BYTES = 1 << 25


class TableFile(NamedTuple):
    """A float32 table in a file, row after row.

    Attributes
    ----------
    path : path
        The file.
    n_rows, n_columns : int
        Shape of the table.
    """

    path: Path
    n_rows: int
    n_columns: int

    def blocks(self, n_bytes: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield rows that take about so many bytes, and their places."""
        step = max(1, n_bytes // (4 * self.n_columns))
        for start in range(0, self.n_rows, step):
            stop = min(start + step, self.n_rows)
            # each block is a map of its own, which leaves the memory with it
            offset, shape = 4 * self.n_columns * start, (stop - start, self.n_columns)
            yield slice(start, stop), np.memmap(self.path, np.float32, "r", offset, shape)


def reference_matrix(
    table: TableFile,
    columns: NDArray[np.intp],
    weight: NDArray[Any] | None,
    max_bin: int,
    seed: int,
) -> Any:
    """Few rows whose values are the edges; the engine takes the bins of a stream from them.

    Parameters
    ----------
    table : TableFile
        Features.
    columns : ndarray of int
        Columns to bin.
    weight : ndarray of shape (n_events,) or None
        Weights of the quantiles.
    max_bin : int
        Largest number of bins of a feature.
    seed : int
        Seed of the sample.
    """
    rows = _spread_rows(table.n_rows, seed)
    sampled = None if weight is None else weight[rows].astype(np.float64)
    width = max(1, _GROUP_BYTES // (4 * len(rows)))
    edges: list[NDArray[np.float32]] = []
    few: list[int] = []
    for start in range(0, len(columns), width):
        group = columns[start : start + width]
        for values in _take(table, rows, group).T:
            values, share = _distinct(values, sampled)
            if len(values) <= max_bin:
                few.append(len(edges))
            edges.append(_quantiles(values, share, max_bin))
    for place, values in zip(few, _all_values(table, columns[few], max_bin), strict=True):
        # a feature that has more values than the sample shows keeps the sample's
        if len(values) <= max_bin:
            edges[place] = values
    rows_of_edges = np.full((max(1, *map(len, edges)), len(columns)), np.nan, dtype=np.float32)
    for column, values in enumerate(edges):
        rows_of_edges[: len(values), column] = values
    label = np.zeros(len(rows_of_edges))
    return xgboost.QuantileDMatrix(rows_of_edges, label, max_bin=max_bin, nthread=1)


def _spread_rows(n_rows: int, seed: int) -> NDArray[np.intp]:
    """One row drawn from each of as many equal parts as the sample has events."""
    size = min(SAMPLE_SIZE, n_rows)
    place = np.arange(size) + np.random.RandomState(seed).random_sample(size)
    return (place * (n_rows / size)).astype(np.intp)


def _take(
    table: TableFile, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    out = np.empty((len(rows), len(columns)), dtype=np.float32, order="F")
    for part, block in table.blocks(_GROUP_BYTES):
        first, last = np.searchsorted(rows, [part.start, part.stop])
        out[first:last] = block[(rows[first:last] - part.start)[:, None], columns]
    return out


def _distinct(
    values: NDArray[np.float32], weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Values that are there, in order, and the weight of each."""
    known = ~np.isnan(values)
    found, place = np.unique(values[known], return_inverse=True)
    share = np.bincount(place, None if weight is None else weight[known], len(found))
    return found, share.astype(np.float64)


def _quantiles(
    values: NDArray[np.float32], weight: NDArray[np.float64], n_values: int
) -> NDArray[np.float32]:
    """At most so many of the values, with equal parts of the weight between them."""
    if len(values) <= n_values:
        return values
    below = np.cumsum(weight) - weight
    levels = np.arange(n_values) * (weight.sum() / n_values)
    places = np.searchsorted(below, levels)
    return values[np.unique(np.minimum(places, len(values) - 1))]


def _all_values(
    table: TableFile, columns: NDArray[np.intp], limit: int
) -> list[NDArray[np.float32]]:
    """All values of some columns; of one that has more than the limit, more than so many."""
    found = [np.empty(0, dtype=np.float32) for _ in columns]
    if not len(columns):
        return found
    for _, block in table.blocks(_GROUP_BYTES):
        for k, column in enumerate(columns):
            if len(found[k]) <= limit:
                values = np.unique(block[:, column])
                found[k] = np.union1d(found[k], values[~np.isnan(values)])
    return found
