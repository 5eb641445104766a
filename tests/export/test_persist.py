"""Every estimator of the package comes back from a file as it was."""

import importlib.util
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.ensemble
import xgboost
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from scipy import stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch.callbacks import EpochScoring

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.gaussian_process import GPClassifier, GPRegressor
from skhep_ml.impute import DropMissingRows, MissingValueImputer
from skhep_ml.metrics import background_rejection_scorer
from skhep_ml.model_selection import (
    BayesSearchCV,
    EventNumberKFold,
    RotatingClassifier,
    RotatingRegressor,
)
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import (
    CNN,
    MLP,
    RNN,
    DeepSets,
    DenseNet,
    InteractionNetwork,
    ParticleNet,
    ParticleTransformer,
    ResNet,
    TabM,
)
from skhep_ml.over_sampling import WeightedSMOTE
from skhep_ml.preprocessing import (
    AutoScaler,
    CloudToImage,
    CloudToTable,
    EventsTransformer,
    JaggedToPadded,
    KinematicsTransformer,
    LogScaler,
    ZScoreScaler,
)
from skhep_ml.reweighting import ClassifierReweighter
from skhep_ml.weights import request_weights

pytest.importorskip("skops")
pytest.importorskip("safetensors")
from skhep_ml.export import load, read_manifest, save

METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "transform",
    "predict_weights",
    "score_samples",
)


def table_of(file, name="INSTANCES"):
    """Estimators that other tests list."""
    path = Path(__file__).parents[1] / file
    module_name = f"persist_{path.stem}"
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        sys.modules[module_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module_name])
    return getattr(sys.modules[module_name], name)


def through_file(model, folder, trusted=()):
    path = folder / "model.skml"
    save(model, path, trusted=trusted)
    return load(path, trusted=trusted)


def dense(values):
    if isinstance(values, Events):
        return np.concatenate([np.asarray(values[name]).ravel() for name in values.names])
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def assert_same(model, loaded, X):
    assert type(loaded) is type(model)
    assert loaded.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    calls = {name: (X,) for name in METHODS if hasattr(model, name)}
    if hasattr(model, "sample"):
        calls["sample"] = (7,)
        options = {"context": X[:7]} if getattr(model, "context_features", None) else {}
    assert calls
    for name, arguments in calls.items():
        kwargs = {"random_state": 0, **options} if name == "sample" else {}
        expected, got = (getattr(m, name)(*arguments, **kwargs) for m in (model, loaded))
        assert type(got) is type(expected)
        expected, got = dense(expected), dense(got)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = np.where(X[:, 0] + 0.3 * RNG.normal(size=120) > 0, "signal", "background")
FRAME = pd.DataFrame(X, columns=["pt", "eta", "phi"])
EVENT = np.arange(120)
CLOUDS = np.abs(RNG.normal(size=(40, 6, 4))).astype(np.float32)
CLOUDS[5:20, 3:] = np.nan
CLOUDS[3] = np.nan
IMAGES = RNG.normal(size=(40, 2, 8, 8)).astype(np.float32)


def bdt(**params):
    return BDTClassifier(n_estimators=3, n_jobs=1, **params)


def net(**params):
    return NetClassifier(max_epochs=1, device="cpu", random_state=0, **params)


def small_net(**params):
    return net(module__hidden=(8,), **params)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@pytest.mark.parametrize(
    "instance", table_of("test_common.py"), ids=lambda model: type(model).__name__
)
def test_every_estimator_of_the_common_table(instance, tmp_path):
    y = (Y == "signal").astype(int)
    model = clone(instance).fit(X, y)
    own = [table_of("test_common.py", "SmallMLP")]
    trusted = own if isinstance(model, (NetClassifier, NetRegressor)) else ()
    assert_same(model, through_file(model, tmp_path, trusted), X)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.parametrize(
    "instance",
    table_of("reweighting/test_reweighters_common.py"),
    ids=lambda model: type(model).__name__,
)
def test_every_two_sample_estimator(instance, tmp_path):
    samples = table_of("reweighting/test_reweighters_common.py", "samples")
    original, target, *weights = samples()
    model = clone(instance).fit(original, target, *weights)
    assert_same(model, through_file(model, tmp_path), original)


