"""Checks of weights, identifiers and labels that every estimator and metric shares."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._masks import unmasked

# tables that have columns for each class take at most so many
MAX_CLASSES = 100


def check_event_weight(
    sample_weight: ArrayLike | None, n_events: int, *, name: str = "sample_weight"
) -> NDArray[np.float64] | None:
    """Return the weights as a float64 array of shape (n_events,), or None.

    A scalar stands for that weight on every event.

    Raises
    ------
    ValueError
        Wrong shape or length, NaN or infinite values, or all weights zero.
    """
    if sample_weight is None:
        return None
    weight = np.asarray(unmasked(sample_weight), dtype=np.float64)
    if weight.ndim == 0:
        weight = np.full(n_events, float(weight))
    if weight.ndim != 1:
        # the wording is the one scikit-learn's own checks look for
        msg = f"Sample weights must be 1D array or scalar: {name} has shape {weight.shape}"
        raise ValueError(msg)
    if len(weight) != n_events:
        msg = f"{name} has {len(weight)} entries, but there are {n_events} events"
        raise ValueError(msg)
    # one pass finds any NaN or infinity
    if not np.isfinite(weight.sum()):
        bad = np.flatnonzero(~np.isfinite(weight))
        if len(bad):
            msg = (
                f"{name} is NaN or infinite in {len(bad)} events, first in event {bad[0]} "
                f"({weight[bad[0]]}): repair or remove these events"
            )
            raise ValueError(msg)
    if n_events and not weight.any():
        msg = f"{name} is zero for every event"
        raise ValueError(msg)
    return weight


def check_labels(
    y: Any, n_events: int, *, max_classes: int | None = None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the classes, and the number of the class of every event.

    Raises
    ------
    ValueError
        Wrong shape or length, missing labels, or more classes than ``max_classes``.
    """
    label = np.asarray(y)
    if label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    if label.shape != (n_events,):
        msg = f"y has shape {label.shape}, but there are {n_events} events"
        raise ValueError(msg)
    if label.dtype.kind == "O":
        missing = np.array([_is_missing(value) for value in label], dtype=bool)
    else:
        missing = label != label
    if np.ma.isMaskedArray(y):
        missing = missing | np.ma.getmaskarray(y).reshape(-1)
    if np.any(missing):
        msg = f"y is missing in {np.sum(missing)} events, first in event {int(np.argmax(missing))}"
        raise ValueError(msg)
    labels, codes = np.unique(label, return_inverse=True)
    if max_classes is not None and len(labels) > max_classes:
        msg = (
            f"y takes {len(labels)} different values, more than {max_classes} classes: pass "
            "class labels, and a regression target as a column of X"
        )
        raise ValueError(msg)
    return labels, codes


def _is_missing(value: Any) -> bool:
    """Whether a label is None, NaN, NaT or NA, which do not equal themselves."""
    same = value == value
    return value is None or not isinstance(same, (bool, np.bool_)) or not same


def check_event_id(groups: Any, n_events: int | None = None) -> list[NDArray[np.uint64]]:
    """Return event identifiers as a list of contiguous uint64 columns.

    Signed integers enter as their two's complement.

    Raises
    ------
    ValueError
        Identifiers that are not integers, or of the wrong length.
    """
    if groups is None:
        msg = (
            "event identifiers are needed: pass groups= (integers, shape (n_events,) or "
            "(n_events, k) for run, lumi, event)"
        )
        raise ValueError(msg)
    if hasattr(groups, "iloc") and hasattr(groups, "columns"):
        columns = [np.asarray(groups[name]) for name in groups.columns]
    elif hasattr(groups, "get_columns"):
        columns = [np.asarray(column) for column in groups.get_columns()]
    else:
        array = np.asarray(groups)
        if array.ndim not in (1, 2):
            msg = f"groups must have shape (n_events,) or (n_events, k), got {array.shape}"
            raise ValueError(msg)
        columns = [array] if array.ndim == 1 else list(array.T)
    if not columns:
        msg = "groups has no columns"
        raise ValueError(msg)
    if n_events is not None and len(columns[0]) != n_events:
        msg = f"groups has {len(columns[0])} entries, but there are {n_events} events"
        raise ValueError(msg)
    return [integer_column(column) for column in columns]


