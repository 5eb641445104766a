import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn.cluster
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.cluster import KMeans
from skhep_ml.cluster._silhouette import weighted_silhouettes
from skhep_ml.impute import MissingValueImputer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import ZScoreScaler


def blobs(n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return (centres[kind] + rng.normal(0, 0.5, (n, 2))).astype(dtype), kind, rng.lognormal(size=n)


@pytest.fixture(scope="module")
def events():
    return blobs(600)


# --- scikit-learn's own --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1.0, 2.0**-160])
@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
def test_equals_scikit_learn_on_scaled_weights(dtype, unit, algorithm):
    X, _, w = blobs(500, dtype=dtype)
    ours = KMeans(4, algorithm=algorithm, random_state=0).fit(X, sample_weight=unit * w)
    theirs = sklearn.cluster.KMeans(4, algorithm=algorithm, random_state=0)
    theirs.fit(X, sample_weight=w * (len(w) / w.sum()))
    assert np.allclose(ours.cluster_centers_, theirs.cluster_centers_)
    assert ours.cluster_centers_.dtype == dtype
    assert np.array_equal(ours.labels_, theirs.labels_)
    assert ours.labels_.dtype == np.int32
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.inertia_ == pytest.approx(unit * theirs.inertia_ * w.mean(), rel=1e-5)
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert ours.transform(X).dtype == dtype
    assert np.allclose(ours.transform(X), theirs.transform(X))
    assert ours.get_feature_names_out().tolist() == ["kmeans0", "kmeans1", "kmeans2", "kmeans3"]
    assert ours.n_clusters_ == 4


def test_fixed_point_and_inertia(events):
    X, _, w = events
    model = KMeans(3, tol=0, random_state=0).fit(X, sample_weight=w)
    means = [
        np.average(X[model.labels_ == k], axis=0, weights=w[model.labels_ == k]) for k in range(3)
    ]
    assert np.allclose(model.cluster_centers_, means)
    distance = ((X[:, None] - model.cluster_centers_) ** 2).sum(axis=2)
    assert np.array_equal(model.labels_, distance.argmin(axis=1))
    assert model.inertia_ == pytest.approx(w @ distance.min(axis=1))
    assert model.score(X, sample_weight=w) == pytest.approx(-model.inertia_)
    signed = w * np.where(np.arange(len(w)) % 3, 1, -1)
    assert model.score(X, sample_weight=signed) == pytest.approx(-signed @ distance.min(axis=1))


def test_events_of_weight_zero_count_for_nothing(events):
    X, _, w = events
    far = np.r_[X, np.full((50, 2), 100.0)]
    start = X[:3]
    a = KMeans(3, init=start).fit(X, sample_weight=w)
    b = KMeans(3, init=start).fit(far, sample_weight=np.r_[w, np.zeros(50)])
    assert np.allclose(a.cluster_centers_, b.cluster_centers_)


@pytest.mark.parametrize("fitted", [np.float32, np.float64])
def test_events_of_another_precision(events, fitted):
    X = events[0]
    model = KMeans(3, random_state=0).fit(X.astype(fitted))
    for dtype in (np.float32, np.float64):
        assert np.array_equal(model.predict(X.astype(dtype)), model.labels_)
        assert model.transform(X.astype(dtype)).dtype == dtype
    model.partial_fit(X.astype(np.float32)).partial_fit(X.astype(np.float64))
    assert model.cluster_centers_.dtype == fitted


def test_sparse(events):
    X, _, w = events
    dense = KMeans(3, random_state=0).fit(X, sample_weight=w)
    sparse = KMeans(3, random_state=0).fit(scipy.sparse.csr_array(X), sample_weight=w)
    assert adjusted_rand_score(dense.labels_, sparse.labels_) == 1


# --- mini-batches and chunks ---------------------------------------------------------------------


def test_minibatches_come_near(events):
    X, _, w = blobs(20_000, dtype=np.float32)
    full = KMeans(3, random_state=0).fit(X, sample_weight=w)
    batches = KMeans(3, method="minibatch", random_state=0).fit(X, sample_weight=w)
    assert batches.inertia_ < 1.001 * full.inertia_
    assert batches.labels_.shape == (20_000,)
    assert batches.cluster_centers_.dtype == np.float32
    assert np.array_equal(batches.predict(X), batches.labels_)
    again = clone(batches).fit(X, sample_weight=w)
    assert np.array_equal(again.cluster_centers_, batches.cluster_centers_)


def test_auto_takes_minibatches_beyond_a_number(events, monkeypatch):
    X, _, w = events
    monkeypatch.setattr("skhep_ml.cluster._kmeans._FULL_EVENTS", 599)
    auto, batches, full = (
        KMeans(7, method=method, random_state=0).fit(X, sample_weight=w).inertia_
        for method in ("auto", "minibatch", "full")
    )
    assert auto == batches
    assert auto != full


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_chunks(unit):
    X, kind, w = blobs(3000)
    model = KMeans(3, random_state=0)
    for start in range(0, 3000, 500):
        rows = slice(start, start + 500)
        model.partial_fit(X[rows], sample_weight=unit * w[rows])
    assert adjusted_rand_score(kind, model.predict(X)) > 0.99
    assert model.labels_.shape == (500,)
    distance = ((X[2500:, None] - model.cluster_centers_) ** 2).sum(axis=2)
    assert model.inertia_ == pytest.approx(unit * w[2500:] @ distance.min(axis=1), rel=0.05)
    fresh = KMeans(3, random_state=0).fit(X)
    assert np.allclose(model.fit(X).cluster_centers_, fresh.cluster_centers_)


def test_a_chunk_counts_by_its_weight():
    # one centre: the running weighted mean
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(400, 2)), np.repeat([1.0, 9.0], 200)
    model = KMeans(1, random_state=0)
    model.partial_fit(X[:200], sample_weight=w[:200]).partial_fit(X[200:], sample_weight=w[200:])
    assert np.allclose(model.cluster_centers_[0], np.average(X, axis=0, weights=w))


