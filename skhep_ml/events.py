"""Mixed and jagged inputs: named arrays of one length that scikit-learn can slice."""

from __future__ import annotations

import html
import sys
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

import numpy as np

__all__ = ["Events"]

# characters of an awkward type in the repr
_TYPE_WIDTH = 72


def is_awkward(value: Any) -> bool:
    """Tell whether the value is an awkward array, without importing awkward."""
    awkward = sys.modules.get("awkward")
    return awkward is not None and isinstance(value, awkward.Array)


class Events:
    """Named arrays with one row per event: mixed, jagged and multi-modal input of a model.

    An immutable mapping that scikit-learn's splitters, searches and Pipelines slice by event, each
    array through its own indexing.

    Parameters
    ----------
    arrays : mapping of str to array-like, default=None
        Tables (ndarray, DataFrame of pandas or polars, sparse), clouds (3-D), images (4-D), awkward
        arrays, or 1-D arrays; all of the same length. Lists become ndarrays.
    **named : array-like
        More arrays, by name.

    Raises
    ------
    ValueError
        No array, or arrays of different lengths.
    TypeError
        A name that is not a string, or a value without rows.

    See Also
    --------
    skhep_ml.preprocessing.EventsTransformer : A transformer for each array.
    skhep_ml.preprocessing.JaggedToPadded : Clouds from jagged arrays.

    Notes
    -----
    ``len(events)`` is the number of events and ``events.shape`` is (n_events, n_inputs). Iteration,
    ``in``, ``keys()``, ``values()`` and ``items()`` go over the inputs, as in a dict.

    ``events["jets"]`` is the array of that name and ``events[["jets", "met"]]`` an Events of these
    inputs. ``events[rows]``, with a slice, indices or a boolean mask, is an Events of these rows;
    ``events[7]`` is the dict of what event 7 holds.

    scikit-learn also slices a bare awkward array, but into a Python list of events, which takes
    seconds where ``Events(jets=array)`` takes milliseconds.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.events import Events
    >>> events = Events(tracks=np.zeros((3, 5, 2)), met=np.array([30.0, 10.0, 50.0]))
    >>> events
    Events(3 events)
      tracks: ndarray (3, 5, 2) float64
      met: ndarray (3,) float64
    >>> events[events["met"] > 20]["met"]
    array([30., 50.])
    """

    __slots__ = ("_arrays", "_length")

    _arrays: dict[str, Any]
    _length: int

    def __init__(self, arrays: Mapping[str, Any] | None = None, **named: Any) -> None:
        if arrays is not None and not isinstance(arrays, (Mapping, Events)):
            msg = (
                f"Events takes a mapping of names to arrays, got {type(arrays).__name__}: give the "
                "array a name, as in Events(jets=array)"
            )
            raise TypeError(msg)
        given = dict(arrays.items()) if arrays is not None else {}
        twice = sorted(given.keys() & named.keys())
        if twice:
            msg = f"Events got {twice} both in the mapping and by keyword"
            raise ValueError(msg)
        given.update(named)
        if not given:
            msg = "Events needs at least one array"
            raise ValueError(msg)
        self._arrays = {_check_name(name): _check_array(name, a) for name, a in given.items()}
        first, *others = self._arrays
        self._length = _n_rows(self._arrays[first])
        for name in others:
            length = _n_rows(self._arrays[name])
            if length != self._length:
                msg = (
                    f"the arrays differ in length: {first!r} has {self._length} events, "
                    f"{name!r} has {length}"
                )
                raise ValueError(msg)

    @classmethod
    def _of(cls, arrays: dict[str, Any], length: int) -> Events:
        """Events of arrays that are known to be right."""
        new = cls.__new__(cls)
        new._arrays = arrays
        new._length = length
        return new

    @property
    def names(self) -> list[str]:
        """Names of the inputs."""
        return list(self._arrays)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of events and of inputs."""
        return self._length, len(self._arrays)

    def keys(self) -> KeysView[str]:
        """Names of the inputs."""
        return self._arrays.keys()

    def values(self) -> ValuesView[Any]:
        """Arrays of the inputs."""
        return self._arrays.values()

    def items(self) -> ItemsView[str, Any]:
        """Names and arrays of the inputs."""
        return self._arrays.items()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            self._check_names([key])
            return self._arrays[key]
        if isinstance(key, tuple):
            return self[self._row_key(key)]
        if isinstance(key, slice):
            return self._select(key)
        if isinstance(key, (list, np.ndarray)) and len(key) and isinstance(key[0], str):
            self._check_names(key)
            return Events._of({name: self._arrays[name] for name in key}, self._length)
        rows = np.asarray(key)
        if rows.ndim == 0 and rows.dtype.kind in "iu":
            index = range(self._length)[int(rows)]
            return {name: _rows(array, index) for name, array in self._arrays.items()}
        if rows.ndim != 1:
            msg = (
                f"{key!r} selects no events: use a name, a list of names, a slice, "
                "indices or a boolean mask"
            )
            raise IndexError(msg)
        if rows.dtype == np.bool_:
            if len(rows) != self._length:
                msg = f"the mask has {len(rows)} entries, but there are {self._length} events"
                raise IndexError(msg)
            rows = np.flatnonzero(rows)
        elif not len(rows):
            rows = rows.astype(np.intp)
        return self.take(rows)

    def take(self, indices: Any, axis: int = 0) -> Events:
        """Select events by their index.

        Parameters
        ----------
        indices : array-like of int
            Rows to take, in this order; negative ones count from the end.
        axis : {0}, default=0
            Axis of the events, the only one.

        Returns
        -------
        Events
            The selected events.

        Raises
        ------
        IndexError
            An index out of range, or indices that are not integers.
        ValueError
            Another axis.
        """
        if axis != 0:
            msg = f"axis={axis!r} must be 0: inputs are selected by name"
            raise ValueError(msg)
        rows = np.asarray(indices)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            msg = f"events are taken by integers, got {rows.ndim} dimensions of {rows.dtype}"
            raise IndexError(msg)
        if len(rows):
            lowest, highest = int(rows.min()), int(rows.max())
            if highest >= self._length or lowest < -self._length:
                bad = highest if highest >= self._length else lowest
                msg = f"index {bad} is out of range for {self._length} events"
                raise IndexError(msg)
            if lowest < 0:  # polars and awkward need not agree on what it means
                rows = rows % self._length
        return self._select(rows)

    @staticmethod
    def concatenate(parts: Iterable[Events]) -> Events:
        """Join events one after the other.

        Parameters
        ----------
        parts : iterable of Events
            Events of the same inputs; the order of the inputs is that of the first part.

        Returns
        -------
        Events
            All events; each input is joined by its own library.

        Raises
        ------
        ValueError
            No part, or parts that hold different inputs.
        """
        chunks = list(parts)
        if not chunks:
            msg = "there are no events to concatenate"
            raise ValueError(msg)
        first = chunks[0]
        for index, chunk in enumerate(chunks):
            if set(chunk.keys()) != set(first.keys()):
                msg = f"part 0 holds the inputs {first.names}, part {index} holds {chunk.names}"
                raise ValueError(msg)
        joined = {name: _concatenate([chunk[name] for chunk in chunks]) for name in first}
        return Events(joined)

    def _check_names(self, names: Iterable[Any]) -> None:
        unknown = [name for name in names if name not in self._arrays]
        if unknown:
            msg = f"there is no input {', '.join(map(repr, unknown))} among {self.names}"
            raise KeyError(msg)

    def _row_key(self, key: tuple[Any, ...]) -> Any:
        """Rows of a key with several axes: scikit-learn asks for ``events[rows, ...]``."""
        rows, *rest = key if key else (slice(None),)
        if any(part is not Ellipsis and not _is_everything(part) for part in rest):
            msg = "Events have one axis, that of the events: select inputs by name"
            raise IndexError(msg)
        return rows

    def _select(self, rows: Any) -> Events:
        arrays = {name: _rows(array, rows) for name, array in self._arrays.items()}
        length = len(range(self._length)[rows]) if isinstance(rows, slice) else len(rows)
        return Events._of(arrays, length)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Refuse: there is no one array."""
        msg = (
            f"Events with the inputs {self.names} are no single array: take one, as in "
            f"events[{self.names[0]!r}], or give each its transformer with EventsTransformer"
        )
        raise TypeError(msg)

    def __repr__(self) -> str:
        lines = [f"  {name}: {_describe(array)}" for name, array in self._arrays.items()]
        return "\n".join([f"Events({self._length} events)", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(_describe(array))}</td></tr>"
            for name, array in self._arrays.items()
        )
        return f"<table><caption>Events: {self._length}</caption>{rows}</table>"


