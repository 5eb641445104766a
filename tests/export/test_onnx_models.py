"""Every model and transformer of the package and its graph, event by event."""

import functools
import json

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.linear_model
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PowerTransformer
from sklearn.preprocessing import StandardScaler as SklearnStandardScaler

from skhep_ml.cluster import KMeans
from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    UniformBDTClassifier,
)
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.impute import DropMissingColumns, DropMissingRows, MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.over_sampling import ResampledClassifier, ResampledRegressor, WeightedSMOTE
from skhep_ml.preprocessing import (
    AutoScaler,
    LogScaler,
    MinMaxScaler,
    QuantileClipper,
    ZScoreScaler,
)

ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")

N = 600


@functools.cache
def make_events():
    """Features of many shapes, some missing, and labels that depend on them."""
    rng = np.random.default_rng(3)
    mass = rng.normal(91, 5, N)
    pt = rng.lognormal(3, 1.5, N)
    impact = rng.normal(size=N) * rng.lognormal(0, 3, N)
    phi = rng.uniform(-np.pi, np.pi, N)
    n_jets = rng.integers(0, 6, N).astype(float)
    time = rng.uniform(1e5, 1e5 + 100, N)
    X = np.column_stack([mass, pt, impact, phi, n_jets, time]).astype(np.float32)
    score = (mass - 91) / 5 + np.log(pt) - 3 + phi / 3
    y = np.digitize(score + rng.normal(size=N), [-0.5, 1.0])
    X[rng.random(N) < 0.15, 1] = np.nan
    X[rng.random(N) < 0.2, 3] = -999
    X[rng.random(N) < 0.1, 0] = np.nan
    w = rng.lognormal(size=N) * np.where(rng.random(N) < 0.1, -1, 1)
    return X, y, w


@pytest.fixture
def events():
    return tuple(part.copy() for part in make_events())


def assert_same(model, X, tolerance=1e-5, **more):
    graph = to_onnx(model)
    comparison = verify_onnx(model, graph, X, tolerance=tolerance, **more)
    assert comparison, str(comparison)
    assert comparison.n_nan == 0
    # other batch sizes than any before
    few = {name: value[:3] for name, value in more.items()}
    comparison = verify_onnx(model, graph, X[:3], tolerance=tolerance, **few)
    assert comparison, str(comparison)
    return graph


TRANSFORMERS = {
    "min-max": MinMaxScaler(),
    "min-max, clipped": MinMaxScaler(feature_range=(0, 1), clip=True),
    "log": LogScaler(),
    "z-score": ZScoreScaler(),
    "robust": ZScoreScaler(robust=True),
    "auto": AutoScaler(),
    "clipper": QuantileClipper(0.01, 0.97),
    "median": MissingValueImputer(),
    "mean, flags": MissingValueImputer("mean", add_indicator=True),
    "most frequent": MissingValueImputer("most_frequent", missing_values=(-999.0, 0.0)),
    "constant": MissingValueImputer("constant", fill_value=7.5),
    "between events": MissingValueImputer("interpolate", axis=5),
    "between samples": MissingValueImputer("interpolate", axis=[0, 1, 3, 4], add_indicator=True),
    "between two samples": MissingValueImputer("interpolate", axis=[3, 1]),
    "drop columns": DropMissingColumns(0.18),
    "imputed, then scaled": make_pipeline(MissingValueImputer(), LogScaler(), QuantileClipper()),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name, events):
    X, _, w = events
    model = TRANSFORMERS[name]
    if hasattr(model, "steps"):
        model.fit(X)
    else:
        model.fit(X, sample_weight=np.abs(w))
    assert_same(model, X)


@pytest.mark.parametrize("name", ["min-max", "log", "z-score", "robust", "auto", "clipper"])
def test_scalers_are_equal_to_the_last_digit(name, events):
    # a last digit that differs moves events across the thresholds of trees
    X, _, _ = events
    model = TRANSFORMERS[name].fit(X)
    session = ort.InferenceSession(to_onnx(model).SerializeToString())
    (found,) = session.run(None, {"features": X})
    assert np.mean(found.view(np.int32) != model.transform(X).view(np.int32)) < 1e-3


