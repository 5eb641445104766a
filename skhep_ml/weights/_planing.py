"""Planing: weights that give chosen variables the same distribution in all classes."""

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from skhep_ml._frames import is_frame
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_edges, check_event_weight, check_labels
from skhep_ml.exceptions import SupportWarning, WeightWarning
from skhep_ml.weights._base import class_sums, effective_sample_size

Array = NDArray[np.float64]

# steps of fitting the sums of the bins: each takes away most of what interpolation leaves
_STEPS = 10
# what is worth a warning: effective size that is left, and weight where the reference has none
_SMALL, _OUTSIDE = 0.1, 0.01


def planing_weights(
    X_uniform: Any,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    bins: int | Sequence[Any] = 20,
    uniform_label: Any = None,
    reference_label: Any = None,
) -> Array:
    r"""Weights under which chosen variables are distributed flat, or as in a reference class.

    A classifier trained on them cannot gain from these variables, nor from what others say about
    them on average.

    Parameters
    ----------
    X_uniform : array-like of shape (n_events,) or (n_events, n_variables), or DataFrame
        The variables, in any unit.
    y : array-like of shape (n_events,), default=None
        Class labels; None takes all events as one class.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign and unit; None counts events.
    bins : int or sequence, default=20
        Bins along each variable with equal numbers of events (of the classes concerned), or rising
        edges; for several variables a list with one number or sequence of edges for each.
    uniform_label : label or list of labels, default=None
        Classes to plane; None planes all (all but the reference).
    reference_label : label, default=None
        Class whose distribution the others get; None makes them flat.

    Returns
    -------
    ndarray of shape (n_events,)
        ``sample_weight`` times a positive factor; the signed sum of each class is kept, and
        classes that are not planed keep their weights. For training only.

    Raises
    ------
    ValueError
        Missing or infinite variables, events outside the edges, unknown labels, wrong lengths or
        weights; a class whose weights do not sum to something positive, in all or in every bin.

    Warns
    -----
    WeightWarning
        Planing leaves less than a tenth of the effective sample size of a class.
    SupportWarning
        More than 1% of a class lies in bins in which the reference has nothing.

    See Also
    --------
    skhep_ml.ensemble.UniformBDTClassifier : Flatness of the score itself.

    Notes
    -----
    The factor is :math:`q(m)/p(m|y)`, with p the density of the class and q constant, or that of
    the reference. Both are signed sums in bins; the logarithm of the ratio is interpolated linearly
    between the mean positions of the events of neighbouring bins, and continued beyond the
    outermost, so that the factor has no steps. Iteration makes the planed sums of the bins agree
    with q.
    A flat q gives every bin that has events its width, area, ... inside the outermost edges; with
    a number of bins these are the extremes of the variable. Cut long tails before.

    Bins whose weights sum to less than one event, :math:`(\sum w)^2 < \sum w^2`, are left out, and
    neighbours speak for them. Empty bins of the reference count as half an event of it.

    Several variables are planed in the grid of all bins: :math:`20^2` cells for two, which should
    hold some tens of events each.

    References
    ----------
    S. Chang, T. Cohen, B. Ostdiek, What is the machine learning?, Phys. Rev. D 97 (2018) 056009,
    arXiv:1709.10106.

    L. de Oliveira et al., Jet-images: deep learning edition, JHEP 07 (2016) 069, arXiv:1511.05190.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.weights import planing_weights
    >>> mass = np.random.default_rng(0).uniform(0, 1, 10_000) ** 2
    >>> weight = planing_weights(mass)
    >>> np.histogram(mass, 4, weights=weight)[0].round(-2)
    array([2500., 2500., 2500., 2500.])
    """
    values, names = _variables(X_uniform)
    n = len(values)
    weight = check_event_weight(sample_weight, n)
    weight = np.ones(n) if weight is None else weight
    if y is None:
        if reference_label is not None or uniform_label is not None:
            msg = "uniform_label and reference_label name classes, but y is None: pass y"
            raise ValueError(msg)
        classes, codes = np.array(["all"]), np.zeros(n, dtype=np.intp)
    else:
        classes, codes = check_labels(y, n)
    class_sums(codes, classes, weight)
    reference = None if reference_label is None else _code(reference_label, classes, "reference")
    planed = _planed(uniform_label, reference, classes)
    seen = np.isin(codes, [*planed, *([] if reference is None else [reference])])
    missing = np.argwhere(~np.isfinite(values) & seen[:, None])
    if len(missing):
        event, column = missing[0]
        msg = (
            f"X_uniform is NaN or infinite in {len(np.unique(missing[:, 0]))} events, first in "
            f"event {event}, column {names[column]!r}: leave these events out"
        )
        raise ValueError(msg)
    edges = _edges(values[seen], bins, names)
    grid = _cells(values, edges, seen, names)
    shape = tuple(len(e) - 1 for e in edges)
    new = weight.copy()
    for code in planed:
        rows = np.flatnonzero(codes == code)
        label = classes.tolist()[code]
        if reference is None:
            wanted = np.ones(shape)
            for axis, e in enumerate(edges):
                wanted *= np.diff(e).reshape([-1 if k == axis else 1 for k in range(len(edges))])
        else:
            wanted = _reference(
                grid, codes == reference, weight, shape, grid[rows], weight[rows], label
            )
        factor = _fit(values[rows], grid[rows], weight[rows], wanted, label)
        planed_weight = weight[rows] * factor
        new[rows] = planed_weight * (weight[rows].sum() / planed_weight.sum())
        before, after = (effective_sample_size(w[rows]) for w in (weight, new))
        if after < _SMALL * before:
            msg = (
                f"planing leaves {after:.3g} of {before:.3g} effective events of class {label!r}: "
                "cut the tails of the variables, or take fewer bins"
            )
            warnings.warn(msg, WeightWarning, stacklevel=2)
    return new


