"""Distances between the weighted distributions of two parts of a sample, feature by feature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

from skhep_ml.inspection._table import SortedColumn

# points at which noise is simulated, and how often
_GRID = 250
_REPLICAS = 1000
# part of sum(abs(w)) below which a sum of signed weights is rounding, not signal
_ROUNDING = 1e-12


def sign_cells(codes: NDArray[np.intp], weight: NDArray[np.float64]) -> NDArray[np.intp]:
    """Number the events by class and sign: 2k for w >= 0 in class k, 2k + 1 for w < 0."""
    return 2 * codes + (weight < 0)


class ShiftTest:
    """Kolmogorov-Smirnov tests between parts of a sample, for weights of any sign.

    Parameters
    ----------
    labels : list
        Labels of the classes.
    seed : int
        Seed of the simulations.

    Notes
    -----
    For weights >= 0 the p-value is that of `skhep_ml.metrics.ks_2samp_weighted`. Otherwise the
    distance, on a grid, is compared with those of simulated noise: every stretch of values moves
    the distribution functions by Gaussian numbers of variance sum(w^2). Unlike permuting events,
    this allows the two parts to have weights of different kinds.

    A part is a set of cells of `sign_cells`, each with the factor -1, 0 or 1 that abs(w) takes.
    """

    def __init__(self, labels: list[Any], seed: int) -> None:
        self.labels = labels
        self._seed = seed
        self._normal: NDArray[np.float64] | None = None

    def between_classes(
        self, column: SortedColumn, size: NDArray[np.float64], cells: NDArray[np.intp]
    ) -> Iterator[dict[str, Any]]:
        """Compare each class with all others, two classes only once.

        ``size`` is abs(w) and ``cells`` the cell of the sorted values, here and below.
        """
        n_classes = len(self.labels)
        signs = np.tile([1.0, -1.0], n_classes)
        for k in range(1 if n_classes == 2 else 0, n_classes):
            part = np.zeros(2 * n_classes)
            part[2 * k : 2 * k + 2] = 1.0, -1.0
            distance, p = self._compare(column, size, cells, part, signs - part)
            yield {
                "class": self.labels[k],
                "against": self.labels[0] if n_classes == 2 else "rest",
                "distance": distance,
                "pvalue": p,
            }

    def between_signs(
        self, column: SortedColumn, size: NDArray[np.float64], cells: NDArray[np.intp]
    ) -> Iterator[dict[str, Any]]:
        """Compare events of negative and of positive weight inside each class."""
        one = np.eye(2 * len(self.labels))
        for k, label in enumerate(self.labels):
            distance, p = self._compare(column, size, cells, one[2 * k], one[2 * k + 1])
            yield {"class": label, "distance": distance, "pvalue": p}

    def _compare(
        self,
        column: SortedColumn,
        size: NDArray[np.float64],
        cells: NDArray[np.intp],
        part1: NDArray[np.float64],
        part2: NDArray[np.float64],
    ) -> tuple[float, float]:
        """Distance and p-value; NaN where a part has no positive sum of weights."""
        n_cells = len(part1)
        sums = np.bincount(cells, size, n_cells)
        totals = [part @ sums for part in (part1, part2)]
        for part, total in zip((part1, part2), totals, strict=True):
            if not total > _ROUNDING * (np.abs(part) @ sums):
                return np.nan, np.nan
        squares = np.bincount(cells, size * size, n_cells)
        n1, n2 = (
            total**2 / (np.abs(part) @ squares)
            for part, total in zip((part1, part2), totals, strict=True)
        )
        # one walk over the values adds up the difference of the distribution functions
        step = (part1 / totals[0] - part2 / totals[1])[cells]
        step *= size
        difference = np.cumsum(step)
        at_ends = difference if len(column.last) == len(step) else difference[column.last]
        distance = float(max(at_ends.max(), -at_ends.min()))
        # a cell without events does not make the weights signed
        negative = (np.minimum(part1, part2) < 0) & (sums > 0)
        if not negative.any():
            return distance, float(kolmogorov(np.sqrt(n1 * n2 / (n1 + n2)) * distance))
        # without a difference, both distribution functions together are known best
        both = (n1 * part1 / totals[0] + n2 * part2 / totals[1]) / (n1 + n2)
        ends = self._grid(column)
        starts = np.append(0, ends[:-1] + 1)
        step *= step
        noise = np.sqrt(np.add.reduceat(step, starts))
        np.multiply(both[cells], size, out=step)
        common = np.cumsum(np.add.reduceat(step, starts))
        return distance, self._simulated(noise, common, np.abs(difference[ends]).max())

    @staticmethod
    def _grid(column: SortedColumn) -> NDArray[np.intp]:
        """Positions of last values that cut the column into nearly equal numbers of events."""
        targets = len(column.values) * np.arange(1, _GRID + 1) // _GRID - 1
        return column.last[np.unique(np.searchsorted(column.last, np.maximum(targets, 0)))]

    def _simulated(
        self, noise: NDArray[np.float64], common: NDArray[np.float64], distance: float
    ) -> float:
        if self._normal is None:
            rng = np.random.default_rng(self._seed)
            self._normal = rng.standard_normal((_REPLICAS, _GRID))
        walk = np.cumsum(self._normal[:, : len(noise)] * noise, axis=1)
        walk -= walk[:, -1:] * common
        # distances that differ by rounding only are equal
        exceeding = np.count_nonzero(np.abs(walk).max(axis=1) >= distance * (1 - 1e-9))
        return (1 + exceeding) / (1 + _REPLICAS)


def missing_differences(lost: NDArray[np.float64], total: NDArray[np.float64]) -> list[float]:
    """Missing share of each class less that of the others, for the classes of `ShiftTest`."""
    first = 1 if len(total) == 2 else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = lost / total - (lost.sum() - lost) / (total.sum() - total)
    return difference[first:].tolist()
