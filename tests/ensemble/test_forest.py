import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.ensemble
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import make_signed_events
from skhep_ml.ensemble import RandomForestClassifier, RandomForestRegressor
from skhep_ml.ensemble._objectives import signed_leaf_events
from skhep_ml.exceptions import BiasedWeightsWarning, WeightWarning
from skhep_ml.metrics import roc_auc_score, roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import ZScoreScaler


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    X = rng.normal(size=(400, 3)) + y[:, None]
    return X, np.array(["bkg", "sig"])[y], rng.lognormal(sigma=0.5, size=400)


@pytest.fixture(scope="module")
def signed():
    return make_signed_events(1500, negative_fraction=0.25, random_state=1)


# --- weights >= 0: scikit-learn's own ----------------------------------------------------------


@pytest.mark.parametrize("unit", [1.0, 2.0**-20])
@pytest.mark.parametrize("bootstrap", [True, False])
@pytest.mark.parametrize(
    "params", [{}, {"min_samples_leaf": 5}, {"criterion": "entropy", "max_depth": 3}]
)
def test_classifier_equals_scikit_learn_on_scaled_weights(events, params, bootstrap, unit):
    X, y, w = events
    params = {**params, "bootstrap": bootstrap, "n_estimators": 10, "random_state": 3}
    ours = RandomForestClassifier(**params).fit(X, y, unit * w)
    theirs = sklearn.ensemble.RandomForestClassifier(**params).fit(X, y, w * (len(w) / w.sum()))
    assert np.array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()
    assert np.allclose(ours.feature_importances_, theirs.feature_importances_)
    assert np.array_equal(ours.apply(X), theirs.apply(X))


def test_regressor_equals_scikit_learn_on_scaled_weights(events):
    X, _, w = events
    for target in (X[:, 0], X[:, :2]):
        for criterion in ("squared_error", "absolute_error"):
            params = {"n_estimators": 5, "criterion": criterion, "random_state": 3}
            ours = RandomForestRegressor(**params).fit(X, target, 1e4 * w)
            theirs = sklearn.ensemble.RandomForestRegressor(**params).fit(X, target, w / w.mean())
            assert np.allclose(ours.predict(X), theirs.predict(X))


def test_without_weights_equals_scikit_learn(events):
    X, y, _ = events
    params = {"n_estimators": 10, "oob_score": True, "random_state": 3}
    with pytest.warns(WeightWarning, match=r"4 events \(1.0% .*were drawn by every tree"):
        ours = RandomForestClassifier(**params).fit(X, y)
    with pytest.warns(UserWarning, match="do not have OOB scores"):
        theirs = sklearn.ensemble.RandomForestClassifier(**params).fit(X, y)
    assert np.array_equal(ours.oob_decision_function_, theirs.oob_decision_function_)
    # events that no tree has left out have no estimate, and do not count as wrong ones
    known = ours.oob_decision_function_.sum(axis=1) > 0
    guess = ours.classes_[ours.oob_decision_function_[known].argmax(axis=1)]
    assert not known.all()
    assert ours.oob_score_ == pytest.approx((guess == y[known]).mean())


def test_balanced_classes_use_weights_not_counts(events):
    X, y, w = events
    skewed = np.where(y == "sig", 1e-4 * w, w)
    params = {"n_estimators": 10, "class_weight": "balanced", "random_state": 0}
    a = RandomForestClassifier(**params).fit(X, y, skewed)
    b = RandomForestClassifier(**params).fit(X, y, w)
    assert a.class_weight == "balanced"
    assert np.allclose(a.predict_proba(X), b.predict_proba(X))
    heavy = RandomForestClassifier(10, class_weight={"sig": 50.0}, max_depth=1, random_state=0)
    assert (heavy.fit(X, y, w).predict(X) == "sig").mean() > 0.9


# --- signed weights ----------------------------------------------------------------------------


def test_policies_come_nearer_the_truth_than_drop():
    e = make_signed_events(6000, negative_fraction=0.3, random_state=0)
    test, _ = e.truth.sample_unsigned(2000, random_state=1)
    truth = e.truth.posterior(test)

    def distance(policy):
        model = RandomForestClassifier(
            15, min_samples_leaf=40, negative_weights=policy, random_state=0
        ).fit(e.data, e.target, e.weight)
        return np.sqrt(np.mean((model.predict_proba(test)[:, 1] - truth) ** 2))

    with pytest.warns(BiasedWeightsWarning):
        dropped = distance("drop")
    for policy in ("refine", "keep", "pair", "cell"):
        assert distance(policy) < 0.8 * dropped


