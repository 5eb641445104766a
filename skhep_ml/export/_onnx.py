"""Fitted models as ONNX graphs, preprocessing inside."""

from __future__ import annotations

import json
import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skhep_ml._files import write_file
from skhep_ml.export._events_in import IDENTIFIERS, graph_inputs, precision_of
from skhep_ml.export._graph import Graph
from skhep_ml.preprocessing import EventsTransformer
from skhep_ml.preprocessing._cloud_kinematics import CloudTransformer

# torch's tracer, for nets, ends at 20
_LOWEST, _HIGHEST = 13, 20


def to_onnx(
    model: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int = 13,
    X: Any = None,
    groups: ArrayLike | None = None,
) -> Any:
    """Turn a fitted model into an ONNX graph, with all of its preprocessing inside.

    Parameters
    ----------
    model : estimator
        A fitted model, transformer, Pipeline, search or rotating model.
    path : path, default=None
        Where to write the graph; None only returns it. The file appears whole or not at all.
    opset : int, default=13
        Operator set, 13 to 20; 13 is what the older releases of CMSSW and Athena read. Operators
        of ai.onnx.ml are of version 2.
    X : array-like of shape (n_events, n_features) or (n_events, n_particles, n_features), \
default=None
        Some events, as the model gets them. The graph is compared with the model on them before it
        is written; they tell the shape of the input where the model does not know it; and their
        type tells in what precision the steps before the model work: double for a float64 table,
        single for float32 and without X.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Identifiers of the events in X, for models that predict by them.

    Returns
    -------
    onnx.ModelProto
        The graph; see Notes for its inputs and outputs.

    Raises
    ------
    ValueError
        A step without export (the message names it and the reason), an unknown ``opset``, or a
        graph whose answers differ from the model's on X.
    sklearn.exceptions.NotFittedError
        A model that is not fitted.
    FileNotFoundError
        There is no folder to write to.
    ModuleNotFoundError
        The packages of the extra ``onnx`` are missing.

    See Also
    --------
    verify_onnx : Compare a graph with its model.
    to_xgboost_json : A BDT for readers of xgboost's own format.

    Notes
    -----
    *Inputs.* ``features``: float32, shape (n_events, n_features), columns in the order of
    ``feature_names`` in the metadata; NaN and sentinels go in as they are. Clouds and images for
    nets keep their further axes; mixed `Events` have each array by its own name. A rotating
    model fitted with identifiers also takes ``event_number``: int64, shape (n_events, k), from
    which the graph computes the fold, exactly as `RotatingClassifier` does, and sends each event
    through the model of its fold alone. Identifiers that rode in X (``id_columns``) are not among
    the features.

    *Outputs.* Of a classifier ``label`` (int64 where the labels are whole numbers, otherwise
    string) and ``probabilities`` (n_events, n_classes) in the order of ``classes`` in the metadata;
    of a regressor ``prediction``; of a clusterer ``label`` and ``distances``; of a transformer
    ``transformed``, of an `EventsTransformer` that gives `Events` one ``transformed_name`` for each
    array.

    *Metadata.* ``feature_names`` and ``classes`` (JSON), ``model``, and the versions of the
    packages that made it.

    Inputs and outputs are float32. Scalers and trees do inside what they do on a table, with the
    same precision and order of operations, so that events fall on the same side of every
    threshold. What a scaler makes of a float64 table differs in the last digit from what it makes
    of a float32 one, and many events can lie on one threshold: imputed values do. So pass X where
    the model is used on float64 tables. Steps of scikit-learn are converted by skl2onnx, whose
    arithmetic can differ in the last digit: `verify_onnx` tells for how many events that matters
    when trees follow.

    Gaussian processes and the kinematics of clouds run in double precision inside. A Gaussian
    process becomes its mean (`GPRegressor`) or its probabilities, and holds a number for each event
    and training event while it runs: give it events in batches. A particle that a `CloudToImage`
    puts on the edge of a pixel to within rounding, as the only one of an event in the middle of an
    even number of pixels, can come into either pixel.

    What the model refuses, such as infinite features or a negative pt, the graph takes.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.ensemble import BDTClassifier
    >>> from skhep_ml.export import to_onnx, verify_onnx
    >>> from skhep_ml.impute import MissingValueImputer
    >>> events = make_signed_events(1000, random_state=0)
    >>> model = make_pipeline(MissingValueImputer(), BDTClassifier(n_estimators=20, n_jobs=1))
    >>> model = model.fit(events.data, events.target)
    >>> graph = to_onnx(model)
    >>> [output.name for output in graph.graph.output]
    ['label', 'probabilities']
    >>> bool(verify_onnx(model, graph, events.data))
    True
    """
    if not isinstance(opset, Integral) or not _LOWEST <= opset <= _HIGHEST:
        msg = f"opset must be an integer from {_LOWEST} to {_HIGHEST}, got {opset!r}"
        raise ValueError(msg)
    # its imports reach every model of the package
    from skhep_ml.export._composite import Walker, no_graph

    reason = no_graph(model)
    if reason is not None:
        msg = f"{type(model).__name__} cannot be exported to ONNX: {reason}"
        raise ValueError(msg)
    check_is_fitted(model)
    if path is not None and not Path(path).parent.is_dir():
        msg = f"cannot write {os.fspath(path)!r}: there is no folder {str(Path(path).parent)!r}"
        raise FileNotFoundError(msg)
    graph = Graph(int(opset))

    tails = _input_tails(model, X)
    inputs = {name: graph.input(name, np.float32, tail) for name, tail in tails.items()}
    kinds = precision_of(model, X)
    features: Any
    if isinstance(kinds, dict):
        features = {name: graph.as_kind(part, kinds[name]) for name, part in inputs.items()}
    elif list(inputs) == ["features"]:
        features = graph.as_kind(inputs["features"], kinds)
    else:
        features = inputs
    outputs = Walker(graph).convert(model, features)
    outputs.pop("margin", None)
    for name, part in outputs.items():
        if name.startswith("transformed"):
            outputs[name] = graph.as_kind(part, np.float32)
    onnx_model = graph.model(outputs, _metadata(model, tails), _describe(model))
    if X is not None:
        _check(model, onnx_model, X, groups)
    if path is not None:
        write_file(path, onnx_model.SerializeToString())
    return onnx_model


