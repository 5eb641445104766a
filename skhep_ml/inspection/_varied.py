"""Tables, weights and identifiers of systematic variations, brought to the nominal events."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples

from skhep_ml._frames import is_frame, numeric_columns, refuse_repeated_columns
from skhep_ml._validation import check_event_id, check_event_weight, check_labels
from skhep_ml.events import Events, is_awkward
from skhep_ml.exceptions import SystematicsWarning

Table = Callable[[Any], Any]

# ratio of sums of abs(w) beyond which weights of a variation are probably factors
_FACTOR = 3.0
# share of events in which `derive` may change a column of the nominal table
_ROUNDING_SHARE = 1e-3


class NominalEvents(NamedTuple):
    """The nominal sample.

    Attributes
    ----------
    X : table, cloud or Events
        What the model is given, after ``derive``.
    label : ndarray of shape (n_events,)
        Class of each event.
    weight : ndarray of shape (n_events,)
        Weights, ones for None.
    process : ndarray of shape (n_events,)
        Number of the process of each event.
    names : list of str
        Names of the processes, sorted.
    event_id : list of ndarray or None
        Identifier columns.
    """

    X: Any
    label: NDArray[Any]
    weight: NDArray[np.float64]
    process: NDArray[np.intp]
    names: list[str]
    event_id: list[NDArray[np.uint64]] | None


class VariedEvents(NamedTuple):
    """One side of a variation.

    Attributes
    ----------
    X : table, cloud or Events, or None
        None where only the weights vary.
    weight : ndarray of shape (n_varied,)
        Weights under the variation.
    process : ndarray of shape (n_varied,)
        Number of the process of each event.
    event_id : list of ndarray or None
        Identifier columns of events of their own; None where rows are those of the nominal sample.
    """

    X: Any
    weight: NDArray[np.float64]
    process: NDArray[np.intp]
    event_id: list[NDArray[np.uint64]] | None


def nominal_events(
    nominal: Any, y: Any, sample_weight: Any, groups: Any, process: Any, derive: Table | None
) -> NominalEvents:
    """Check the nominal sample; keywords come before what a Bunch holds."""
    X = nominal
    if isinstance(nominal, Mapping):
        if "data" not in nominal:
            msg = f"nominal is a mapping without 'data', it has {list(nominal)}"
            raise ValueError(msg)
        X = nominal["data"]
        y = nominal.get("target") if y is None else y
        sample_weight = nominal.get("weight") if sample_weight is None else sample_weight
        groups = nominal.get("event_number") if groups is None else groups
        process = nominal.get("process") if process is None else process
    if y is None:
        msg = "the classes of the nominal events are missing: pass y=, or 'target' in the Bunch"
        raise ValueError(msg)
    X = _with_rows(X)
    refuse_repeated_columns(X)
    n_events = _num_samples(X)
    labels, codes = check_labels(y, n_events)
    weight = check_event_weight(sample_weight, n_events)
    event_id = None if groups is None else check_event_id(groups, n_events)
    names, numbers = _process_names(labels[codes] if process is None else process, n_events)
    if derive is not None:
        derived = _checked_columns(_call(derive, X, "derive"), X, "derive", n_events)
        _warn_if_changed(X, derived)
        X = derived
    weight = np.ones(n_events) if weight is None else weight
    return NominalEvents(X, labels[codes], weight, numbers, names, event_id)


def sides_of(value: Any) -> tuple[Any, ...]:
    """Split a variation into (up, down), or (up,) for a one-sided one."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return tuple(value) if pair and not all(np.isscalar(part) for part in value) else (value,)


