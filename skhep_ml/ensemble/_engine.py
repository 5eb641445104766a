"""The call into xgboost: data in, booster out, evaluation and early stopping on the way."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray

from skhep_ml.ensemble._objectives import Objective

Metric = Callable[[NDArray[Any], NDArray[Any], NDArray[np.float64] | None], float]


class EvaluationSet(NamedTuple):
    """Held-out events, encoded as the engine takes them.

    Attributes
    ----------
    name : str
        Key in ``evals_result_``.
    X : ndarray of shape (n_events, n_features)
        Features.
    target : ndarray of shape (n_events,)
        Encoded target.
    weight : ndarray of shape (n_events,) or None
        Signed weights, class balance included.
    loss : callable or None
        Function of the margins to use instead of the common metric, for losses that see more of
        the events than their targets.
    """

    name: str
    X: NDArray[np.float32]
    target: NDArray[Any]
    weight: NDArray[np.float64] | None
    loss: Callable[[NDArray[Any]], float] | None = None


class _Progress(xgboost.callback.TrainingCallback):
    """A progress bar with the latest held-out value."""

    def __init__(self, n_rounds: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=n_rounds, desc="trees", leave=False)

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self._bar.update()
        for name, metrics in evals_log.items():
            for metric, values in metrics.items():
                self._bar.set_postfix({f"{name} {metric}": f"{values[-1]:.5g}"})
        return False

    def after_training(self, model: Any) -> Any:
        self._bar.close()
        return model


def train_booster(
    X: Any,
    target: NDArray[Any],
    weight: NDArray[Any] | None,
    params: dict[str, Any],
    n_rounds: int,
    *,
    objective: Objective | None = None,
    sets: Sequence[EvaluationSet] = (),
    metric: Metric | None = None,
    metric_name: str = "loss",
    maximize: bool = False,
    stop_after: int | None = None,
    progress: bool = False,
) -> tuple[Any, dict[str, dict[str, list[float]]]]:
    """Train a booster; ``weight`` is for the engine and must be None with an own ``objective``.

    ``metric(margin, target, weight)`` is computed here rather than by the engine, which refuses
    negative weights in evaluation sets too.
    """
    weight = None if weight is None else weight.astype(np.float32, copy=False)
    data: Any
    if hasattr(X, "matrix"):  # events of a stream
        data = X.matrix(target, weight, params)
    else:
        data = xgboost.QuantileDMatrix(
            X, target, weight=weight, max_bin=params["max_bin"], nthread=params["nthread"]
        )
    evals = []
    by_matrix = {}
    for part in sets:
        matrix = xgboost.QuantileDMatrix(part.X, part.target, ref=data, max_bin=params["max_bin"])
        by_matrix[id(matrix)] = part
        evals.append((matrix, part.name))

    def evaluate(prediction: NDArray[Any], matrix: Any) -> tuple[str, float]:
        part = by_matrix[id(matrix)]
        if part.loss is not None:
            return metric_name, part.loss(prediction)
        assert metric is not None
        return metric_name, metric(prediction, part.target, part.weight)

    callbacks: list[Any] = [_Progress(n_rounds)] if progress else []
    if stop_after is not None:
        callbacks.append(
            xgboost.callback.EarlyStopping(
                rounds=stop_after,
                metric_name=metric_name,
                data_name=sets[-1].name,
                maximize=maximize,
            )
        )
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        params,
        data,
        n_rounds,
        obj=objective,
        evals=evals,
        custom_metric=evaluate if evals else None,
        evals_result=history,
        callbacks=callbacks or None,
        verbose_eval=False,
    )
    return booster, {
        name: {k: list(v) for k, v in values.items()} for name, values in history.items()
    }
