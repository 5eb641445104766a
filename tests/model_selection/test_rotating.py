import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skhep_ml._hashing import event_fold
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import UnidentifiedEventsWarning
from skhep_ml.metrics import roc_auc_score, roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold, RotatingClassifier, RotatingRegressor
from skhep_ml.preprocessing import ZScoreScaler


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 300)
    X = rng.normal(size=(600, 3)) + y[:, None] * 0.8
    return X, y, rng.uniform(0.2, 3, 600), np.arange(600) * 10


def test_each_event_gets_the_model_that_never_saw_it(events):
    X, y, w, event = events
    model = RotatingClassifier(LogisticRegression(), 4, salt=3).fit(X, y, w, groups=event)
    fold = event_fold(event, 4, "rotating", 3)
    p = model.predict_proba(X, groups=event)
    for k in range(4):
        out = fold == k
        by_hand = LogisticRegression().fit(X[~out], y[~out], w[~out])
        assert np.allclose(p[out], by_hand.predict_proba(X[out]))
        assert np.array_equal(model.predict(X, groups=event)[out], by_hand.predict(X[out]))
        d = model.decision_function(X, groups=event)
        assert np.allclose(d[out], by_hand.decision_function(X[out]))
    accuracy = np.average(model.predict(X, groups=event) == y, weights=w)
    assert model.score(X, y, w, groups=event) == pytest.approx(accuracy)


def test_noise_cannot_be_remembered():
    rng = np.random.default_rng(1)
    X, y, event = rng.normal(size=(3000, 5)), rng.integers(2, size=3000), np.arange(3000)
    tree = DecisionTreeClassifier(random_state=0)
    model = RotatingClassifier(tree, 3).fit(X, y, groups=event)
    auc, std = roc_auc_score(y, model.predict_proba(X, groups=event)[:, 1], return_std=True)
    assert abs(auc - 0.5) < 4 * std
    assert roc_auc_score(y, tree.fit(X, y).predict_proba(X)[:, 1]) == 1


def test_prediction_depends_on_neither_order_chunk_nor_subset(events):
    X, y, w, event = events
    model = RotatingClassifier(BDTClassifier(n_estimators=10, n_jobs=1), 3)
    model.fit(X, y, w, groups=event)
    p = model.predict_proba(X, groups=event)
    order = np.random.default_rng(0).permutation(600)
    assert np.array_equal(model.predict_proba(X[order], groups=event[order]), p[order])
    assert np.array_equal(model.predict_proba(X[5:6], groups=event[5:6]), p[5:6])
    chunks = [model.predict_proba(X[a:b], groups=event[a:b]) for a, b in ((0, 7), (7, 600))]
    assert np.array_equal(np.vstack(chunks), p)


def test_identifiers_ride_in_x(events):
    X, y, w, event = events
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(run=7, event=event)
    model = RotatingClassifier(LogisticRegression(), 3, id_columns=("run", "event"))
    model.fit(frame, y, w)
    assert list(model.estimators_[0].feature_names_in_) == ["a", "b", "c"]
    ids = frame[["run", "event"]]
    other = RotatingClassifier(LogisticRegression(), 3).fit(X, y, w, groups=ids)
    assert np.allclose(model.predict_proba(frame), other.predict_proba(X, groups=ids))
    scores = cross_validate(model, frame, y, cv=EventNumberKFold(2, id_columns=["run", "event"]))
    assert np.isfinite(scores["test_score"]).all()
    integers = np.column_stack([(X * 100).astype(int), event])
    by_number = RotatingClassifier(LogisticRegression(), 3, id_columns=-1).fit(integers, y)
    assert by_number.n_features_in_ == 3


def test_unidentified(events):
    X, y, _, event = events
    model = RotatingClassifier(LogisticRegression(), 3).fit(X, y, groups=event)
    with pytest.raises(ValueError, match="needs them to predict"):
        model.predict_proba(X)
    mean = np.mean([m.predict_proba(X) for m in model.estimators_], axis=0)
    model.set_params(unidentified="mean")
    assert np.allclose(model.predict_proba(X), mean)
    assert np.array_equal(model.predict(X), mean.argmax(axis=1))
    odds = np.log(mean[:, 1] / mean[:, 0])
    assert np.allclose(model.decision_function(X), odds)
    with pytest.warns(UnidentifiedEventsWarning, match="mean of all models"):
        rows = RotatingClassifier(LogisticRegression(), 3).fit(X, y)
    mean = np.mean([m.predict_proba(X) for m in rows.estimators_], axis=0)
    assert np.allclose(rows.predict_proba(X), mean)
    assert np.allclose(rows.predict_proba(X, groups=event), mean)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.parametrize("inner", [LinearSVC(), RidgeClassifier(), KNeighborsClassifier()])
def test_mean_without_probabilities(events, inner):
    X, y, *_ = events
    labels = np.array(["bkg", "sig"])[y]
    model = RotatingClassifier(inner, 3).fit(X, labels)
    assert np.mean(model.predict(X) == labels) > 0.7
    assert hasattr(model, "predict_proba") == hasattr(inner, "predict_proba")
    if not hasattr(inner, "predict_proba"):
        expected = np.mean([m.decision_function(X) for m in model.estimators_], axis=0)
        assert np.allclose(model.decision_function(X), expected)


