"""Pipelines, searches, rotating and other models of models, walked step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer
from sklearn.utils.validation import check_is_fitted

from skhep_ml.cluster import KMeans
from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    UniformBDTClassifier,
)
from skhep_ml.export._calibrated import calibrated
from skhep_ml.export._convert_clouds import (
    convert_cloud_image,
    convert_cloud_table,
    convert_kinematics,
)
from skhep_ml.export._convert_gp import convert_gp_classifier, convert_gp_regressor
from skhep_ml.export._convert_missing import convert_imputer, convert_selector
from skhep_ml.export._convert_models import (
    Outputs,
    classified,
    convert_bdt_classifier,
    convert_bdt_regressor,
    convert_forest_classifier,
    convert_forest_regressor,
    convert_hist_classifier,
    convert_hist_regressor,
    convert_kmeans,
    convert_logistic,
)
from skhep_ml.export._convert_scalers import convert_clipper, convert_scaler
from skhep_ml.export._events_in import IDENTIFIERS
from skhep_ml.export._fold_graph import Features, by_fold, fold_graph
from skhep_ml.export._graph import Graph, Tensor
from skhep_ml.export._sklearn import convert_by_skl2onnx, convert_function, convert_power
from skhep_ml.gaussian_process import GPClassifier, GPRegressor
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.model_selection import RotatingClassifier, RotatingRegressor
from skhep_ml.over_sampling import ResampledClassifier, ResampledRegressor
from skhep_ml.preprocessing import (
    AutoScaler,
    CloudToImage,
    CloudToTable,
    EventsTransformer,
    KinematicsTransformer,
    LogScaler,
    MinMaxScaler,
    QuantileClipper,
    ZScoreScaler,
)

_TRANSFORMERS: dict[type, Callable[[Graph, Any, Tensor], Tensor]] = {
    AutoScaler: convert_scaler,
    CloudToImage: convert_cloud_image,
    CloudToTable: convert_cloud_table,
    FunctionTransformer: convert_function,
    KinematicsTransformer: convert_kinematics,
    LogScaler: convert_scaler,
    MinMaxScaler: convert_scaler,
    MissingValueImputer: convert_imputer,
    PowerTransformer: convert_power,
    QuantileClipper: convert_clipper,
    ZScoreScaler: convert_scaler,
}
_MODELS: dict[type, Callable[[Graph, Any, Tensor], Outputs]] = {
    BDTClassifier: convert_bdt_classifier,
    BDTRegressor: convert_bdt_regressor,
    GPClassifier: convert_gp_classifier,
    GPRegressor: convert_gp_regressor,
    HistGradientBoostingClassifier: convert_hist_classifier,
    HistGradientBoostingRegressor: convert_hist_regressor,
    KMeans: convert_kmeans,
    LogisticRegression: convert_logistic,
    RandomForestClassifier: convert_forest_classifier,
    RandomForestRegressor: convert_forest_regressor,
    UniformBDTClassifier: convert_bdt_classifier,
}
_XGBOOST = {
    "XGBClassifier": convert_bdt_classifier,
    "XGBRegressor": convert_bdt_regressor,
    "XGBRFClassifier": convert_bdt_classifier,
    "XGBRFRegressor": convert_bdt_regressor,
}
# parts of the package whose estimators have no graph, and why
REASONS = {
    "skhep_ml.anomaly.": "searches without labels have none as a whole; export the classifier "
    "inside, where there is one",
    "skhep_ml.generative.": "models that draw events or give densities have none",
    "skhep_ml.reweighting.": "reweighters predict weights of samples; export the classifier "
    "inside a ClassifierReweighter (classifier_)",
    "skhep_ml.preprocessing._jagged": "a graph takes padded clouds; pad before it and export the "
    "steps behind",
}


class Walker:
    """Adds fitted models to a graph, step by step, and knows where in the model it is.

    Parameters
    ----------
    graph : Graph
        What the models are added to.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._event_id: Tensor | None = None

    def convert(self, model: Any, x: Features, path: str = "") -> Outputs:
        """Add a fitted model that sees x; several inputs, by name, are for nets.

        Raises
        ------
        ValueError
            Something that cannot be exported; the message names the step and the reason.
        """
        try:
            check_is_fitted(model)
            reason = no_graph(model)
            if reason is not None:
                raise NotImplementedError(reason)
            return self._convert(model, x, path)
        except NotImplementedError as error:
            where = f"step {path} ({type(model).__name__})" if path else type(model).__name__
            msg = f"{where} cannot be exported to ONNX: {error}"
            raise ValueError(msg) from error

    def _convert(self, model: Any, x: Features, path: str) -> Outputs:
        if hasattr(model, "cv_results_"):
            return self.convert(model.best_estimator_, x, f"{path}.best_estimator_".strip("."))
        if isinstance(model, FrozenEstimator):
            return self.convert(model.estimator, x, path)
        if isinstance(model, (ResampledClassifier, ResampledRegressor)):
            return self.convert(model.estimator_, x, f"{path}.estimator_".strip("."))
        if isinstance(model, (RotatingClassifier, RotatingRegressor)):
            return self._rotating(model, x, path)
        if is_net(model):
            return self._net(model, x)
        if isinstance(model, Pipeline):
            return self._pipeline(model, x, path)
        if isinstance(model, EventsTransformer):
            parts = self._events(model, x, path)
            if isinstance(parts, Tensor):
                return {"transformed": parts}
            return {f"transformed_{name}": part for name, part in parts.items()}
        if not isinstance(x, Tensor):
            msg = f"it takes one array, but the events hold {sorted(x)}"
            raise NotImplementedError(msg)
        return self._convert_step(model, x, path)

    def _convert_step(self, model: Any, x: Tensor, path: str) -> Outputs:
        kind = type(model)
        if x.tail == (None,) and hasattr(model, "n_features_in_"):
            x = x._replace(tail=(model.n_features_in_,))
        if isinstance(model, ColumnTransformer):
            return {"transformed": self._columns(model, x, path)}
        if isinstance(model, FeatureUnion):
            return {"transformed": self._union(model, x, path)}
        if isinstance(model, (VotingClassifier, VotingRegressor)):
            return self._voting(model, x, path)
        if isinstance(model, CalibratedClassifierCV):
            return calibrated(self.graph, model, lambda inner: self.convert(inner, x, path))
        if kind in _TRANSFORMERS:
            return {"transformed": _TRANSFORMERS[kind](self.graph, model, x)}
        if isinstance(model, SelectorMixin):
            return {"transformed": convert_selector(self.graph, model, x)}
        if kind in _MODELS:
            return _MODELS[kind](self.graph, model, x)
        if kind.__module__ == "xgboost.sklearn" and kind.__name__ in _XGBOOST:
            return _XGBOOST[kind.__name__](self.graph, model, x)
        return convert_by_skl2onnx(self.graph, model, x)

    def _step(self, step: Any, x: Features, path: str) -> Features:
        """What a step of a Pipeline hands on."""
        if isinstance(step, EventsTransformer):
            return self._events(step, x, path)
        if isinstance(x, Tensor):
            return self._transformed(step, x, path)
        if step is None or step == "passthrough":
            return x
        msg = f"step {path} takes one array, but the events hold {sorted(x)}"
        raise NotImplementedError(msg)

    def _transformed(self, step: Any, x: Tensor, path: str) -> Tensor:
        if step is None or step == "passthrough":
            return x
        # samplers change training alone
        if hasattr(step, "fit_resample") and not hasattr(step, "transform"):
            return x
        outputs = self.convert(step, x, path)
        if "transformed" in outputs:
            return outputs["transformed"]
        if "distances" in outputs:
            return outputs["distances"]
        msg = f"step {path} ({type(step).__name__}) cannot be exported to ONNX inside a Pipeline"
        raise ValueError(msg)

    def _pipeline(self, model: Pipeline, x: Features, path: str) -> Outputs:
        for name, step in model.steps[:-1]:
            x = self._step(step, x, _join(path, name))
        name, last = model.steps[-1]
        if (last is None or last == "passthrough") and isinstance(x, Tensor):
            return {"transformed": x}
        return self.convert(last, x, _join(path, name))

    def _events(self, model: EventsTransformer, x: Features, path: str) -> Features:
        if isinstance(x, Tensor):
            msg = "it takes several arrays by name, but gets one"
            raise NotImplementedError(msg)
        out: dict[str, Tensor] = {}
        for name, step in model.transformers_.items():
            if isinstance(step, str) and step == "drop":
                continue
            part = x[name]
            # a transformer gets numbers as a table of one column, and so does the one table
            if not part.tail and (model.concatenate or step != "passthrough"):
                column = self.graph.op("Unsqueeze", part.name, np.array([1]))
                part = part._replace(name=column, tail=(1,))
            out[name] = self._transformed(step, part, _join(path, name))
        return self.graph.join(list(out.values())) if model.concatenate else out

    def _columns(self, model: ColumnTransformer, x: Tensor, path: str) -> Tensor:
        names = list(getattr(model, "feature_names_in_", ()))
        parts = []
        for name, step, columns in model.transformers_:
            index = _positions(columns, names, model.n_features_in_)
            if (isinstance(step, str) and step == "drop") or not len(index):
                continue
            part = self._transformed(step, self.graph.columns(x, index), _join(path, name))
            factor = (model.transformer_weights or {}).get(name)
            parts.append(self._scaled(part, factor))
        return self.graph.join(parts)

    def _union(self, model: FeatureUnion, x: Tensor, path: str) -> Tensor:
        parts = []
        for name, step in model.transformer_list:
            if isinstance(step, str) and step == "drop":
                continue
            part = self._transformed(step, x, _join(path, name))
            parts.append(self._scaled(part, (model.transformer_weights or {}).get(name)))
        return self.graph.join(parts)

    def _scaled(self, x: Tensor, factor: float | None) -> Tensor:
        if factor is None:
            return x
        return x._replace(name=self.graph.op("Mul", x.name, x.kind(factor)))

    def _voting(self, model: Any, x: Tensor, path: str) -> Outputs:
        if getattr(model, "voting", "soft") != "soft":
            msg = "votes are counted only with voting='soft'"
            raise NotImplementedError(msg)
        used = [
            (name, weight)
            for (name, estimator), weight in zip(
                model.estimators, model.weights or [1.0] * len(model.estimators), strict=True
            )
            if not (isinstance(estimator, str) and estimator == "drop")
        ]
        answers = [
            self.convert(estimator, x, _join(path, name))
            for (name, _), estimator in zip(used, model.estimators_, strict=True)
        ]
        return self._mean(model, answers, [weight for _, weight in used])

    def _mean(self, model: Any, answers: list[Outputs], weights: list[float]) -> Outputs:
        name = "probabilities" if is_classifier(model) else "prediction"
        share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        parts = [
            self.graph.op("Mul", answer[name].name, np.float32(part))
            for answer, part in zip(answers, share, strict=True)
        ]
        mean = self.graph.op("Sum", *parts)
        if name == "probabilities":
            return classified(self.graph, model.classes_, mean)
        return {name: answers[0][name]._replace(name=mean)}

    def _rotating(self, model: Any, x: Features, path: str) -> Outputs:
        paths = [_join(path, f"estimators_[{k}]") for k in range(len(model.estimators_))]
        steps = list(zip(model.estimators_, paths, strict=True))
        if model.n_id_columns_ == 0:
            answers = [self.convert(estimator, x, inner) for estimator, inner in steps]
            return self._mean(model, answers, [1.0] * len(answers))
        event_id = self._identifiers(model.n_id_columns_)
        fold = fold_graph(self.graph, event_id, len(model.estimators_), model.salt)
        models = [partial(self._public, estimator, path=inner) for estimator, inner in steps]
        return by_fold(self.graph, fold, x, models)

    def _public(self, model: Any, x: Features, path: str) -> Outputs:
        return {name: t for name, t in self.convert(model, x, path).items() if name != "margin"}

    def _identifiers(self, n_columns: int) -> Tensor:
        if self._event_id is None:
            self._event_id = self.graph.input(IDENTIFIERS, np.int64, (n_columns,))
        if self._event_id.tail != (n_columns,):
            msg = "its parts were fitted with different numbers of identifier columns"
            raise NotImplementedError(msg)
        return self._event_id

    def _net(self, model: Any, x: Features) -> Outputs:
        from skhep_ml.export._onnx_nets import net_graph

        graph = self.graph
        part = net_graph(model, opset=graph.opset)
        wanted = [value.name for value in part.graph.input]
        parts = {"features": x} if isinstance(x, Tensor) else x
        given = {name: graph.as_kind(part, np.float32) for name, part in parts.items()}
        if set(wanted) != set(given):
            msg = f"its net takes the inputs {sorted(wanted)}, but gets {sorted(given)}"
            raise NotImplementedError(msg)
        outputs = graph.absorb(part, [given[name] for name in wanted])
        if "probabilities" in outputs:
            return classified(graph, model.classes_, outputs["probabilities"].name)
        return {"prediction": outputs["prediction"]}


