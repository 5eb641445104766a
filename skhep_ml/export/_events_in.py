"""Events as the inputs of an exported graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from skhep_ml._identifiers import take_id_columns
from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns, check_event_id
from skhep_ml.events import Events

# name of the input that takes event identifiers
IDENTIFIERS = "event_number"


def precision_of(model: Any, X: Any) -> Any:
    """Type in which the steps of a model work on X: float32 for float32, otherwise float64.

    Of `Events` one for each of their arrays, by name.
    """
    if X is None:
        return np.float32
    if isinstance(X, (Events, Mapping)):
        return {name: _precision(part) for name, part in X.items()}
    columns = _id_columns(model)
    if columns is not None:
        X, _ = take_id_columns(X, columns)
    return _precision(X)


def _precision(X: Any) -> type:
    # a DataFrame has the common type of its columns
    single = np.asarray(_safe_indexing(X, slice(0, 1))).dtype == np.float32
    return np.float32 if single else np.float64


def _id_columns(model: Any) -> Any:
    return getattr(getattr(model, "best_estimator_", model), "id_columns", None)


def graph_inputs(model: Any, X: Any, groups: Any = None) -> dict[str, NDArray[Any]]:
    """Features in float32, and identifiers in int64 if there are any, by their names in the graph.

    Columns of a DataFrame are brought in the order of fit; identifiers that ride in X are taken
    out of it. `Events` give one input for each of their arrays.
    """
    columns = _id_columns(model)
    if columns is not None:
        X, groups = take_id_columns(X, columns)
    inputs: dict[str, NDArray[Any]]
    with np.errstate(over="ignore"):
        if isinstance(X, (Events, Mapping)):
            inputs = {name: np.asarray(part, dtype=np.float32) for name, part in X.items()}
        else:
            table = unmasked(align_columns(model, X))
            inputs = {"features": np.asarray(table, dtype=np.float32)}
    if groups is not None:
        n_events = len(next(iter(inputs.values())))
        inputs[IDENTIFIERS] = np.column_stack(check_event_id(groups, n_events)).view(np.int64)
    return inputs