# --- the arguments -------------------------------------------------------------------------------


def _variables(X: Any) -> tuple[Array, list[Any]]:
    X = unmasked(X)
    values = np.asarray(X, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.size:
        msg = f"X_uniform must have shape (n_events, n_variables), got {values.shape}"
        raise ValueError(msg)
    return values, list(X.columns) if is_frame(X) else list(range(values.shape[1]))


def _code(label: Any, classes: NDArray[Any], what: str) -> int:
    labels = classes.tolist()
    if label not in labels:
        msg = f"{what}_label names {label!r}, but the classes are {labels}"
        raise ValueError(msg)
    return labels.index(label)


def _planed(uniform_label: Any, reference: int | None, classes: NDArray[Any]) -> list[int]:
    if uniform_label is None:
        return [code for code in range(len(classes)) if code != reference]
    several = isinstance(uniform_label, (list, tuple, set, np.ndarray))
    labels = list(uniform_label) if several else [uniform_label]
    planed = sorted({_code(label, classes, "uniform") for label in labels})
    if not planed or reference in planed:
        msg = (
            f"uniform_label={uniform_label!r} must name classes other than reference_label: those "
            "whose weights should change"
        )
        raise ValueError(msg)
    return planed


def _edges(values: Array, bins: Any, names: list[Any]) -> list[Array]:
    n_variables = values.shape[1]
    several = n_variables > 1 and isinstance(bins, (list, tuple, np.ndarray))
    given = list(bins) if several else [bins] * n_variables
    if len(given) != n_variables:
        msg = (
            f"bins has {len(given)} entries for {n_variables} variables: give a number, or a list "
            "with one number or sequence of edges for each"
        )
        raise ValueError(msg)
    edges = []
    for column, wanted, name in zip(values.T, given, names, strict=True):
        found = check_edges(wanted)
        if isinstance(found, int):
            found = np.unique(np.quantile(column, np.linspace(0, 1, found + 1)))
            if len(found) < 2:
                msg = (
                    f"variable {name!r} is {found[0]:.6g} in every event: there is nothing to plane"
                )
                raise ValueError(msg)
        edges.append(found)
    return edges


def _cells(
    values: Array, edges: list[Array], seen: NDArray[np.bool_], names: list[Any]
) -> NDArray[np.intp]:
    """Number of the bin of each event along each variable."""
    grid = np.empty(values.shape, dtype=np.intp)
    for k, (column, e, name) in enumerate(zip(values.T, edges, names, strict=True)):
        outside = seen & ((column < e[0]) | (column > e[-1]))
        if outside.any():
            msg = (
                f"{outside.sum()} events have {name!r} outside the edges {e[0]:.6g} to "
                f"{e[-1]:.6g}, first event {np.argmax(outside)} ({column[np.argmax(outside)]:.6g}):"
                " leave them out, or widen the bins"
            )
            raise ValueError(msg)
        grid[:, k] = np.clip(np.searchsorted(e, column, "right") - 1, 0, len(e) - 2)
    return grid


# --- the factors ---------------------------------------------------------------------------------


def _sums(grid: NDArray[np.intp], weight: Array, shape: tuple[int, ...]) -> Array:
    flat = np.ravel_multi_index(tuple(grid.T), shape)
    sums = np.bincount(flat, weight, int(np.prod(shape))).astype(np.float64, copy=False)
    return sums.reshape(shape)


def _usable(grid: NDArray[np.intp], weight: Array, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Cells worth one event or more."""
    total, squares = _sums(grid, weight, shape), _sums(grid, weight**2, shape)
    return (total > 0) & (total**2 >= squares * (1 - 1e-9))


def _reference(
    grid: NDArray[np.intp],
    members: NDArray[np.bool_],
    weight: Array,
    shape: tuple[int, ...],
    planed_grid: NDArray[np.intp],
    planed_weight: Array,
    label: Any,
) -> Array:
    """Sums of the reference class, with half an event in cells without; warn about those."""
    cells, w = grid[members], weight[members]
    usable = _usable(cells, w, shape)
    outside = _sums(planed_grid, planed_weight, shape)[~usable].sum() / planed_weight.sum()
    if outside > _OUTSIDE:
        msg = (
            f"{outside:.1%} of class {label!r} lies in bins where the reference has no events: "
            "nothing there can be planed; cut these events, or take wider bins"
        )
        warnings.warn(msg, SupportWarning, stacklevel=3)
    half = 0.5 * w.sum() / effective_sample_size(w)
    return np.where(usable, _sums(cells, w, shape), half)


def _fit(values: Array, grid: NDArray[np.intp], weight: Array, wanted: Array, label: Any) -> Array:
    """Factors that bring the sums of the cells in proportion to the wanted ones."""
    shape = wanted.shape
    usable = _usable(grid, weight, shape)
    if not usable.any():
        msg = f"the weights of class {label!r} sum to a positive number in no bin: take wider bins"
        raise ValueError(msg)
    corners, shares = _corners(values, grid, weight, usable)
    log_factor = np.zeros(len(weight))
    aim = np.where(usable, wanted, 0.0)
    aim *= weight.sum() / aim.sum()
    for _ in range(_STEPS):
        total = _sums(grid, weight * np.exp(log_factor), shape)
        # signed weights may lose their positive sum on the way: then the last factor stays
        valid = usable & (total > 0)
        step = np.log(np.divide(aim, total, where=valid, out=np.ones(shape))).ravel()
        log_factor += (shares * step[corners]).sum(axis=1)
    return np.exp(log_factor - log_factor.max())


def _corners(
    values: Array, grid: NDArray[np.intp], weight: Array, usable: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], Array]:
    """Cells between which each event interpolates, and their shares, which sum to one."""
    shape = usable.shape
    ends = np.empty((2, *grid.shape), dtype=np.intp)
    parts = np.empty((2, *grid.shape))
    size = np.abs(weight)
    for k, column in enumerate(values.T):
        # bins with events, and the mean positions of these
        counts = np.bincount(grid[:, k], size, shape[k])
        filled = np.flatnonzero(counts > 0)
        centre = np.bincount(grid[:, k], size * column, shape[k])[filled] / counts[filled]
        left = np.clip(np.searchsorted(centre, column) - 1, 0, max(len(filled) - 2, 0))
        right = np.minimum(left + 1, len(filled) - 1)
        gap = np.where(right > left, centre[right] - centre[left], 1.0)
        # straight on beyond the outermost positions, at most as far again as their distance
        along = np.clip((column - centre[left]) / gap, -1, 2) * (right > left)
        ends[:, :, k] = filled[left], filled[right]
        parts[:, :, k] = 1 - along, along
    corners, shares = [], []
    for sides in itertools.product((0, 1), repeat=len(shape)):
        axes = np.arange(len(shape))
        cell = np.ravel_multi_index(tuple(ends[sides, :, axes]), shape)
        corners.append(cell)
        shares.append(parts[sides, :, axes].prod(axis=0) * usable.ravel()[cell])
    total = np.sum(shares, axis=0)
    alone = np.flatnonzero(total <= 0)
    if len(alone):
        # no corner counts: the nearest cell that does
        cells = np.argwhere(usable)
        near = cells[KDTree(cells).query(grid[alone])[1]]
        corners[0][alone] = np.ravel_multi_index(tuple(near.T), shape)
        shares[0][alone] = total[alone] = 1.0
    return np.column_stack(corners), np.column_stack(shares) / total[:, None]
