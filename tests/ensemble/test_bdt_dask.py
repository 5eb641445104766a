"""Fits on a Dask cluster of two worker processes against fits in memory."""

import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import BDTClassifier, BDTRegressor, UniformBDTClassifier
from skhep_ml.metrics import roc_auc_score, roc_auc_scorer

distributed = pytest.importorskip("distributed", reason="needs dask.distributed (extra dask)")
pd = pytest.importorskip("pandas")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

OPTIONS = {"n_estimators": 15, "max_depth": 4, "n_jobs": 1, "device": "cpu", "random_state": 0}
NAMES = ["pt", "eta", "mass", "phi", "charge"]


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ports in use
        with distributed.LocalCluster(**options) as cluster:
            yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def sample():
    """Features with fewer values than bins, so that sketches of parts lose nothing."""
    events = make_signed_events(1500, negative_fraction=0.2, random_state=0)
    events.data = (np.round(np.asarray(events.data) * 20) / 20).astype(np.float32)
    events.data[::17, 1] = np.nan
    events.event_number = np.arange(len(events.data)) + 2**60
    return events


def cut(array, size=700):
    array = np.asarray(array)
    return da.from_array(array, chunks=(size, *array.shape[1:]))


def frame(X):
    return pd.DataFrame(X, columns=NAMES[: X.shape[1]])


@pytest.mark.parametrize(("policy", "class_weight"), [("keep", "balanced"), ("drop", None)])
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.BiasedWeightsWarning")
def test_signed_weights_give_the_model_of_fit(client, sample, policy, class_weight):
    X, y, w = sample.data, sample.target, sample.weight
    model = BDTClassifier(**OPTIONS, negative_weights=policy, class_weight=class_weight)
    whole = model.fit(X, y, sample_weight=w).predict_proba(X)
    # Dask may cut columns of one file in different places
    model.fit(cut(X), cut(y, 1000), sample_weight=cut(w, 300))
    scores = model.predict_proba(cut(X))
    assert isinstance(scores, da.Array)
    assert scores.shape == whole.shape
    assert scores.dtype == np.float32
    found = scores.compute()
    np.testing.assert_allclose(found, whole, atol=1e-5)
    auc = [roc_auc_score(y, p[:, 1], sample_weight=w) for p in (found, whole)]
    assert auc[0] == pytest.approx(auc[1], abs=1e-5)


def test_frames_keep_names_and_labels(client, sample):
    X, w = frame(sample.data), np.abs(sample.weight)
    y = np.array(["a", "b", "c"])[np.digitize(np.nan_to_num(sample.data[:, 0]), [-0.5, 0.5])]
    model = BDTClassifier(**OPTIONS).fit(X, y, sample_weight=w)
    whole, labels = model.predict_proba(X), model.predict(X)
    table = dd.from_pandas(X.assign(y=y, w=w), npartitions=3)
    model.fit(table[list(X.columns)], table["y"], sample_weight=table["w"])
    assert model.feature_names_in_.tolist() == list(X.columns)
    assert model.classes_.tolist() == ["a", "b", "c"]
    turned = table[list(X.columns)[::-1]]  # columns are found by name
    np.testing.assert_allclose(model.predict_proba(turned).compute(), whole, atol=1e-5)
    np.testing.assert_array_equal(model.predict(turned).compute(), labels)
    margin = model.decision_function(turned).compute()
    np.testing.assert_allclose(margin, model.decision_function(X), atol=1e-6)


def test_signed_weights_of_three_classes(client, sample):
    X, w = sample.data, sample.weight
    y = np.digitize(np.nan_to_num(X[:, 0]), [-0.5, 0.5])
    model = BDTClassifier(**OPTIONS, negative_weights="keep")
    whole = model.fit(X, y, sample_weight=w).predict_proba(X)
    found = model.fit(cut(X), cut(y), sample_weight=cut(w)).predict_proba(X)
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_regression_with_signed_weights_and_early_stopping(client, sample):
    X, w, ids = sample.data, sample.weight, sample.event_number
    y = np.nan_to_num(X[:, 0]) ** 2
    model = BDTRegressor(
        **{**OPTIONS, "learning_rate": 0.5}, negative_weights="keep", early_stopping_rounds=2
    )
    model.fit(X, y, sample_weight=w, groups=ids)
    whole, n_trees = model.predict(X), model.n_estimators_
    found = model.fit(cut(X), cut(y), sample_weight=cut(w), groups=cut(ids)).predict(cut(X))
    assert found.shape == y.shape
    assert model.n_estimators_ == n_trees
    np.testing.assert_allclose(found.compute(), whole, atol=1e-4)


@pytest.mark.parametrize("metric", [None, roc_auc_scorer()])
def test_early_stopping_sees_the_held_out_events_of_all_workers(client, sample, metric):
    X, y, w = sample.data, sample.target, sample.weight
    ids = np.column_stack([np.ones(len(y), dtype=np.uint32), sample.event_number])
    model = BDTClassifier(
        **{**OPTIONS, "n_estimators": 40, "learning_rate": 0.5},
        negative_weights="keep", early_stopping_rounds=3, refit=metric is None, eval_metric=metric,
    )  # fmt: skip
    model.fit(X, y, sample_weight=w, groups=ids)
    whole = model.predict_proba(X)
    history, n_trees = model.evals_result_["validation"], model.n_estimators_
    assert n_trees < 40
    model.fit(cut(X), cut(y), sample_weight=cut(w), groups=cut(ids))
    (name,) = history
    np.testing.assert_allclose(model.evals_result_["validation"][name], history[name], rtol=1e-5)
    assert model.n_estimators_ == n_trees
    np.testing.assert_allclose(model.predict_proba(X), whole, atol=1e-5)


