"""scikit-learn's calibrated classifiers as graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from skhep_ml.export._convert_models import Outputs, classified, two_classes
from skhep_ml.export._graph import Graph
from skhep_ml.export._interpolate import interpolate


def calibrated(graph: Graph, model: Any, convert: Callable[[Any], Outputs]) -> Outputs:
    """Graph of a CalibratedClassifierCV: the mean over its calibrated models.

    Raises
    ------
    NotImplementedError
        A model inside whose decision function cannot be had, or a method other than "sigmoid" and
        "isotonic".
    """
    n_classes = len(model.classes_)
    means = []
    for part in model.calibrated_classifiers_:
        if part.method not in ("sigmoid", "isotonic"):
            msg = f"method={part.method!r} has no export; 'sigmoid' and 'isotonic' have"
            raise NotImplementedError(msg)
        if list(part.estimator.classes_) != list(model.classes_):
            msg = "one of its models has not seen all classes"
            raise NotImplementedError(msg)
        # steep parts of a curve with steps magnify the last digit of a margin
        graph.sums_in_order = part.method == "isotonic"
        outputs = convert(part.estimator)
        graph.sums_in_order = False
        # scikit-learn calibrates the decision function where there is one
        by_margin = hasattr(part.estimator, "decision_function")
        if by_margin and "margin" not in outputs:
            msg = (
                "the decision function of the model inside has no export; those of BDTClassifier "
                "and LogisticRegression of this package have, and models without one"
            )
            raise NotImplementedError(msg)
        score = outputs["margin" if by_margin else "probabilities"]
        first = 1 if n_classes == 2 and score.tail == (2,) else 0
        columns = [
            _calibrate(graph, calibrator, graph.columns(score, [first + k]).name)
            for k, calibrator in enumerate(part.calibrators)
        ]
        if n_classes == 2:
            means.append(two_classes(graph, columns[0]))
            continue
        p = graph.op("Concat", *columns, axis=1)
        total = graph.op("ReduceSum", p, np.array([1]), keepdims=1)
        none = graph.op("Equal", total, np.float32(0))
        share = graph.op("Div", p, graph.op("Where", none, np.float32(1), total))
        means.append(graph.op("Where", none, np.float32(1 / n_classes), share))
    mean = graph.op("Mul", graph.op("Sum", *means), np.float32(1 / len(means)))
    return classified(graph, model.classes_, mean)


def _calibrate(graph: Graph, calibrator: Any, score: str) -> str:
    if isinstance(calibrator, IsotonicRegression):
        value = interpolate(graph, score, calibrator.X_thresholds_, calibrator.y_thresholds_)
        return graph.cast(value, np.float32)
    # the calibrator of "sigmoid": 1 / (1 + exp(a s + b))
    linear = graph.op("Mul", score, np.float32(-calibrator.a_))
    return graph.op("Sigmoid", graph.op("Add", linear, np.float32(-calibrator.b_)))
