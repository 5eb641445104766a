"""Weighted correlations of columns with missing values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from skhep_ml.inspection._table import EventTable
from skhep_ml.preprocessing._statistics import block_rows

# a variance below this part of the mean square is rounding
_ROUNDING = 1e-12


def median_and_range(
    table: EventTable,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of each column, and its largest distance from it; NaN for empty columns."""
    center, scale = np.full((2, len(table.names)), np.nan)
    for index, values in enumerate(table.columns()):
        finite = values[~table.absent(values)]
        if len(finite):
            center[index] = np.median(finite)
            scale[index] = max(finite.max() - center[index], center[index] - finite.min())
    return center, scale


def weighted_correlation(
    table: EventTable,
    weight: NDArray[np.float64],
    center: NDArray[np.float64],
    scale: NDArray[np.float64],
    events: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    r"""Pearson correlations with weights >= 0, each pair over the events that have both values.

    Parameters
    ----------
    table : EventTable
        The columns.
    weight : ndarray of shape (n_events,)
        abs(w).
    center, scale : ndarray of shape (n_features,)
        A point among most values of each column, against rounding, and their largest distance
        from it, against overflow; NaN for empty columns.
    events : ndarray of shape (n_events,), default=None
        Events to use; None takes all.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        NaN where a feature is constant over the common events.
    """
    n = len(table.names)
    usable = np.isfinite(scale) & (scale > 0)
    center, scale = np.where(usable, center, 0.0), np.where(usable, scale, 1.0)
    # sums over the events common to i and j: of w, w x_i, w x_i^2 and w x_i x_j
    weights, sums, squares, products = np.zeros((4, n, n))
    # products this small are slower on several threads than on one
    with threadpool_limits(1, user_api="blas"):
        for rows, block in table.blocks(block_rows(n)):
            block_weight = weight[rows]
            if events is not None:
                block, block_weight = block[events[rows]], block_weight[events[rows]]
            block -= center
            block /= scale
            missing = np.isnan(block)
            weighted = block * block_weight[:, None]
            if not missing.any():
                # one row of sums serves all pairs
                weights += block_weight.sum()
                sums += weighted.sum(axis=0)[:, None]
                block_products = weighted.T @ block
                squares += np.diag(block_products)[:, None]
                products += block_products
                continue
            present = (~missing).astype(np.float64)
            block[missing] = 0.0
            weighted[missing] = 0.0
            weights += (present * block_weight[:, None]).T @ present
            sums += weighted.T @ present
            products += weighted.T @ block
            weighted *= block
            squares += weighted.T @ present
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums / weights
        raw = squares / weights
        variance = raw - means**2
        variance[~(variance > _ROUNDING * raw)] = np.nan
        correlation = (products / weights - means * means.T) / np.sqrt(variance * variance.T)
    correlation[~usable] = np.nan
    correlation[:, ~usable] = np.nan
    np.clip(correlation, -1.0, 1.0, out=correlation)
    known = ~np.isnan(np.diag(correlation))
    correlation[known, known] = 1.0
    return correlation


def common_events(
    table: EventTable, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Number of events in which both columns of each pair have a value."""
    used, pairs = np.unique(np.concatenate([first, second]), return_inverse=True)
    counts = np.zeros((len(used), len(used)))
    for _, block in table.blocks(block_rows(len(table.names))):
        present = (~np.isnan(block[:, used])).astype(np.float64)
        counts += present.T @ present
    return counts[pairs[: len(first)], pairs[len(first) :]].astype(np.intp)