def test_given_held_out_events(client, sample):
    X, y, w = sample.data, sample.target, np.abs(sample.weight)
    a, b = slice(0, 2000), slice(2000, None)
    model = BDTClassifier(**OPTIONS, early_stopping_rounds=3)
    model.fit(X[a], y[a], w[a], eval_set=[(X[b], y[b])], sample_weight_eval_set=[w[b]])
    losses = model.evals_result_["validation_0"]["loss"]
    held = (X[b], cut(y[b]))
    model.fit(cut(X[a]), y[a], cut(w[a]), eval_set=[held], sample_weight_eval_set=[cut(w[b])])
    np.testing.assert_allclose(model.evals_result_["validation_0"]["loss"], losses, rtol=1e-5)


def test_continuous_features_agree_closely(client):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_000, 4)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(size=len(X)) > 1).astype(int)
    model = BDTClassifier(**OPTIONS)
    whole = model.fit(X, y).predict_proba(X)[:, 1]
    found = model.fit(cut(X, 1500), cut(y, 1500)).predict_proba(X)[:, 1]
    assert abs(roc_auc_score(y, found) - roc_auc_score(y, whole)) < 0.002
    assert np.mean(np.abs(found - whole)) < 0.02


def test_partitions_without_events(client, sample):
    X, y = frame(sample.data), sample.target
    table = dd.from_pandas(X.assign(y=y, n=np.arange(len(y))), npartitions=4)
    passed = table[table["n"] >= len(y) // 2]  # of unknown lengths, two of them 0
    model = BDTClassifier(**OPTIONS).fit(passed[list(X.columns)], passed["y"])
    found = model.predict_proba(passed[list(X.columns)]).compute()
    X, y = X[len(y) // 2 :], y[len(y) // 2 :]
    np.testing.assert_allclose(found, model.fit(X, y).predict_proba(X), atol=1e-5)


def bad(**changed):
    n = 40
    given = {
        "X": np.arange(2.0 * n).reshape(n, 2),
        "y": np.arange(n) % 2,
        "sample_weight": np.ones(n),
        "groups": np.arange(n),
    }
    return {name: cut(value, 10) for name, value in {**given, **changed}.items()}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sample_weight": np.r_[-1.0, np.ones(39)]}, "negative_weights='refine' needs .* 'keep'"),
        ({"sample_weight": np.r_[np.nan, np.ones(39)]}, "NaN or infinite in 1 events"),
        ({"y": np.zeros(39)}, r"y has shape \(39,\), but X has 40 events"),
        ({"y": np.zeros((40, 2))}, r"y has shape \(40, 2\), but X has 40 events"),
        ({"sample_weight": np.ones(39)}, "sample_weight has 39 entries, but there are 40 events"),
        ({"groups": np.arange(39)}, "groups has 39 entries, but there are 40 events"),
        ({"y": np.zeros(40)}, "only one class"),
        (
            {"groups": np.arange(40.0)},
            r"partition \d of groups: event identifiers must be int",
        ),
        ({"X": np.r_[np.ones((39, 2)), [[1, np.inf]]]}, "partition 3 of X: Input .* infinity"),
        ({"X": np.ones((0, 2)), "y": np.ones(0)}, "X has no events"),
        ({"X": np.ones(40)}, "shape \\(n_events, n_features\\) or a DataFrame"),
    ],
)
def test_errors_say_what_is_wrong(client, changed, message):
    model = BDTClassifier(**OPTIONS)
    with pytest.raises(ValueError, match=message):
        model.fit(**bad(**changed))
    assert not hasattr(model, "booster_")


def test_more_errors(client, sample):
    given = bad()
    with pytest.raises(ValueError, match=r"y has shape \(7,\), but X has 40 events"):
        BDTClassifier(**OPTIONS).fit(given["X"], np.zeros(7))
    with pytest.raises(ValueError, match="looks at all events together"):
        UniformBDTClassifier([0], uniform_label=0).fit(given["X"], given["y"])
    model = BDTClassifier(**OPTIONS).fit(given["X"], given["y"])
    with pytest.raises(ValueError, match="X has 3 features, but BDTClassifier was fitted on 2"):
        model.predict(da.ones((10, 3)))


# the engine leaves the socket with which it looks for its own address to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_client(sample):
    X, y = sample.data, sample.target
    with pytest.raises(ValueError, match="No global client"):
        distributed.get_client()
    model = BDTClassifier(**OPTIONS)
    whole = model.fit(X, y).predict_proba(X)
    found = model.fit(cut(X), cut(y)).predict_proba(cut(X)).compute()
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_worker_that_dies_is_named(client, sample, tmp_path):
    address, victim = next(iter(client.run(os.getpid).items()))
    begun = tmp_path / "begun"

    def metric(y, score, weight):
        begun.touch()
        return 0.5

    def kill():
        for _ in range(3000):
            if begun.exists():
                os.kill(victim, signal.SIGKILL)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    model = BDTClassifier(
        **{**OPTIONS, "n_estimators": 20_000}, early_stopping_rounds=20_000, eval_metric=metric
    )
    X, y = cut(sample.data), cut(sample.target)
    with pytest.raises(RuntimeError, match=f"1 of 2 Dask workers ended .* {address}: fit again"):
        model.fit(X, y)
    thread.join()
    assert not hasattr(model, "booster_")