def test_chunks_go_on_from_a_fit(events):
    X, kind, _ = events
    model = KMeans(3, random_state=0).fit(X[:300])
    before = model.cluster_centers_
    model.partial_fit(X[300:])
    assert np.abs(model.cluster_centers_ - before).max() < 0.5
    assert adjusted_rand_score(kind, model.predict(X)) > 0.99


# --- number of clusters --------------------------------------------------------------------------


def slow_silhouette(X, w, labels):
    values = []
    for i in range(len(X)):
        distance = np.sqrt(((X - X[i]) ** 2).sum(axis=1))
        mean = {}
        for k in set(labels):
            member = (labels == k) & (np.arange(len(X)) != i)
            if member.any():
                mean[k] = np.average(distance[member], weights=w[member])
        if labels[i] not in mean:
            values.append(0.0)
            continue
        a = mean.pop(labels[i])
        b = min(mean.values())
        values.append((b - a) / max(a, b))
    return np.average(values, weights=w)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_weighted_silhouettes(seed):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(25, 2)), rng.lognormal(size=25)
    labels = {k: np.r_[np.arange(k), rng.integers(k, size=25 - k)] for k in (2, 3, 5)}
    labels[4] = np.r_[3, labels[3][1:]]  # one event alone
    ours = weighted_silhouettes(X, w, labels)
    for k, label in labels.items():
        assert ours[k] == pytest.approx(slow_silhouette(X, w, label))
        plain = weighted_silhouettes(X, None, {k: label})[k]
        assert plain == pytest.approx(silhouette_score(X, label))
        assert weighted_silhouettes(X, 1e-6 * w, {k: label})[k] == pytest.approx(ours[k])