def _check_name(name: Any) -> str:
    if not isinstance(name, str):
        msg = f"names of inputs must be strings, got {name!r}"
        raise TypeError(msg)
    return name


def _check_array(name: str, value: Any) -> Any:
    """Return the value, lists as ndarrays, if it has rows."""
    if isinstance(value, (list, tuple)):
        try:
            value = np.asarray(value)
        except ValueError as error:
            msg = f"input {name!r} is a list of unequal lists: pass awkward.Array(...) of it"
            raise ValueError(msg) from error
    shape = getattr(value, "shape", None)
    sized = len(shape) > 0 if shape is not None else hasattr(value, "__len__")
    if not sized or not hasattr(value, "__getitem__") or isinstance(value, (str, bytes, Mapping)):
        msg = f"input {name!r} must be an array with one row per event, got {type(value).__name__}"
        raise TypeError(msg)
    return value


def _n_rows(array: Any) -> int:
    shape = getattr(array, "shape", None)
    return int(shape[0]) if shape is not None else len(array)


def _rows(array: Any, rows: Any) -> Any:
    return array.iloc[rows] if hasattr(array, "iloc") else array[rows]


def _is_everything(key: Any) -> bool:
    return isinstance(key, slice) and key == slice(None)


def _concatenate(arrays: Sequence[Any]) -> Any:
    """Join arrays of one kind along the events."""
    first = arrays[0]
    if is_awkward(first):
        return sys.modules["awkward"].concatenate(arrays)
    library = type(first).__module__.partition(".")[0]
    if library in ("pandas", "polars"):
        return sys.modules[library].concat(arrays)
    if library == "scipy":
        return sys.modules["scipy"].sparse.vstack(arrays, format=first.format)
    return np.concatenate(arrays)


def _describe(array: Any) -> str:
    """Kind, shape or type, and dtype of one input."""
    if is_awkward(array):
        text = " ".join(str(array.type).split())
        return "awkward " + (text if len(text) <= _TYPE_WIDTH else text[:_TYPE_WIDTH] + "...")
    kind = type(array).__name__
    shape = tuple(getattr(array, "shape", ())) or (_n_rows(array),)
    dtype = getattr(array, "dtype", None)
    return f"{kind} {shape}" + ("" if dtype is None else f" {dtype}")
