"""Events that early stopping looks at: the one place where they are chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from skhep_ml._hashing import check_no_empty_fold, held_out


def stopping_mask(
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    groups: Any,
    *,
    fraction: float,
    salt: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Tell which events are held out: by identifier where there are some, else stratified rows.

    ``codes`` number the classes from 0; regression passes zeros and a single class.

    Raises
    ------
    ValueError
        A class without events on one of the two sides.
    """
    if groups is not None:
        held = held_out(groups, fraction, "early_stopping", salt)
        check_no_empty_fold(held.astype(np.intp), 2)
    else:
        _, rows = train_test_split(
            np.arange(len(codes)),
            test_size=fraction,
            random_state=seed,
            stratify=codes if len(classes) > 1 else None,
        )
        held = np.zeros(len(codes), dtype=bool)
        held[rows] = True
    for part, name in ((held, "early-stopping part"), (~held, "training part")):
        missing = np.flatnonzero(np.bincount(codes[part], minlength=len(classes)) == 0)
        if len(missing):
            msg = (
                f"class {classes.tolist()[missing[0]]!r} has no events in the {name}: change "
                "validation_fraction or salt, or give an eval_set"
            )
            raise ValueError(msg)
    return held


def evaluation_pairs(eval_set: Any, weights: Any) -> list[tuple[Any, Any, Any]]:
    """(X, y, weights) of every pair in ``eval_set``, which is one pair, a list of them or None."""
    if not eval_set:
        return []
    pairs = [eval_set] if isinstance(eval_set, tuple) else list(eval_set)
    weights = [None] * len(pairs) if weights is None else list(weights)
    if len(weights) != len(pairs):
        msg = f"{len(pairs)} pairs in eval_set, {len(weights)} in sample_weight_eval_set"
        raise ValueError(msg)
    return [(X, y, w) for (X, y), w in zip(pairs, weights, strict=True)]


def call_metric(
    metric: Any, codes: NDArray[np.intp], classes: NDArray[Any], output: NDArray[Any], weight: Any
) -> float:
    """A metric on probabilities, or on labels where a scorer judges decisions."""
    if getattr(metric, "response", "score") == "predict":
        winner = output.argmax(axis=1) if output.ndim == 2 else (output > 0.5).astype(np.intp)
        output = classes[winner]
    return getattr(metric, "score_predictions", metric)(classes[codes], output, weight)
