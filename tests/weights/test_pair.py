import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.model_selection import GridSearchCV

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.weights import apply_negative_weights
from skhep_ml.weights._neighbours import MISSING_DISTANCE, whiten


def mahalanobis(X, w):
    """Squared distances between all events, by the formula."""
    inverse = np.linalg.inv(np.cov(X.T, aweights=np.abs(w), ddof=0).reshape(X.shape[1], -1))
    difference = X[:, None] - X[None]
    return np.einsum("ijk,kl,ijl->ij", difference, inverse, difference)


def pair_slowly(X, w):
    """One class: every negative event looks at all live positive ones, in turn."""
    w, distance = w.copy(), mahalanobis(X, w)
    negative = np.flatnonzero(w < 0)
    first = distance[np.ix_(negative, np.flatnonzero(w > 0))].min(axis=1)
    for i in negative[np.argsort(first)]:
        while w[i] < 0:
            live = np.flatnonzero(w > 0)
            j = live[np.argmin(distance[i, live])]
            rest = w[i] + w[j]
            w[i], w[j] = min(rest, 0.0), max(rest, 0.0)
    return w


def signed_sample(seed, n, share, n_features=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)) @ rng.normal(size=(n_features, n_features))
    w = rng.integers(1, 9, n) * np.where(rng.random(n) < share, -1.0, 1.0)
    w[0] += max(0.0, 1 - w.sum())  # the class keeps a positive sum
    return X, w


@pytest.mark.parametrize(
    ("seed", "n", "share"), [(0, 40, 0.2), (1, 300, 0.3), (2, 400, 0.48), (3, 300, 0.05)]
)
def test_equals_the_slow_search(seed, n, share):
    X, w = signed_sample(seed, n, share)
    assert np.array_equal(apply_negative_weights(X, None, w, "pair"), pair_slowly(X, w))


def test_a_dense_hole_reaches_out_to_the_next_positive_events():
    # every negative event finds all its listed neighbours spent: wider searches and new trees
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(700, 2)), 3 + 0.1 * rng.normal(size=(300, 2))]
    w = np.r_[np.ones(700), -np.ones(300)]
    assert np.array_equal(apply_negative_weights(X, None, w, "pair"), pair_slowly(X, w))


def test_by_hand():
    X = np.array([[0.0], [1.0], [3.0], [10.0], [11.5], [20.5]])
    # -1 at 1 takes from 0; -4 at 11.5 takes 3 from 10, then 1 from 3, 8.5 away (20.5 is 9 away)
    w = [2.0, -1.0, 1.5, 3.0, -4.0, 5.0]
    assert apply_negative_weights(X, None, w, "pair").tolist() == [1.0, 0.0, 0.5, 0.0, 0.0, 5.0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 80), scale=st.sampled_from([2.0**-20, 4.0]))
