"""Distances between the score's distribution in groups of events and that of all events."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml.metrics._uniform_groups import Groups, Sample

Array = NDArray[np.float64]


def group_mean(values: Array, share: Array) -> float:
    """Mean over the groups that are judged."""
    used = np.isfinite(share)
    return float(values[used] @ share[used] / share[used].sum())


class _Steps(NamedTuple):
    """The distribution functions of some groups: where they step, and how far."""

    group: NDArray[np.intp]
    level: NDArray[np.intp]
    step: Array
    after: Array
    first: NDArray[np.intp]


def _steps(
    events: NDArray[np.integer], at: NDArray[np.intp], weight: Array, sample: Sample
) -> _Steps:
    """Merge equal scores within each group; ``at`` is where each begins, ``first`` its step."""
    level = sample.level[events]
    new = np.concatenate([[True], level[1:] != level[:-1]])
    new[at] = True
    runs = np.flatnonzero(new)
    step = np.add.reduceat(weight, runs)
    first = np.searchsorted(runs, at)
    group = np.repeat(np.arange(len(at)), np.diff(np.append(first, len(runs))))
    total = np.cumsum(step)
    return _Steps(group, level[runs], step, total - (total - step)[first][group], first)


def _over_groups(
    groups: Groups, sample: Sample, share: Array, distance: Callable[[_Steps], Array]
) -> float:
    """Mean of a distance between the distribution function of each group and that of all."""
    shared = sample.weight / groups.times
    scale = np.divide(1.0, share, out=np.zeros_like(share), where=np.isfinite(share))
    distances = []
    for which, events, at in groups.blocks():
        sizes = np.diff(np.append(at, len(events)))
        weight = shared[events] * np.repeat(scale[which], sizes)
        distances.append(distance(_steps(events, at, weight, sample)))
    return group_mean(np.concatenate(distances), share)


def cramer_von_mises(groups: Groups, sample: Sample, share: Array) -> float:
    """Sum over levels i of f_i (F_gi - F_i)^2, multiplied out so that no group meets all levels.

    A step of F_g at level r counts half at r and fully above; ``above`` and ``product`` are the
    sums over i of f_i and f_i F_i with that factor. The square needs the product of the factors of
    two steps: that of the higher one, or 1/4 at r where both are the same.
    """
    f = np.diff(sample.cumulative)
    middle = sample.cumulative[:-1] + f / 2
    above = _half_and_above(f)
    product = _half_and_above(f * middle)
    constant = f @ middle**2

    def distance(steps: _Steps) -> Array:
        before = steps.after - steps.step
        terms = above[steps.level] * (steps.after**2 - before**2)
        terms -= f[steps.level] / 4 * steps.step**2 + 2 * product[steps.level] * steps.step
        return constant + np.bincount(steps.group, terms, len(steps.first))

    return _over_groups(groups, sample, share, distance)


def _half_and_above(values: Array) -> Array:
    """Half of each entry and all that follow."""
    return np.cumsum(values[::-1])[::-1] - values / 2


def kolmogorov_smirnov(groups: Groups, sample: Sample, share: Array) -> float:
    """Greatest difference; between two steps of F_g only the extremes of F matter."""
    extremes = _Extremes(sample.cumulative, sample.signed)

    def distance(steps: _Steps) -> Array:
        # F_g is 0 below its first step, and keeps its value from each step to the next
        here = np.insert(steps.after, steps.first, 0.0)
        begin = np.insert(steps.level + 1, steps.first, 0)
        ends = np.append(steps.first[1:], len(steps.level))
        end = np.insert(steps.level, ends, extremes.last)
        low, high = extremes(begin, end)
        start = steps.first + np.arange(len(steps.first))
        return np.maximum.reduceat(np.maximum(high - here, here - low), start)

    return _over_groups(groups, sample, share, distance)


class _Extremes:
    """Least and greatest entry of an array between any two positions, both included.

    An array that rises has them at the ends; otherwise they come from two overlapping ranges of a
    power of two, tabulated once.
    """

    def __init__(self, values: Array, signed: bool) -> None:
        self.last = len(values) - 1
        self._low, self._high = [values], [values]
        width = 1
        while signed and 2 * width <= len(values):
            low, high = self._low[-1], self._high[-1]
            self._low.append(np.minimum(low[:-width], low[width:]))
            self._high.append(np.maximum(high[:-width], high[width:]))
            width *= 2

    def __call__(self, begin: NDArray[np.intp], end: NDArray[np.intp]) -> tuple[Array, Array]:
        if len(self._low) == 1:
            return self._low[0][begin], self._low[0][end]
        low, high = np.empty(len(begin)), np.empty(len(begin))
        power = np.frexp(end - begin + 1)[1] - 1
        for k in np.unique(power):
            here = power == k
            one, two = begin[here], end[here] + 1 - (1 << int(k))
            low[here] = np.minimum(self._low[k][one], self._low[k][two])
            high[here] = np.maximum(self._high[k][one], self._high[k][two])
        return low, high
