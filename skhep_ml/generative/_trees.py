"""Boosted trees in the place of a network: one model for each of a few levels of noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.weights._policies import prepare_weights

Float = NDArray[np.float32]

DEFAULTS = {
    "n_estimators": 100,
    "max_depth": 6,
    "learning_rate": 0.3,
    "max_bin": 128,
    "reg_lambda": 1.0,
}


# names of xgboost's own, beside those of its scikit-learn interface
_ALIASES = {"alpha", "eta", "lambda", "min_split_loss", "nthread", "seed"}


def check_bdt_params(given: Any) -> dict[str, Any]:
    """Parameters of the trees, those given in the place of the defaults.

    Raises
    ------
    ValueError
        No dict.
    """
    if given is not None and not isinstance(given, dict):
        msg = f"bdt_params must be a dict of parameters of xgboost, or None, got {given!r}"
        raise ValueError(msg)
    return {**DEFAULTS, **(given or {})}


def tree_weights(
    estimator: Any,
    latent: Float,
    context: Float | None,
    weight: NDArray[np.float64] | None,
    groups: Any,
    seed: int,
) -> NDArray[np.float64] | None:
    """Weights to train trees with, by the policy of the estimator; None for equal ones.

    Raises
    ------
    ValueError
        Negative weights under "keep", for which squared errors have no minimum in a leaf.
    """
    if weight is None:
        return None
    if estimator.negative_weights == "keep" and (weight < 0).any():
        msg = (
            f"{np.sum(weight < 0)} weights are negative, and negative_weights='keep' has no "
            "meaning for method='bdt', whose leaves would have no minimum: 'refine', 'pair' and "
            "'cell' make weights that are not"
        )
        raise ValueError(msg)
    table = latent if context is None else np.hstack([latent, context])
    prepared = prepare_weights(
        table,
        np.zeros(len(latent), dtype=np.intp),
        np.array(["all"]),
        weight,
        negative_weights=estimator.negative_weights,
        weight_scale=estimator.weight_scale,
        weight_cap=estimator.weight_cap,
        groups=groups,
        salt=estimator.salt,
        random_state=seed,
        device="cpu",
    )
    return None if prepared is None else prepared.train


def fit_levels(
    noisy: Callable[[Float, Float, float], tuple[Float, Float]],
    levels: list[float],
    latent: Float,
    context: Float | None,
    weight: NDArray[np.float64] | None,
    *,
    n_noise: int,
    params: dict[str, Any],
    device: str,
    seed: int,
    verbose: bool,
) -> list[Any]:
    """One booster for each level, trained on every event with ``n_noise`` different noises.

    ``noisy`` makes, from events, noise and level, noisy events and what trees have to say of them.
    """
    import xgboost

    unknown = set(params) - _ALIASES - set(xgboost.XGBRegressor().get_params()) | (
        set(params) & {"objective"}
    )
    if unknown:  # xgboost would ignore them
        msg = (
            f"bdt_params has {sorted(unknown)[0]!r}, which is no parameter of boosted trees of "
            "squared errors in xgboost"
        )
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    engine = {**params, "device": device, "tree_method": "hist", "verbosity": 0}
    n_rounds = int(engine.pop("n_estimators"))
    engine.setdefault("seed", seed)
    repeated = np.repeat(latent, n_noise, axis=0)
    beside = None if context is None else np.repeat(context, n_noise, axis=0)
    weights = None if weight is None else np.repeat(weight, n_noise)
    boosters = []
    for index, level in enumerate(levels):
        noise = rng.standard_normal(repeated.shape, dtype=np.float32)
        x, target = noisy(repeated, noise, level)
        table = x if beside is None else np.hstack([x, beside])
        data = xgboost.QuantileDMatrix(table, target, weight=weights, max_bin=engine["max_bin"])
        boosters.append(xgboost.train(engine, data, n_rounds))
        if verbose:
            print(f"level {index + 1} of {len(levels)}", flush=True)
    return boosters


def predict_level(booster: Any, x: Float, context: Float | None) -> Float:
    """What the trees of a level say of noisy events, in the shape of the events."""
    table = x if context is None else np.hstack([x, context])
    return booster.inplace_predict(table).reshape(x.shape)
