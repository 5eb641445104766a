"""Groups of neighbouring events, whose scores flatness compares with those of all."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from skhep_ml._frames import is_frame
from skhep_ml._masks import unmasked
from skhep_ml.exceptions import WeightWarning

Method = Literal["bins", "knn"]
Strategy = Literal["quantile", "uniform"]

#: Entries of groups that are worked on at once.
_BLOCK = 2_000_000


def check_uniform(X_uniform: Any, n_events: int, *, name: str = "X_uniform") -> NDArray[np.float64]:
    """Return the variables as an array of shape (n_events, n_variables); none may be missing."""
    names = list(X_uniform.columns) if is_frame(X_uniform) else None
    try:
        values = np.asarray(unmasked(X_uniform), dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{name} must hold numbers: {error}"
        raise ValueError(msg) from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        msg = f"{name} must have shape (n_events, n_variables), got {values.shape}"
        raise ValueError(msg)
    if len(values) != n_events:
        msg = f"{name} has {len(values)} entries, but there are {n_events} events"
        raise ValueError(msg)
    bad = ~np.isfinite(values)
    if bad.any():
        event, column = (int(k) for k in np.argwhere(bad)[0])
        where = f"column {column}" if names is None else f"column {names[column]!r}"
        msg = (
            f"{name} is NaN or infinite in {int(bad.any(axis=1).sum())} events, first in event "
            f"{event}, {where}: leave these events out"
        )
        raise ValueError(msg)
    return values


def bin_edges(values: NDArray[Any], n_bins: int, strategy: str) -> NDArray[np.float64]:
    """Inner edges of bins of equal raw numbers of events (``"quantile"``) or of equal width."""
    levels = np.linspace(0, 1, n_bins + 1)[1:-1]
    if strategy == "uniform":
        low, high = values.min(), values.max()
        return low + levels * (high - low)
    return np.unique(np.quantile(values, levels))


def check_count(value: Any, name: str) -> int:
    """Return a number of bins, or the like, of at least one."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        msg = f"{name} must be an integer of at least 1, got {value!r}"
        raise ValueError(msg)
    return int(value)


