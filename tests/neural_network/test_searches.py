"""Nets in Pipelines and searches, with signed weights and event numbers on their way."""

import numpy as np
import pytest
import sklearn
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skopt.space import Real

from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import background_rejection_scorer, log_loss_scorer, roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold, RotatingClassifier
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.preprocessing import AutoScaler


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def events(n=500, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 1.5 * y
    X[rng.random(n) < 0.1, 2] = np.nan
    weight = np.where(rng.random(n) < 0.15, -1.0, 1.0) * rng.uniform(0.5, 2, n)
    return X, y, weight, rng.integers(0, 10**12, n)


# modules of the package, as workers of other processes import them by name
def net(cls=NetClassifier, **options):
    defaults = {"max_epochs": 5, "lr": 0.01, "module__hidden": (8,), "batch_size": 64}
    return cls(**(defaults | {"random_state": 0, "device": "cpu"} | options))


def pipeline(**options):
    return make_pipeline(MissingValueImputer(), AutoScaler(), net(**options))


@pytest.mark.usefixtures("routing")
def test_grid_search_with_weights_and_event_numbers():
    X, y, weight, number = events()
    search = GridSearchCV(
        pipeline(class_weight="balanced"),
        {"netclassifier__module__hidden": [(2,), (8, 8)], "netclassifier__lr": [1e-6, 0.03]},
        cv=EventNumberKFold(2),
        scoring={"auc": roc_auc_scorer(), "r50": background_rejection_scorer()},
        refit="auc",
        error_score="raise",
    )
    search.fit(X, y, sample_weight=weight, groups=number)
    assert search.best_params_["netclassifier__lr"] == 0.03
    assert search.best_score_ > 0.75
    assert np.isfinite(search.cv_results_["mean_test_r50"]).all()
    # the scores are those of hand-made folds with signed weights
    scores = []
    for train, test in EventNumberKFold(2).split(X, y, groups=number):
        model = sklearn.base.clone(pipeline(class_weight="balanced"))
        model.set_params(**search.best_params_)
        model.fit(X[train], y[train], sample_weight=weight[train], groups=number[train])
        score = model.predict_proba(X[test])[:, 1]
        scores.append(roc_auc_scorer().score_predictions(y[test], score, weight[test]))
    assert search.best_score_ == pytest.approx(np.mean(scores), abs=1e-6)


@pytest.mark.usefixtures("routing")
def test_randomized_search_with_early_stopping_in_two_processes():
    X, y, weight, number = events()
    search = RandomizedSearchCV(
        pipeline(early_stopping=True, patience=2),
        {"netclassifier__lr": [0.003, 0.01, 0.03], "netclassifier__module__dropout": [0.0, 0.1]},
        n_iter=2,
        cv=EventNumberKFold(2),
        scoring=roc_auc_scorer(),
        n_jobs=2,
        random_state=0,
        error_score="raise",
    )
    search.fit(X, y, sample_weight=weight, groups=number)
    assert search.best_score_ > 0.7
    alone = sklearn.base.clone(search).set_params(n_jobs=None)
    alone.fit(X, y, sample_weight=weight, groups=number)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], atol=1e-5
    )


def test_searches_without_routing():
    X, y, weight, _ = events(300)
    grid = {"netclassifier__lr": [0.01, 0.03]}
    search = GridSearchCV(pipeline(), grid, cv=2, scoring="roc_auc", error_score="raise")
    search.fit(X, y, netclassifier__sample_weight=weight)
    assert search.best_score_ > 0.7
    X = np.nan_to_num(X)
    assert cross_val_score(net(), X, y, cv=2).min() > 0.6


# With routing on, scikit-optimize 0.10.2 itself fails: its search always hands on groups=None.
def test_bayes_search_without_routing():
    X, y, _, _ = events(300)
    search = BayesSearchCV(
        pipeline(),
        {"netclassifier__lr": Real(1e-5, 1e-1, prior="log-uniform")},
        n_iter=3,
        cv=2,
        scoring="roc_auc",
        surrogate="RF",
        n_initial_points=3,
        random_state=0,
        error_score="raise",
    )
    search.fit(X, y, netclassifier__sample_weight=np.ones(300))
    assert search.best_score_ > 0.6
    assert search.predict_proba(X).shape == (300, 2)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_string_labels_in_a_search(n_classes):
    X, y, weight, number = events(600)
    if n_classes == 3:
        y = y + 2 * (X[:, 1] > 0.8)
        y[y == 3] = 2
    labels = np.array(["background", "signal", "other"])[y]
    scoring = roc_auc_scorer() if n_classes == 2 else log_loss_scorer()
    search = GridSearchCV(
        pipeline(negative_weights="keep"),
        {"netclassifier__lr": [0.01, 0.02]},
        cv=EventNumberKFold(2),
        scoring=scoring,
        error_score="raise",
    )
    search.fit(X, labels, sample_weight=weight, groups=number)
    assert set(search.classes_) == set(labels)
    assert search.predict_proba(X).shape == (600, n_classes)
    assert np.mean(search.predict(X) == labels) > 0.6
    assert np.isfinite(search.best_score_)


@pytest.mark.usefixtures("routing")
def test_rotation_around_a_net_and_a_search_around_that():
    X, y, weight, number = events()
    rotating = RotatingClassifier(pipeline(), n_splits=2)
    rotating.fit(X, y, sample_weight=weight, groups=number)
    score = rotating.predict_proba(X, groups=number)[:, 1]
    assert roc_auc_score(y, score) > 0.75
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_allclose(
        rotating.predict_proba(X[order], groups=number[order])[:, 1], score[order], atol=1e-6
    )
    folds = list(EventNumberKFold(2).split(X, y, groups=number))
    model = pipeline().fit(
        X[folds[0][0]],
        y[folds[0][0]],
        sample_weight=weight[folds[0][0]],
        groups=number[folds[0][0]],
    )
    assert roc_auc_score(y[folds[0][1]], model.predict_proba(X[folds[0][1]])[:, 1]) > 0.7


@pytest.mark.usefixtures("routing")
def test_a_search_over_a_regressor():
    X, _, weight, number = events()
    X = np.nan_to_num(X)
    target = 50 + 10 * X[:, 0]
    search = GridSearchCV(
        make_pipeline(AutoScaler(), net(NetRegressor)),
        {"netregressor__max_epochs": [1, 20]},
        cv=EventNumberKFold(2),
        error_score="raise",
    )
    search.fit(X, target, sample_weight=np.abs(weight), groups=number)
    assert search.best_params_ == {"netregressor__max_epochs": 20}
    assert search.best_score_ > 0.8