class OnlyLabels(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.inner_ = DecisionTreeClassifier(max_depth=2).fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
def test_majority_vote_where_there_are_only_labels(events):
    X, y, *_ = events
    model = RotatingClassifier(OnlyLabels(), 3).fit(X, y)
    votes = np.sum([m.predict(X) for m in model.estimators_], axis=0)
    assert np.array_equal(model.predict(X), (votes >= 2).astype(int))


@pytest.mark.parametrize("routing", [True, False])
def test_weights_and_groups_reach_the_model_inside(events, routing):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=routing):
        inner = BDTClassifier(
            n_estimators=30, early_stopping_rounds=3, n_jobs=1, random_state=0, max_depth=2
        )
        pipe = make_pipeline(ZScoreScaler(), inner)
        one = RotatingClassifier(pipe, 2).fit(X, y, w, groups=event)
        two = RotatingClassifier(pipe, 2).fit(X, y, groups=event)
        p1, p2 = (m.predict_proba(X, groups=event) for m in (one, two))
        assert not np.allclose(p1, p2)
        # early stopping by event: the same fit whatever the order of rows
        order = np.random.default_rng(0).permutation(600)
        three = RotatingClassifier(pipe, 2).fit(X[order], y[order], w[order], groups=event[order])
        stop = [m[-1].best_iteration_ for m in one.estimators_]
        assert stop == [m[-1].best_iteration_ for m in three.estimators_]
        if not routing:  # groups of a search reach its splitter only
            return
        search = GridSearchCV(
            RotatingClassifier(pipe, 2, unidentified="mean"),
            {"estimator__bdtclassifier__max_depth": [1, 2]},
            cv=EventNumberKFold(2),
            scoring=roc_auc_scorer(),
            error_score="raise",
        )
        search.fit(X, y, sample_weight=w, groups=event)
        assert search.best_estimator_.n_id_columns_ == 1
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("routing", [True, False])
def test_around_a_search(events, routing):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            make_pipeline(BDTClassifier(n_estimators=5, n_jobs=1)),
            {"bdtclassifier__max_depth": [1, 3]},
            cv=EventNumberKFold(2),
        )
        model = RotatingClassifier(search, 2).fit(X, y, w, groups=event)
        assert model.score(X, y, groups=event) > 0.65
        assert all(hasattr(m, "best_params_") for m in model.estimators_)


def test_fit_params_follow_the_folds(events):
    X, y, w, event = events
    pipe = make_pipeline(ZScoreScaler(), LogisticRegression())
    a = RotatingClassifier(pipe, 2).fit(X, y, groups=event, logisticregression__sample_weight=w)
    b = RotatingClassifier(pipe, 2).fit(X, y, w, groups=event)
    args = {"groups": event}
    assert np.allclose(a.predict_proba(X, **args), b.predict_proba(X, **args))


def test_pickle_and_parallel(events):
    X, y, w, event = events
    model = RotatingClassifier(LogisticRegression(), 3, n_jobs=2).fit(X, y, w, groups=event)
    serial = RotatingClassifier(LogisticRegression(), 3).fit(X, y, w, groups=event)
    copy = pickle.loads(pickle.dumps(model))
    p = serial.predict_proba(X, groups=event)
    assert np.array_equal(copy.predict_proba(X, groups=event), p)


def test_string_labels_of_different_lengths(events):
    X, _, _, event = events
    y = np.array(["ttH", "background"])[(X[:, 0] > 0).astype(int)]
    model = RotatingClassifier(DecisionTreeClassifier(max_depth=2), 3).fit(X, y, groups=event)
    assert np.mean(model.predict(X, groups=event) == y) > 0.95


def test_regressor(events):
    X, _, w, event = events
    target = X[:, 0] * 2 + 1
    model = RotatingRegressor(Ridge(1e-3), 3).fit(X, target, w, groups=event)
    assert np.allclose(model.predict(X, groups=event), target, atol=1e-3)
    assert model.score(X, target, w, groups=event) > 0.999
    with pytest.warns(UnidentifiedEventsWarning):
        rows = RotatingRegressor(Ridge(), 3).fit(X, target)
    assert np.allclose(rows.predict(X), np.mean([m.predict(X) for m in rows.estimators_], axis=0))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"groups": np.arange(600) / 2}, "must be integers"),
        ({"groups": np.arange(599)}, "599 entries, but there are 600"),
        ({"groups": np.zeros(600, dtype=int)}, "no event falls in fold"),
        ({"sample_weight": np.full(600, np.inf)}, "NaN or infinite"),
        ({"sample_weight": np.ones(3)}, "3 entries"),
        ({"y": np.zeros(600)}, "only one class"),
        ({"y": np.r_[np.zeros(599), 1]}, "has no events outside fold"),
        ({"unidentified": "mode"}, "unidentified must be"),
        ({"n_splits": 1}, "at least 2"),
    ],
)
def test_bad_input(events, change, match):
    X, y, w, event = events
    fit = {"y": y, "sample_weight": w, "groups": event}
    params = {k: change[k] for k in ("unidentified", "n_splits") if k in change}
    fit |= {k: v for k, v in change.items() if k not in params}
    with pytest.raises(ValueError, match=match):
        RotatingClassifier(LogisticRegression(), **{"n_splits": 3, **params}).fit(X, **fit)


def test_other_identifiers_than_in_fit(events):
    X, y, _, event = events
    model = RotatingClassifier(LogisticRegression(), 3).fit(X, y, groups=event)
    with pytest.raises(ValueError, match="2 columns, but 1 in fit"):
        model.predict(X, groups=np.column_stack([event, event]))


def test_model_that_takes_no_weights(events):
    X, y, w, event = events
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
        RotatingClassifier(KNeighborsClassifier()).fit(X, y, w, groups=event)
