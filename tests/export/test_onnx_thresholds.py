"""Events exactly on thresholds, missing values, and what the comparison reports."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.cluster import DBSCAN
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skhep_ml.ensemble import BDTClassifier, BDTRegressor, RandomForestClassifier
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.export._verify import OnnxComparison
from skhep_ml.gaussian_process import GPRegressor
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.preprocessing import (
    AutoScaler,
    EventsTransformer,
    LogScaler,
    MinMaxScaler,
    QuantileClipper,
    ZScoreScaler,
)

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@functools.cache
def make_events():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, 3)).astype(np.float32)
    y = X[:, 0] + X[:, 1] ** 2 + rng.normal(size=1000) > 0.5
    X[rng.random(1000) < 0.3, 1] = np.nan
    return X, y


@pytest.fixture
def events():
    return tuple(part.copy() for part in make_events())


def run(graph, X):
    session = ort.InferenceSession(graph.SerializeToString())
    return dict(
        zip(
            [value.name for value in session.get_outputs()],
            session.run(None, {"features": X}),
            strict=True,
        )
    )


def beside(thresholds, feature, n_features):
    """Events on, just below and just above each threshold of a feature, others zero."""
    at = np.asarray(thresholds, dtype=np.float32)
    values = np.concatenate([at, np.nextafter(at, np.float32(-9)), np.nextafter(at, np.float32(9))])
    X = np.zeros((len(values), n_features), dtype=np.float32)
    X[:, feature] = values
    return X


def test_events_on_the_thresholds_of_a_bdt(events):
    X, y = events
    model = BDTClassifier(40, max_depth=3, n_jobs=1).fit(X, y)
    frame = [json.loads(tree) for tree in model.booster_.get_dump(dump_format="json")]
    splits = {0: [], 1: [], 2: []}

    def walk(node):
        if "split" in node:
            splits[int(node["split"][1:])].append(node["split_condition"])
            for child in node["children"]:
                walk(child)

    for tree in frame:
        walk(tree)
    graph = to_onnx(model)
    for feature, thresholds in splits.items():
        assert len(thresholds) > 5
        on = beside(thresholds, feature, 3)
        assert_allclose(run(graph, on)["probabilities"], model.predict_proba(on), atol=1e-6)
    # the test can tell: with <= in place of < it fails
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_modes":
                modes = [mode.replace(b"_LT", b"_LEQ") for mode in attribute.strings]
                del attribute.strings[:]
                attribute.strings.extend(modes)
    on = beside(splits[0], 0, 3)
    found = run(graph, on)["probabilities"]
    assert np.abs(found - model.predict_proba(on)).max() > 1e-3
    comparison = verify_onnx(model, graph, on)
    assert not comparison
    assert comparison.n_threshold == min(len(comparison.differing), 200)


def test_events_on_the_thresholds_of_a_forest(events):
    # its thresholds are float64, halfway between float32 numbers
    X, y = events
    X = np.nan_to_num(np.round(X * 8)).astype(np.float32) * np.float32(0.1)
    model = RandomForestClassifier(20, random_state=0).fit(X, y)
    graph = to_onnx(model)
    for feature in range(3):
        thresholds = np.concatenate(
            [tree.tree_.threshold[tree.tree_.feature == feature] for tree in model.estimators_]
        )
        on = beside(thresholds, feature, 3)
        assert_allclose(run(graph, on)["probabilities"], model.predict_proba(on), atol=1e-6)


def test_missing_values_take_the_side_of_training(events):
    X, y = events
    nothing = np.full((1, 3), np.nan, dtype=np.float32)
    for model in (BDTClassifier(20, n_jobs=1), RandomForestClassifier(10, random_state=0)):
        model.fit(X, y)
        graph = to_onnx(model)
        assert_allclose(
            run(graph, nothing)["probabilities"], model.predict_proba(nothing), atol=1e-6
        )
        holes = np.where(np.random.default_rng(0).random(X.shape) < 0.5, np.nan, X)
        assert verify_onnx(model, graph, holes.astype(np.float32))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_base_score(share, events):
    # no split at all: the base score is the answer
    X, _ = events
    y = np.arange(1000) < 1000 * share
    model = BDTClassifier(1, max_depth=1, learning_rate=1e-7, n_jobs=1).fit(X, y)
    found = run(to_onnx(model), X)["probabilities"]
    assert_allclose(found, model.predict_proba(X), atol=1e-6)
    model = BDTRegressor(1, learning_rate=1e-7, n_jobs=1).fit(X, 1e5 * y + 3e4)
    assert_allclose(run(to_onnx(model), X)["prediction"], model.predict(X), rtol=1e-6)


def test_class_order_is_that_of_the_model(events):
    X, y = events
    labels = np.where(y, "Higgs", np.where(X[:, 0] > 0, "Z", "W"))
    model = BDTClassifier(10, n_jobs=1).fit(X, labels)
    graph = to_onnx(model)
    found = run(graph, X)
    assert model.classes_.tolist() == ["Higgs", "W", "Z"]
    assert found["label"].tolist() == model.predict(X).tolist()
    # a permuted graph is noticed, by its labels alone too
    for tensor in graph.graph.initializer:
        if tensor.data_type == onnx.TensorProto.STRING:
            names = list(tensor.string_data)
            del tensor.string_data[:]
            tensor.string_data.extend([names[1], names[0], names[2]])
    comparison = verify_onnx(model, graph, X)
    assert comparison.largest_difference < 1e-6
    assert comparison.n_labels == np.isin(model.predict(X), ["Higgs", "W"]).sum()
    assert not comparison
    assert "another label" in str(comparison)


def test_rounding_of_float64_events_is_reported(events):
    X, y = events
    model = make_pipeline(ZScoreScaler(), BDTClassifier(20, n_jobs=1))
    model.fit(X.astype(np.float64), y)
    graph = to_onnx(model)
    # between two float32 numbers around a threshold: the graph cannot tell them apart
    splits = [float(line) for line in model[-1].booster_.trees_to_dataframe()["Split"].dropna()]
    assert splits
    assert verify_onnx(model, graph, X)
    wide = X.astype(np.float64) + 1e-9
    comparison = verify_onnx(model, graph, wide)
    assert comparison.n_events == 1000
    assert comparison.n_threshold == len(comparison.differing)


@pytest.mark.parametrize("kind", [np.float32, np.float64, "frame"])
def test_steps_work_in_the_precision_of_the_events(kind, events):
    # imputed values are many, and all lie on one side of the split at their value
    X, y = events
    X = X * np.float32(1.7) + np.float32(0.3)
    if kind == "frame":
        pd = pytest.importorskip("pandas")
        X = pd.DataFrame(X, columns=["a", "b", "c"]).astype({"b": np.float64})
    else:
        X = X.astype(kind)
    for scaler in (ZScoreScaler(), MinMaxScaler(), LogScaler(), AutoScaler()):
        steps = [MissingValueImputer("mean", add_indicator=True), QuantileClipper(), scaler]
        model = make_pipeline(*steps, BDTClassifier(60, n_jobs=1)).fit(X, y)
        graph = to_onnx(model, X=X)
        comparison = verify_onnx(model, graph, X)
        assert comparison, str(comparison)
        assert comparison.largest_difference < 1e-6
        assert graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_text_of_a_comparison():
    text = str(OnnxComparison("prediction", 5000, 1e-5, 0.25, np.arange(7), 1, 0, 3, 6))
    assert text == (
        "prediction of 5,000 events: largest difference 2.5e-01, 7 beyond 1e-05 (events 0, 1, 2, "
        "3, 4, ...); 1 NaN on one side alone; 3 with missing features; 6 on the threshold of a tree"
    )


def test_nan_on_one_side_is_a_difference(events):
    X, _ = events
    model = ZScoreScaler().fit(X)
    other = to_onnx(make_pipeline(MissingValueImputer(), ZScoreScaler()).fit(X))
    comparison = verify_onnx(model, other, X)
    assert comparison.n_nan == np.isnan(X).any(axis=1).sum()
    assert comparison.n_missing == comparison.n_nan
    assert not comparison


def test_the_file_alone_predicts(events, tmp_path):
    X, y = events
    model = make_pipeline(MissingValueImputer(add_indicator=True), BDTClassifier(20, n_jobs=1))
    model.fit(X, np.where(y, "signal", "background"))
    path = tmp_path / "model.onnx"
    to_onnx(model, path, X=X)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert verify_onnx(model, path, X)
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession('model.onnx')\n"
        "label, p = session.run(None, {'features': np.load('X.npy')})\n"
        "np.savez('out.npz', label=label.astype(str), p=p)\n"
        "loaded = [m for m in sys.modules if m.startswith(('skhep_ml', 'sklearn', 'xgboost'))]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as out:
        assert out["label"].tolist() == model.predict(X).tolist()
        assert_allclose(out["p"], model.predict_proba(X), atol=1e-6)


def test_contract_of_the_graph(events, tmp_path):
    X, y = events
    model = make_pipeline(MissingValueImputer(), BDTClassifier(5, n_jobs=1)).fit(X, y)
    graph = to_onnx(model)
    versions = {entry.domain: entry.version for entry in graph.opset_import}
    assert versions == {"": 13, "ai.onnx.ml": 2}
    assert graph.ir_version <= 7
    (features,) = graph.graph.input
    assert features.name == "features"
    assert features.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    batch, width = features.type.tensor_type.shape.dim
    assert batch.dim_param == "n_events"
    assert width.dim_value == 3
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(metadata["feature_names"]) == ["x0", "x1", "x2"]
    assert json.loads(metadata["classes"]) == [False, True]
    assert metadata["model"] == "MissingValueImputer > BDTClassifier"
    assert {"skhep_ml", "scikit-learn", "numpy"} <= set(metadata)
    assert verify_onnx(model, to_onnx(model, opset=18), X)


class Odd(BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


def nothing_special(X):
    return X + 1


def test_what_cannot_be_exported_is_named(events, tmp_path):
    X, y = events
    full = np.nan_to_num(X)
    path = tmp_path / "model.onnx"
    gp = GPRegressor(mean=lambda X, a: a * X[:, 0], mean_start=[1.0], optimizer=None, device="cpu")
    gp.fit(full[:30], full[:30, 0])
    with pytest.raises(ValueError, match=r"^GPRegressor cannot be exported to ONNX: its mean is"):
        to_onnx(gp, path)
    odd = make_pipeline(ZScoreScaler(), make_pipeline(Odd(), BDTClassifier(2, n_jobs=1)))
    with pytest.raises(ValueError, match=r"step pipeline\.odd \(Odd\) cannot be exported"):
        to_onnx(odd.fit(X, y), path)
    function = make_pipeline(FunctionTransformer(nothing_special), BDTClassifier(2, n_jobs=1))
    with pytest.raises(ValueError, match=r"functiontransformer.*'nothing_special' has no export"):
        to_onnx(function.fit(X, y), path, X=X)
    with pytest.raises(ValueError, match=r"RidgeClassifier.*CalibratedClassifierCV"):
        to_onnx(RidgeClassifier().fit(full, y), path)
    search = GridSearchCV(BDTClassifier(2, n_jobs=1), {"max_depth": [1]}, cv=2, refit=False)
    with pytest.raises(ValueError, match="refit=False"):
        to_onnx(search.fit(X, y), path)
    linear = xgboost.XGBClassifier(booster="gblinear", n_estimators=2, n_jobs=1)
    with pytest.raises(ValueError, match="'gblinear' has no trees"):
        to_onnx(linear.fit(X, y), path)
    mixed = EventsTransformer({"met": ZScoreScaler()}).fit({"met": X[:, 0]})
    with pytest.raises(ValueError, match="does not know the shapes of its inputs: pass"):
        to_onnx(mixed, path)
    with pytest.raises(ValueError, match="takes several arrays by name, but gets one"):
        to_onnx(mixed, path, X=X)
    with pytest.raises(ValueError, match="DBSCAN cannot be exported"):
        to_onnx(DBSCAN().fit(full), path)
    assert not list(tmp_path.iterdir())


def test_bad_input(events, tmp_path):
    X, y = events
    model = BDTClassifier(2, n_jobs=1)
    with pytest.raises(NotFittedError):
        to_onnx(model)
    model.fit(X, y)
    for opset in (12, 99, "13"):
        with pytest.raises(ValueError, match="opset must be an integer from 13"):
            to_onnx(model, opset=opset)
    graph = to_onnx(model)
    with pytest.raises(ValueError, match="X holds no events"):
        verify_onnx(model, graph, X[:0])
    with pytest.raises(ValueError, match="tolerance"):
        verify_onnx(model, graph, X, tolerance=-1)
    with pytest.raises(FileNotFoundError):
        verify_onnx(model, tmp_path / "none.onnx", X)
    with pytest.raises(ValueError, match=r"'features' has the shape .*\(1000, 2\) is given"):
        verify_onnx(model, graph, X[:, :2])
    with pytest.raises(ValueError, match="pass some events as X="):
        to_onnx(make_pipeline("passthrough").fit(X))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*no folder'"):
        to_onnx(model, tmp_path / "no folder" / "model.onnx")


def test_a_graph_that_differs_is_not_written(events, tmp_path, monkeypatch):
    X, y = events
    model = LogisticRegression().fit(np.nan_to_num(X), y)
    from skhep_ml.export import _convert_models

    original = _convert_models.two_classes
    monkeypatch.setattr(
        _convert_models,
        "two_classes",
        lambda graph, p: original(graph, graph.op("Sub", np.float32(1), p)),
    )
    with pytest.raises(ValueError, match=r"nothing was written.*beyond 1e-05.*another label"):
        to_onnx(model, tmp_path / "model.onnx", X=np.nan_to_num(X))
    assert not list(tmp_path.iterdir())


def test_scikit_learns_scaler_before_trees(events):
    # the last digit of skl2onnx's arithmetic can differ: such events are explained
    X, y = events
    model = make_pipeline(StandardScaler(), BDTClassifier(60, n_jobs=1)).fit(X, y)
    comparison = verify_onnx(model, to_onnx(model), X)
    assert comparison.n_threshold == len(comparison.differing)
    assert len(comparison.differing) < 0.05 * len(X)
