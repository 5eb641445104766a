"""BDTs in xgboost's own JSON, read by xgboost and by hand."""

import json

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose
from scipy.special import expit, logit, softmax
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    RandomForestClassifier,
    UniformBDTClassifier,
)
from skhep_ml.export import to_xgboost_json
from skhep_ml.preprocessing import ZScoreScaler

MODELS = {
    "two classes": (BDTClassifier(20, n_jobs=1), 2),
    "signed": (BDTClassifier(20, n_jobs=1, negative_weights="keep"), 2),
    "uniform": (UniformBDTClassifier([2], n_estimators=20, n_jobs=1), 2),
    "stopped": (BDTClassifier(50, n_jobs=1, early_stopping_rounds=2), 2),
    "three classes": (BDTClassifier(10, n_jobs=1), 3),
    "three classes, signed": (BDTClassifier(10, n_jobs=1, negative_weights="keep"), 3),
    "regression": (BDTRegressor(10, n_jobs=1), 0),
}


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 3)).astype(np.float32)
    score = X[:, 0] + X[:, 1] ** 2 + rng.normal(size=1000)
    w = rng.lognormal(size=1000) * np.where(rng.random(1000) < 0.1, -1, 1)
    return X, score, w


def fitted(name, events):
    X, score, w = events
    model, n_classes = MODELS[name]
    y = np.digitize(score, [0.5, 1.5][: n_classes - 1]) if n_classes else score
    weight = {"sample_weight": w} if "signed" in name else {}
    return model.fit(X, y, **weight)


def walk(tree, row):
    """Leaf of one event, by the file alone."""
    node = 0
    while tree["left_children"][node] >= 0:
        value, limit = row[tree["split_indices"][node]], tree["split_conditions"][node]
        left = value < np.float32(limit)
        node = tree["left_children" if left else "right_children"][node]
    return tree["split_conditions"][node]


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize("name", MODELS)
def test_a_reader_that_knows_only_the_format(name, events, tmp_path):
    X, _, _ = events
    model = fitted(name, events)
    to_xgboost_json(model, tmp_path / "bdt.json")
    learner = json.loads((tmp_path / "bdt.json").read_text())["learner"]
    assert (
        learner["objective"]["name"]
        == {
            0: "reg:squarederror",
            2: "binary:logistic",
            3: "multi:softprob",
        }[MODELS[name][1]]
    )
    seen = X[:50, getattr(model, "train_columns_", slice(None))]
    trees = learner["gradient_booster"]["model"]
    text = learner["learner_model_param"]["base_score"]
    base = np.array([float(part) for part in text.strip("[]").split(",")])
    n_outputs = MODELS[name][1] if MODELS[name][1] > 2 else 1
    margin = np.zeros((50, n_outputs))
    for tree, target in zip(trees["trees"], trees["tree_info"], strict=True):
        margin[:, target] += [walk(tree, row) for row in seen]
    if MODELS[name][1] == 2:
        p = expit(margin[:, 0] + logit(float(text)))  # a plain number, not a list
        assert_allclose(p, model.predict_proba(X[:50])[:, 1], atol=1e-6)
    elif MODELS[name][1] == 3:
        assert_allclose(softmax(margin + base, axis=1), model.predict_proba(X[:50]), atol=1e-6)
    else:
        assert_allclose(margin[:, 0] + float(text), model.predict(X[:50]), atol=1e-5)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize("name", MODELS)
def test_xgboost_reads_it(name, events, tmp_path):
    X, _, _ = events
    model = fitted(name, events)
    path = tmp_path / "bdt.json"
    to_xgboost_json(model, path)
    seen = X[:, getattr(model, "train_columns_", slice(None))]
    if name == "regression":
        reader = xgboost.XGBRegressor()
        reader.load_model(path)
        assert_allclose(reader.predict(seen), model.predict(X), rtol=1e-6)
        return
    reader = xgboost.XGBClassifier()
    reader.load_model(path)
    assert_allclose(reader.predict_proba(seen), model.predict_proba(X), atol=1e-7)


def test_names_of_the_features(events, tmp_path):
    pd = pytest.importorskip("pandas")
    X, score, _ = events
    frame = pd.DataFrame(X, columns=["mass", "pt", "eta"])
    model = UniformBDTClassifier(["mass"], n_estimators=5, n_jobs=1).fit(frame, score > 0)
    to_xgboost_json(model, tmp_path / "bdt.json")
    booster = xgboost.Booster(model_file=tmp_path / "bdt.json")
    assert booster.feature_names == ["pt", "eta"]
    found = booster.predict(xgboost.DMatrix(frame[["pt", "eta"]]))
    assert_allclose(found, model.predict_proba(frame)[:, 1], atol=1e-7)


def test_bad_input(events, tmp_path):
    X, score, _ = events
    path = tmp_path / "bdt.json"
    pipeline = make_pipeline(ZScoreScaler(), BDTClassifier(2, n_jobs=1)).fit(X, score > 0)
    with pytest.raises(TypeError, match=r"Pipeline is no BDTClassifier.*model\[-1\]"):
        to_xgboost_json(pipeline, path)
    with pytest.raises(TypeError, match="RandomForestClassifier is no"):
        to_xgboost_json(RandomForestClassifier(2).fit(X, score > 0), path)
    with pytest.raises(NotFittedError):
        to_xgboost_json(BDTClassifier(), path)
    with pytest.raises(ValueError, match=r"must end in \.json"):
        to_xgboost_json(pipeline[-1], tmp_path / "bdt.model")
    dart = BDTClassifier(2, n_jobs=1, engine_params={"booster": "dart"}).fit(X, score > 0)
    with pytest.raises(ValueError, match="kind 'dart'"):
        to_xgboost_json(dart, path)
    assert not list(tmp_path.iterdir())