def no_graph(model: Any) -> str | None:
    """Why a model is of a kind that has no graph; None if it may have one."""
    if hasattr(model, "fit_resample"):
        return "samplers change training alone, and predict nothing"
    module = type(model).__module__
    return next((why for prefix, why in REASONS.items() if module.startswith(prefix)), None)


def is_net(model: Any) -> bool:
    """Tell whether a model is one of the nets, without loading torch for the others."""
    return any(base.__module__.startswith("skhep_ml.neural_network") for base in type(model).mro())


def walk_steps(model: Any) -> Iterator[Any]:
    """A model and, one after the other, what the models in it are made of."""
    yield model
    if isinstance(model, Pipeline):
        for _, step in model.steps:
            yield from walk_steps(step)
    for name in ("best_estimator_", "estimator_", "estimators_"):
        inner = getattr(model, name, None)
        if inner is not None:
            yield from walk_steps(inner[0] if name == "estimators_" else inner)


def first_net(model: Any) -> Any:
    """The net at the end of Pipelines, searches and rotating models; None for other models."""
    while not is_net(model):
        if isinstance(model, Pipeline):
            model = model.steps[-1][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "estimators_") and hasattr(model, "n_id_columns_"):
            model = model.estimators_[0]
        elif hasattr(model, "estimator_"):
            model = model.estimator_
        else:
            return None
    return model


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _positions(columns: Any, names: list[str], n_features: int) -> list[int]:
    """Positions of the columns that a ColumnTransformer gives to one of its steps."""
    if isinstance(columns, slice):
        ends = [
            names.index(end) if isinstance(end, str) else end
            for end in (columns.start, columns.stop)
        ]
        # slices of names include their end
        stop = ends[1] + 1 if isinstance(columns.stop, str) else ends[1]
        return list(range(n_features))[ends[0] : stop : columns.step]
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    values = np.asarray(columns)
    if values.dtype.kind == "b":
        return np.flatnonzero(values).tolist()
    if values.dtype.kind in "OU":
        return [names.index(name) for name in values.tolist()]
    return [int(value) % n_features for value in values]
