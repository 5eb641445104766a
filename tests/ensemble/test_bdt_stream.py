import itertools

import numpy as np
import pytest

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    UniformBDTClassifier,
    _stream,
    _stream_bins,
)
from skhep_ml.exceptions import BiasedWeightsWarning
from skhep_ml.metrics import roc_auc_score

N = 3000
OPTIONS = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def sample():
    """Features with fewer values than bins, so that sketches of parts lose nothing."""
    events = make_signed_events(N, negative_fraction=0.2, random_state=0)
    events.data = np.round(np.asarray(events.data) * 20) / 20
    events.data[::17, 1] = np.nan
    return events


def chunks_of(*arrays, sizes=(1400, 1, 2599, 2000)):
    edges = np.cumsum((0, *sizes)).tolist()
    assert edges[-1] == len(arrays[0])
    return [
        tuple(array[first:last] for array in arrays) for first, last in itertools.pairwise(edges)
    ]


@pytest.mark.parametrize("policy", ["keep", "drop"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.BiasedWeightsWarning")
def test_streams_give_the_model_of_fit(sample, policy, class_weight):
    X, y, w = sample.data, sample.target, sample.weight
    model = BDTClassifier(**OPTIONS, negative_weights=policy, class_weight=class_weight)
    whole = model.fit(X, y, sample_weight=w).predict_proba(X)
    streamed = model.fit_iter(chunks_of(X, y, w)).predict_proba(X)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


def test_positive_weights_and_labels(sample):
    X, w = sample.data, np.abs(sample.weight)
    y = np.array(["a", "b", "c"])[np.digitize(np.nan_to_num(X[:, 0]), [-0.5, 0.5])]
    model = BDTClassifier(**OPTIONS)
    whole = model.fit(X, y, sample_weight=w).predict_proba(X)
    streamed = model.fit_iter(lambda: iter(chunks_of(X, y, w)))
    assert streamed.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(streamed.predict_proba(X), whole, atol=1e-5)
    plain = model.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(model.fit_iter(chunks_of(X, y)).predict_proba(X), plain, atol=1e-5)


def test_regression_with_signed_weights(sample):
    X, w = sample.data, sample.weight
    y = np.nan_to_num(X[:, 0]) ** 2
    model = BDTRegressor(**OPTIONS, negative_weights="keep")
    whole = model.fit(X, y, sample_weight=w).predict(X)
    np.testing.assert_allclose(model.fit_iter(chunks_of(X, y, w)).predict(X), whole, atol=1e-4)


def test_continuous_features_agree_closely():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(size=len(X)) > 1).astype(int)
    model = BDTClassifier(**OPTIONS)
    streamed = model.fit_iter(chunks_of(X, y, sizes=[2500] * 8)).predict_proba(X)[:, 1]
    whole = model.fit(X, y).predict_proba(X)[:, 1]
    assert abs(roc_auc_score(y, streamed) - roc_auc_score(y, whole)) < 0.002
    assert np.mean(np.abs(streamed - whole)) < 0.01


@pytest.fixture
def few_sampled(monkeypatch):
    """Streams of which only some events are looked at for the bins, in several pages."""
    for module in (_stream, _stream_bins):
        monkeypatch.setattr(module, "SAMPLE_SIZE", 500)
    monkeypatch.setattr(_stream, "_PAGE_BYTES", 4 * 2 * 1700)
    monkeypatch.setattr(_stream_bins, "_GROUP_BYTES", 4 * 600)


@pytest.mark.parametrize("weights", [True, False])
def test_a_sample_finds_all_values_of_features_with_few(sample, few_sampled, weights):
    X, y = sample.data.copy(), sample.target
    # values that hardly any sample holds
    X[4321, 0], X[4322, 0] = 40, 41
    given = (np.abs(sample.weight),) if weights else ()
    model = BDTClassifier(**OPTIONS, min_child_weight=0, reg_lambda=0)
    whole = model.fit(X, y, *given).predict_proba(X)
    streamed = model.fit_iter(chunks_of(X, y, *given)).predict_proba(X)
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


def test_a_sample_of_continuous_features(few_sampled, monkeypatch):
    for module in (_stream, _stream_bins):
        monkeypatch.setattr(module, "SAMPLE_SIZE", 5000)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3)).astype(np.float32)
    X[::7, 1] = np.nan
    X[:, 2] = np.where(rng.random(len(X)) < 0.9, 0, X[:, 2])  # many of one value
    y = (X[:, 0] + X[:, 2] ** 2 + rng.normal(size=len(X)) > 0.5).astype(int)
    model = BDTClassifier(**OPTIONS)
    streamed = model.fit_iter(chunks_of(X, y, sizes=[2500] * 8)).predict_proba(X)[:, 1]
    again = model.fit_iter(chunks_of(X, y, sizes=[20_000])).predict_proba(X)[:, 1]
    np.testing.assert_array_equal(streamed, again)
    whole = model.fit(X, y).predict_proba(X)[:, 1]
    assert abs(roc_auc_score(y, streamed) - roc_auc_score(y, whole)) < 0.002


@pytest.mark.parametrize("n_rows", [1, 499, 500, 501, 12_345])
def test_sampled_rows_are_spread(n_rows, few_sampled):
    rows = _stream_bins._spread_rows(n_rows, 3)
    assert len(rows) == min(n_rows, 500)
    assert rows[0] >= 0
    assert rows[-1] < n_rows
    assert (np.diff(rows) >= 0).all()
    # one from each of equal parts
    counts = np.histogram(rows, len(rows), (0, n_rows))[0]
    assert counts.max() <= 2