def test_silhouettes_of_repeated_events_and_missing_numbers():
    X = np.repeat([[0.0], [1.0]], 4, axis=0)
    labels = np.repeat([0, 2], 4)
    assert weighted_silhouettes(X, None, {3: labels})[3] == 1
    assert weighted_silhouettes(X, None, {1: np.zeros(8, dtype=int)})[1] == 0


@pytest.mark.parametrize("samples", [10_000, 200])
def test_number_of_clusters(events, samples):
    X, kind, w = events
    model = KMeans("auto", n_clusters_range=(2, 6), silhouette_samples=samples, random_state=0)
    model.fit(X, sample_weight=w)
    assert model.n_clusters_ == 3
    assert model.cluster_centers_.shape == (3, 2)
    assert list(model.silhouettes_) == [2, 3, 4, 5, 6]
    assert max(model.silhouettes_.values()) == model.silhouettes_[3]
    assert adjusted_rand_score(kind, model.labels_) > 0.99
    assert model.n_clusters == "auto"
    if samples > len(X):
        other = sklearn.cluster.KMeans(3, random_state=0).fit(X).labels_
        assert KMeans("auto", random_state=0).fit(X).silhouettes_[3] == pytest.approx(
            silhouette_score(X, other)
        )


def test_weights_decide_on_the_number():
    # a third group that hardly weighs anything
    X, kind, _ = blobs(600)
    w = np.where(kind == 2, 1e-6, 1.0)
    X[kind == 2] = X[kind == 2] / 10 + [4.0, 1.5]
    params = {"n_clusters": "auto", "n_clusters_range": (2, 4), "n_init": 5, "random_state": 0}
    assert KMeans(**params).fit(X).n_clusters_ == 3
    assert KMeans(**params).fit(X, sample_weight=w).n_clusters_ == 2


# --- negative weights ----------------------------------------------------------------------------


def test_negative_weights_are_refused_with_the_remedy(events):
    X, _, w = events
    w = np.where(np.arange(len(w)) % 7 == 3, -w, w)
    model = KMeans(3)
    with pytest.raises(ValueError, match=r"first in event 3.*'refine', 'pair', 'cell', 'drop'"):
        model.fit(X, sample_weight=w)
    assert not hasattr(model, "cluster_centers_")
    with pytest.raises(ValueError, match="negative_weights='keep' is not possible"):
        KMeans(3, negative_weights="keep").fit(X)


@pytest.mark.parametrize("policy", ["refine", "pair", "cell"])
def test_policies(policy):
    # negative events cancel part of the third group: unsigned weights pull the centre to it
    X, kind, _ = blobs(3000)
    rng = np.random.default_rng(1)
    w = np.where((kind == 2) & (rng.random(3000) < 0.45), -1.0, 1.0)
    truth = np.array([np.average(X, axis=0, weights=w)])
    model = KMeans(1, negative_weights=policy, random_state=0).fit(
        X, sample_weight=1e-3 * w, groups=np.arange(3000)
    )
    assert np.abs(model.cluster_centers_ - truth).max() < 0.1
    unsigned = KMeans(1).fit(X).cluster_centers_
    assert np.abs(unsigned - truth).max() > 0.5


# --- use -----------------------------------------------------------------------------------------


def test_columns_by_name_and_frames_out(events):
    X, _, w = events
    frame = pd.DataFrame(X, columns=["width", "depth"])
    model = KMeans(3, random_state=0).set_output(transform="pandas").fit(frame, sample_weight=w)
    assert np.array_equal(model.predict(frame[["depth", "width"]]), model.labels_)
    assert model.transform(frame).columns.tolist() == ["kmeans0", "kmeans1", "kmeans2"]
    other = KMeans(3, random_state=0).set_output(transform="polars")
    out = other.fit_transform(pl.DataFrame({"width": X[:, 0], "depth": X[:, 1]}))
    assert out.columns == ["kmeans0", "kmeans1", "kmeans2"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"depth": "length"}))


