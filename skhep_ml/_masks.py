"""Masked entries and nulls as NaN: one rule for every table, cloud and column."""

from __future__ import annotations

from numbers import Real
from typing import Any, NoReturn

import numpy as np

from skhep_ml._frames import refuse_repeated_columns


def missing_sentinels(missing_values: Any) -> tuple[float, ...]:
    """Values that stand for missing besides NaN.

    Raises
    ------
    ValueError
        Something that is neither a number nor None.
    """
    several = isinstance(missing_values, (tuple, list, np.ndarray))
    values = missing_values if several else (missing_values,)
    for value in values:
        if value is not None and not isinstance(value, Real):
            msg = f"missing_values={missing_values!r} must be numbers, NaN or None, got {value!r}"
            raise ValueError(msg)
    return tuple(float(value) for value in values if value is not None and not np.isnan(value))


def unmasked(X: Any) -> Any:
    """Return X with NaN for the masked entries of an array and the NA of a pandas table.

    Raises
    ------
    ValueError
        A column of a DataFrame that holds more than numbers, or a column name that comes twice.
    """
    if isinstance(X, np.ma.MaskedArray):
        dtype = X.dtype if X.dtype.kind == "f" else np.float64
        return np.ma.filled(X.astype(dtype), np.nan)
    refuse_repeated_columns(X)
    if hasattr(X, "get_columns"):
        for column in X.get_columns():
            # an empty column of polars has the type Null
            if not column.dtype.is_numeric() and str(column.dtype) not in ("Boolean", "Null"):
                _refuse_column(column.name, column.dtype)
        return X
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return X
    for name, dtype in X.dtypes.items():
        if dtype.kind in "mM":
            _refuse_column(name, dtype)
    # nullable types and objects may hold NA, which is no number for numpy
    nullable = [
        name for name, dtype in X.dtypes.items() if hasattr(dtype, "na_value") or dtype.kind == "O"
    ]
    if nullable:
        X = X.copy(deep=False)
    for name in nullable:
        single = getattr(X[name].dtype, "numpy_dtype", None) == np.float32
        try:
            values = X[name].to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            _refuse_column(name, X[name].dtype, error)
        X[name] = values
    return X


def _refuse_column(name: Any, dtype: Any, error: Exception | None = None) -> NoReturn:
    why = "" if error is None else f" ({error})"
    msg = (
        f"column {name!r} of type {dtype} holds more than numbers{why}: leave it out, or encode it"
    )
    raise ValueError(msg) from error