def _input_tails(model: Any, X: Any) -> dict[str, tuple[int | None, ...]]:
    """Shape of each input after the axis of events."""
    from skhep_ml.export._composite import first_net, walk_steps

    shapes: dict[str, tuple[int | None, ...]]
    if X is not None:
        arrays = graph_inputs(model, X)
        shapes = {name: array.shape[1:] for name, array in arrays.items() if name != IDENTIFIERS}
    else:
        shapes = {"features": (_n_features(model),)}
        net = first_net(model)
        steps = list(walk_steps(model))
        if any(isinstance(step, EventsTransformer) for step in steps):
            msg = "EventsTransformer does not know the shapes of its inputs: pass some events as X="
            raise ValueError(msg)
        if any(isinstance(step, CloudTransformer) for step in steps):
            shapes["features"] = (None, _n_features(model))
        elif net is not None and isinstance(getattr(net, "input_shapes_", None), dict):
            shapes = {name: tuple(shape) for name, shape in net.input_shapes_.items()}
        elif net is not None and hasattr(net, "input_shapes_"):
            # steps before it may change the number of features of a table or a cloud
            shape = tuple(net.input_shapes_)
            shapes["features"] = (*shape[:-1], _n_features(model)) if len(shape) < 3 else shape
        elif shapes["features"] == (None,):
            name = type(model).__name__
            msg = f"{name} does not know its number of features: pass some events as X="
            raise ValueError(msg)
    return {name: (None, shape[1]) if len(shape) == 2 else shape for name, shape in shapes.items()}


def _n_features(model: Any) -> int | None:
    """Number of features that a model was fitted on, of a Pipeline from the first that knows."""
    if hasattr(model, "cv_results_") and not hasattr(model, "best_estimator_"):
        msg = "a search with refit=False has no model: fit the best one, and export that"
        raise ValueError(msg)
    for step in [model, *(step for _, step in getattr(model, "steps", ()))]:
        if hasattr(step, "n_features_in_"):
            return int(step.n_features_in_)
    return None


def _check(model: Any, onnx_model: Any, X: Any, groups: Any) -> None:
    from skhep_ml.export._verify import verify_onnx

    comparison = verify_onnx(model, onnx_model, X, groups=groups)
    if not comparison:
        msg = (
            f"the graph does not reproduce the model on X, nothing was written: {comparison}. "
            "Leave X out to export it as it is"
        )
        raise ValueError(msg)


def _metadata(model: Any, tails: dict[str, tuple[int | None, ...]]) -> dict[str, str]:
    from skhep_ml import __version__

    names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = [f"x{k}" for k in range(tails.get("features", (0,))[-1] or 0)]
    data = {
        "feature_names": json.dumps([str(name) for name in names]),
        "model": _describe(model),
        "skhep_ml": __version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }
    if hasattr(model, "classes_"):
        data["classes"] = json.dumps(np.asarray(model.classes_).tolist())
    return data


def _describe(model: Any) -> str:
    """Names of the classes inside, from the outermost to the last step."""
    steps = getattr(model, "steps", None)
    if steps is not None:
        return " > ".join(
            step if isinstance(step, str) else _describe(step) for _, step in steps if step
        )
    name = type(model).__name__
    for inner in ("best_estimator_", "estimator_"):
        if hasattr(model, inner):
            return f"{name}({_describe(getattr(model, inner))})"
    if hasattr(model, "estimators_") and hasattr(model, "n_id_columns_"):
        return f"{name}({_describe(model.estimators_[0])} x {len(model.estimators_)})"
    return name