def varied_events(
    value: Any, nominal: NominalEvents, original: Any, derive: Table | None, what: str
) -> VariedEvents:
    """Check one side of a variation.

    ``original`` is the nominal table before ``derive``, which functions are given.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value, nominal, derive, what)
    if callable(value) and not hasattr(value, "shape"):
        value = _call(value, original, what)
    value = _with_rows(value)
    if len(getattr(value, "shape", (0, 0))) == 1:
        weight = _varied_weight(value, nominal.weight, what)
        return VariedEvents(None, weight, nominal.process, None)
    X = _derived(value, nominal.X, derive, what, n_events=len(nominal.weight))
    return VariedEvents(X, nominal.weight, nominal.process, None)


def _from_mapping(
    value: Mapping[str, Any], nominal: NominalEvents, derive: Table | None, what: str
) -> VariedEvents:
    """Events of their own if there are identifiers; otherwise another table and other weights."""
    data, weight = value.get("data"), value.get("weight")
    if value.get("event_number") is None:
        n_events = len(nominal.weight)
        if data is None and weight is None:
            msg = f"{what} has neither 'data' nor 'weight', it has {list(value)}"
            raise ValueError(msg)
        if data is not None and _num_samples(_with_rows(data)) != n_events:
            msg = (
                f"{what} has {_num_samples(_with_rows(data))} events and no 'event_number', but "
                f"there are {n_events} nominal ones: events of their own need identifiers to be "
                "matched by"
            )
            raise ValueError(msg)
        X = None if data is None else _derived(_with_rows(data), nominal.X, derive, what, n_events)
        varied = nominal.weight if weight is None else _varied_weight(weight, nominal.weight, what)
        return VariedEvents(X, varied, nominal.process, None)
    if nominal.event_id is None:
        msg = (
            f"{what} has events of its own, but the nominal ones have no identifiers: pass groups="
        )
        raise ValueError(msg)
    missing = [key for key in ("data", "process") if value.get(key) is None]
    if "process" in missing and len(nominal.names) == 1:
        missing.remove("process")
    if missing:
        msg = f"{what} has events of its own and needs {missing} besides 'event_number'"
        raise ValueError(msg)
    data = _with_rows(data)
    n_events = _num_samples(data)
    X = _derived(data, nominal.X, derive, what, n_events)
    event_id = check_event_id(value["event_number"], n_events)
    if len(event_id) != len(nominal.event_id):
        msg = (
            f"{what} has {len(event_id)} identifier columns, but there are {len(nominal.event_id)} "
            "in the nominal sample: use the same (run, lumi, event) everywhere"
        )
        raise ValueError(msg)
    own = check_event_weight(weight, n_events, name=f"weight of {what}")
    process = np.zeros(n_events, dtype=np.intp)
    if value.get("process") is not None:
        names, numbers = _process_names(value["process"], n_events)
        unknown = [name for name in names if name not in nominal.names]
        if unknown:
            msg = f"{what} holds the processes {unknown}, the nominal sample {nominal.names}"
            raise ValueError(msg)
        process = np.array([nominal.names.index(name) for name in names], dtype=np.intp)[numbers]
    return VariedEvents(X, np.ones(n_events) if own is None else own, process, event_id)


def _derived(X: Any, nominal: Any, derive: Table | None, what: str, n_events: int) -> Any:
    if derive is not None:
        X = _call(derive, X, f"derive, for {what},")
    return _checked_columns(X, nominal, what, n_events)


def _with_rows(X: Any) -> Any:
    """Return lists as arrays, everything else as it is."""
    return np.asarray(X) if isinstance(X, (list, tuple)) else X


def _call(function: Table, X: Any, what: str) -> Any:
    """Call a function of a table with a copy."""
    try:
        table = function(X.copy() if hasattr(X, "copy") else copy.copy(X))
    except Exception as error:
        error.add_note(f"raised in {what}")
        raise
    if table is None:
        msg = f"{what} returned None: a function that changes its table must return it too"
        raise ValueError(msg)
    return table


def _process_names(process: Any, n_events: int) -> tuple[list[str], NDArray[np.intp]]:
    label = np.asarray(process)
    if label.shape != (n_events,):
        msg = f"process has shape {label.shape}, but there are {n_events} events"
        raise ValueError(msg)
    names, numbers = np.unique(label.astype(str), return_inverse=True)
    return names.tolist(), numbers


def _varied_weight(weight: Any, nominal: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    checked = check_event_weight(weight, len(nominal), name=f"weight of {what}")
    assert checked is not None
    ratio = np.abs(checked).sum() / np.abs(nominal).sum()
    found = f"sum to {ratio:.3g} times the nominal ones"
    if 1 / _FACTOR < ratio < _FACTOR:
        found = "are near 1, unlike the nominal ones" if _near_one(checked, nominal) else ""
    if found:
        message = (
            f"the weights of {what} {found}: weights of a variation stand in place of the nominal "
            "weights; multiply factors with these first"
        )
        warnings.warn(message, SystematicsWarning, stacklevel=4)
    return checked


def _near_one(weight: NDArray[np.float64], nominal: NDArray[np.float64]) -> bool:
    """Tell whether weights are near 1 and far from the nominal ones, as factors are."""
    known = (weight != 0) & (nominal != 0)
    if not known.any():
        return False
    size = np.abs(np.log(np.abs(weight[known]))).mean()
    change = np.abs(np.log(np.abs(weight[known] / nominal[known]))).mean()
    return bool(change > np.log(2) and size < change / 2)


def _names_of(X: Any) -> list[Any] | None:
    if isinstance(X, Events):
        return X.names
    return list(X.columns) if is_frame(X) else None


def _checked_columns(X: Any, nominal: Any, what: str, n_events: int) -> Any:
    """Return the table with its columns in the nominal order, or say how they differ."""
    X = _with_rows(X)
    if not (is_awkward(X) or hasattr(X, "shape")):
        msg = f"{what} gives {type(X).__name__}, a table is needed"
        raise ValueError(msg)
    refuse_repeated_columns(X)
    if _num_samples(X) != n_events:
        msg = (
            f"{what} has {_num_samples(X)} events, but there are {n_events}: a varied table has "
            "the rows of the nominal one, in their order; a selection belongs into selection=, "
            "events of their own into a Bunch with 'event_number'"
        )
        raise ValueError(msg)
    given, known = _names_of(X), _names_of(nominal)
    if (given is None) != (known is None):
        msg = (
            f"{what} is {type(X).__name__}, the nominal table {type(nominal).__name__}: give both "
            "in the same form"
        )
        raise ValueError(msg)
    if given is not None and known is not None:
        missing = [name for name in known if name not in given]
        extra = [name for name in given if name not in known]
        if missing or extra:
            msg = (
                f"{what} has other columns than the nominal table: {missing} are missing, {extra} "
                "are new; a variation needs the columns of the nominal table"
            )
            raise ValueError(msg)
        return X if given == known else X[known]
    shapes = getattr(X, "shape", (0,))[1:], getattr(nominal, "shape", (0,))[1:]
    if shapes[0] != shapes[1]:
        msg = (
            f"{what} has events of shape {shapes[0]}, the nominal table {shapes[1]}: a variation "
            "needs the columns of the nominal table"
        )
        raise ValueError(msg)
    return X


def _warn_if_changed(X: Any, derived: Any) -> None:
    """Warn where ``derive`` does not reproduce the nominal columns."""
    names = _names_of(X)
    if isinstance(X, Events) or is_awkward(X) or (names is None and X.ndim != 2):
        return
    changed = []
    for k in range(X.shape[1]):
        if is_frame(X) and np.asarray(X[X.columns[k]]).dtype.kind not in "fiub":
            continue
        before, after = (numeric_columns(table, [k])[:, 0] for table in (X, derived))
        before = before.astype(np.float64)
        finite = before[np.isfinite(before)]
        tolerance = 1e-3 * finite.std() if len(finite) else 0.0
        same = np.isclose(before, after, rtol=1e-3, atol=tolerance, equal_nan=True)
        if np.mean(~same) > _ROUNDING_SHARE:
            changed.append(k if names is None else names[k])
    if changed:
        message = (
            f"derive changes the columns {changed} of the nominal table: they were computed in "
            "another way; nominal and varied events are evaluated with what derive gives"
        )
        warnings.warn(message, SystematicsWarning, stacklevel=4)
