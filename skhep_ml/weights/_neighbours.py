"""Distinct points of a class in the Mahalanobis metric: what the resampling policies work on."""

from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.spatial import KDTree

# An absent value puts an event this many standard deviations from those that have it: farther than
# neighbours ever are, so that events with and without a second jet mix only where nothing else is.
MISSING_DISTANCE = 10.0
# Sums of weights below this part of their absolute sum are rounding.
ROUNDING = 1e-12
_CONSTANT = 1e-10  # a column's spread below this part of its mean
_COLLINEAR = 1e-9  # an eigenvalue of the correlations below this part of the largest


class Points(NamedTuple):
    """Distinct points of one class, in an order that depends on their content alone.

    Attributes
    ----------
    coordinates : ndarray of shape (n_points, n_dimensions)
        Euclidean distances between them are Mahalanobis distances of the features.
    weight, events : ndarray of shape (n_points,)
        Signed weight sum and number of the events there.
    rows : ndarray of int, shape (n_events,)
        The class's events of non-zero weight, as rows of the whole table.
    point : ndarray of int, shape (n_events,)
        Where each of ``rows`` is.
    """

    coordinates: NDArray[np.float64]
    weight: NDArray[np.float64]
    events: NDArray[np.intp]
    rows: NDArray[np.intp]
    point: NDArray[np.intp]


def class_points(
    X: NDArray[Any], codes: NDArray[np.intp], weight: NDArray[np.float64], k_class: int
) -> Points:
    """Collect the events of non-zero weight of one class; identical ones share a point."""
    rows = np.flatnonzero((codes == k_class) & (weight != 0))
    table = X[rows]
    # sums, trees and ties must not know the order of the rows
    order = np.lexsort((weight[rows], *table.T[::-1]))
    rows, table = rows[order], table[order]
    missing = np.isnan(table)
    same = (table[1:] == table[:-1]) | (missing[1:] & missing[:-1])
    new = np.r_[True, ~same.all(axis=1)]
    point = np.cumsum(new) - 1
    coordinates = whiten(table, np.abs(weight[rows]))[new]
    total = np.bincount(point, weight[rows]).astype(np.float64, copy=False)
    total[np.abs(total) <= ROUNDING * np.bincount(point, np.abs(weight[rows]))] = 0.0
    return Points(coordinates, total, np.bincount(point), rows, point)


def whiten(table: NDArray[Any], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates whose Euclidean distance is the Mahalanobis distance under weights ``size``.

    Mean and spread of a feature are those of the events that have it; absent values lie at its
    mean, and every distinct pattern of absence adds a coordinate. Constant features and directions
    that others determine are dropped.
    """
    missing = np.isnan(table)
    z = table.astype(np.float64)
    z[missing] = 0.0
    size = size / size.sum()
    have = np.maximum(size @ ~missing, np.finfo(float).tiny)
    mean = size @ z / have
    z -= mean
    z[missing] = 0.0
    spread = np.sqrt(size @ np.square(z) / have)
    varies = spread > _CONSTANT * np.abs(mean)
    z = z[:, varies] / spread[varies]
    parts = []
    if z.shape[1]:
        covariance = (z * size[:, None]).T @ z
        scale = np.sqrt(np.diag(covariance))  # below 1 where values are absent
        values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
        keep = values > _COLLINEAR * values[-1]
        parts.append(z @ (vectors[:, keep] / np.sqrt(values[keep])))
    partly = missing.any(axis=0) & ~missing.all(axis=0)
    if partly.any():
        patterns = np.unique(missing[:, partly], axis=1)
        parts.append(MISSING_DISTANCE * patterns.astype(np.float64))
    return np.hstack(parts) if parts else np.zeros((len(table), 1))


def nearest(
    tree: KDTree,
    where: NDArray[np.float64],
    k: int,
    n_jobs: int | None = None,
    radius: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distances and numbers of the ``k`` nearest points of a tree, or of all if it has fewer.

    Beyond ``radius`` the distance is infinite and the number that of points in the tree.
    """
    k = min(k, tree.n)
    distance = np.empty((len(where), k))
    index = np.empty((len(where), k), dtype=np.intp)
    # neighbours in turn walk the same branches: half the time
    order = grow_tree(where).indices if len(where) > 1 else np.zeros(1, dtype=np.intp)
    distance[order], index[order] = tree.query(
        where[order],
        np.arange(1, k + 1),  # a list keeps the last axis for k = 1
        distance_upper_bound=np.inf if radius is None else radius,
        workers=-1 if n_jobs is None else effective_n_jobs(n_jobs),
    )
    return distance, index


def grow_tree(coordinates: NDArray[np.float64]) -> KDTree:
    """Tree that is quick to build, also where coordinates repeat, and no slower to ask."""
    return KDTree(coordinates, balanced_tree=False)
