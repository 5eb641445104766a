"""One reweighter a fold: what those that find folds by identifiers and by content share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter

from skhep_ml._validation import check_event_weight
from skhep_ml.model_selection._rotating import by_fold
from skhep_ml.reweighting._base import weights_before

KIND = "reweighting"


def check_reweighter(reweighter: Any) -> None:
    """Raise a TypeError for what cannot give weights."""
    if isinstance(reweighter, type) or not hasattr(reweighter, "predict_weights"):
        msg = f"{reweighter!r} is no reweighter, such as GBReweighter(): it has no predict_weights"
        raise TypeError(msg)


def fit_folds(
    reweighter: Any,
    samples: tuple[Any, Any],
    weights: tuple[ArrayLike | None, ArrayLike | None],
    folds: tuple[NDArray[np.intp], NDArray[np.intp]],
    n_splits: int,
    *,
    groups: tuple[Any, Any] = (None, None),
    n_jobs: int | None = None,
) -> list[Any]:
    """Fit a clone for every fold on the events of both samples outside it.

    Events of fold -1 are in none: all models see them.
    """
    fit_params: dict[str, tuple[Any, int]] = {}
    for which, sample in enumerate(("original", "target")):
        name = f"{sample}_weight"
        weight = check_event_weight(weights[which], len(folds[which]), name=name)
        if weight is not None:
            fit_params[name] = weight, which
    for which, name in enumerate(("groups", "target_groups")):
        if groups[which] is not None and has_fit_parameter(reweighter, name):
            fit_params[name] = groups[which], which

    def fit(k: int) -> Any:
        rows = [np.flatnonzero(fold != k) for fold in folds]
        parts = [_safe_indexing(*pair) for pair in zip(samples, rows, strict=True)]
        params = {n: _safe_indexing(v, rows[which]) for n, (v, which) in fit_params.items()}
        return clone(reweighter).fit(*parts, **params)

    return Parallel(n_jobs=n_jobs)(delayed(fit)(k) for k in range(n_splits))


def fold_normalization(
    models: list[Any],
    original: Any,
    weights: tuple[ArrayLike | None, ArrayLike | None],
    fold: NDArray[np.intp],
    n_target: int,
) -> NDArray[np.float64]:
    """Factor on each model's ratio that gives the events of its fold the sum they should have.

    A model that was normalised on its own training events is too large elsewhere, the more so the
    more it follows fluctuations.
    """
    normalize = getattr(models[0], "normalize", None)
    factors = np.ones(len(models))
    if normalize is None:
        return factors
    weight = weights_before(weights[0], len(fold))
    scale = 1.0
    if normalize == "target":
        scale = weights_before(weights[1], n_target).sum() / weight.sum()
    for k, model in enumerate(models):
        rows = np.flatnonzero(fold == k)
        reweighted = float(weight[rows] @ model.predict_weights(_safe_indexing(original, rows)))
        wanted = scale * float(weight[rows].sum())
        if not (reweighted > 0 and wanted > 0):
            msg = (
                f"fold {k} of original sums to {wanted:.6g}, reweighted to {reweighted:.6g}, so "
                "it cannot be normalised: use fewer folds, more events, or a reweighter with "
                "normalize=None"
            )
            raise ValueError(msg)
        factors[k] = wanted / reweighted
    return factors


def fold_ratio(
    fitted: Any,
    X: Any,
    fold: NDArray[np.intp] | None,
    ratio_of: Callable[[Any, Any], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Ratio of each event from the model of its fold; the mean of all models without folds."""
    models, factors = fitted.reweighters_, fitted.normalization_
    if fold is None:
        pairs = zip(models, factors, strict=True)
        return sum(factor * ratio_of(model, X) for model, factor in pairs) / len(models)
    ratio = by_fold(fold, lambda k, rows: factors[k] * ratio_of(models[k], _safe_indexing(X, rows)))
    # without events a model says so in its own words
    return ratio_of(models[0], X) if ratio is None else ratio
