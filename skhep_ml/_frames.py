"""Rows and columns of arrays, clouds, lists and DataFrames, without importing their libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_frame(X: Any) -> bool:
    """Tell whether X is a DataFrame (pandas, polars)."""
    return hasattr(X, "columns") and hasattr(X, "__getitem__")


def refuse_repeated_columns(X: Any) -> None:
    """Raise a ValueError that names the columns of a DataFrame that come twice."""
    if not is_frame(X):
        return
    names = list(X.columns)
    if len(set(names)) < len(names):
        repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        msg = (
            f"X has more than one column of the same name: {repeated}; rename or drop them, "
            "columns are found by name"
        )
        raise ValueError(msg)


def take_rows(X: Any, rows: NDArray[np.intp]) -> Any:
    """Rows of an array, list or DataFrame, in the same type; a pandas index starts again at 0."""
    if hasattr(X, "iloc"):
        return X.iloc[rows].reset_index(drop=True)
    if isinstance(X, list):
        return [X[row] for row in rows]
    return X[rows]


def column_positions(
    X: Any, columns: Sequence[Any], *, names: Sequence[str] | None = None, argument: str = "columns"
) -> list[int]:
    """Positions of columns given by name or position; ``names`` name the columns of an array.

    Raises
    ------
    ValueError
        A column that is not there, or one given twice.
    """
    if is_frame(X):
        known: list[Any] = list(X.columns)
        n_columns = len(known)
    else:
        n_columns = X.shape[-1]
        known = [] if names is None else list(names)
    positions = []
    for column in columns:
        if column in known:
            positions.append(known.index(column))
        elif (
            isinstance(column, (int, np.integer))
            and not isinstance(column, bool)
            and -n_columns <= column < n_columns
        ):
            positions.append(int(column) % n_columns)
        else:
            what = known[:12] if known else f"numbered 0 to {n_columns - 1}"
            msg = (
                f"{argument} names {column!r}, but the columns are {what}: give names or positions "
                "of these"
            )
            raise ValueError(msg)
    if len(set(positions)) < len(positions):
        msg = f"{argument}={list(columns)} names a column twice"
        raise ValueError(msg)
    return positions


def numeric_columns(X: Any, positions: Sequence[int]) -> NDArray[Any]:
    """Columns of a table, or features of a cloud, as a numeric array (float32 if all are)."""
    if not is_frame(X):
        return X[..., list(positions)]
    arrays = []
    for position in positions:
        name = X.columns[position]
        values = np.asarray(X[name])
        if values.dtype.kind not in "fiub":
            msg = f"column {name!r} has type {values.dtype}, a number is needed"
            raise ValueError(msg)
        arrays.append(values)
    return np.column_stack(arrays)


def replace_columns(
    X: Any, positions: Sequence[int], values: NDArray[Any], *, rows: Any = slice(None)
) -> Any:
    """Copy of X with other values in some columns, at the given rows.

    Floating-point columns keep their type; integer columns become floating where the values need
    it.
    """
    if not is_frame(X):
        changed = X if X.dtype.kind == "f" else X.astype(np.result_type(X, values))
        changed = np.array(changed)
        for index, position in enumerate(positions):
            changed[rows, ..., position] = values[..., index]
        return changed
    replaced = {}
    for index, position in enumerate(positions):
        column = np.asarray(X[X.columns[position]])
        new = values[..., index]
        if column.dtype.kind != "f" and not fits_type(new, column.dtype):
            column = column.astype(np.float64)
        column = np.array(column)
        column[rows] = new
        replaced[position] = column
    return with_columns(X, replaced)


def copy_columns(X: Any, source: Any, rows: Mapping[int, NDArray[np.intp]]) -> Any:
    """Copy of X in which column ``position`` holds ``rows[position]`` of that column of ``source``.

    Whatever the type of the column, strings and categories included, it stays.
    """
    if not is_frame(X):
        changed = np.array(X)
        for position, index in rows.items():
            changed[..., position] = source[index, ..., position]
        return changed
    taken = {
        position: take_rows(source[source.columns[position]], index)
        for position, index in rows.items()
    }
    return with_columns(X, taken)


def fits_type(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether a column of integers or booleans can hold the values as they are."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return False
    return np.array_equal(values, values.astype(dtype))


def with_columns(X: Any, columns: Mapping[int, Any]) -> Any:
    """Copy of a DataFrame with other columns at some positions."""
    if not columns:
        return X
    if hasattr(X, "iloc"):
        changed = X.copy()
        for position, column in columns.items():
            # without its index, which has nothing to say here
            changed.isetitem(position, getattr(column, "array", column))
        return changed
    return X.with_columns(**{X.columns[position]: column for position, column in columns.items()})
