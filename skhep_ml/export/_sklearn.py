"""scikit-learn's own steps: functions and selections here, everything else by skl2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_clusterer, is_regressor

from skhep_ml._extras import import_extra
from skhep_ml.export._convert_models import Outputs, flat
from skhep_ml.export._graph import ML_DOMAIN, ML_OPSET, Graph, Tensor

_FUNCTIONS = {
    np.abs: "Abs",
    np.exp: "Exp",
    np.log: "Log",
    np.negative: "Neg",
    np.sign: "Sign",
    np.sqrt: "Sqrt",
    np.tanh: "Tanh",
}

# smaller powers are logarithms to 1e-8, and lose digits otherwise
_NO_POWER = 1e-8


def convert_function(graph: Graph, step: Any, x: Tensor) -> Tensor:
    """Graph of a FunctionTransformer around one of numpy's functions.

    Raises
    ------
    NotImplementedError
        Any other function.
    """
    func = step.func
    if func is None:
        return x
    if not step.kw_args:
        if func in _FUNCTIONS:
            return x._replace(name=graph.op(_FUNCTIONS[func], x.name))
        if func is np.square:
            return x._replace(name=graph.op("Mul", x.name, x.name))
        if func is np.log1p:
            # in double precision 1 + x keeps the digits that float32 has
            one_more = graph.op("Add", graph.cast(x.name, np.float64), np.float64(1))
            return x._replace(name=graph.cast(graph.op("Log", one_more), x.kind))
    names = ", ".join(sorted([*(known.__name__ for known in _FUNCTIONS), "log1p", "square"]))
    msg = f"the function {getattr(func, '__name__', func)!r} has no export; numpy's {names} have"
    raise NotImplementedError(msg)


def convert_power(graph: Graph, step: Any, x: Tensor) -> Tensor:
    """Graph of a PowerTransformer, whose powers need double precision."""
    values = graph.cast(x.name, np.float64)
    powers = np.asarray(step.lambdas_, dtype=np.float64)
    if step.method == "box-cox":
        y = _powers(graph, graph.op("Log", values), powers)
    else:
        size = graph.op("Add", graph.op("Abs", values), np.float64(1))
        log, below = graph.op("Log", size), graph.op("Less", values, np.float64(0))
        low = graph.op("Neg", _powers(graph, log, 2 - powers))
        y = graph.op("Where", below, low, _powers(graph, log, powers))
    if step.standardize:
        y = graph.op("Sub", y, step._scaler.mean_.astype(np.float64))
        y = graph.op("Div", y, step._scaler.scale_.astype(np.float64))
    return graph.as_kind(Tensor(y, np.float64, x.tail), x.kind)


def _powers(graph: Graph, log: str, power: NDArray[np.float64]) -> str:
    """(u^p - 1) / p of the logarithm of u, its limit log(u) where p is 0."""
    none = np.abs(power) < _NO_POWER
    power = np.where(none, 1.0, power)
    grown = graph.op("Exp", graph.op("Mul", log, power))
    grown = graph.op("Div", graph.op("Sub", grown, np.float64(1)), power)
    return graph.op("Where", none, log, grown) if none.any() else grown


def convert_by_skl2onnx(graph: Graph, step: Any, x: Tensor) -> Outputs:
    """Graph of a step for which skl2onnx has a converter.

    Raises
    ------
    NotImplementedError
        It has none, or the step is no classifier with probabilities, regressor, transformer or
        clusterer.
    """
    skl2onnx = import_extra("skl2onnx", "onnx")
    types = import_extra("skl2onnx.common.data_types", "onnx")
    classifier = is_classifier(step)
    if classifier and not hasattr(step, "predict_proba"):
        msg = "a classifier without predict_proba: put it into CalibratedClassifierCV"
        raise NotImplementedError(msg)
    if len(x.tail) != 1:
        msg = f"it takes tables, but gets data with {len(x.tail) + 1} axes"
        raise NotImplementedError(msg)
    width = x.tail[0] if x.tail[0] is not None else step.n_features_in_
    try:
        model = skl2onnx.convert_sklearn(
            step,
            initial_types=[("X", types.FloatTensorType([None, width]))],
            target_opset={"": graph.opset, ML_DOMAIN: ML_OPSET},
            options={id(step): {"zipmap": False}} if classifier else None,
        )
    except Exception as error:  # its own exceptions share no base
        msg = f"skl2onnx does not convert it ({type(error).__name__}: {_first_line(error)})"
        raise NotImplementedError(msg) from error
    outputs = list(graph.absorb(model, [graph.as_kind(x, np.float32)]).values())
    if classifier:
        label, probabilities = outputs
        n_classes = len(step.classes_)
        return {"label": label, "probabilities": probabilities._replace(tail=(n_classes,))}
    if is_regressor(step):
        n_outputs = outputs[0].tail[0] if outputs[0].tail else 1
        return {"prediction": flat(graph, outputs[0].name, n_outputs or 1)}
    if hasattr(step, "transform") and not is_clusterer(step):
        return {"transformed": _as_float(graph, step, outputs[0])}
    if is_clusterer(step):
        label, scores = outputs
        return {"label": label._replace(tail=()), "distances": scores}
    msg = "it is no classifier, regressor, clusterer or transformer"
    raise NotImplementedError(msg)


def _as_float(graph: Graph, step: Any, x: Tensor) -> Tensor:
    width = x.tail[-1] if x.tail else None
    if hasattr(step, "get_feature_names_out"):
        width = len(step.get_feature_names_out())
    return graph.as_kind(x, np.float32)._replace(tail=(width,))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"