def test_scaler_of_a_cloud(events):
    X, _, _ = events
    cloud = X[:600].reshape(100, 6, 6).copy()
    cloud[::3, 4:] = np.nan
    for model in (ZScoreScaler(), LogScaler(), MissingValueImputer(add_indicator=True)):
        model.fit(cloud)
        graph = to_onnx(model, X=cloud)
        assert [d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim][2] == 6
        assert verify_onnx(model, graph, cloud[:7, :3])


CLASSIFIERS = {
    "BDT": BDTClassifier(n_estimators=12, n_jobs=1),
    "BDT, signed": BDTClassifier(n_estimators=12, n_jobs=1, negative_weights="keep"),
    "BDT, dropped trees": BDTClassifier(
        n_estimators=20, n_jobs=1, engine_params={"booster": "dart", "rate_drop": 0.2}
    ),
    "BDT, stopped": BDTClassifier(n_estimators=60, n_jobs=1, early_stopping_rounds=3),
    "BDT, forest in each round": BDTClassifier(
        n_estimators=5, n_jobs=1, engine_params={"num_parallel_tree": 3}
    ),
    "forest": RandomForestClassifier(8, random_state=0),
    "forest, signed": RandomForestClassifier(
        8, negative_weights="keep", min_samples_leaf=80, random_state=0
    ),
    "logistic": make_pipeline(MissingValueImputer(), AutoScaler(), LogisticRegression()),
    "logistic, unscaled": make_pipeline(MissingValueImputer(), LogisticRegression(max_iter=50)),
    "resampled": make_pipeline(
        MissingValueImputer(),
        ResampledClassifier(WeightedSMOTE(random_state=0), BDTClassifier(20, n_jobs=1)),
    ),
    "scaled BDT": make_pipeline(
        MissingValueImputer(add_indicator=True),
        DropMissingColumns(),
        QuantileClipper(),
        AutoScaler(),
        BDTClassifier(15, n_jobs=1),
    ),
    "log-scaled BDT": make_pipeline(LogScaler(), BDTClassifier(15, n_jobs=1)),
}


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.filterwarnings("ignore:lbfgs failed")
@pytest.mark.parametrize("labels", ["two", "text"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name, labels, events):
    X, y, w = events
    y = y > 0 if labels == "two" else np.array(["Z", "W", "tt"])[y]
    model = CLASSIFIERS[name]
    if "signed" in name:
        model.fit(X, y, sample_weight=w)
    else:
        model.fit(X, y)
    graph = assert_same(model, X)
    session = ort.InferenceSession(graph.SerializeToString())
    label, probabilities = session.run(None, {"features": X})
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (N, len(model.classes_))
    assert set(label.tolist()) <= set(model.classes_.tolist())
    classes = json.loads({p.key: p.value for p in graph.metadata_props}["classes"])
    assert classes == model.classes_.tolist()


def test_uniform_bdt_leaves_out_the_uniform_columns(events):
    X, y, _ = events
    model = UniformBDTClassifier([4], n_estimators=20, n_jobs=1).fit(X, y > 0)
    graph = assert_same(model, X)
    other = X.copy()
    other[:, 4] = 1e6
    session = ort.InferenceSession(graph.SerializeToString())
    assert np.array_equal(
        session.run(None, {"features": X})[1], session.run(None, {"features": other})[1]
    )


REGRESSORS = {
    "BDT": BDTRegressor(n_estimators=12, n_jobs=1),
    "BDT, signed": BDTRegressor(n_estimators=12, n_jobs=1, negative_weights="keep"),
    "forest": RandomForestRegressor(8, random_state=0),
    "forest, signed": RandomForestRegressor(
        8, negative_weights="keep", min_samples_leaf=80, random_state=0
    ),
    "resampled": ResampledRegressor(DropMissingRows(), BDTRegressor(20, n_jobs=1)),
    "ridge": make_pipeline(MissingValueImputer(), AutoScaler(), sklearn.linear_model.Ridge()),
    "voting": VotingRegressor(
        [("a", BDTRegressor(10, n_jobs=1)), ("b", BDTRegressor(5, n_jobs=1))], weights=[1, 3]
    ),
}


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize("unit", [1e-6, 1e5])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name, unit, events):
    X, y, w = events
    target = unit * (y + 0.3 * np.nan_to_num(X[:, 3], nan=0) / 1000 + 3)
    model = REGRESSORS[name]
    model.fit(X, target, **({"sample_weight": w} if "signed" in name else {}))
    if name == "resampled":
        X = X[~(np.isnan(X) | (X == -999)).any(axis=1)]
    graph = assert_same(model, X)
    session = ort.InferenceSession(graph.SerializeToString())
    assert session.run(None, {"features": X})[0].shape == (len(X),)