def test_quantiles_are_weighted():
    rng = np.random.default_rng(0)
    values = np.unique(rng.normal(size=2000).astype(np.float32))
    weight = rng.exponential(size=len(values))
    edges = _stream_bins._quantiles(values, weight, 20)
    assert len(edges) == 20
    assert edges[0] == values[0]
    parts = np.array([weight[(values >= low) & (values < high)].sum()
                      for low, high in itertools.pairwise([*edges, np.inf])])  # fmt: skip
    assert np.abs(parts - weight.sum() / 20).max() < 2 * weight.max()
    np.testing.assert_array_equal(_stream_bins._quantiles(values[:9], weight[:9], 20), values[:9])


@pytest.mark.parametrize("refit", [False, True])
def test_early_stopping_on_given_events(sample, refit):
    X, y, w = sample.data, sample.target, sample.weight
    model = BDTClassifier(
        **{**OPTIONS, "n_estimators": 60, "learning_rate": 0.5},
        negative_weights="keep", early_stopping_rounds=3, refit=refit,
    )  # fmt: skip
    held = {"eval_set": [(X[4000:], y[4000:])], "sample_weight_eval_set": [w[4000:]]}
    whole = model.fit(X[:4000], y[:4000], sample_weight=w[:4000], **held)
    best, p = whole.best_iteration_, whole.predict_proba(X)
    streamed = model.fit_iter(chunks_of(X, y, w)[:3], **held)
    assert streamed.best_iteration_ == best
    assert streamed.n_estimators_ == best + 1 < 60
    np.testing.assert_allclose(streamed.predict_proba(X), p, atol=1e-4)


def test_files_to_model(sample, tmp_path):
    uproot, pd = pytest.importorskip("uproot"), pytest.importorskip("pandas")
    from skhep_ml.io import iterate_events, read_events

    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("t", {"a": "f4", "b": "f4", "w": "f8", "y": "i4"})
        tree.extend(
            {"a": sample.data[:, 0], "b": sample.data[:, 1], "w": sample.weight,
             "y": sample.target}
        )  # fmt: skip
    given = {"features": ["a", "b"], "label": "y", "weight": "w"}
    model = BDTClassifier(**OPTIONS, negative_weights="keep")
    cache = tmp_path / "cache"
    stream = iterate_events(tmp_path / "a.root", **given, step_size=800)
    streamed = model.fit_iter(stream, cache_dir=cache)
    assert list(cache.iterdir()) == []
    assert streamed.feature_names_in_.tolist() == ["a", "b"]
    events = read_events(tmp_path / "a.root", **given)
    p = streamed.predict_proba(events.data)
    model.fit(events.data, events.target, sample_weight=events.weight)
    np.testing.assert_allclose(p, model.predict_proba(events.data), atol=1e-5)
    reordered = pd.DataFrame(events.data)[["b", "a"]]
    np.testing.assert_array_equal(model.predict(reordered), model.predict(events.data))


@pytest.mark.parametrize("policy", ["refine", "pair", "cell"])
def test_policies_on_the_whole_sample_are_refused(sample, policy):
    model = BDTClassifier(**OPTIONS, negative_weights=policy)
    with pytest.raises(ValueError, match="needs all events in memory: use 'keep'"):
        model.fit_iter(chunks_of(sample.data, sample.target, sample.weight))


def test_policies_warn_and_raise_as_in_fit(sample):
    parts = chunks_of(sample.data, sample.target, sample.weight)
    with pytest.warns(BiasedWeightsWarning):
        BDTClassifier(**OPTIONS, negative_weights="abs").fit_iter(parts)
    with pytest.raises(ValueError, match="weights are negative"):
        BDTClassifier(**OPTIONS, negative_weights="raise").fit_iter(parts)


def wrong_chunks(X, y, w):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    infinite = X.copy()
    infinite[5, 0] = np.inf
    return [
        ([], "has no chunks"),
        ([X], "a Bunch"),
        ([(X, y[:-1])], "its target has shape"),
        ([(X, y, w[:-1])], "weights of"),
        ([(X, y), (X, y, w)], "chunk 1 has weights"),
        ([(X, y, w), (X, y)], "chunk 1 has no weights"),
        ([(X, y), (X[:, :1], y)], "chunk 1 has the columns"),
        ([(frame, y), (frame[["b", "a"]], y)], "chunk 1 has the columns"),
        ([(infinite, y)], "infinity"),
        ([(X, np.zeros(len(X), dtype=int))], "only one class"),
        ([{"data": X, "target": None}], "give label="),
        ([(X, y, w * np.nan)], "NaN or infinite"),
    ]


@pytest.mark.parametrize("case", range(12))
def test_wrong_chunks(sample, case):
    chunks, message = wrong_chunks(sample.data, sample.target, np.abs(sample.weight))[case]
    with pytest.raises(ValueError, match=message):
        BDTClassifier(**OPTIONS).fit_iter(chunks)


def test_what_streams_cannot_do(sample):
    parts = chunks_of(sample.data, sample.target)
    with pytest.raises(ValueError, match="needs eval_set="):
        BDTClassifier(**OPTIONS, early_stopping_rounds=3).fit_iter(parts)
    with pytest.raises(ValueError, match="looks at all events together"):
        UniformBDTClassifier(uniform_features=[0]).fit_iter(parts)
