"""Losses that pull the scores of neighbouring events towards one distribution."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from skhep_ml.ensemble._objectives import Objective, log_loss_from_margin
from skhep_ml.metrics._uniform_groups import neighbour_groups

Array = NDArray[np.float64]

# a typical density of scores, per unit of the log odds: a common shift of the events of a group
# changes their gradient by about twice this
_DENSITY = 0.05
# groups worth fewer events than the square of this count in proportion
_SIGMAS = 3.0


def staggered_edges(values: NDArray[Any], n_bins: int) -> list[list[Array]]:
    """Inner edges along each variable of two grids of ``n_bins``, half a bin apart.

    Bins hold equal numbers of events; the two at the ends of the second grid half as many.
    """
    steps = np.arange(2 * n_bins + 1) / (2 * n_bins)
    return [
        [np.unique(np.quantile(column, steps[first:-1:2])) for column in values.T]
        for first in (2, 1)
    ]


def _group_sums(total: Array, squares: Array) -> Array:
    """What a group's sum of weights is divided by: itself, or three times its error."""
    return np.maximum(total, _SIGMAS * np.sqrt(squares))


def _middle(cumulative: Array, new: NDArray[np.bool_]) -> Array:
    """Cumulative sums half way through each run of equal keys; ``new`` marks where runs begin."""
    last = np.append(np.flatnonzero(new)[1:], len(new)) - 1
    ends = cumulative[last]
    middle = 0.5 * (ends + np.concatenate([[0.0], ends[:-1]]))
    return middle[np.cumsum(new) - 1]


