"""Learning curves of the models of a rotating one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skhep_ml._routing import last_model
from skhep_ml.model_selection._rotating import RotatingClassifier, RotatingRegressor


def fold_learning_curves(model: Any) -> dict[str, list[NDArray[np.float64]]]:
    """Loss against trees or epochs, for every model of a rotating one.

    Parameters
    ----------
    model : estimator
        A fitted `RotatingClassifier` or `RotatingRegressor`, or any other fitted model, which
        counts as a single fold. The curves are those of the model at the end of Pipelines and
        searches: ``evals_result_`` of boosted trees, ``history_`` of nets.

    Returns
    -------
    dict of str to list of ndarray
        For each curve, such as ``"validation_0 loss"`` or ``"train_loss"``, one array a fold:
        a value a tree or an epoch. They end where early stopping ended them.

    Raises
    ------
    ValueError
        The model keeps no such curves, or had no held-out events to make them with.

    See Also
    --------
    sklearn.model_selection.learning_curve : Score against the number of training events.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.ensemble import BDTClassifier
    >>> from skhep_ml.model_selection import RotatingClassifier, fold_learning_curves
    >>> rng = np.random.default_rng(0)
    >>> y, event = rng.integers(2, size=600), np.arange(600)
    >>> X = rng.normal(y[:, None], size=(600, 2))
    >>> bdt = BDTClassifier(n_estimators=7, max_depth=2, device="cpu")
    >>> model = RotatingClassifier(bdt, n_splits=3, validation_fold=True).fit(X, y, groups=event)
    >>> curves = fold_learning_curves(model)
    >>> {name: [len(curve) for curve in folds] for name, folds in curves.items()}
    {'validation_0 loss': [7, 7, 7]}
    """
    if isinstance(model, (RotatingClassifier, RotatingRegressor)):
        check_is_fitted(model, "estimators_")
        models = model.estimators_
    else:
        models = [model]
    curves = [_curves(last_model(fitted)) for fitted in models]
    # searches may choose models of different kinds
    names = list(dict.fromkeys(name for curve in curves for name in curve))
    none = np.empty(0)
    return {name: [curve.get(name, none) for curve in curves] for name in names}


def _curves(model: Any) -> dict[str, NDArray[np.float64]]:
    if hasattr(model, "history_"):
        table = _history_columns(model.history_)
    else:
        table = {
            f"{part} {metric}": np.asarray(values, dtype=np.float64)
            for part, metrics in getattr(model, "evals_result_", {}).items()
            for metric, values in metrics.items()
        }
    if not table:
        msg = (
            f"{type(model).__name__} has no learning curve: boosted trees and nets have one, trees "
            "only with held-out events (validation_fold=True, early stopping or eval_set)"
        )
        raise ValueError(msg)
    return table


def _history_columns(history: Any) -> dict[str, NDArray[np.float64]]:
    """Losses and scores of each epoch of a net; NaN where an epoch has none."""
    names = dict.fromkeys(name for row in history for name in row)
    return {
        name: np.array([row.get(name, np.nan) for row in history], dtype=np.float64)
        for name in names
        if name.startswith(("train_", "valid_")) and not name.endswith(("_best", "_count"))
    }