@pytest.mark.parametrize("policy", ["refine", "keep", "pair", "cell"])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_probabilities(signed, policy, bootstrap):
    model = RandomForestClassifier(
        10, negative_weights=policy, bootstrap=bootstrap, random_state=0
    ).fit(signed.data, signed.target, signed.weight)
    p = model.predict_proba(signed.data)
    assert p.min() >= 0
    assert p.max() <= 1
    assert np.allclose(p.sum(axis=1), 1)
    assert set(model.predict(signed.data)) <= {0, 1}
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert roc_auc_score(signed.target, p[:, 1], sample_weight=signed.weight) > 0.6
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(signed.data), p)
    assert np.array_equal(
        clone(model).fit(signed.data, signed.target, signed.weight).predict_proba(signed.data), p
    )


def test_keep_is_the_gini_forest_where_all_weights_are_positive(events):
    # the trees of "keep" are only grown for signed weights: a sign that cannot be seen in a leaf
    X, y, w = events
    params = {"n_estimators": 5, "min_samples_leaf": 150, "bootstrap": False, "max_features": None}
    flat = np.r_[X, X[:1]], np.r_[y, y[:1]], np.r_[w, -1e-9]
    kept = RandomForestClassifier(negative_weights="keep", random_state=0, **params).fit(*flat)
    gini = RandomForestClassifier(random_state=0, **params).fit(X, y, w)
    assert kept.estimators_[0].tree_.n_outputs == 2
    assert np.allclose(kept.predict_proba(X), gini.predict_proba(X), atol=1e-6)


def test_keep_leaves_hold_the_signed_sums(signed):
    X, y, w = signed.data, signed.target, signed.weight
    model = RandomForestClassifier(
        1, negative_weights="keep", bootstrap=False, max_leaf_nodes=4, random_state=0
    ).fit(X, y, w)
    leaf = model.apply(X)[:, 0]
    p = model.predict_proba(X)
    for k in np.unique(leaf):
        inside = leaf == k
        sums = np.array([w[inside & (y == c)].sum() for c in (0, 1)])
        assert np.allclose(p[inside], np.maximum(sums, 0) / np.maximum(sums, 0).sum())
        assert inside.sum() >= 64 * (np.abs(w).sum() / w.sum()) ** 2


def test_keep_regression_is_the_ratio_of_signed_sums():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(4000, 1))
    # signs depend on feature and target
    y = X[:, 0] + rng.choice([-1.0, 1.0], size=4000)
    w = np.where((y > X[:, 0]) & (rng.random(4000) < 0.3), -1.0, 1.0) * 1e-3
    tree = RandomForestRegressor(
        1, negative_weights="keep", bootstrap=False, max_leaf_nodes=6, random_state=0
    ).fit(X, y, w)
    leaf, p = tree.apply(X)[:, 0], tree.predict(X)
    for k in np.unique(leaf):
        inside = leaf == k
        assert np.allclose(p[inside], np.dot(w[inside], y[inside]) / w[inside].sum())
    # E[wy]/E[w] = x + (0.4 - 1) / (0.4 + 1)
    grid = np.linspace(-0.8, 0.8, 9).reshape(-1, 1)
    truth = grid[:, 0] + (0.4 - 1) / (0.4 + 1)
    for policy in ("keep", "refine", "pair", "cell"):
        forest = RandomForestRegressor(
            20, negative_weights=policy, min_samples_leaf=100, random_state=0
        ).fit(X, y, w)
        # -0.43 below x; without negative events -0.18, with their absolute weight 0
        assert abs(np.mean(forest.predict(grid) - truth)) < 0.1
    two = RandomForestRegressor(5, negative_weights="keep", random_state=0)
    two.fit(X, np.column_stack([y, -2 * y]), w)
    assert two.predict(grid).shape == (9, 2)
    assert np.allclose(two.predict(grid) @ [2, 1], 0, atol=1e-9)


def test_keep_regression_stays_in_the_range_of_the_target():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2000, 1))
    # negative as a whole above 0.8
    w = np.where(X[:, 0] > 0.8, -0.5, 1.0)
    model = RandomForestRegressor(10, negative_weights="keep", random_state=0)
    p = model.fit(X, X[:, 0], w).predict(X)
    assert p.min() >= 0
    assert p.max() <= 1


def test_three_classes(signed):
    y = signed.target + (signed.data[:, 0] > 1)
    model = RandomForestClassifier(10, negative_weights="keep", random_state=0)
    p = model.fit(signed.data, y, signed.weight).predict_proba(signed.data)
    assert p.shape == (len(y), 3)
    assert np.allclose(p.sum(axis=1), 1)
    assert p.min() >= 0