def integer_column(column: NDArray[Any]) -> NDArray[np.uint64]:
    """Return one identifier column as contiguous uint64; refuse what is not integer."""
    if column.dtype.kind == "O" and all(
        isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in column
    ):
        column = np.array([int(value) & 0xFFFFFFFFFFFFFFFF for value in column], dtype=np.uint64)
    if not len(column):
        return np.empty(0, dtype=np.uint64)
    if column.dtype.kind not in "iu":
        msg = f"event identifiers must be integers, got {_what_is_no_integer(column)}"
        raise ValueError(msg)
    if column.dtype.kind == "i":  # a view, not a copy: two's complement costs nothing
        return np.ascontiguousarray(column, dtype=np.int64).view(np.uint64)
    return np.ascontiguousarray(column, dtype=np.uint64)


def _what_is_no_integer(column: NDArray[Any]) -> str:
    if column.dtype.kind == "f":
        return (
            f"{column.dtype}: a float32 keeps integers only up to 2^24 and a float64 up to 2^53; "
            "read them as integers from the file"
        )
    if column.dtype.kind in "SU" or any(isinstance(value, (str, bytes)) for value in column):
        return (
            f"strings, such as {column.tolist()[0]!r}: convert them, or number the different ones "
            "(numpy.unique with return_inverse=True)"
        )
    return f"{column.dtype}: read or convert them as integers, none of them missing"


def positive_mask(y_true: ArrayLike, pos_label: Any = None) -> NDArray[np.bool_]:
    """Tell which events are of the positive class, by scikit-learn's rules.

    Without ``pos_label`` the labels must be a subset of {0, 1}, {-1, 1} or booleans.
    """
    y = np.asarray(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        msg = f"y_true must be one-dimensional, got shape {y.shape}"
        raise ValueError(msg)
    if y.dtype.kind == "b":
        return y if pos_label is None or bool(pos_label) else ~y
    if pos_label is None:
        positive = y == 1
        zero, minus = y == 0, y == -1
        known = y.dtype.kind not in "OUS" and np.all(positive | zero | minus)
        if not known or (zero.any() and minus.any()):
            labels = np.unique(y)
            msg = (
                f"y_true takes the values {labels[:5].tolist()}: without pos_label the labels "
                "must be {0, 1} or {-1, 1}; pass pos_label="
            )
            raise ValueError(msg)
        return positive
    labels = np.unique(y)
    if pos_label not in labels:
        msg = f"pos_label={pos_label!r} is not among the labels {labels[:5].tolist()}"
        raise ValueError(msg)
    if len(labels) > 2:
        msg = f"y_true has {len(labels)} labels, a binary metric takes two: {labels[:5].tolist()}"
        raise ValueError(msg)
    return y == pos_label


def align_columns(estimator: Any, X: Any) -> Any:
    """Bring a DataFrame's columns in the order of fit, by name.

    Other input, and tables whose set of columns differs, pass unchanged: scikit-learn's own check
    names the columns that are missing or new.
    """
    names = getattr(estimator, "feature_names_in_", None)
    columns = getattr(X, "columns", None)
    if names is None or columns is None or len(columns) != len(names):
        return X
    order = list(names)
    if list(columns) == order or set(columns) != set(order):
        return X
    return X[order]


def check_edges(bins: ArrayLike) -> NDArray[np.float64] | int:
    """Return given edges as an array, or a number of bins."""
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim == 0 and edges >= 1 and edges == np.floor(edges):
        return int(edges)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        msg = f"bins must be a positive number of bins or rising edges, got {bins!r}"
        raise ValueError(msg)
    return edges
