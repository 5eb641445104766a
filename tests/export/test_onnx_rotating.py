"""Rotating models as graphs: folds by the same integers, each event by its own model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml._hashing import event_fold
from skhep_ml.ensemble import BDTClassifier, BDTRegressor
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.export._fold_graph import fold_graph
from skhep_ml.export._graph import Graph
from skhep_ml.impute import MissingValueImputer
from skhep_ml.model_selection import RotatingClassifier, RotatingRegressor
from skhep_ml.preprocessing import AutoScaler

ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

EXTREME = np.array([0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)


def fold_session(n_columns, n_splits, salt):
    from skhep_ml.export._graph import Tensor

    graph = Graph(13)
    event = graph.input("event_number", np.int64, (n_columns,))
    fold = Tensor(fold_graph(graph, event, n_splits, salt), np.int64, ())
    return ort.InferenceSession(graph.model({"fold": fold}, {}, "").SerializeToString())


@pytest.mark.parametrize("n_columns", [1, 3])
@pytest.mark.parametrize(("n_splits", "salt"), [(2, 0), (5, 7), (1000, -1), (2**31, 2**64 - 1)])
def test_folds_are_those_of_the_hash(n_columns, n_splits, salt):
    rng = np.random.default_rng(n_columns)
    event = rng.integers(0, 2**64, (4000, n_columns), dtype=np.uint64)
    event[: len(EXTREME)] = EXTREME[:, None]
    session = fold_session(n_columns, n_splits, salt)
    (fold,) = session.run(None, {"event_number": event.view(np.int64)})
    assert np.array_equal(fold, event_fold(event, n_splits, "rotating", salt))


_SESSION = []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_folds_of_any_integers(numbers):
    if not _SESSION:
        _SESSION.append(fold_session(1, 11, 3))
    event = np.array(numbers, dtype=np.int64)[:, None]
    (fold,) = _SESSION[0].run(None, {"event_number": event})
    assert np.array_equal(fold, event_fold(event, 11, "rotating", 3))


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 3)).astype(np.float32)
    y = np.array(["background", "signal"])[(X[:, 0] + rng.normal(size=800) > 0).astype(int)]
    X[rng.random(800) < 0.2, 1] = np.nan
    return X, y, rng.integers(0, 2**62, (800, 2))


def run(graph, X, event):
    session = ort.InferenceSession(graph.SerializeToString())
    return session.run(None, {"features": X, "event_number": event})


def test_each_event_by_the_model_of_its_fold(events):
    X, y, event = events
    inner = make_pipeline(MissingValueImputer(), AutoScaler(), BDTClassifier(10, n_jobs=1))
    model = RotatingClassifier(inner, n_splits=4, salt=5).fit(X, y, groups=event)
    graph = to_onnx(model, X=X, groups=event)
    assert [value.name for value in graph.graph.input] == ["features", "event_number"]
    comparison = verify_onnx(model, graph, X, groups=event)
    assert comparison, str(comparison)
    label, probabilities = run(graph, X, event)
    assert label.tolist() == model.predict(X, groups=event).tolist()
    # neither row order nor company matters, and no fold needs to have an event
    label_1, probabilities_1 = run(graph, X[5:6], event[5:6])
    assert label_1[0] == label[5]
    assert np.abs(probabilities_1[0] - probabilities[5]).max() < 1e-6
    order = np.random.default_rng(1).permutation(len(X))
    assert np.abs(run(graph, X[order], event[order])[1] - probabilities[order]).max() < 1e-6
    none = run(graph, X[:0], event[:0])
    assert none[1].shape == (0, 2)


def test_identifiers_in_the_table(events):
    pd = pytest.importorskip("pandas")
    X, y, event = events
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.insert(1, "event", event[:, 0])
    inner = make_pipeline(MissingValueImputer(), BDTClassifier(10, n_jobs=1))
    model = RotatingClassifier(inner, n_splits=3, id_columns="event").fit(frame, y)
    graph = to_onnx(model, X=frame)
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3
    assert verify_onnx(model, graph, frame)
    search = GridSearchCV(model, {"n_splits": [2, 3]}, cv=2).fit(frame, y)
    assert verify_onnx(search, to_onnx(search), frame)


def test_regression_and_steps_before(events):
    X, _, event = events
    target = np.nan_to_num(X[:, 0]) * 100 + 1e4
    model = RotatingRegressor(BDTRegressor(10, n_jobs=1), n_splits=3)
    model.fit(X, target, groups=event)
    graph = to_onnx(model)
    assert verify_onnx(model, graph, X, groups=event)
    assert run(graph, X, event)[0].shape == (800,)


def test_without_identifiers_the_mean(events):
    X, y, _ = events
    with pytest.warns(UnidentifiedEventsWarning):
        model = RotatingClassifier(BDTClassifier(10, n_jobs=1), n_splits=3).fit(X, y)
    graph = to_onnx(model)
    assert [value.name for value in graph.graph.input] == ["features"]
    assert verify_onnx(model, graph, X)
    with pytest.warns(UnidentifiedEventsWarning):
        model = RotatingRegressor(Ridge(), n_splits=3).fit(np.nan_to_num(X), X[:, 0])
    assert verify_onnx(model, to_onnx(model), np.nan_to_num(X))


def test_identifiers_are_asked_for(events):
    X, y, event = events
    model = RotatingClassifier(BDTClassifier(5, n_jobs=1), n_splits=2).fit(X, y, groups=event)
    graph = to_onnx(model)
    with pytest.raises(ValueError, match=r"event_number.*pass groups="):
        verify_onnx(model, graph, X)
    with pytest.raises(ValueError, match=r"'event_number' has the shape .*\(800, 1\) is given"):
        verify_onnx(model, graph, X, groups=event[:, 0])
