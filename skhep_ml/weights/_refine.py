"""Refinement: positive weights with the same expectation as the signed ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from skhep_ml._hashing import check_no_empty_fold, event_fold, held_out

_ROUNDS = 120
_STOP_AFTER = 10
_MIN_EVENTS = 20  # below, a fold cannot tell shape from chance: the constant stands


def refine_weights(
    X: NDArray[Any],
    codes: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    groups: Any = None,
    salt: int = 0,
    random_state: Any = None,
    n_jobs: int | None = None,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Replace w by abs(w)(2g(x) - 1), g = P(w > 0 given x and class), clipped at 0.

    Each class that has negative weights gets its own g, fitted on one half of its events and
    applied to the other, and keeps its signed sum.
    """
    out = weight.copy()
    n = len(weight)
    if groups is None:
        rng = check_random_state(random_state)
        half = rng.permutation(n) % 2
        stop = rng.random_sample(n) < 0.2
    else:
        half = event_fold(groups, 2, "refine", salt)
        check_no_empty_fold(half, 2)
        stop = held_out(groups, 0.2, "refine_stopping", salt)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    table = _as_table(X)
    for k_class in np.unique(codes[weight < 0]):
        rows = np.flatnonzero((codes == k_class) & (weight != 0))
        w = weight[rows]
        size = np.abs(w)
        positive = w > 0
        g = np.full(len(rows), size[positive].sum() / size.sum())
        model = g.copy()
        for k in range(2):
            train = half[rows] != k
            model[~train] = _positive_probability(
                table[rows[train]],
                positive[train],
                size[train],
                stop[rows[train]],
                table[rows[~train]],
                {"nthread": n_jobs or 0, "seed": seed, "device": device},
            )
        if _significantly_better(model, g, positive, size):
            g = model
        out[rows] = size * _project(2 * g - 1, size, w.sum())
    return out


def _project(
    ratio: NDArray[np.float64], size: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    """Nearest non-negative ratio whose weighted sum is ``total``: max(ratio - shift, 0).

    This is the projection in the norm sum(size * ratio^2). Scaling after clipping would instead
    take from regions that are surely positive what noise adds in those around zero.
    """
    order = np.argsort(-ratio)
    mass = np.cumsum(size[order])
    excess = np.cumsum((size * ratio)[order]) - total
    # the largest set whose members all stay positive after the common shift
    inside = np.flatnonzero(ratio[order] * mass >= excess)
    last = inside[-1]
    return np.maximum(ratio - excess[last] / mass[last], 0.0)


def _significantly_better(
    model: NDArray[np.float64],
    constant: NDArray[np.float64],
    positive: NDArray[np.bool_],
    size: NDArray[np.float64],
) -> bool:
    """Whether the cross-fitted model beats the constant by three standard errors of the log loss.

    Every event is judged by a model that did not see it, so chance alone seldom passes.
    """
    chosen = np.where(positive, model, 1 - model)
    reference = np.where(positive, constant, 1 - constant)
    gain = size * np.log(np.maximum(chosen, 1e-12) / np.maximum(reference, 1e-12))
    return bool(gain.sum() > 3 * np.sqrt(np.dot(gain, gain)))


def _as_table(X: NDArray[Any]) -> NDArray[np.float32]:
    array = np.asarray(X)
    return np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float32)


def _positive_probability(
    X: NDArray[np.float32],
    positive: NDArray[np.bool_],
    size: NDArray[np.float64],
    stop: NDArray[np.bool_],
    X_out: NDArray[np.float32],
    engine: dict[str, Any],
) -> NDArray[np.float64] | float:
    """Predict P(w > 0) at ``X_out``, or the base rate where nothing better is found."""
    import xgboost

    if not len(X_out):
        return 0.0
    if len(X) == 0:
        return 1.0
    base = float(size[positive].sum() / size.sum())
    fit, check = ~stop, stop
    if min(fit.sum(), check.sum()) < _MIN_EVENTS or len(np.unique(positive[fit])) < 2:
        return base
    scale = size.mean()
    label = positive.astype(np.float32)
    data = xgboost.QuantileDMatrix(
        X[fit], label[fit], weight=(size[fit] / scale).astype(np.float32), max_bin=64
    )
    held = xgboost.QuantileDMatrix(
        X[check],
        label[check],
        weight=(size[check] / scale).astype(np.float32),
        ref=data,
        max_bin=64,
    )
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": base,
            "max_depth": 4,
            "learning_rate": 0.2,
            "max_bin": 64,
            **engine,
        },
        data,
        _ROUNDS,
        evals=[(held, "held")],
        early_stopping_rounds=_STOP_AFTER,
        verbose_eval=False,
    )
    return booster.inplace_predict(X_out, iteration_range=(0, booster.best_iteration + 1)).astype(
        np.float64
    )