def test_forest_of_several_targets(events):
    X, y, _ = events
    Y = np.column_stack([y, y**2]).astype(float)
    model = RandomForestRegressor(10, random_state=0).fit(X, Y)
    graph = assert_same(model, X)
    assert graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 2


def test_kmeans(events):
    X, _, _ = events
    model = make_pipeline(MissingValueImputer(), AutoScaler(), KMeans(4, random_state=0)).fit(X)
    assert_same(model, X)
    # as a step: distances are the features
    model = make_pipeline(MissingValueImputer(), AutoScaler(), KMeans(3, random_state=0))
    model = make_pipeline(model, LogisticRegression()).fit(X, events[1] > 0)
    assert_same(model, X)


def test_kmeans_far_from_the_origin():
    # squares of coordinates are 1e8 there, in which float32 loses distances of some units
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(500, 2)) + 1e4 + 4 * rng.integers(0, 3, (500, 1))).astype(np.float32)
    model = KMeans(3, random_state=0).fit(X.astype(np.float64))
    session = ort.InferenceSession(to_onnx(model).SerializeToString())
    label, distances = session.run(None, {"features": X})
    assert np.array_equal(label, model.predict(X.astype(np.float64)))
    assert_allclose(distances, model.transform(X.astype(np.float64)), rtol=1e-5, atol=1e-6)


COMPOSITES = {
    "columns": make_pipeline(
        ColumnTransformer(
            [
                ("log", make_pipeline(MissingValueImputer(), FunctionTransformer(np.sqrt)), [1]),
                ("auto", AutoScaler(), slice(2, 4)),
                ("none", "drop", [5]),
            ],
            remainder="passthrough",
            transformer_weights={"auto": 2.0},
        ),
        BDTClassifier(20, n_jobs=1),
    ),
    "union": make_pipeline(
        FeatureUnion([("scaled", ZScoreScaler()), ("clipped", QuantileClipper())]),
        RandomForestClassifier(10, random_state=0),
    ),
    "search": GridSearchCV(
        make_pipeline(MissingValueImputer(), BDTClassifier(10, n_jobs=1)),
        {"bdtclassifier__max_depth": [2, 3]},
        cv=2,
    ),
    "voting": VotingClassifier(
        [("bdt", BDTClassifier(10, n_jobs=1)), ("forest", RandomForestClassifier(10))],
        voting="soft",
        weights=[2, 1],
    ),
    "calibrated": CalibratedClassifierCV(BDTClassifier(10, n_jobs=1), cv=2),
    "calibrated, isotonic": CalibratedClassifierCV(
        make_pipeline(AutoScaler(), BDTClassifier(10, n_jobs=1)), cv=2, method="isotonic"
    ),
    "calibrated forest": CalibratedClassifierCV(
        RandomForestClassifier(10, random_state=0), cv=2, method="isotonic"
    ),
    "selected": make_pipeline(
        MissingValueImputer(), SelectKBest(k=3), sklearn.ensemble.RandomForestClassifier(10)
    ),
    "scikit-learn": make_pipeline(
        MissingValueImputer(), SklearnStandardScaler(), sklearn.linear_model.LogisticRegression()
    ),
    "passthrough": make_pipeline("passthrough", MissingValueImputer(), LogisticRegression()),
}


@pytest.mark.filterwarnings("ignore:lbfgs failed")
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", COMPOSITES)
def test_models_of_models(name, n_classes, events):
    X, y, _ = events
    model = COMPOSITES[name].fit(X, np.minimum(y, n_classes - 1))
    assert_same(model, X)


