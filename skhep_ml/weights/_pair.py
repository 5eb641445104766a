"""Pair annihilation: each negative event against the nearest positive ones of its class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.weights._neighbours import ROUNDING, Points, class_points, grow_tree, nearest

_LISTED = 12  # neighbours looked up in advance


def pair_weights(
    X: NDArray[Any],
    codes: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Annihilate negative weights against the nearest positive ones, class by class.

    Events with identical features are netted first. Then negative points take their turn in order
    of the distance to their nearest positive point, and each takes from the nearest ones that have
    weight left until it is gone.
    """
    out = weight.copy()
    for k_class in np.unique(codes[weight < 0]):
        points = class_points(X, codes, weight, k_class)
        gain = np.maximum(weight[points.rows], 0.0)
        positive = np.bincount(points.point, gain)
        share = np.zeros_like(positive)
        np.divide(_annihilate(points, n_jobs), positive, out=share, where=positive > 0)
        out[points.rows] = gain * share[points.point]
    return out


def _annihilate(points: Points, n_jobs: int | None) -> NDArray[np.float64]:
    """Weight left at every point."""
    result = np.maximum(points.weight, 0.0)
    positive = np.flatnonzero(points.weight > 0)
    negative = np.flatnonzero(points.weight < 0)
    if not len(negative):
        return result
    candidates = points.coordinates[positive]
    left = result[positive].tolist()
    numbers, tree = np.arange(len(positive)), grow_tree(candidates)
    distance, near = nearest(tree, points.coordinates[negative], _LISTED, n_jobs)
    order = np.lexsort((points.weight[negative], distance[:, 0]))
    near, where = near[order], points.coordinates[negative[order]]
    wanted = (-points.weight[negative[order]]).tolist()
    turn = 0
    while True:
        start, budget = turn, len(numbers) // 2 + 10 * len(near)
        for listed in numbers[near]:
            wanted[turn] = _take(left, listed.tolist(), wanted[turn])
            k = len(listed)
            # all spent: search wider, until that has cost as much as a tree without spent points
            while wanted[turn] > 0 and k < tree.n and budget > 0:
                k = min(4 * k, tree.n)
                budget -= k
                wider = numbers[nearest(tree, where[turn : turn + 1], k)[1][0]]
                wanted[turn] = _take(left, wider.tolist(), wanted[turn])
            if wanted[turn] > 0 and k < tree.n:
                break
            turn += 1
        numbers = np.flatnonzero(np.array(left) > 0)
        if turn == len(wanted) or not len(numbers):
            break
        tree = grow_tree(candidates[numbers])
        # no more in advance than the last tree has served: lists may go stale at once
        ahead = where[turn : turn + 2 * (turn - start) + 64]
        near = nearest(tree, ahead, _LISTED, n_jobs)[1]
    result[positive] = left
    return result


def _take(left: list[float], listed: list[int], wanted: float) -> float:
    """Take weight from the listed points in turn; return what is still wanted."""
    for j in listed:
        have = left[j]
        if have > 0:
            rest = have - wanted
            if rest > ROUNDING * have:
                left[j] = rest
                return 0.0
            left[j] = 0.0
            if rest >= -ROUNDING * have:
                return 0.0
            wanted = -rest
    return wanted
