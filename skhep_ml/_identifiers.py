"""Event identifiers that ride in X as integer columns."""

from typing import Any

import numpy as np

from skhep_ml._validation import integer_column


def take_id_columns(X: Any, id_columns: Any) -> tuple[Any, Any]:
    """Split X into what a model may see and the identifier columns.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_events, n_columns)
        Table that holds the identifiers.
    id_columns : str, int or sequence of them
        Column names of a DataFrame, or column numbers of an array.

    Returns
    -------
    features, event_id
        The table without the columns, and the columns as an uint64 array of shape (n_events, k).
    """
    single = isinstance(id_columns, (str, int, np.integer))
    names: list[Any] = [id_columns] if single else list(id_columns)
    if not names:
        msg = "id_columns is empty: name at least one column"
        raise ValueError(msg)
    if hasattr(X, "columns"):
        known = list(X.columns)
        missing = [name for name in names if name not in known]
        if missing:
            msg = f"id_columns {missing} are not columns of X, which has {known[:12]}"
            raise ValueError(msg)
        columns = [np.asarray(X[name]) for name in names]
        rest = [name for name in known if name not in names]
        features = X[rest] if not hasattr(X, "get_columns") else X.select(rest)
    else:
        array = np.asarray(X)
        if array.ndim != 2 or any(isinstance(name, str) for name in names):
            msg = f"id_columns {names} needs a DataFrame, or column numbers of a 2-D array"
            raise ValueError(msg)
        outside = [name for name in names if not -array.shape[1] <= name < array.shape[1]]
        if outside:
            msg = f"id_columns {outside} outside of X with {array.shape[1]} columns"
            raise ValueError(msg)
        columns = [array[:, name] for name in names]
        features = np.delete(array, names, axis=1)
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "iu":
            msg = (
                f"identifier column {name!r} has type {column.dtype}; it must be an integer, since "
                "floats round large event numbers: read it as an integer from the file"
            )
            raise ValueError(msg)
    # stacked as uint64, since numpy makes floats of int64 beside uint64
    return features, np.column_stack([integer_column(column) for column in columns])