def _ordered(score: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Order of rising score, and which events of it differ from the one before."""
    order = np.argsort(score)
    ordered = score[order]
    new = np.ones(len(score), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return order, new


class _Grid:
    """Events of one class in the order of the cells that they are in."""

    def __init__(self, values: NDArray[Any], weight: Array, edges: Sequence[Array]) -> None:
        cell = np.zeros(len(values), dtype=np.intp)
        for column, inner in zip(values.T, edges, strict=True):
            along = np.searchsorted(inner, column, "right")
            # numbered anew at every axis: the product of many axes would not fit into an integer
            cell = np.unique(cell * (len(inner) + 1) + along, return_inverse=True)[1]
        counts = np.bincount(cell)
        # numpy sorts 16-bit integers in linear time
        self.cell = cell.astype(np.uint16 if len(counts) <= 65536 else np.uint32)
        self.total: Array = np.bincount(cell, weight).astype(np.float64, copy=False)
        self.squares: Array = np.bincount(cell, weight**2).astype(np.float64, copy=False)
        size = _group_sums(self.total, self.squares)
        self.starts = np.zeros(len(weight), dtype=bool)
        self.starts[np.cumsum(counts) - counts] = True
        # events of weight 0 alone in a cell leave nothing to compare
        self.inverse = np.divide(1.0, size, where=size > 0, out=0.0 * size)
        # the same for each event, once they are in the order of cells
        self.event_total = np.repeat(self.total, counts)
        self.event_inverse = np.repeat(self.inverse, counts)
        self.event_offset = np.repeat(np.cumsum(self.total) - self.total, counts)


class BinDeviation:
    """Difference between the distribution functions of the cells and of all, at every event.

    Parameters
    ----------
    values : ndarray of shape (n_events, n_variables)
        The variables, for the events of one class.
    weight : ndarray of shape (n_events,)
        Signed weights with a positive sum.
    edges : list of list of ndarray
        Inner edges by grid and variable.
    """

    def __init__(
        self, values: NDArray[Any], weight: Array, edges: Sequence[Sequence[Array]]
    ) -> None:
        self.weight = weight
        self.grids = [_Grid(values, weight, axes) for axes in edges]

    def __call__(self, score: NDArray[Any]) -> Array:
        """F_cell - F at the score of each event, mean over the grids; ties count half."""
        order, new = _ordered(score)
        cumulative = np.cumsum(self.weight[order])
        everywhere = np.empty(len(score))
        everywhere[order] = _middle(cumulative, new) / cumulative[-1]
        level = np.cumsum(new)
        deviation = np.zeros(len(score))
        for grid in self.grids:
            by_cell = np.argsort(grid.cell[order], kind="stable")
            events, levels = order[by_cell], level[by_cell]
            new_run = grid.starts.copy()
            new_run[1:] |= levels[1:] != levels[:-1]
            inside = _middle(np.cumsum(self.weight[events]), new_run)
            inside -= grid.event_offset
            inside -= grid.event_total * everywhere[events]
            inside *= grid.event_inverse
            deviation[events] += inside
        return deviation / len(self.grids)

    def loss(self, score: NDArray[Any], *, unbiased: bool = True) -> float:
        """Sum over cells of W times the integral of (F_cell - F)^2 ds, mean over the grids.

        ``unbiased`` takes away what the statistical fluctuation of a flat score adds to it.
        """
        order = np.argsort(score)
        gaps = np.diff(score[order].astype(np.float64))
        weight = self.weight[order]
        cumulative = np.cumsum(weight)
        total = cumulative[-1]
        F = cumulative / total
        integral = 0.0
        for grid in self.grids:
            by_cell = np.argsort(grid.cell[order], kind="stable")
            w = weight[by_cell]
            after = np.cumsum(w) - grid.event_offset
            # by how much an event raises the sums over cells of C^2 / W and of C
            square, cross = np.empty(len(w)), np.empty(len(w))
            square[by_cell] = (after**2 - (after - w) ** 2) * grid.event_inverse
            cross[by_cell] = grid.event_total * grid.event_inverse * w
            height = np.cumsum(square) - 2 * F * np.cumsum(cross)
            height += F**2 * (grid.total**2 * grid.inverse).sum()
            if unbiased:
                own = grid.squares * grid.inverse * (1 - grid.total / total)
                height -= F * (1 - F) * own.sum()
            integral += np.dot(height[:-1], gaps)
        return float(integral / len(self.grids))


class NeighbourDeviation:
    """The same difference with the nearest events of the class as the group of each event.

    Parameters
    ----------
    values : ndarray of shape (n_events, n_variables)
        The variables, for the events of one class.
    weight : ndarray of shape (n_events,)
        Signed weights with a positive sum.
    n_neighbors : int
        Events in a group, the one it belongs to included.
    """

    def __init__(self, values: NDArray[Any], weight: Array, n_neighbors: int) -> None:
        self.weight = weight
        self.neighbours = _neighbours(values, n_neighbors).T.copy()
        self.total, squares = np.zeros(len(weight)), np.zeros(len(weight))
        for neighbour in self.neighbours:
            self.total += weight[neighbour]
            squares += weight[neighbour] ** 2
        size = _group_sums(self.total, squares)
        self.inverse_size = np.divide(1.0, size, where=size > 0, out=0.0 * size)
        self.equal = float(weight[0]) if np.ptp(weight) == 0 else None
        self._weight32 = weight.astype(np.float32)

    def __call__(self, score: NDArray[Any]) -> Array:
        """F_group - F at the score of each event; ties count half."""
        order, new = _ordered(score)
        cumulative = np.cumsum(self.weight[order])
        everywhere = np.empty(len(score))
        everywhere[order] = _middle(cumulative, new) / cumulative[-1]
        level = np.empty(len(score), dtype=np.int32)
        level[order] = np.cumsum(new)
        # twice the weight below: once with the ties, once without; nothing is allocated on the way
        other, times = np.empty_like(level), np.empty(len(level), dtype=np.uint8)
        less = np.empty(len(level), dtype=bool)
        kind = np.min_scalar_type(2 * len(self.neighbours)) if self.equal else np.float32
        below, part = np.zeros(len(level), dtype=kind), np.empty(len(level), dtype=np.float32)
        for neighbour in self.neighbours:
            np.take(level, neighbour, out=other, mode="clip")
            np.less(other, level, out=less)
            np.less_equal(other, level, out=times.view(bool))
            times += less.view(np.uint8)
            if self.equal:
                below += times
            else:
                np.take(self._weight32, neighbour, out=part, mode="clip")
                np.multiply(part, times, out=part)
                below += part
        if self.equal:
            below = self.equal * below.astype(np.float64)
        return (0.5 * below - self.total * everywhere) * self.inverse_size


def _neighbours(values: NDArray[Any], n_neighbors: int) -> NDArray[np.integer]:
    """Numbers of the nearest events of each, itself included; all events if there are fewer."""
    size = min(n_neighbors, len(values))
    return neighbour_groups(values.astype(np.float64), size).events.reshape(-1, size)


class Term(NamedTuple):
    """The flatness of one class in the loss.

    Attributes
    ----------
    rows : ndarray of int
        Its events.
    weight : ndarray
        Their signed weights.
    strength : float
        Factor of the term.
    deviation : BinDeviation or NeighbourDeviation
        The difference that it acts on.
    """

    rows: NDArray[np.intp]
    weight: Array
    strength: float
    deviation: Any


def flatness_objective(classify: Objective, terms: Sequence[Term]) -> Objective:
    """The objective of a classifier plus flatness terms.

    Moving the score of one event changes the flatness term by minus 2 w (F_group - F): the
    derivative of F_group; that of F sums to nothing over groups that share all events.
    """
    slopes = [(2 * term.strength * term.weight).astype(np.float32) for term in terms]
    curvatures = [2 * _DENSITY * term.strength * np.abs(term.weight) for term in terms]

    def objective(margin: NDArray[np.float32], data: Any) -> tuple[Any, Any]:
        gradient, hessian = classify(margin, data)
        for term, slope, curvature in zip(terms, slopes, curvatures, strict=True):
            gradient[term.rows] -= slope * term.deviation(margin[term.rows])
            hessian[term.rows] += curvature
        return gradient, hessian

    return objective


def flatness_loss(
    y: NDArray[Any], weight: Array, terms: Sequence[Term]
) -> Callable[[NDArray[Any]], float]:
    """Mean log loss plus the flatness terms, for held-out events; their groups are cells."""

    def loss(margin: NDArray[Any]) -> float:
        flatness = sum(
            term.strength * term.deviation.loss(np.asarray(margin)[term.rows]) for term in terms
        )
        return log_loss_from_margin(margin, y, weight) + flatness / float(weight.sum())

    return loss


class NeighbourMargin:
    """Margins mixed with the mean of the margins of neighbouring events of the class.

    Parameters
    ----------
    n_events : int
        All events.
    classes : list of (rows, values)
        The events of the classes to mix in, and their variables.
    n_neighbors : int
        Events in a mean, the one it belongs to included.
    share : float
        Weight of the mean; 0 leaves margins as they are.
    """

    def __init__(
        self,
        n_events: int,
        classes: Sequence[tuple[NDArray[np.intp], NDArray[Any]]],
        n_neighbors: int,
        share: float,
    ) -> None:
        own = np.ones(n_events, dtype=np.float32)
        everyone = np.arange(n_events)
        rows, columns, values = [everyone], [everyone], [own]
        for members, variables in classes:
            own[members] = 1 - share
            near = _neighbours(variables, n_neighbors)
            rows.append(np.repeat(members, near.shape[1]))
            columns.append(members[near.ravel()])
            values.append(np.full(near.size, share / near.shape[1], dtype=np.float32))
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        self.mix = csr_array(entries, shape=(n_events, n_events))
        self.transposed = self.mix.T.tocsr()


def neighbour_objective(classify: Objective, margins: NeighbourMargin) -> Objective:
    """The objective of a classifier at mixed margins.

    The second derivative is that of a common shift of all events that are mixed.
    """

    def objective(margin: NDArray[np.float32], data: Any) -> tuple[Any, Any]:
        gradient, hessian = classify(margins.mix @ np.asarray(margin, dtype=np.float32), data)
        return margins.transposed @ gradient, margins.transposed @ hessian

    return objective


def neighbour_loss(
    y: NDArray[Any], weight: Array, margins: NeighbourMargin
) -> Callable[[NDArray[Any]], float]:
    """Mean log loss at mixed margins, for held-out events."""

    def loss(margin: NDArray[Any]) -> float:
        return log_loss_from_margin(margins.mix @ np.asarray(margin), y, weight)

    return loss
