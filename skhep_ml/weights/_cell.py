"""Cell resampling: negative events share the weight of their neighbourhood."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.exceptions import WeightWarning
from skhep_ml.weights._neighbours import ROUNDING, Points, class_points, grow_tree, nearest

_LISTED = 12  # neighbours looked up in advance, the seed itself among them


def cell_weights(
    X: NDArray[Any],
    codes: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    n_jobs: int | None = None,
    cell_radius: float | None = None,
) -> NDArray[np.float64]:
    """Give the events of the smallest cell around each negative one their mean, class by class.

    Events with identical features get their mean first. Then the points of negative weight are
    seeds, the most negative one first. A cell grows from its seed by nearest points of the class
    until its sum is not negative, in the weights that earlier cells have left. One that would
    exceed ``cell_radius`` leaves its events as they are.
    """
    out = weight.copy()
    for k_class in np.unique(codes[weight < 0]):
        points = class_points(X, codes, weight, k_class)
        total, changed = _resample(points, n_jobs, cell_radius)
        changed |= np.bincount(points.point, weight[points.rows] < 0) > 0
        mean = total / points.events
        out[points.rows] = np.where(changed[points.point], mean[points.point], weight[points.rows])
    negative, before = out < 0, weight < 0
    if negative.any():
        msg = (
            f"{negative.sum()} of {before.sum()} negative events ({-out[negative].sum():.6g} of "
            f"{-weight[before].sum():.6g} in weight) stay negative: their cells would exceed "
            f"cell_radius={cell_radius}; a larger one or None takes them"
        )
        warnings.warn(msg, WeightWarning, stacklevel=2)
    return out


def _resample(
    points: Points, n_jobs: int | None, radius: float | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Weight sum of every point after resampling, and which ones a cell has taken."""
    seeds = np.flatnonzero(points.weight < 0)
    changed = np.zeros(len(points.weight), dtype=bool)
    if not len(seeds):
        return points.weight, changed
    total, count = points.weight.tolist(), points.events.tolist()
    tree = grow_tree(points.coordinates)
    distance, near = nearest(tree, points.coordinates[seeds], _LISTED, n_jobs, radius)
    # equal weights are common: a sweep along a feature would push weight to one side
    order = np.lexsort((distance[:, 1], points.weight[seeds]))
    for seed, listed in zip(seeds[order].tolist(), near[order], strict=True):
        if total[seed] >= 0:
            continue
        cell, rest = _grow(total, listed.tolist(), seed, tree.n)
        k = len(listed)
        while rest < 0 and k < tree.n and listed[-1] < tree.n:
            k = min(4 * k, tree.n)
            listed = nearest(tree, points.coordinates[seed : seed + 1], k, radius=radius)[1][0]
            cell, rest = _grow(total, listed.tolist(), seed, tree.n)
        if rest < 0 and radius is not None:
            continue
        mean = max(rest, 0.0) / sum(count[j] for j in cell)
        for j in cell:
            total[j] = mean * count[j]
        changed[cell] = True
    return np.array(total), changed


def _grow(
    total: list[float], listed: list[int], seed: int, outside: int
) -> tuple[list[int], float]:
    """Take the listed points into the cell until its sum is not negative; cell and sum."""
    cell, rest = [seed], total[seed]
    size = -rest
    for j in listed:
        if j == outside:
            break
        if j != seed:
            cell.append(j)
            rest += total[j]
            size += abs(total[j])
            if rest >= -ROUNDING * size:
                return cell, max(rest, 0.0)
    return cell, rest
