"""What a fitted model says about events, with identifiers for models that predict by them."""

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def model_response(
    estimator: Any, X: Any, groups: Any, methods: tuple[str, ...]
) -> tuple[NDArray[Any], str]:
    """Call the first method that the model has, with event identifiers if there are any."""
    check_is_fitted(estimator)
    for method in methods:
        if hasattr(estimator, method):
            metadata = {} if groups is None else {"groups": groups}
            return np.asarray(getattr(estimator, method)(X, **metadata)), method
    msg = f"{type(estimator).__name__} has no {' or '.join(methods)}, which is needed here"
    raise AttributeError(msg)


def positive_score(
    estimator: Any,
    X: Any,
    *,
    pos_label: Any = None,
    groups: Any = None,
    methods: tuple[str, ...] = ("predict_proba", "decision_function"),
) -> tuple[NDArray[Any], Any]:
    """Score of the positive class, greater for it, and that class's label.

    Without ``pos_label`` the second of two classes is the positive one.
    """
    check_is_fitted(estimator)
    classes = list(getattr(estimator, "classes_", ()))
    if pos_label is None:
        if len(classes) != 2:
            msg = (
                f"{type(estimator).__name__} knows {len(classes)} classes: pass pos_label= to "
                "choose the one whose score is wanted"
            )
            raise ValueError(msg)
        pos_label = classes[1]
    elif pos_label not in classes:
        msg = f"pos_label={pos_label!r} is not among the model's classes {classes[:5]}"
        raise ValueError(msg)
    column = classes.index(pos_label)
    response, _ = model_response(estimator, X, groups, methods)
    if response.ndim == 2:
        return response[:, column], pos_label
    return (response if column else -response), pos_label


def predicts_by_groups(
    estimator: Any, methods: tuple[str, ...] = ("predict_proba", "decision_function")
) -> bool:
    """Tell whether a fitted model, or the last step of a Pipeline, predicts by ``groups=``."""
    if isinstance(estimator, Pipeline):
        return predicts_by_groups(estimator.steps[-1][1], methods)
    for method in methods:
        if hasattr(estimator, method):
            return "groups" in inspect.signature(getattr(estimator, method)).parameters
    return False