class Groups(NamedTuple):
    """Lists of events, one a group.

    Attributes
    ----------
    events : ndarray of int, shape (n_entries,)
        Numbers of the events, group after group, rising within each.
    starts : ndarray of int, shape (n_groups + 1,)
        Where each group begins and the last one ends.
    times : ndarray of int, shape (n_events,)
        How many groups each event is in.
    """

    events: NDArray[np.integer]
    starts: NDArray[np.intp]
    times: NDArray[np.intp]

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.integer], NDArray[np.intp]]]:
        """Groups in parts of bounded size: which ones, their events, where each begins."""
        n_groups = len(self.starts) - 1
        step = max(1, int(_BLOCK * n_groups / len(self.events)))
        for first in range(0, n_groups, step):
            starts = self.starts[first : first + step + 1]
            events = self.events[starts[0] : starts[-1]]
            yield slice(first, first + len(starts) - 1), events, starts[:-1] - starts[0]

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum over the events of each group."""
        parts = [np.add.reduceat(values[events], at) for _, events, at in self.blocks()]
        return np.concatenate(parts)

    def dealt(self, rng: np.random.Generator) -> "Groups":
        """Groups of the same sizes and overlaps with the events dealt anew."""
        number = rng.permutation(len(self.times))
        group = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        keys = np.sort(group * len(number) + number[self.events])
        times = np.empty_like(self.times)
        times[number] = self.times
        return Groups(keys % len(number), self.starts, times)


def bin_groups(
    values: NDArray[np.float64], n_bins: int | Sequence[int], strategy: Strategy
) -> Groups:
    """One group a filled cell of a grid, with ``n_bins`` along each axis."""
    counts = [n_bins] * values.shape[1] if np.ndim(n_bins) == 0 else list(n_bins)  # type: ignore[arg-type]
    if len(counts) != values.shape[1]:
        msg = f"n_bins={n_bins!r} has {len(counts)} entries for {values.shape[1]} variables"
        raise ValueError(msg)
    if strategy not in ("quantile", "uniform"):
        msg = f"strategy={strategy!r}: choose 'quantile' or 'uniform'"
        raise ValueError(msg)
    cell = np.zeros(len(values), dtype=np.intp)
    for column, count in zip(values.T, counts, strict=True):
        edges = bin_edges(column, check_count(count, "n_bins"), strategy)
        along = np.searchsorted(edges, column, "right")
        # numbered anew at every axis: the product of many axes would not fit into an integer
        cell = np.unique(cell * (len(edges) + 1) + along, return_inverse=True)[1]
    starts = np.concatenate([[0], np.cumsum(np.bincount(cell))])
    return Groups(np.argsort(cell, kind="stable"), starts, np.ones(len(values), dtype=np.intp))


def neighbour_groups(values: NDArray[np.float64], n_neighbors: int) -> Groups:
    """One group an event: itself and its nearest, with variables in units of their spread."""
    size = check_count(n_neighbors, "n_neighbors")
    if size > len(values):
        msg = f"n_neighbors={size} is more than the {len(values)} events of uniform_label"
        raise ValueError(msg)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    tree = KDTree(scaled)
    events = np.empty((len(values), size), dtype=np.int32)
    step = max(1, _BLOCK // size)
    # in the order of the tree, where one search finds what the last one has read
    for first in range(0, len(values), step):
        block = tree.indices[first : first + step]
        found = tree.query(scaled[block], size)[1].reshape(len(block), size)
        events[block] = np.sort(found, axis=1)
    flat = events.ravel()
    starts = np.arange(len(values) + 1, dtype=np.intp) * size
    return Groups(flat, starts, np.bincount(flat, minlength=len(values)))


class Sample:
    """Events of one label in order of rising score, and their weighted distribution function.

    Attributes
    ----------
    weight : ndarray of shape (n_events,)
        Weights, in units of their sum.
    level : ndarray of int, shape (n_events,)
        Number of the score among the distinct ones.
    cumulative : ndarray of shape (n_levels + 1,)
        Distribution function below the first level and at each one.
    """

    def __init__(self, score: NDArray[Any], weight: NDArray[np.float64]) -> None:
        """Take scores that rise."""
        self.weight = weight / weight.sum()
        new = np.concatenate([[True], score[1:] != score[:-1]])
        self.level = np.cumsum(new) - 1
        ends = np.append(np.flatnonzero(new)[1:], len(score)) - 1
        self.cumulative = np.concatenate([[0.0], np.cumsum(self.weight)[ends]])
        self.signed = bool(weight.min() < 0)

    def cuts(self, efficiencies: NDArray[np.float64]) -> NDArray[np.intp]:
        """Highest level at which an efficiency, that of this level and all above, is reached."""
        above = (self.cumulative[-1] - self.cumulative[:-1])[::-1]
        # on a non-monotone curve the crossing nearest to the highest score
        found = np.searchsorted(np.maximum.accumulate(above), efficiencies - 1e-12, "left")
        return len(above) - 1 - np.minimum(found, len(above) - 1)


def efficiency_cut(
    score: NDArray[Any], weight: NDArray[np.float64] | None, efficiency: float
) -> float:
    """Highest score s for which ``score >= s`` has at least this efficiency."""
    order = np.argsort(score, kind="stable")
    score = score[order]
    sample = Sample(score, np.ones(len(score)) if weight is None else weight[order])
    level = sample.cuts(np.array([efficiency]))[0]
    return float(score[np.searchsorted(sample.level, level, "left")])


def group_shares(groups: Groups, sample: Sample, *, warn: bool) -> NDArray[np.float64]:
    """Share of every group in the sum of weights; NaN where a group is too small to be judged.

    An event in several groups shares its weight among them. A group counts where its weights sum
    to a positive number that is worth at least one event, (sum w)^2 >= sum w^2, as it always does
    without negative weights.
    """
    shared = sample.weight / groups.times
    total, squares = groups.sums(shared), groups.sums(shared**2)
    usable = (total > 0) & (total**2 >= squares * (1 - 1e-9))
    if not usable.any():
        msg = "the weights of no group of events sum to a positive number: take larger groups"
        raise ValueError(msg)
    if warn and not usable.all():
        share = groups.sums(np.abs(shared))[~usable].sum() / np.abs(shared * groups.times).sum()
        warnings.warn(
            f"{int((~usable).sum())} of {len(usable)} groups, with {share:.1%} of the events, are "
            "left out: their negative weights leave them worth less than one event; take larger "
            "groups",
            WeightWarning,
            stacklevel=4,
        )
    return np.where(usable, total, np.nan)