def test_a_leaf_of_signed_events_has_a_mean_sign_well_away_from_zero():
    weight = np.repeat([2.0, -2.0, 0.0], [900, 100, 50])
    # r = 0.8, with an error of 1 / sqrt(n) on the mean sign of n events: eight of them
    assert 0.8 * np.sqrt(signed_leaf_events(weight, stacklevel=1)) == pytest.approx(8)
    with pytest.warns(WeightWarning, match=r"sum to 80.0% .* needs 100 events and 100 do not"):
        signed_leaf_events(np.repeat([1.0, -1.0], [90, 10]), stacklevel=1)


def test_keep_says_when_nothing_can_be_learned():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), np.tile([0, 1], 100)
    w = np.where(np.arange(200) % 5 < 2, -1.0, 1.0)
    with pytest.warns(WeightWarning, match="almost constant"):
        model = RandomForestClassifier(5, negative_weights="keep").fit(X, y, w)
    assert (np.ptp(model.predict_proba(X), axis=0) < 1e-12).all()


def test_refinement_splits_by_event(signed):
    groups = np.arange(len(signed.target))
    fits = [
        RandomForestClassifier(5, salt=salt, random_state=0)
        .fit(signed.data, signed.target, signed.weight, groups=groups)
        .predict_proba(signed.data)
        for salt in (0, 0, 1)
    ]
    assert np.array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_missing_values_and_sparse_tables(signed):
    X = np.array(signed.data)
    X[::7, 1] = np.nan
    for policy in ("refine", "keep"):
        model = RandomForestClassifier(5, negative_weights=policy, random_state=0)
        assert np.isfinite(model.fit(X, signed.target, signed.weight).predict_proba(X)).all()
    sparse = scipy.sparse.csr_array(signed.data)
    model = RandomForestClassifier(5, negative_weights="keep", random_state=0)
    p = model.fit(sparse, signed.target, signed.weight).predict_proba(sparse)
    dense = clone(model).fit(signed.data, signed.target, signed.weight)
    assert np.allclose(p, dense.predict_proba(signed.data))


# --- out of bag --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_out_of_bag_score_has_the_original_weights(signed, policy):
    X, y, w = signed.data, signed.target, signed.weight
    model = RandomForestClassifier(
        40, min_samples_leaf=20, negative_weights=policy, oob_score=True, random_state=0
    ).fit(X, y, w)
    guess = model.oob_decision_function_.argmax(axis=1)
    assert model.oob_score_ == pytest.approx(np.dot(w, guess == y) / w.sum())
    test = make_signed_events(5000, negative_fraction=0.25, random_state=7)
    assert abs(model.oob_score_ - model.score(test.data, test.target, test.weight)) < 0.08
    seen = model.score(X, y, w)
    assert seen > model.oob_score_
    own = clone(model).set_params(oob_score=balanced_accuracy_score).fit(X, y, w)
    assert own.oob_score_ == pytest.approx(balanced_accuracy_score(y, guess, sample_weight=w))
    assert own.oob_score is balanced_accuracy_score


def test_heavy_events_are_never_out_of_bag():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), np.tile([0, 1], 100)
    w = np.r_[np.full(2, 198.0), np.ones(198)]
    with pytest.warns(WeightWarning, match=r"2 events \(66.7% .*max_samples"):
        model = RandomForestClassifier(20, oob_score=True, random_state=0).fit(X, y, w)
    guess = model.oob_decision_function_.argmax(axis=1)
    assert model.oob_score_ == pytest.approx((guess == y)[2:].mean())


def test_out_of_bag_regression():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1000, 2))
    y, w = X[:, 0], np.where(rng.random(1000) < 0.2, -1.0, 1.0)
    for policy in ("refine", "keep"):
        model = RandomForestRegressor(
            40, negative_weights=policy, oob_score=True, random_state=0
        ).fit(X, y, w)
        mean = np.dot(w, y) / w.sum()
        r2 = 1 - np.dot(w, (y - model.oob_prediction_) ** 2) / np.dot(w, (y - mean) ** 2)
        assert model.oob_score_ == pytest.approx(r2)
        assert r2 > 0.7


# --- use ---------------------------------------------------------------------------------------


