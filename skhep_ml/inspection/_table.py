"""Columns of tables, DataFrames and arrays alike, with their missing and infinite values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.impute._masks import mask_missing, unmasked
from skhep_ml.preprocessing._histogram import float_key

# columns of an array made contiguous at a time: a compromise between strided reads and memory
_GROUP = 8


class EventTable:
    """A table of numbers whose columns have names.

    Parameters
    ----------
    X : array-like of shape (n_events, n_features) or DataFrame
        The table.
    feature_names : sequence of str, default=None
        Names of the columns of an array; None numbers them x0, x1, ...
    sentinels : sequence of float, default=()
        Values that stand for "missing" besides NaN.
    """

    def __init__(
        self, X: Any, feature_names: Sequence[str] | None = None, sentinels: Sequence[float] = ()
    ) -> None:
        self.sentinels = tuple(sentinels)
        self._array: NDArray[Any] | None = None
        self._columns: list[Any] = []
        if hasattr(X, "columns"):
            self.names = list(X.columns)
            self._columns = [X[name] for name in self.names] if _unique(self.names) else []
            shape = X.shape
        else:
            self._array = np.asarray(unmasked(X))
            shape = self._array.shape
            if len(shape) != 2:
                msg = (
                    f"X must be a table of shape (n_events, n_features), got {shape}; make one of "
                    "a cloud first, or reshape a single feature to (-1, 1)"
                )
                raise ValueError(msg)
            self.names = [f"x{index}" for index in range(shape[1])]
        if feature_names is not None:
            if self._array is None:
                msg = "feature_names is for arrays: the columns of a DataFrame have names"
                raise ValueError(msg)
            self.names = list(feature_names)
        if len(self.names) != shape[1] or not _unique(self.names):
            msg = f"{shape[1]} columns need as many different names, got {self.names}"
            raise ValueError(msg)
        if not shape[0] or not shape[1]:
            msg = f"X is empty: its shape is {shape}"
            raise ValueError(msg)
        self.n_events: int = shape[0]

    def position(self, name: Any, argument: str) -> int:
        """Position of a column, or an error that lists the columns."""
        if name not in self.names:
            msg = f"{argument}={name!r} is not a column of X, whose columns are {self.names}"
            raise ValueError(msg)
        return self.names.index(name)

    def raw(self, index: int) -> NDArray[Any]:
        """One column in its own type."""
        if self._array is not None:
            return self._array[:, index]
        return np.asarray(self._columns[index])

    def without(self, index: int) -> EventTable:
        """Return the table without one column."""
        rest = [k for k in range(len(self.names)) if k != index]
        if not rest:
            msg = f"X has no column but {self.names[index]!r}, by which the events are ordered"
            raise ValueError(msg)
        table = copy(self)
        table.names = [self.names[k] for k in rest]
        if self._array is None:
            table._columns = [self._columns[k] for k in rest]
        else:
            table._array = self._array[:, rest]
        return table

    def columns(self) -> Iterator[NDArray[np.floating[Any]]]:
        """Yield every column as a contiguous array of floats; float32 stays float32."""
        for start in range(0, len(self.names), _GROUP):
            names = self.names[start : start + _GROUP]
            group: Any
            if self._array is not None:
                group = np.ascontiguousarray(self._array[:, start : start + _GROUP].T)
            else:
                group = self._columns[start : start + _GROUP]
            for name, column in zip(names, group, strict=True):
                yield _floats(column, name)

    def blocks(self, rows: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield blocks of rows as float64, NaN where a value is missing or infinite."""
        if self._array is None:
            # converted once; float columns of a DataFrame are not copied
            columns = [
                _floats(column, name)
                for column, name in zip(self._columns, self.names, strict=True)
            ]
        for start in range(0, self.n_events, rows):
            part = slice(start, min(start + rows, self.n_events))
            block = np.empty((part.stop - start, len(self.names)))
            if self._array is None:
                for index, column in enumerate(columns):
                    values = column[part]
                    block[:, index] = np.where(self.absent(values), np.nan, values)
            else:
                values = _floats(self._array[part], "X")
                block[...] = values
                block[self.absent(values)] = np.nan
            yield part, block

    def absent(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Tell which values are missing or infinite."""
        return mask_missing(values, self.sentinels) | np.isinf(values)


def _unique(names: Sequence[Any]) -> bool:
    return len(set(names)) == len(names)


def _floats(column: Any, name: Any) -> NDArray[np.floating[Any]]:
    """Return the column as floats, or an error that names it."""
    try:
        if hasattr(column, "iloc") and not isinstance(column.dtype, np.dtype):
            # a nullable type of pandas
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.asarray(column)
        if values.dtype.kind in "OSUMmV":
            if values.dtype.kind != "O" or any(isinstance(v, str) for v in values.flat):
                raise TypeError(str(values.dtype))
            return values.astype(np.float64)
        kind = np.float32 if values.dtype in (np.float16, np.float32) else np.float64
        return np.ascontiguousarray(values, dtype=kind)
    except (TypeError, ValueError) as error:
        msg = (
            f"column {name!r} does not hold numbers ({getattr(column, 'dtype', 'unknown type')}): "
            "leave it out, or encode it as numbers"
        )
        raise ValueError(msg) from error


@dataclass
class SortedColumn:
    """Finite values of one column in rising order.

    Attributes
    ----------
    values : ndarray of shape (n_finite,)
        The values.
    events : ndarray of shape (n_finite,)
        The event of each value.
    last : ndarray of shape (n_distinct,)
        Position of the last value of every run of equal ones.
    missing : ndarray of shape (n_events,)
        Whether the value is missing.
    n_infinite : int
        Number of infinite values, which are neither finite nor missing.
    """

    values: NDArray[np.floating[Any]]
    events: NDArray[np.intp]
    last: NDArray[np.intp]
    missing: NDArray[np.bool_]
    n_infinite: int

    @classmethod
    def from_column(
        cls, column: NDArray[np.floating[Any]], sentinels: Sequence[float]
    ) -> SortedColumn:
        """Sort a column."""
        missing = mask_missing(column, sentinels)
        infinite = np.isinf(column)
        n_infinite = int(np.count_nonzero(infinite))
        absent = missing | infinite if n_infinite else missing
        n_absent = int(np.count_nonzero(absent))
        if n_absent and (sentinels or n_infinite):
            column = np.where(absent, column.dtype.type(np.nan), column)
        # NaN comes last
        events = _argsort(column)[: len(column) - n_absent]
        values = column[events]
        changes = np.flatnonzero(values[1:] != values[:-1])
        last = np.append(changes, len(values) - 1) if len(values) else changes
        return cls(values, events, last, missing, n_infinite)


def _argsort(values: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Order of the values, NaN last."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    if len(values) >= 2**32 or not np.array_equal(single, values, equal_nan=True):
        return np.argsort(values)
    # the value in the upper half and the event in the lower: sorting integers is several times
    # faster than sorting positions
    keys = float_key(np.where(np.isnan(single), np.float32(np.nan), single)).astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(keys))
    keys.sort()
    keys &= 0xFFFFFFFF
    return keys
