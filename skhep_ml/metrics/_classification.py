"""Scores of class decisions: confusion matrix, sensitivity, specificity, purity."""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.multiclass import unique_labels

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import efficiency_error


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
    return_std: bool = False,
) -> Any:
    r"""Sums of weights by true and predicted class, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        True labels.
    y_pred : array-like of shape (n_events,)
        Predicted labels.
    labels : array-like of shape (n_classes,), default=None
        Labels of the rows and columns; others are left out. None takes all, sorted.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    normalize : {"true", "pred", "all"}, default=None
        Divide by the sums of rows, of columns, or of everything.
    return_std : bool, default=False
        Whether to return the statistical errors as well.

    Returns
    -------
    matrix : ndarray of shape (n_classes, n_classes)
        Row i, column j: true label i predicted as j. Integers when events are counted.
        A share of nothing is 0.
    std : ndarray of shape (n_classes, n_classes)
        :math:`\sqrt{\sum w^2}`, or the error of the share, when ``return_std``.

    Raises
    ------
    ValueError
        Lengths that differ, or labels none of which is in ``y_true``.

    Notes
    -----
    A share :math:`\varepsilon` has the error of an efficiency,
    :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2`.

    Examples
    --------
    >>> from skhep_ml.metrics import confusion_matrix
    >>> confusion_matrix(["b", "b", "s"], ["b", "s", "s"], sample_weight=[2.0, -0.5, 1.0])
    array([[ 2. , -0.5],
           [ 0. ,  1. ]])
    """
    if normalize not in ("true", "pred", "all", None):
        msg = f"normalize={normalize!r}: choose 'true', 'pred', 'all' or None"
        raise ValueError(msg)
    true, predicted, weight = _decisions(y_true, y_pred, sample_weight)
    present = unique_labels(true, predicted)
    if labels is None:
        classes = present
    else:
        classes = np.asarray(labels)
        if not np.isin(classes, true).any():
            msg = f"none of labels={classes[:5].tolist()} is in y_true"
            raise ValueError(msg)
    n = len(classes)
    # the position of every label among the classes; n for those left out
    position = np.full(len(present), n)
    order = np.argsort(classes)
    at = np.minimum(np.searchsorted(classes, present, sorter=order), n - 1)
    known = classes[order[at]] == present
    position[known] = order[at[known]]
    row = position[np.searchsorted(present, true)]
    column = position[np.searchsorted(present, predicted)]
    used = (row < n) & (column < n)
    cell = n * row[used] + column[used]
    values = None if weight is None else weight[used]
    matrix = np.bincount(cell, values, n * n).reshape(n, n)
    squares = matrix
    if values is not None:
        squares = np.bincount(cell, values**2, n * n).reshape(n, n)
    if normalize is None:
        return (matrix, np.sqrt(squares)) if return_std else matrix
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    total = matrix.sum(axis=axis, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros((n, n)), where=total != 0)
    if not return_std:
        return share
    std = np.zeros((n, n))
    error = efficiency_error(
        squares, squares.sum(axis=axis, keepdims=True), np.where(total == 0, 1.0, total), share
    )
    np.copyto(std, error, where=total != 0)
    return share, std


def sensitivity_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    pos_label: Any = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: Any = "warn",
    return_std: bool = False,
) -> Any:
    """Share of true signal that is selected (recall), for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        True labels of two classes.
    y_pred : array-like of shape (n_events,)
        Predicted labels.
    pos_label : label, default=1
        The signal label.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    zero_division : {"warn", 0.0, 1.0, nan}, default="warn"
        Value where the signal weights sum to 0 or less; "warn" gives 0 and a warning.
    return_std : bool, default=False
        Whether to return the statistical error as well.

    Returns
    -------
    score : float
        Selected over all signal weights.
    std : float
        Its statistical error, when ``return_std``; NaN where the score is undefined.

    Raises
    ------
    ValueError
        Lengths that differ, more than two labels, or ``pos_label`` not among them.

    See Also
    --------
    specificity_score : The same for background.
    purity_score : Share of signal in the selection.

    Examples
    --------
    >>> from skhep_ml.metrics import sensitivity_score
    >>> sensitivity_score([1, 1, 1, 0], [1, 0, 1, 1], sample_weight=[1.0, 1.0, 2.0, 1.0])
    0.75
    """
    signal, selected, weight = _binary_decisions(y_true, y_pred, sample_weight, pos_label)
    return _share("sensitivity", signal, selected, weight, zero_division, return_std)


