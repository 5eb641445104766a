import numpy as np
import pytest
from sklearn import config_context
from sklearn.model_selection import GridSearchCV

from skhep_ml.datasets import make_signed_events
from skhep_ml.exceptions import WeightWarning
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.weights import apply_negative_weights


def cell_slowly(X, w, radius=np.inf):
    """One class: every seed sorts all events by distance."""
    inverse = np.linalg.inv(np.cov(X.T, aweights=np.abs(w), ddof=0).reshape(X.shape[1], -1))
    difference = X[:, None] - X[None]
    distance = np.sqrt(np.einsum("ijk,kl,ijl->ij", difference, inverse, difference))
    seeds = np.flatnonzero(w < 0)
    np.fill_diagonal(distance, np.inf)
    seeds = seeds[np.lexsort((distance[seeds].min(axis=1), w[seeds]))]
    np.fill_diagonal(distance, 0)
    w = w.copy()
    for seed in seeds:
        order = np.argsort(distance[seed])
        order = order[distance[seed, order] <= radius]
        enough = np.flatnonzero(np.cumsum(w[order]) >= -1e-9)
        if w[seed] < 0 and len(enough):
            cell = order[: enough[0] + 1]
            w[cell] = max(w[cell].mean(), 0)
    return w


@pytest.mark.parametrize("radius", [None, 0.3])
@pytest.mark.parametrize(
    ("seed", "n", "share"), [(0, 40, 0.2), (1, 300, 0.3), (2, 400, 0.45), (3, 300, 0.05)]
)
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
def test_equals_the_slow_search(seed, n, share, radius):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3))
    w = rng.uniform(1, 3, n) * np.where(rng.random(n) < share, -1.0, 1.0)
    expected = cell_slowly(X, w, np.inf if radius is None else radius)
    out = apply_negative_weights(X, None, w, "cell", cell_radius=radius)
    assert np.allclose(out, expected, rtol=1e-12, atol=1e-12)
    assert out.sum() == pytest.approx(w.sum())
    assert (out.min() >= 0) == (radius is None)


def test_by_hand():
    X = np.array([[0.0], [1.0], [2.5], [9.0], [10.0], [11.5]])
    # -2 at 1: with 0 (1.0), then 2.5 (1.5): sum 1.5, a third each; then -1 at 10 with 9: 0 each
    w = [1.0, -2.0, 2.5, 1.0, -1.0, 3.0]
    out = apply_negative_weights(X, None, w, "cell")
    assert np.allclose(out, [0.5, 0.5, 0.5, 0, 0, 3])


def test_later_seeds_see_what_earlier_cells_left():
    X = np.array([[0.0], [1.0], [2.2], [4.5]])
    # -3 at 1 takes 0, 2.2 and 4.5 together; -1 at 2.2 is inside and needs no cell of its own
    w = [2.0, -3.0, -1.0, 4.0]
    assert np.allclose(apply_negative_weights(X, None, w, "cell"), 0.5)


def test_radius_leaves_what_it_cannot_reach_and_says_so():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    X[0] = 6.0
    w = np.ones(200)
    w[:20] = -1.0
    with pytest.warns(WeightWarning, match=r"^1 of 20 negative events \(1 of 20 in weight\)"):
        out = apply_negative_weights(X, None, w, "cell", cell_radius=2.0)
    assert out[0] == -1
    assert out[1:].min() >= 0
    assert out.sum() == pytest.approx(w.sum())
    assert apply_negative_weights(X, None, w, "cell").min() >= 0


@pytest.mark.parametrize(
    ("policy", "radius"), [("cell", 0.0), ("cell", -1.0), ("cell", np.nan), ("pair", 1.0)]
)
def test_bad_radius(policy, radius):
    with pytest.raises(ValueError, match=r"cell_radius must be a positive number, .*'(cell|pair)'"):
        apply_negative_weights(np.zeros((2, 1)), None, [2.0, -1.0], policy, cell_radius=radius)


def test_logistic_regression_in_a_search_with_routed_weights():
    e = make_signed_events(1000, negative_fraction=0.2, random_state=0)
    model = LogisticRegression(negative_weights="cell", random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            model, {"C": [0.1, 1.0]}, cv=EventNumberKFold(2), scoring=roc_auc_scorer()
        ).fit(e.data, e.target, sample_weight=e.weight, groups=e.event_number)
    assert search.best_score_ > 0.6
