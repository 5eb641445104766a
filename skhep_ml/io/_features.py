"""Which columns make up X: one table or cloud, or several named inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.events import Events, is_awkward
from skhep_ml.io._expression import Expression
from skhep_ml.io._functions import as_jagged, depth, leaf_dtype

# rows of a table filled at a time: they stay in the cache
_ROWS = 8192
LIBRARIES = ("pandas", "numpy", "awkward")


@dataclass
class Features:
    """Columns of X, by input; ``named`` tells whether the inputs are kept apart in Events.

    Attributes
    ----------
    inputs : dict of str to dict of str to str
        Expression of every column of every input.
    named : bool
        Whether there are inputs with names of their own.
    library : str
        What tables are made of.
    max_particles : None, int or mapping of str to int
        Length of clouds.
    """

    inputs: dict[str, dict[str, str]]
    named: bool
    library: str
    max_particles: Any

    @property
    def names(self) -> Any:
        """Names of the columns: a list, or a dict of lists by input."""
        if self.named:
            return {name: list(columns) for name, columns in self.inputs.items()}
        return list(self.inputs[""])

    def texts(self) -> list[str]:
        """All expressions."""
        return [text for columns in self.inputs.values() for text in columns.values()]

    def columns(
        self, compiled: Mapping[str, Expression], arrays: Mapping[str, Any], n_events: int
    ) -> dict[str, dict[str, Any]]:
        """Columns of every input for a block of events."""
        return {
            name: {
                column: _column(column, compiled[text](arrays), n_events)
                for column, text in columns.items()
            }
            for name, columns in self.inputs.items()
        }

    def build(self, parts: Sequence[dict[str, dict[str, Any]]], *, fixed: bool = False) -> Any:
        """X of blocks of columns; ``fixed`` asks for a length of clouds that does not vary."""
        made = {}
        for name, columns in self.inputs.items():
            joined = {column: _join([part[name][column] for part in parts]) for column in columns}
            made[name] = self._input(name, joined, fixed)
        return Events(made) if self.named else made[""]

    def _input(self, name: str, columns: dict[str, Any], fixed: bool) -> Any:
        where = f"input {name!r}" if self.named else "features"
        jagged = [column for column, values in columns.items() if depth(values) == 2]
        if self.library == "awkward":
            return _records(columns, together=len(jagged) == len(columns))
        if not jagged:
            return self._table(columns)
        if len(jagged) < len(columns):
            flat = next(column for column in columns if column not in jagged)
            msg = (
                f"{where}: {jagged[0]!r} is jagged and {flat!r} has one value an event: name "
                "inputs, as in features={'event': ['met'], 'jets': ['Jet_pt', 'Jet_eta']}, or "
                f"take one particle, as in '{jagged[0]}[:, 0]'"
            )
            raise ValueError(msg)
        from skhep_ml.preprocessing import JaggedToPadded

        length = self.max_particles
        if isinstance(length, Mapping):
            length = length.get(name)
        if length is None and fixed:
            msg = f"{where}: the chunks of a stream need clouds of one length: give max_particles="
            raise ValueError(msg)
        return JaggedToPadded(length, features=list(columns)).fit_transform(columns)

    def _table(self, columns: dict[str, Any]) -> Any:
        if self.library == "pandas":
            pandas = import_extra("pandas", "root")
            return pandas.DataFrame(columns, copy=False)
        n_events = len(next(iter(columns.values())))
        table = np.empty((n_events, len(columns)), dtype=np.float32)
        k = 0
        try:
            with np.errstate(over="raise"):
                for start in range(0, n_events, _ROWS):
                    rows = slice(start, start + _ROWS)
                    for k, values in enumerate(columns.values()):
                        table[rows, k] = values[rows]
        except FloatingPointError as error:
            msg = (
                f"feature {list(columns)[k]!r} holds numbers beyond float32: take library='pandas'"
            )
            raise ValueError(msg) from error
        return table


def check_features(features: Any, library: Any, max_particles: Any) -> Features:
    """Read the arguments ``features``, ``library`` and ``max_particles``.

    Raises
    ------
    ValueError
        Nothing, repeated columns, texts where there should be, an unknown library, a wrong length.
    """
    if library not in LIBRARIES:
        msg = f"library must be one of {LIBRARIES}, got {library!r}"
        raise ValueError(msg)
    if isinstance(features, str):
        features = [features]
    if features is None or not len(features):
        msg = "features= is needed: names of branches or expressions, as in ['met', 'log(ht)']"
        raise ValueError(msg)
    named = isinstance(features, Mapping) and not all(
        isinstance(value, str) for value in features.values()
    )
    if named:
        inputs = {str(name): _columns(value, repr(name)) for name, value in features.items()}
    else:
        inputs = {"": _columns(features, "features")}
    lengths = max_particles.values() if isinstance(max_particles, Mapping) else [max_particles]
    for length in lengths:
        whole = isinstance(length, (int, np.integer)) and not isinstance(length, bool)
        if length is not None and not (whole and length > 0):
            msg = f"max_particles must be a positive whole number, got {length!r}"
            raise ValueError(msg)
    if isinstance(max_particles, Mapping):
        unknown = [name for name in max_particles if name not in inputs]
        if unknown:
            msg = f"max_particles names {unknown[0]!r}, but the inputs are {list(inputs)}"
            raise ValueError(msg)
    return Features(inputs, named, library, max_particles)


def _columns(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, str):
        return {value: value}
    named = isinstance(value, Mapping)
    items = list(value.items()) if named else [(text, text) for text in value]
    columns: dict[str, str] = {}
    for name, text in items:
        if not isinstance(text, str) or not isinstance(name, str):
            msg = f"{where} holds {text!r}, expected the name of a branch or an expression"
            raise ValueError(msg)
        if name in columns:
            msg = f"{where} holds {name!r} twice"
            raise ValueError(msg)
        columns[name] = text
    if not columns:
        msg = f"{where} is empty"
        raise ValueError(msg)
    return columns


def per_event(value: Any, n_events: int, what: str) -> NDArray[Any]:
    """One value an event as an ndarray; a number stands for all events."""
    if depth(value) == 0:
        return np.full(n_events, value)
    if depth(value) != 1:
        msg = (
            f"{what} is jagged, one value an event is needed: take one particle, as in "
            "'Jet_pt[:, 0]', or sum(), max(), count()"
        )
        raise ValueError(msg)
    return np.asarray(value)


def _column(name: str, value: Any, n_events: int) -> Any:
    if depth(value) > 2 or getattr(value, "fields", None):
        msg = f"feature {name!r} is nested more deeply than one list of particles an event"
        raise ValueError(msg)
    if leaf_dtype(value).kind not in "fiub":
        msg = f"feature {name!r} holds {leaf_dtype(value)}, a number is needed"
        raise ValueError(msg)
    return as_jagged(value) if depth(value) == 2 else per_event(value, n_events, name)


def _join(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if is_awkward(parts[0]):
        return import_extra("awkward", "root").concatenate(parts)
    return np.concatenate(parts)


def _records(columns: dict[str, Any], *, together: bool) -> Any:
    """Awkward array of records; of jagged columns alone, lists of records."""
    ak = import_extra("awkward", "root")
    counts = {name: ak.num(values) for name, values in columns.items()} if together else {}
    first = next(iter(counts), "")
    for name, number in counts.items():
        if not ak.all(number == counts[first]):
            msg = (
                f"{first!r} and {name!r} have different numbers of particles: name inputs, as in "
                "features={'jets': ['Jet_pt', 'Jet_eta'], 'muons': ['Muon_pt']}"
            )
            raise ValueError(msg)
    return ak.zip(columns, depth_limit=None if together else 1)


def condition(text: str, value: Any, n_events: int) -> NDArray[np.bool_]:
    """Which events a condition passes."""
    passed = per_event(value, n_events, f"selection {text!r}")
    if passed.dtype.kind not in "biu":
        msg = f"selection {text!r} gives {passed.dtype}, a condition is needed"
        raise ValueError(msg)
    return passed.astype(bool, copy=False)


def real_numbers(text: str, value: Any, n_events: int) -> NDArray[Any]:
    """A weight, one number an event."""
    values = per_event(value, n_events, f"weight {text!r}")
    if leaf_dtype(values).kind not in "fiub":
        msg = f"weight {text!r} gives {values.dtype}, numbers are needed"
        raise ValueError(msg)
    return values


def identifiers(
    event_number: str | list[str] | None,
    compiled: Mapping[str, Expression],
    arrays: Mapping[str, Any],
    n_events: int,
    path: str,
) -> NDArray[Any] | None:
    """Event identifiers, int64, or uint64 where there are unsigned ones."""
    if event_number is None:
        return None
    columns = []
    for text in as_list(event_number):
        column = per_event(compiled[text](arrays), n_events, f"event_number {text!r}")
        if column.dtype.kind not in "iu":
            msg = (
                f"{path!r}: event_number {text!r} has type {column.dtype}; it must be an integer "
                "in the file, since floats round large event numbers"
            )
            raise ValueError(msg)
        columns.append(column)
    unsigned = any(column.dtype == np.uint64 for column in columns)
    # two's complement, as the hash of identifiers takes signed ones
    wide = [column.astype(np.int64, copy=False) for column in columns]
    out = wide[0] if isinstance(event_number, str) else np.column_stack(wide)
    return out.view(np.uint64) if unsigned else out


def as_list(value: Any) -> list[Any]:
    """One text, several or None as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