def test_in_searches_with_routed_weights(events):
    X, kind, w = events
    model = make_pipeline(ZScoreScaler(), KMeans(random_state=0, n_init=3))
    grid = {"kmeans__n_clusters": [2, 3]}
    for search in (
        GridSearchCV(model, grid, cv=EventNumberKFold(2), n_jobs=2),
        RandomizedSearchCV(model, grid, n_iter=2, cv=EventNumberKFold(2), n_jobs=2),
    ):
        with config_context(enable_metadata_routing=True):
            search.fit(X, sample_weight=w, groups=np.arange(len(X)))
        assert search.best_params_ == {"kmeans__n_clusters": 3}
        assert adjusted_rand_score(kind, search.predict(X)) > 0.99
    with config_context(enable_metadata_routing=True):
        labels = model.set_params(kmeans__n_clusters=3).fit_predict(X, sample_weight=w)
    assert adjusted_rand_score(kind, labels) > 0.99


def test_missing_values_want_an_imputer(events):
    frame = pd.DataFrame(events[0], columns=["width", "depth"])
    frame.loc[3, "depth"] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*'depth'.*MissingValueImputer"):
        KMeans(3).fit(frame)
    make_pipeline(MissingValueImputer("mean"), KMeans(3)).fit(frame)
    with pytest.raises(ValueError, match="NaN"):
        KMeans(3).fit(events[0]).predict(frame.to_numpy())


@pytest.mark.parametrize(
    ("params", "fit", "match"),
    [
        ({"n_clusters": 0}, {}, "n_clusters must be an integer"),
        ({"n_clusters": "many"}, {}, 'or "auto", got'),
        ({"n_clusters": "auto", "n_clusters_range": (1, 4)}, {}, "2 <= low <= high"),
        ({"n_clusters": "auto", "n_clusters_range": (2, 3, 4)}, {}, "two integers"),
        ({"n_clusters": "auto", "n_clusters_range": (2, 12)}, {}, "lower n_clusters_range"),
        ({"n_clusters": "auto", "init": np.zeros((2, 1))}, {}, "not centres"),
        ({"n_clusters": 13}, {}, "n_samples=12"),
        ({"method": "fast"}, {}, "method must be one of"),
        ({"algorithm": "fast"}, {}, "algorithm"),
        ({"batch_size": 0}, {}, "batch_size"),
        ({"negative_weights": "maybe"}, {}, "negative_weights must be one of"),
        ({}, {"sample_weight": np.full(12, np.nan)}, "NaN or infinite"),
        ({}, {"sample_weight": np.zeros(12)}, "zero for every event"),
        ({}, {"sample_weight": np.ones(3)}, "3 entries"),
        ({}, {"groups": np.arange(12) + 0.5}, "must be integers"),
        (
            {"negative_weights": "pair"},
            {"sample_weight": np.r_[-20.0, np.ones(11)]},
            "sum to -9",
        ),
    ],
)
def test_bad_input(params, fit, match):
    model = KMeans(**{"n_clusters": 2, **params})
    with pytest.raises(ValueError, match=match):
        model.fit(np.arange(12.0).reshape(-1, 1), **fit)
    assert not hasattr(model, "cluster_centers_")


def test_bad_tables():
    with pytest.raises(ValueError, match="infinity"):
        KMeans(2).fit([[np.inf], [0.0]])
    with pytest.raises(ValueError, match="0 sample"):
        KMeans(2).fit(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="cannot choose n_clusters"):
        KMeans("auto").partial_fit(np.zeros((5, 2)))


@pytest.mark.parametrize("n_clusters", [1, 4])
def test_events_far_from_the_origin_in_single_precision(n_clusters):
    rng = np.random.default_rng(0)
    X = (1e4 + rng.normal(size=(1500, 3))).astype(np.float32)
    model = KMeans(n_clusters, random_state=0).fit(X)
    labels = model.predict(X)
    np.testing.assert_array_equal(labels, model.labels_)
    np.testing.assert_array_equal(labels, model.transform(X).argmin(axis=1))