def specificity_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    pos_label: Any = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: Any = "warn",
    return_std: bool = False,
) -> Any:
    """Share of true background that is not selected, for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        True labels of two classes.
    y_pred : array-like of shape (n_events,)
        Predicted labels.
    pos_label : label, default=1
        The signal label.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    zero_division : {"warn", 0.0, 1.0, nan}, default="warn"
        Value where the background weights sum to 0 or less; "warn" gives 0 and a warning.
    return_std : bool, default=False
        Whether to return the statistical error as well.

    Returns
    -------
    score : float
        Rejected over all background weights.
    std : float
        Its statistical error, when ``return_std``; NaN where the score is undefined.

    Raises
    ------
    ValueError
        Lengths that differ, more than two labels, or ``pos_label`` not among them.

    See Also
    --------
    sensitivity_score : The same for signal.

    Examples
    --------
    >>> from skhep_ml.metrics import specificity_score
    >>> specificity_score([0, 0, 0, 1], [0, 1, 0, 1], sample_weight=[1.0, 0.5, 0.5, 1.0])
    0.75
    """
    signal, selected, weight = _binary_decisions(y_true, y_pred, sample_weight, pos_label)
    return _share("specificity", ~signal, ~selected, weight, zero_division, return_std)


def purity_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    pos_label: Any = 1,
    sample_weight: ArrayLike | None = None,
    zero_division: Any = "warn",
    return_std: bool = False,
) -> Any:
    """Share of signal in the selected weights (precision), for weights of any sign.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        True labels of two classes.
    y_pred : array-like of shape (n_events,)
        Predicted labels.
    pos_label : label, default=1
        The signal label.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights; None counts events.
    zero_division : {"warn", 0.0, 1.0, nan}, default="warn"
        Value where the selected weights sum to 0 or less; "warn" gives 0 and a warning.
    return_std : bool, default=False
        Whether to return the statistical error as well.

    Returns
    -------
    score : float
        Selected signal over all selected weights.
    std : float
        Its statistical error, when ``return_std``; NaN where the score is undefined.

    Raises
    ------
    ValueError
        Lengths that differ, more than two labels, or ``pos_label`` not among them.

    See Also
    --------
    sensitivity_score : Share of the signal that is selected.

    Examples
    --------
    >>> from skhep_ml.metrics import purity_score
    >>> purity_score([1, 0, 0, 1], [1, 1, 1, 0], sample_weight=[1.0, 1.0, -0.5, 1.0])
    0.6666666666666666
    """
    signal, selected, weight = _binary_decisions(y_true, y_pred, sample_weight, pos_label)
    return _share("purity", selected, signal, weight, zero_division, return_std)


def _decisions(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64] | None]:
    columns = []
    for name, values in (("y_true", y_true), ("y_pred", y_pred)):
        column = np.asarray(values)
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            msg = f"{name} must have shape (n_events,), got {column.shape}"
            raise ValueError(msg)
        columns.append(column)
    true, predicted = columns
    if len(true) != len(predicted):
        msg = f"y_pred has {len(predicted)} entries, but y_true has {len(true)}"
        raise ValueError(msg)
    return true, predicted, check_event_weight(sample_weight, len(true))


def _binary_decisions(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, pos_label: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64] | None]:
    true, predicted, weight = _decisions(y_true, y_pred, sample_weight)
    labels = unique_labels(true, predicted)
    if len(labels) > 2 or (len(labels) == 2 and pos_label not in labels):
        msg = (
            f"pos_label={pos_label!r} and the labels {labels[:5].tolist()} do not make a binary "
            "problem: pass one of two labels as pos_label"
        )
        raise ValueError(msg)
    return true == pos_label, predicted == pos_label, weight


def _share(
    name: str,
    base: NDArray[np.bool_],
    passing: NDArray[np.bool_],
    weight: NDArray[np.float64] | None,
    zero_division: Any,
    return_std: bool,
) -> Any:
    """Part of the weights of the base that passes."""
    passing = passing[base]
    weight = np.ones(len(passing)) if weight is None else weight[base]
    total = float(weight.sum())
    if total <= 0:
        if isinstance(zero_division, str):
            message = (
                f"{name} is undefined: the weights of its {len(passing)} events sum to "
                f"{total:.6g}; it is set to 0, use zero_division= to choose a value"
            )
            warnings.warn(message, UndefinedMetricWarning, stacklevel=3)
            zero_division = 0.0
        return (float(zero_division), float("nan")) if return_std else float(zero_division)
    value = float(weight[passing].sum()) / total
    if not return_std:
        return value
    squares = weight**2
    return value, float(efficiency_error(squares[passing].sum(), squares.sum(), total, value))
