"""Columns of particles from awkward arrays, lists, DataFrames, Events and padded arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.events import Events, is_awkward

_ONE_COLLECTION = (
    "a cloud is made of one collection: pass that alone, or use "
    "EventsTransformer({'jets': JaggedToPadded()}) on Events"
)

_MOMENTUM = {"rho": "pt", "tau": "mass", "t": "energy", "x": "px", "y": "py", "z": "pz"}


@dataclass
class Jagged:
    """Columns of numbers, one entry per particle.

    The particles of event i are the entries ``starts[i]`` to ``starts[i] + counts[i] - 1``.
    """

    names: list[str] | None
    columns: list[NDArray[Any]]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of_counts(cls, columns: list[NDArray[Any]], counts: Any) -> Jagged:
        """Columns without names, the events one after the other."""
        counts = np.asarray(counts, dtype=np.int64)
        return cls(None, columns, np.cumsum(counts) - counts, counts)

    def rows(self, first: int, last: int) -> slice | NDArray[np.int64]:
        """Entries of the events from first to before last, in their order."""
        starts, counts = self.starts[first:last], self.counts[first:last]
        if np.array_equal(starts[1:], starts[:-1] + counts[:-1]):
            begin = int(starts[0]) if len(starts) else 0
            return slice(begin, begin + int(counts.sum()))
        shift = starts - (np.cumsum(counts) - counts)
        return np.repeat(shift, counts) + np.arange(counts.sum())


def read_jagged(X: Any, wanted: Sequence[str] | None = None, label: str = "X") -> Jagged:
    """Read any supported input; ``wanted`` are the fields to read, None reads all.

    Inputs without names ignore ``wanted``.

    Raises
    ------
    ValueError
        What is no jagged array of numbers, fields that are missing or differ in length.
    """
    if is_awkward(X):
        return _from_awkward(X, wanted, label)
    library = type(X).__module__.split(".")[0]
    if library == "uproot":
        msg = f"{label} is a {type(X).__name__} of a file: call .arrays() on a tree to read it"
        raise ValueError(msg)
    if library == "pyarrow":
        msg = f"{label} is a pyarrow.{type(X).__name__}: convert it with ak.from_arrow(table)"
        raise ValueError(msg)
    if isinstance(X, (Events, Mapping)):
        return _from_fields(list(X.keys()), X.__getitem__, wanted)
    if hasattr(X, "columns"):  # a DataFrame of pandas or polars with lists in its cells
        return _from_fields(list(X.columns), lambda name: X[name].to_list(), wanted)
    if hasattr(X, "to_list"):
        X = X.to_list()
    if isinstance(X, np.ndarray) and X.dtype.kind == "O" and X.ndim == 1:
        X = X.tolist()
    if isinstance(X, (list, tuple)):
        return _from_list(X, wanted, label)
    return _from_padded(X, label)


def _from_padded(X: Any, label: str) -> Jagged:
    array = np.ma.filled(X.astype(np.float64), np.nan) if np.ma.isMA(X) else np.asarray(X)
    if array.ndim != 3:
        msg = (
            f"{label} of shape {array.shape} holds no particles: pass an awkward array, lists, or "
            f"an array of shape (n_events, n_particles, n_features); {_ONE_COLLECTION}"
        )
        raise ValueError(msg)
    n_events, n_particles, n_features = array.shape
    _check_numbers(array, label)
    columns = list(array.reshape(-1, n_features).T)
    return Jagged.of_counts(columns, np.full(n_events, n_particles))


def _from_list(events: Sequence[Any], wanted: Sequence[str] | None, label: str) -> Jagged:
    first = next((event for event in events if event is not None), None)
    if first is None:
        return Jagged.of_counts([], np.zeros(len(events)))
    if isinstance(first, np.ndarray) and all(isinstance(event, np.ndarray) for event in events):
        return _from_ndarrays(events, label)
    ak = import_extra("awkward", "root")
    if is_awkward(first):
        # scikit-learn's slicing makes such lists of an awkward array
        parts = [first[:0] if event is None else event for event in events]
        joined = ak.unflatten(ak.concatenate(parts), [len(part) for part in parts])
    elif isinstance(first, ak.Record):
        joined = _join_records(ak, events)
    else:
        joined = ak.Array(list(events))
    return _from_awkward(joined, wanted, label)


def _from_ndarrays(events: Sequence[NDArray[Any]], label: str) -> Jagged:
    shapes = {event.shape[1:] for event in events}
    if len(shapes) > 1 or len(next(iter(shapes))) > 1:
        msg = (
            f"the events of {label} have shapes {sorted(str(event.shape) for event in events[:5])}:"
            " each must be (n_particles,) or (n_particles, n_features) with the same features"
        )
        raise ValueError(msg)
    values = np.concatenate(events)
    _check_numbers(values, label)
    columns = [values] if values.ndim == 1 else list(values.T)
    return Jagged.of_counts(columns, [len(event) for event in events])


def _join_records(ak: Any, events: Sequence[Any]) -> Any:
    """Join records, which are mostly places in one array."""
    base = events[0].layout.array
    if all(event is not None and event.layout.array is base for event in events):
        return ak.Array(base)[np.array([event.layout.at for event in events])]
    parts = [ak.Array(e.layout.array[e.layout.at : e.layout.at + 1]) for e in events]
    return ak.concatenate(parts)


def _from_fields(
    fields: list[str], get: Callable[[str], Any], wanted: Sequence[str] | None
) -> Jagged:
    """Join one jagged column per field; one field may also hold a whole collection."""
    if len(fields) == 1:
        (name,) = fields
        jagged = read_jagged(get(name), None if wanted == fields else wanted, repr(name))
        if jagged.names is None and len(jagged.columns) == 1:
            jagged.names = [name]
        return jagged
    names = _choose(fields, wanted)
    parts = []
    for name in names:
        part = read_jagged(get(name), None, repr(name))
        if part.names is not None or len(part.columns) > 1:
            msg = f"{name!r} among {fields} is a collection by itself: {_ONE_COLLECTION}"
            raise ValueError(msg)
        parts.append(part)
    return _align(names, parts)


def _from_awkward(array: Any, wanted: Sequence[str] | None, label: str) -> Jagged:
    fields = array.fields
    if not len(array):
        return Jagged.of_counts([], [])
    if fields and array.layout.purelist_depth == 1:
        return _from_fields(fields, array.__getitem__, wanted)
    if not fields:
        return _column(array, label)
    stored = {_field_name(name, array): name for name in fields}
    names = _choose(list(stored), wanted)
    return _align(names, [_column(array[stored[name]], repr(name)) for name in names])


def _field_name(name: str, array: Any) -> str:
    """Name of a field; vector keeps the momenta that it makes under geometric names."""
    is_momentum = str(array.layout.purelist_parameter("__record__")).startswith("Momentum")
    usual = _MOMENTUM.get(name, name) if is_momentum else name
    return name if usual in array.fields else usual


def _choose(fields: list[str], wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return fields
    missing = [name for name in wanted if name not in fields]
    if missing:
        msg = f"X has no field {', '.join(map(repr, missing))}: its fields are {fields}"
        raise ValueError(msg)
    return list(wanted)


def _align(names: list[str], parts: list[Jagged]) -> Jagged:
    """Join columns of the same events."""
    first = parts[0]
    for name, part in zip(names, parts, strict=True):
        if len(part.columns) > 1:
            msg = (
                f"{name!r} holds {len(part.columns)} numbers per particle: make a field of one "
                "number each of them, or leave it out with features="
            )
            raise ValueError(msg)
        if len(part.counts) != len(first.counts):
            msg = (
                f"the fields differ in length: {names[0]!r} has {len(first.counts)} events, "
                f"{name!r} has {len(part.counts)}"
            )
            raise ValueError(msg)
        if part.counts is not first.counts and not np.array_equal(part.counts, first.counts):
            event = int((part.counts != first.counts).argmax())
            msg = (
                f"{names[0]!r} has {first.counts[event]} particles in event {event}, {name!r} has "
                f"{part.counts[event]}: {_ONE_COLLECTION}"
            )
            raise ValueError(msg)
    columns = [part.columns[0] if part.columns else np.empty(0) for part in parts]
    if any(not np.array_equal(part.starts, first.starts) for part in parts):
        rows = [part.rows(0, len(part.counts)) for part in parts]
        columns = [column[row] for column, row in zip(columns, rows, strict=True)]
        first = Jagged.of_counts([], first.counts)
    return Jagged(names, columns, first.starts, first.counts)


def _column(array: Any, label: str) -> Jagged:
    """Columns of a jagged array of numbers or of feature lists."""
    ak = import_extra("awkward", "root")
    if array.ndim < 2:
        msg = f"{label} holds one value per event ({array.type}), no particles: {_ONE_COLLECTION}"
        raise ValueError(msg)
    layout = array.layout
    if isinstance(layout, ak.contents.IndexedArray):
        layout = layout.project()
    values = getattr(getattr(layout, "content", None), "data", None)
    if type(values) is np.ndarray and isinstance(
        layout, (ak.contents.ListOffsetArray, ak.contents.ListArray)
    ):
        # the lists point into these numbers: nothing to copy, also after a selection of events
        starts = np.asarray(layout.starts.data, dtype=np.int64)
        counts = np.asarray(layout.stops.data, dtype=np.int64) - starts
    else:
        counts = ak.to_numpy(ak.fill_none(ak.num(array, axis=1), 0)).astype(np.int64)
        starts = np.cumsum(counts) - counts
        try:
            values = ak.to_numpy(ak.flatten(array, axis=1))
        except ValueError as error:
            msg = f"particles of {label} must be numbers or have equally many features: {error}"
            raise ValueError(msg) from error
    if np.ma.isMA(values):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    _check_numbers(values, label)
    if values.ndim > 2:
        msg = f"{label} is nested too deeply: {array.type}"
        raise ValueError(msg)
    columns = [values] if values.ndim == 1 else list(values.T)
    return Jagged(None, columns, starts, counts)


def _check_numbers(values: NDArray[Any], label: str) -> None:
    if values.dtype.kind not in "fiub":
        msg = f"{label} holds {values.dtype}, but features must be real numbers: leave it out"
        raise ValueError(msg)
