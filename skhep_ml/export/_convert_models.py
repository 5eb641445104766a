"""Models of this package as graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from skhep_ml.export._graph import Graph, Tensor
from skhep_ml.export._trees import (
    boosted_trees,
    forest_mean,
    histogram_margins,
    inverse_link,
    margins,
)

# what a part of the graph gives: "label", "probabilities", "margin", "prediction", "transformed"
Outputs = dict[str, Tensor]


def classified(graph: Graph, classes: Any, probabilities: str) -> Outputs:
    """Outputs of a classifier: its probabilities, and the label of the largest one."""
    index = graph.op("ArgMax", probabilities, axis=1, keepdims=0)
    return {
        "label": label_of(graph, classes, index),
        "probabilities": Tensor(probabilities, np.float32, (len(classes),)),
    }


def label_of(graph: Graph, classes: Any, index: str) -> Tensor:
    """Labels by the number of their class; whole numbers as int64, anything else as text."""
    classes = np.asarray(classes)
    whole = classes.dtype.kind in "biu" or (
        classes.dtype.kind == "f" and bool(np.all(classes == np.floor(classes)))
    )
    kind: Any = np.int64 if whole else str
    values = classes.astype(np.int64) if whole else [str(label) for label in classes.tolist()]
    return Tensor(graph.op("Gather", graph.constant(values, kind), index), kind, ())


def two_classes(graph: Graph, positive: str) -> str:
    """Probabilities of both classes from that of the second, of shape (n_events, 1)."""
    # a constant of the same number of axes spares onnxruntime a loop over events
    one = np.ones((1, 1), dtype=np.float32)
    return graph.op("Concat", graph.op("Sub", one, positive), positive, axis=1)


def flat(graph: Graph, column: str, n_outputs: int = 1) -> Tensor:
    """Predictions in scikit-learn's shape: one-dimensional for one output."""
    if n_outputs > 1:
        return Tensor(column, np.float32, (n_outputs,))
    return Tensor(graph.op("Reshape", column, np.array([-1])), np.float32, ())


def convert_bdt_classifier(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `BDTClassifier`, `UniformBDTClassifier` or xgboost's classifier."""
    boosted = boosted_trees(_booster(model))
    margin = margins(graph, boosted, _seen_by_trees(graph, model, x))
    positive = inverse_link(graph, boosted.objective, margin.name)
    probabilities = two_classes(graph, positive) if len(boosted.base) == 1 else positive
    return {**classified(graph, model.classes_, probabilities), "margin": margin}


def convert_bdt_regressor(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `BDTRegressor` or xgboost's regressor."""
    boosted = boosted_trees(_booster(model))
    margin = margins(graph, boosted, _seen_by_trees(graph, model, x))
    prediction = inverse_link(graph, boosted.objective, margin.name)
    return {"prediction": flat(graph, prediction, len(boosted.base))}


def _booster(model: Any) -> Any:
    if hasattr(model, "booster_"):
        return model.booster_
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None) if booster.attr("best_iteration") else None
    return booster if best is None else booster[: best + 1]


def _seen_by_trees(graph: Graph, model: Any, x: Tensor) -> Tensor:
    columns = getattr(model, "train_columns_", None)
    return x if columns is None else graph.columns(x, columns)


def convert_hist_classifier(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of scikit-learn's HistGradientBoostingClassifier."""
    margin = histogram_margins(graph, model, x)
    if len(model.classes_) == 2:
        probabilities = two_classes(graph, graph.op("Sigmoid", margin.name))
    else:
        probabilities = graph.op("Softmax", margin.name, axis=1)
    return {**classified(graph, model.classes_, probabilities), "margin": margin}


def convert_hist_regressor(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of scikit-learn's HistGradientBoostingRegressor."""
    margin = histogram_margins(graph, model, x).name
    # the logarithm of the mean is modelled
    logarithmic = model.loss in ("gamma", "poisson")
    return {"prediction": flat(graph, graph.op("Exp", margin) if logarithmic else margin)}


def convert_forest_classifier(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `RandomForestClassifier`, grown with signed weights or without."""
    mean = forest_mean(graph, model.estimators_, x).name
    if model._signed is not None:
        positive = graph.op("Relu", mean)
        total = graph.op("ReduceSum", positive, np.array([1]), keepdims=1)
        some = graph.op("Greater", total, np.float32(0))
        share = graph.op("Div", positive, graph.op("Where", some, total, np.float32(1)))
        mean = graph.op("Where", some, share, model._class_share[None].astype(np.float32))
    return classified(graph, model.classes_, mean)


def convert_forest_regressor(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `RandomForestRegressor`, grown with signed weights or without."""
    mean = forest_mean(graph, model.estimators_, x)
    width = mean.tail[0]
    assert width is not None
    if model._signed is None:
        return {"prediction": flat(graph, mean.name, width)}
    last = graph.columns(mean, [width - 1]).name
    some = graph.op("Greater", last, np.float32(0))
    divisor = graph.op("Div", last, np.float32(model._spread))
    divisor = graph.op("Where", some, divisor, np.float32(1))
    ratio = graph.op("Div", graph.columns(mean, np.arange(width - 1)).name, divisor)
    ratio = graph.op("Where", some, ratio, np.float32(0))
    value = graph.op("Add", model._mean[None].astype(np.float32), ratio)
    low, high = (limit[None].astype(np.float32) for limit in model._range)
    value = graph.op("Min", graph.op("Max", value, low), high)
    return {"prediction": flat(graph, value, width - 1)}


def convert_logistic(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `LogisticRegression`; products are summed in double precision, as there."""
    table = graph.cast(x.name, np.float64)
    product = graph.op("MatMul", table, model.coef_.T.astype(np.float64))
    product = graph.op("Add", product, np.reshape(model.intercept_, (1, -1)).astype(np.float64))
    margin = Tensor(graph.cast(product, np.float32), np.float32, (len(model.coef_),))
    if len(model.classes_) == 2:
        probabilities = two_classes(graph, graph.op("Sigmoid", margin.name))
    else:
        probabilities = graph.op("Softmax", margin.name, axis=1)
    return {**classified(graph, model.classes_, probabilities), "margin": margin}


def convert_kmeans(graph: Graph, model: Any, x: Tensor) -> Outputs:
    """Graph of a `KMeans`: the nearest centre, and the distances to all."""
    centers = model.cluster_centers_.astype(np.float64)
    # about their mean the squares are of the size of the distances: nothing cancels
    middle = centers.mean(axis=0)
    centers = centers - middle
    table = graph.op("Sub", graph.cast(x.name, np.float64), middle)
    square = graph.op("ReduceSum", graph.op("Mul", table, table), np.array([1]), keepdims=1)
    cross = graph.op("MatMul", table, -2 * centers.T)
    square = graph.op("Add", graph.op("Add", square, cross), (centers**2).sum(axis=1))
    distance = graph.op("Sqrt", graph.op("Max", square, np.float64(0)))
    label = graph.op("ArgMin", square, axis=1, keepdims=0)
    scores = Tensor(graph.cast(distance, np.float32), np.float32, (len(centers),))
    return {"label": Tensor(label, np.int64, ()), "distances": scores}