def test_columns_by_name(events):
    X, y, w = events
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for model in (RandomForestClassifier(5, random_state=0), RandomForestRegressor(5)):
        target = y if isinstance(model, RandomForestClassifier) else X[:, 0]
        model.fit(frame, target, w)
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        other = frame[["c", "a", "b"]]
        assert np.array_equal(model.predict(other), model.predict(frame))
        assert np.array_equal(model.apply(other), model.apply(frame))
        with pytest.raises(ValueError, match=r"(?s)now missing.*- b"):
            model.predict(frame[["a", "c"]])


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_warm_start(signed, policy):
    X, y, w = signed.data, signed.target, signed.weight
    params = {"negative_weights": policy, "min_samples_leaf": 20, "random_state": 0}
    grown = RandomForestClassifier(4, warm_start=True, **params).fit(X, y, w)
    grown.set_params(n_estimators=8).fit(X, y, w)
    whole = RandomForestClassifier(8, **params).fit(X, y, w)
    assert np.allclose(grown.predict_proba(X), whole.predict_proba(X))
    assert len(grown.estimators_) == 8
    other = "keep" if policy == "refine" else "refine"
    with pytest.raises(ValueError, match="warm_start"):
        grown.set_params(n_estimators=9, negative_weights=other).fit(X, y, w)


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_in_searches_with_routed_weights(signed, policy):
    X, y, w = signed.data, signed.target, signed.weight
    model = make_pipeline(
        ZScoreScaler(), RandomForestClassifier(5, negative_weights=policy, random_state=0)
    )
    grid = {"randomforestclassifier__min_samples_leaf": [50, 100]}
    for search in (GridSearchCV, partial(RandomizedSearchCV, n_iter=2)):
        with config_context(enable_metadata_routing=True):
            found = search(model, grid, cv=EventNumberKFold(2), scoring=roc_auc_scorer(), n_jobs=2)
            found.fit(X, y, sample_weight=w, groups=np.arange(len(y)))
        assert np.isfinite(found.cv_results_["mean_test_score"]).all()
        assert found.best_score_ > 0.55


def test_regressor_in_a_search(signed):
    y = signed.data[:, 0]
    model = make_pipeline(ZScoreScaler(), RandomForestRegressor(5, random_state=0))
    with config_context(enable_metadata_routing=True):
        found = GridSearchCV(
            model, {"randomforestregressor__max_depth": [1, 6]}, cv=EventNumberKFold(2), n_jobs=2
        ).fit(signed.data, y, sample_weight=signed.weight, groups=np.arange(len(y)))
    assert found.best_params_ == {"randomforestregressor__max_depth": 6}


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "fit", "match"),
    [
        ({}, {"sample_weight": np.full(8, np.nan)}, "NaN or infinite"),
        ({}, {"sample_weight": np.ones(3)}, "3 entries"),
        ({}, {"sample_weight": np.zeros(8)}, "zero for every event"),
        ({}, {"sample_weight": [1, -2, 1, -1, 1, 1, 1, 1]}, "class 0 sum to -1"),
        ({}, {"groups": np.arange(8) + 0.5}, "must be integers"),
        ({"negative_weights": "raise"}, {"sample_weight": [1, 2, -1, 1, 1, 1, 1, 1]}, "event 2"),
        ({"negative_weights": "maybe"}, {}, "negative_weights must be one of"),
        ({"class_weight": "balanced_subsample"}, {}, "class_weight must be"),
        ({"weight_cap": 2}, {"sample_weight": np.ones(8)}, "weight_cap"),
        ({"n_estimators": 0}, {}, "n_estimators"),
        (
            {"negative_weights": "keep", "criterion": "entropy"},
            {"sample_weight": [1, 2, -1, 1, 1, 1, 1, 1]},
            "criterion='gini'",
        ),
        (
            {"negative_weights": "keep", "monotonic_cst": [1]},
            {"sample_weight": [1, 2, -1, 1, 1, 1, 1, 1]},
            "monotonic_cst",
        ),
    ],
)
def test_bad_input(params, fit, match):
    model = RandomForestClassifier(**params)
    with pytest.raises(ValueError, match=match):
        model.fit(np.zeros((8, 1)), [0, 0, 0, 0, 1, 1, 1, 1], **fit)
    assert not hasattr(model, "estimators_")


def test_one_class_and_several_targets():
    with pytest.raises(ValueError, match="only one class"):
        RandomForestClassifier().fit(np.zeros((4, 1)), [1, 1, 1, 1])
    with pytest.raises(ValueError, match="y should be a 1d array"):
        RandomForestClassifier().fit(np.zeros((4, 1)), np.eye(4))
    with pytest.raises(ValueError, match="infinity"):
        RandomForestRegressor().fit(np.array([[np.inf], [0.0]]), [0.0, 1.0])
    with pytest.raises(ValueError, match="sum to -1"):
        RandomForestRegressor().fit(np.zeros((2, 1)), [0.0, 1.0], [-2.0, 1.0])