def test_calibrated_reweighter(tmp_path):
    original, target, *weights = table_of("reweighting/test_reweighters_common.py", "samples")()
    model = ClassifierReweighter(bdt(), calibrate="isotonic", random_state=0)
    model.fit(original, target, *weights)
    assert_same(model, through_file(model, tmp_path), original)


@pytest.mark.parametrize(
    "sampler",
    table_of("over_sampling/test_common_samplers.py"),
    ids=lambda sampler: type(sampler).__name__,
)
def test_every_sampler(sampler, tmp_path):
    model = clone(sampler).fit(X, Y)
    loaded = through_file(model, tmp_path)
    for expected, got in zip(model.fit_resample(X, Y), loaded.fit_resample(X, Y), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "sampler",
    [
        sampler
        for sampler in table_of("over_sampling/test_common_samplers.py", "CLOUD_INSTANCES")
        if not isinstance(sampler, DropMissingRows)  # for tables
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_every_sampler_of_clouds(sampler, tmp_path):
    model = clone(sampler).fit(CLOUDS, Y[:40])
    loaded = through_file(model, tmp_path)
    for expected, got in zip(
        model.fit_resample(CLOUDS, Y[:40]), loaded.fit_resample(CLOUDS, Y[:40]), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("transformer", "data"),
    [
        (CloudToTable(), CLOUDS),
        (CloudToImage(), CLOUDS),
        (KinematicsTransformer(), CLOUDS),
        (JaggedToPadded(4), CLOUDS),
        (ZScoreScaler(), CLOUDS),
        (
            EventsTransformer({"jets": CloudToTable(), "number": "drop", "met": ZScoreScaler()}),
            Events(jets=CLOUDS, met=IMAGES[:, 0, 0, :1], number=np.arange(40)),
        ),
    ],
    ids=lambda thing: type(thing).__name__,
)
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
def test_transformers_of_clouds_and_events(transformer, data, tmp_path):
    model = transformer.fit(data)
    assert_same(model, through_file(model, tmp_path), data)


@pytest.mark.parametrize(
    ("model", "data", "target"),
    [
        (make_pipeline(MissingValueImputer(), AutoScaler(), bdt()), FRAME, Y),
        (bdt(class_weight={"signal": 1.0, "background": 2.5}), FRAME, Y),
        (bdt(class_weight={0: 1.0, 1: 2.5}), X, Y == "signal"),
        (make_pipeline(FunctionTransformer(np.arctan), LogisticRegression()), X, Y),
        (
            make_pipeline(
                ColumnTransformer(
                    [
                        ("log", LogScaler(), ["pt"]),
                        ("z", ZScoreScaler(), make_column_selector("eta")),
                    ],
                    remainder="passthrough",
                ),
                bdt(),
            ),
            FRAME,
            Y,
        ),
        (make_sampling_pipeline(WeightedSMOTE(random_state=0), bdt()), X, Y),
        (CalibratedClassifierCV(bdt(), cv=2), X, Y),
        (CalibratedClassifierCV(bdt(), cv=2, method="isotonic"), X, Y),
        (CalibratedClassifierCV(bdt(), cv=2, method="temperature"), X, Y),
        (sklearn.ensemble.GradientBoostingClassifier(n_estimators=2), X, Y),
        (sklearn.ensemble.HistGradientBoostingClassifier(max_iter=2), X, Y),
        (sklearn.ensemble.StackingClassifier([("bdt", bdt())], cv=2), X, Y),
        (xgboost.XGBClassifier(n_estimators=2), X, Y == "signal"),
        (OneHotEncoder(), np.sign(X).astype(int), None),
        (SGDClassifier(random_state=0), X, Y),
        (GPRegressor(mean="linear", device="cpu"), X[:40], X[:40, 0]),
        (GPClassifier(device="cpu"), X[:40], Y[:40]),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_models_made_of_others(model, data, target, tmp_path):
    model.fit(data, target)
    assert_same(model, through_file(model, tmp_path), data)


@pytest.mark.parametrize("method", ["exact", "sparse", "svgp"])
def test_gaussian_processes_by_every_method(method, tmp_path):
    options = {} if method == "exact" else {"n_inducing": 10}
    model = GPRegressor(method=method, optimizer=None, device="cpu", random_state=0, **options)
    model.fit(X[:60], X[:60, 0] ** 2)
    loaded = through_file(model, tmp_path)
    for expected, got in zip(
        model.predict(X, return_std=True), loaded.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(
            make_pipeline(AutoScaler(), bdt()),
            {"bdtclassifier__max_depth": [2, 3]},
            cv=EventNumberKFold(2),
            scoring=background_rejection_scorer(signal_efficiency=0.5),
        ),
        GridSearchCV(bdt(), {"max_depth": [2]}, cv=2, scoring=["roc_auc"], refit="roc_auc"),
        RandomizedSearchCV(
            bdt(),
            {"learning_rate": stats.loguniform(0.1, 1), "max_depth": stats.randint(2, 4)},
            n_iter=2,
            cv=2,
            random_state=0,
        ),
        BayesSearchCV(bdt(), {"max_depth": (2, 3), "learning_rate": (0.1, 1.0)}, n_iter=2, cv=2),
    ],
    ids=lambda search: type(search).__name__,
)
def test_searches(search, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        groups = {"groups": EVENT} if isinstance(search.cv, EventNumberKFold) else {}
        search.fit(FRAME, Y, **groups)
        loaded = through_file(search, tmp_path)
        assert_same(search, loaded, FRAME)
        assert loaded.best_params_ == search.best_params_
        assert loaded.score(FRAME, Y) == search.score(FRAME, Y)
    scores = "mean_test_roc_auc" if search.multimetric_ else "mean_test_score"
    np.testing.assert_array_equal(loaded.cv_results_[scores], search.cv_results_[scores])


@pytest.mark.parametrize("learner", ["classifier", "regressor"])
def test_rotating_models(learner, tmp_path):
    if learner == "classifier":
        model, y = RotatingClassifier(make_pipeline(ZScoreScaler(), bdt()), 3), Y
    else:
        model, y = RotatingRegressor(sklearn.linear_model.Ridge(), 3), X[:, 1]
    model.fit(FRAME, y, groups=EVENT)
    loaded = through_file(model, tmp_path)
    np.testing.assert_array_equal(
        loaded.predict(FRAME, groups=EVENT), model.predict(FRAME, groups=EVENT)
    )
    with pytest.raises(ValueError, match="identifiers"):
        loaded.predict(FRAME)


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (net(module=MLP, module__hidden=(8,), module__batch_norm=True), X),
        (net(module=MLP, module__hidden=(8,), module__embedding="periodic"), X),
        (net(module=ResNet), X),
        (net(module=DenseNet), X),
        (net(module=TabM, module__n_members=3), X),
        (small_net(n_members=3), X),
        (small_net(decorrelate="eta"), FRAME),
        (
            small_net(
                early_stopping=True,
                calibrate="temperature",
                prior={"signal": 0.3, "background": 0.7},
                ema_decay=0.9,
                optimizer="sgd",
                schedule="cosine",
            ),
            FRAME,
        ),
        (small_net(callbacks=[("auc", EpochScoring("roc_auc"))]), X),
        (net(module=DeepSets), CLOUDS),
        (net(module=RNN), CLOUDS),
        (net(module=ParticleNet.lite), CLOUDS),
        (net(module=InteractionNetwork), CLOUDS),
        (net(module=ParticleTransformer), CLOUDS),
        (net(module=CNN), IMAGES),
    ],
    ids=lambda thing: getattr(getattr(thing, "module", None), "__name__", type(thing).__name__),
)
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.NetWarning")
def test_nets(model, data, tmp_path):
    model.fit(data, Y[: len(data)])
    loaded = through_file(model, tmp_path)
    assert_same(model, loaded, data)
    assert loaded.history_.to_list() == model.history_.to_list()


@pytest.mark.parametrize("criterion", ["squared", "gaussian", "quantile"])
def test_regression_nets(criterion, tmp_path):
    model = NetRegressor(
        module__hidden=(8,), criterion=criterion, max_epochs=2, device="cpu", random_state=0
    ).fit(X, 10 + 3 * X[:, 0])
    loaded = through_file(model, tmp_path)
    assert_same(model, loaded, X)
    if criterion != "squared":
        np.testing.assert_array_equal(
            loaded.predict(X, return_std=True)[1], model.predict(X, return_std=True)[1]
        )


def test_a_loaded_net_goes_on_training(tmp_path):
    model = small_net(warm_start=True).fit(X, Y)
    loaded = through_file(model, tmp_path)
    before = loaded.predict_proba(X)
    loaded.partial_fit(X, Y)
    assert len(loaded.history_) == 2
    assert (loaded.predict_proba(X) != before).any()
    # a new fit is that of the saved model
    fresh = clone(loaded).set_params(warm_start=False).fit(X, Y)
    np.testing.assert_array_equal(fresh.predict_proba(X), model.predict_proba(X))


def test_global_random_numbers_are_left_alone(tmp_path):
    import torch

    model = small_net().fit(X, Y)
    save(model, tmp_path / "model.skml")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(tmp_path / "model.skml")
    assert torch.equal(torch.rand(2), expected)


def test_requests_for_metadata(tmp_path):
    with config_context(enable_metadata_routing=True):
        model = clone(request_weights(make_pipeline(StandardScaler(), LinearRegression())))
        model.fit(X, X[:, 0], sample_weight=np.ones(len(X)))
        save(model, tmp_path / "model.skml")
        loaded = load(tmp_path / "model.skml")
        requests = loaded[0].get_metadata_routing()
    assert requests.fit.requests == {"sample_weight": True}
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_shared_parts_stay_shared(tmp_path):
    base = bdt()
    model = GridSearchCV(base, {"max_depth": [2]}, cv=2).fit(X, Y)
    model.seen_ = [model.best_estimator_, model.best_estimator_]
    loaded = through_file(model, tmp_path)
    assert loaded.seen_[0] is loaded.seen_[1] is loaded.best_estimator_


def test_kinds_of_values_come_back_as_they_were(tmp_path):
    values = {
        "keys": {0: "a", True: "b", None: "c", (1, "x"): "d", np.int64(7): "e"},
        "numbers": [np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("pt"), float("nan")],
        "more": [frozenset({1, 2}), {3}, slice(1, None), b"raw", (1, (2,)), 1 << 70, np.inf],
        "arrays": [
            np.array(["a", None, 1.5], dtype=object),
            np.array(["a", "bc"]),
            np.ma.MaskedArray([1.0, 2.0], mask=[True, False]),
            np.arange(6, dtype=np.int16).reshape(2, 3).T,
            np.dtype("float32"),
        ],
    }
    model = LogisticRegression().fit(X, Y)
    model.values_ = values
    model.random_ = np.random.RandomState(3)
    model.generator_ = np.random.default_rng(3)
    loaded = through_file(model, tmp_path)
    assert loaded.values_["keys"] == values["keys"]
    for expected, got in zip(values["numbers"], loaded.values_["numbers"], strict=True):
        assert type(got) is type(expected)
        np.testing.assert_equal(got, expected)
    assert loaded.values_["more"] == values["more"]
    assert [type(value) for value in loaded.values_["more"]] == [type(v) for v in values["more"]]
    for expected, got in zip(values["arrays"], loaded.values_["arrays"], strict=True):
        assert type(got) is type(expected)
        np.testing.assert_array_equal(got, expected)
    assert loaded.values_["arrays"][2].mask.tolist() == [True, False]
    assert loaded.random_.randint(1000) == model.random_.randint(1000)
    assert loaded.generator_.integers(1000) == model.generator_.integers(1000)


def test_manifest(tmp_path):
    path = tmp_path / "model.skml"
    model = make_pipeline(AutoScaler(), bdt()).fit(FRAME, Y)
    metrics = {"auc": np.float64(0.9), "by_fold": [0.8, 1], "note": "first", "none": None}
    save(model, path, metrics=metrics, event_id=EVENT)
    manifest = read_manifest(path)
    assert manifest["class"] == "sklearn.pipeline.Pipeline"
    assert manifest["feature_names"] == ["pt", "eta", "phi"]
    assert manifest["n_features"] == 3
    assert manifest["metrics"] == metrics
    assert manifest["versions"].keys() >= {"skhep_ml", "python", "numpy", "sklearn", "xgboost"}
    assert manifest["training_events"]["n_events"] == 120
    save(model, path, event_id=EVENT[::-1])
    assert read_manifest(path)["training_events"] == manifest["training_events"]
    save(model, path, event_id=EVENT + 1)
    assert read_manifest(path)["training_events"] != manifest["training_events"]
    rotating = RotatingClassifier(bdt(), 3).fit(FRAME, Y, groups=EVENT)
    save(rotating, path)
    assert read_manifest(path)["feature_names"] == ["pt", "eta", "phi"]
    assert read_manifest(path)["training_events"] is None


def test_boosters_are_readable_by_xgboost_alone(tmp_path):
    model = bdt().fit(X, Y)
    save(model, tmp_path / "model.skml")
    with zipfile.ZipFile(tmp_path / "model.skml") as archive:
        (tmp_path / "model.ubj").write_bytes(archive.read("boosters/0.ubj"))
    booster = xgboost.Booster(model_file=tmp_path / "model.ubj")
    np.testing.assert_array_equal(
        booster.inplace_predict(X.astype(np.float32)), model.predict_proba(X)[:, 1]
    )


def double(values):
    return 2 * values


class Scaled(ZScoreScaler):
    """A user's own transformer."""


def test_own_classes_and_functions(tmp_path):
    path = tmp_path / "model.skml"
    model = make_pipeline(Scaled(), FunctionTransformer(double), bdt()).fit(X, Y)
    with pytest.raises(TypeError, match=r"model.steps\['scaled'\] .*Scaled.* trusted=\[Scaled\]"):
        save(model, path)
    with pytest.raises(
        TypeError, match=r"steps\['functiontransformer'\]\.func is the function double.*trusted"
    ):
        save(model, path, trusted=[Scaled])
    assert not path.exists()
    save(model, path, trusted=[Scaled, double])
    with pytest.raises(ValueError, match=r"Scaled.*trusted"):
        load(path)
    with pytest.raises(ValueError, match=r"double.*trusted=\[\.\.\.\]"):
        load(path, trusted=[Scaled])
    assert_same(model, load(path, trusted=[Scaled, double]), X)


@pytest.mark.parametrize(
    ("trusted", "error", "match"),
    [
        (double, TypeError, "list of classes and functions"),
        ("Scaled", TypeError, "list of classes and functions"),
        (["numpy.sin"], TypeError, "not names"),
        ([lambda x: x], ValueError, "at the top of a file"),
    ],
)
def test_bad_trusted(trusted, error, match, tmp_path):
    model = LogisticRegression().fit(X, Y)
    with pytest.raises(error, match=match):
        save(model, tmp_path / "model.skml", trusted=trusted)
    with pytest.raises(error, match=match):
        load(tmp_path / "missing.skml", trusted=trusted)


def test_what_cannot_be_saved_is_named(tmp_path):
    path = tmp_path / "model.skml"
    path.write_bytes(b"an older model")
    with pytest.raises(NotFittedError):
        save(bdt(), path)
    with_lambda = make_pipeline(FunctionTransformer(lambda x: x), bdt()).fit(X, Y)
    with pytest.raises(TypeError, match=r"steps\['functiontransformer'\]\.func is a lambda"):
        save(with_lambda, path)
    with_object = net(module=MLP(3, 2, (4,))).fit(X, Y)
    with pytest.raises(TypeError, match="module=MLP, and its arguments as module__"):
        save(with_object, path)
    with_itself = LogisticRegression().fit(X, Y)
    with_itself.loop_ = [with_itself]
    with pytest.raises(TypeError, match=r"model.loop_\[0\] holds itself"):
        save(with_itself, path)
    with_module = LogisticRegression().fit(X, Y)
    with_module.step_ = sys.modules["json"]
    with pytest.raises(TypeError, match=r"model.step_ is of the type"):
        save(with_module, path)
    with pytest.raises(ValueError, match=r"metrics\['auc'\] is nan"):
        save(LogisticRegression().fit(X, Y), path, metrics={"auc": np.nan})
    with pytest.raises(ValueError, match="keys must be texts"):
        save(LogisticRegression().fit(X, Y), path, metrics={1: 2})
    with pytest.raises(ValueError, match="integer"):
        save(LogisticRegression().fit(X, Y), path, event_id=EVENT + 0.5)
    # nothing has touched the older file, and no other is left
    assert path.read_bytes() == b"an older model"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_without_leftovers(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(LogisticRegression().fit(X, Y), tmp_path / "none" / "model.skml")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "model.skml")


def test_the_extra_is_named(monkeypatch, tmp_path):
    model = LogisticRegression().fit(X, Y)
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "skhep-ml\[save\]"'):
        save(model, tmp_path / "model.skml")