@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_properties(policy, seed, n, scale):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    X[rng.random((n, 2)) < 0.2] = np.nan
    y = rng.integers(2, size=n)
    w = rng.normal(0.5, 1, n)
    w[rng.random(n) < 0.1] = 0.0
    for label in np.unique(y):
        w[np.flatnonzero(y == label)[0]] += np.abs(w[y == label]).sum() + 1
    out = apply_negative_weights(X, y, w, policy)
    assert out.min() >= 0
    assert np.all(out[w == 0] == 0)
    for label in np.unique(y):
        of = y == label
        assert out[of].sum() == pytest.approx(w[of].sum())
        if w[of].min() >= 0:
            assert np.array_equal(out[of], w[of])
    if policy == "pair":
        assert np.all(out <= np.maximum(w, 0))
    order = rng.permutation(n)
    permuted = apply_negative_weights(X[order], y[order], w[order], policy)
    # rows alike in everything are interchangeable
    key = np.lexsort((out, w, *X.T, y))
    key_permuted = np.lexsort((permuted, w[order], *X[order].T, y[order]))
    assert np.array_equal(permuted[key_permuted], out[key])
    assert np.array_equal(apply_negative_weights(X, y, scale * w, policy), scale * out)


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_ties_do_not_depend_on_row_order(policy):
    rng = np.random.default_rng(0)
    X = rng.integers(4, size=(500, 2)).astype(np.float32)
    w = np.where(rng.random(500) < 0.4, -1.0, rng.choice([1.0, 2.0], 500))
    out = apply_negative_weights(X, None, w, policy)
    assert out.min() >= 0
    assert out.sum() == pytest.approx(w.sum())
    order = rng.permutation(500)
    permuted = apply_negative_weights(X[order], None, w[order], policy)
    assert np.array_equal(permuted[np.lexsort((w[order], *X[order].T))], out[np.lexsort((w, *X.T))])


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_units_and_superfluous_columns_do_not_matter(policy):
    X, w = signed_sample(5, 300, 0.3)
    out = apply_negative_weights(X, None, w, policy)
    mixed = X @ np.array([[1e6, 2.0, 0], [0, 1e-3, 1], [0, 0, 3]]) + [1e5, 0, -7]
    assert np.allclose(apply_negative_weights(mixed, None, w, policy), out)
    wide = np.column_stack([X, np.full(300, 0.1), np.full(300, np.nan), X[:, 0] - 2 * X[:, 1]])
    assert np.allclose(apply_negative_weights(wide, None, w, policy), out)


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_constant_features_leave_one_point(policy):
    w = np.array([2.0, -1.0, 1.0, 0.0])
    expected = {"pair": [4 / 3, 0, 2 / 3, 0], "cell": [2 / 3, 2 / 3, 2 / 3, 0]}
    out = apply_negative_weights(np.ones((4, 2)), None, w, policy)
    assert np.allclose(out, expected[policy])


def test_whitened_distance_is_mahalanobis():
    X, w = signed_sample(4, 50, 0.3)
    z = whiten(X, np.abs(w))
    assert np.allclose(((z[:, None] - z[None]) ** 2).sum(-1), mahalanobis(X, w))


def test_missing_values_set_events_apart_once_a_pattern():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    X[:800, 1:] = np.nan  # the second jet: two features, one pattern
    z = whiten(X, np.ones(2000))
    apart = ((z[:800, None] - z[None, 800:]) ** 2).sum(-1).min()
    assert apart >= MISSING_DISTANCE**2
    assert apart < 1.1 * MISSING_DISTANCE**2
    # the unit of a feature is the spread of the events that have it
    assert np.allclose(z[800:].std(axis=0)[:3], 1, atol=0.1)


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_weight_stays_among_events_with_the_same_jets(policy):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1000, 2))
    second = rng.random(1000) < 0.4
    X[~second, 1] = np.nan
    w = np.where(rng.random(1000) < 0.25, -1.0, 1.0)
    out = apply_negative_weights(X, None, w, policy)
    assert out[second].sum() == pytest.approx(w[second].sum())


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_closure_on_signed_histograms(policy):
    e = make_signed_events(20_000, negative_fraction=0.15, kind="shape", random_state=0)
    out = apply_negative_weights(e.data, e.target, e.weight, policy)
    signal = e.target == 1
    for x in (*e.data.T, np.sqrt(((e.data - 0.4) ** 2).sum(axis=1))):
        edges = np.quantile(x[signal], np.linspace(0, 1, 11)[1:-1])
        index = np.searchsorted(edges, x[signal])

        def histogram(w, index=index):
            return np.bincount(index, w[signal], 10)

        variance = histogram(e.weight**2)
        chi2 = ((histogram(out) - histogram(e.weight)) ** 2 / variance).sum()
        assert chi2 < 5  # 10 bins, and the same events: far below independent samples
    # in the radius, the last of these, the sign has a shape
    shortcut = ((histogram(np.abs(e.weight)) - histogram(e.weight)) ** 2 / variance).sum()
    assert shortcut > 1000


def test_bdt_in_a_search_with_routed_weights():
    e = make_signed_events(400, negative_fraction=0.2, random_state=0)
    model = BDTClassifier(n_estimators=5, negative_weights="pair", n_jobs=1, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model, {"max_depth": [2, 3]}, cv=EventNumberKFold(2), scoring=roc_auc_scorer()
        ).fit(e.data, e.target, sample_weight=e.weight, groups=e.event_number)
    assert search.best_score_ > 0.6
