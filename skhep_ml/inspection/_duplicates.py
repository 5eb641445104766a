"""Events that occur twice in a sample, or in two samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from skhep_ml._frames import is_frame
from skhep_ml._validation import check_event_id

_N_EXAMPLES = 5


class DuplicateEvents(NamedTuple):
    """Identifiers that occur more than once.

    Attributes
    ----------
    n_events : int
        Number of events.
    n_identifiers : int
        Number of different identifiers.
    n_repeated : int
        Number of identifiers that occur more than once.
    n_extra : int
        Number of events beyond the first with their identifier.
    examples : list of (identifier, count)
        The most frequent repeated identifiers, at most five; an identifier is an int, or a tuple
        of ints for several columns.
    """

    n_events: int
    n_identifiers: int
    n_repeated: int
    n_extra: int
    examples: list[tuple[Any, int]]


class EventOverlap(NamedTuple):
    """Identifiers that two samples share.

    Attributes
    ----------
    n_shared : int
        Number of identifiers that occur in both.
    n_events_a, n_events_b : int
        Number of events with these identifiers in either sample.
    fraction_a, fraction_b : float
        Their share of the sample; 0 for an empty one.
    examples : list
        The first shared identifiers in the order of the first sample, at most five.
    """

    n_shared: int
    n_events_a: int
    n_events_b: int
    fraction_a: float
    fraction_b: float
    examples: list[Any]


def duplicate_events(groups: Any) -> DuplicateEvents:
    """Find event identifiers that occur more than once.

    Parameters
    ----------
    groups : array-like of int or DataFrame, shape (n_events,) or (n_events, k)
        Event identifiers, for example event numbers or columns (run, lumi, event).

    Returns
    -------
    DuplicateEvents
        Counts and examples.

    Raises
    ------
    ValueError
        Identifiers that are not integers.

    See Also
    --------
    event_overlap : Events shared by two samples.

    Notes
    -----
    Identifiers are compared in full, not by a hash. Repeated identifiers are right where a sample
    holds variations or augmented copies of an event.

    Examples
    --------
    >>> from skhep_ml.inspection import duplicate_events
    >>> result = duplicate_events([[1, 7], [1, 8], [2, 7], [1, 7]])
    >>> result.n_extra, result.examples
    (1, [((1, 7), 2)])
    """
    codes, n_codes = row_codes(check_event_id(groups))
    counts = np.bincount(codes, minlength=n_codes)
    repeated = np.flatnonzero(counts > 1)
    frequent = repeated[np.argsort(-counts[repeated], kind="stable")[:_N_EXAMPLES]]
    rows = [int(np.argmax(codes == code)) for code in frequent]
    shown = zip(_identifiers(groups, rows), counts[frequent].tolist(), strict=True)
    return DuplicateEvents(
        len(codes), n_codes, len(repeated), int((counts[repeated] - 1).sum()), list(shown)
    )


def event_overlap(groups_a: Any, groups_b: Any) -> EventOverlap:
    """Find events that two samples share, for example training and test files.

    Parameters
    ----------
    groups_a : array-like of int or DataFrame, shape (n_events_a,) or (n_events_a, k)
        Event identifiers of the first sample.
    groups_b : array-like of int or DataFrame, shape (n_events_b,) or (n_events_b, k)
        Event identifiers of the second sample, in the same columns; those of two DataFrames are
        matched by name.

    Returns
    -------
    EventOverlap
        Counts, shares and examples.

    Raises
    ------
    ValueError
        Identifiers that are not integers, or other columns.

    See Also
    --------
    duplicate_events : Events that occur twice in one sample.

    Notes
    -----
    Identifiers are compared in full, not by a hash, and as 64-bit integers whatever their width.

    Examples
    --------
    >>> from skhep_ml.inspection import event_overlap
    >>> overlap = event_overlap([1, 2, 3, 4], [4, 4, 5])
    >>> overlap.n_shared, overlap.n_events_b, overlap.fraction_a, overlap.examples
    (1, 2, 0.25, [4])
    """
    if is_frame(groups_a) and is_frame(groups_b):
        names = list(groups_a.columns)
        if set(names) != set(groups_b.columns):
            msg = (
                f"the samples have the identifier columns {names} and {list(groups_b.columns)}: "
                "pass the same columns of both"
            )
            raise ValueError(msg)
        groups_b = groups_b[names]
    columns_a, columns_b = check_event_id(groups_a), check_event_id(groups_b)
    if len(columns_a) != len(columns_b):
        msg = (
            f"the samples have {len(columns_a)} and {len(columns_b)} identifier columns: "
            "pass the same columns of both"
        )
        raise ValueError(msg)
    n_a, n_b = len(columns_a[0]), len(columns_b[0])
    pairs = zip(columns_a, columns_b, strict=True)
    codes, n_codes = row_codes([np.concatenate(pair) for pair in pairs])
    in_a, in_b = (np.bincount(part, minlength=n_codes) > 0 for part in (codes[:n_a], codes[n_a:]))
    shared = in_a & in_b
    of_a, of_b = shared[codes[:n_a]], shared[codes[n_a:]]
    rows = np.flatnonzero(of_a)
    _, first = np.unique(codes[rows], return_index=True)
    rows = rows[np.sort(first)[:_N_EXAMPLES]]
    n_shared_a, n_shared_b = int(of_a.sum()), int(of_b.sum())
    return EventOverlap(
        int(shared.sum()),
        n_shared_a,
        n_shared_b,
        n_shared_a / n_a if n_a else 0.0,
        n_shared_b / n_b if n_b else 0.0,
        _identifiers(groups_a, rows.tolist()),
    )


def row_codes(columns: list[NDArray[np.uint64]]) -> tuple[NDArray[np.intp], int]:
    """Number the different rows from 0, and count them."""
    codes: NDArray[np.intp] = np.zeros(len(columns[0]), dtype=np.intp)
    n_codes = min(1, len(codes))
    for column in columns:
        values, inverse = np.unique(column, return_inverse=True)
        # both factors are at most the number of events, so that no product overflows
        distinct, codes = np.unique(codes * len(values) + inverse, return_inverse=True)
        n_codes = len(distinct)
    return codes, n_codes


def _identifiers(groups: Any, rows: list[int]) -> list[Any]:
    """Identifiers of some events as Python integers, or tuples of them."""
    part = _safe_indexing(groups, rows)
    if hasattr(part, "columns"):
        return list(zip(*(np.asarray(part[name]).tolist() for name in part.columns), strict=True))
    array = np.asarray(part)
    return array.tolist() if array.ndim == 1 else [tuple(row) for row in array.tolist()]