def test_frozen_and_calibrated(events):
    X, y, _ = events
    bdt = BDTClassifier(10, n_jobs=1).fit(X[:400], y[:400] > 0)
    model = CalibratedClassifierCV(FrozenEstimator(bdt)).fit(X[400:], y[400:] > 0)
    assert_same(model, X)


def test_columns_by_name(events):
    pd = pytest.importorskip("pandas")
    X, y, _ = events
    frame = pd.DataFrame(X, columns=["mass", "pt", "impact", "phi", "n_jets", "time"])
    model = make_pipeline(
        ColumnTransformer(
            [
                ("scaled", AutoScaler(), ["impact", "pt"]),
                ("flags", MissingValueImputer(add_indicator=True), slice("phi", "time")),
            ]
        ),
        BDTClassifier(20, n_jobs=1),
    ).fit(frame, y > 0)
    graph = to_onnx(model)
    names = json.loads({p.key: p.value for p in graph.metadata_props}["feature_names"])
    assert names == list(frame.columns)
    shuffled = frame[["time", "pt", "phi", "mass", "impact", "n_jets"]]
    assert verify_onnx(model, graph, frame)
    bdt = BDTClassifier(20, n_jobs=1).fit(frame, y)
    assert verify_onnx(bdt, to_onnx(bdt), shuffled)


@pytest.mark.parametrize(
    "function", [None, np.abs, np.exp, np.log1p, np.negative, np.sign, np.square, np.tanh]
)
def test_functions(function, events):
    X = np.abs(events[0][:, 3:4]) / 100
    assert_same(make_pipeline(FunctionTransformer(function), ZScoreScaler()).fit(X), X)


def test_functions_of_positive_features(events):
    X = np.abs(events[0][:, 3:5]) + 1
    for function in (np.log, np.sqrt):
        assert_same(make_pipeline(FunctionTransformer(function), ZScoreScaler()).fit(X), X)


def test_steps_of_scikit_learn(events):
    X, y, _ = events
    filled = MissingValueImputer().fit_transform(X)[:, [0, 3, 4]]
    # on float32 tables the step itself takes logarithms and powers in float32
    double = filled.astype(np.float64)
    assert_same(PowerTransformer().fit(double), double)
    positive = np.exp(filled / 100).astype(np.float64)
    assert_same(PowerTransformer(method="box-cox").fit(positive), positive)
    flat = np.abs(filled[:, :1]).astype(np.float64)
    step = PowerTransformer(standardize=False).fit(flat)
    for power in (0.0, 2.0):
        step.lambdas_[:] = power
        assert_same(step, flat * np.sign(filled[:, 1:2]))
    assert_same(make_pipeline(AutoScaler(), GaussianNB()).fit(filled, y), filled)
    encoder = OneHotEncoder(sparse_output=False).fit(filled[:, 2:])
    assert_same(encoder, filled[:, 2:])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_histogram_boosting_of_scikit_learn(n_classes, events):
    X, y, _ = events
    model = sklearn.ensemble.HistGradientBoostingClassifier(max_iter=10)
    assert_same(model.fit(X, np.minimum(y, n_classes - 1)), X)
    for loss in ("squared_error", "poisson"):
        model = sklearn.ensemble.HistGradientBoostingRegressor(max_iter=10, loss=loss)
        assert_same(model.fit(X, y + 0.1), X)
    model = sklearn.ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=[4])
    model.fit(np.nan_to_num(X), y)
    with pytest.raises(ValueError, match="categorical features have no export"):
        to_onnx(model)


def test_xgboost_models(events):
    xgboost = pytest.importorskip("xgboost")
    X, y, _ = events
    assert_same(xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(X, y), X)
    model = xgboost.XGBClassifier(n_estimators=60, n_jobs=1, early_stopping_rounds=2)
    model.fit(X[:400], y[:400] > 0, eval_set=[(X[400:], y[400:] > 0)], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert_same(model, X)
    for objective in ("reg:squarederror", "count:poisson", "reg:logistic"):
        model = xgboost.XGBRegressor(n_estimators=10, n_jobs=1, objective=objective)
        assert_same(model.fit(X, y / 2 if objective == "reg:logistic" else y), X)
