"""What must hold for a rotating model whatever the events are."""

import numpy as np
import pytest
import sklearn
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate, learning_curve
from sklearn.pipeline import make_pipeline

from skhep_ml._hashing import event_fold
from skhep_ml.ensemble import BDTClassifier
from skhep_ml.metrics import background_rejection_scorer, roc_auc_scorer
from skhep_ml.model_selection import BayesSearchCV, EventNumberKFold, RotatingClassifier
from skhep_ml.preprocessing import ZScoreScaler
from skhep_ml.weights import request_weights

few = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)


class Witness(ClassifierMixin, BaseEstimator):
    """Predicts how much of an event it has seen: 0 none, 0.5 to stop early, 1 to train."""

    def fit(self, X, y, *, eval_set=None):
        self.classes_ = np.array([0, 1])
        self.trained_ = set(X[:, 0])
        self.held_ = set(eval_set[0][0][:, 0]) if eval_set else set()
        return self

    def predict_proba(self, X):
        seen = [(e in self.trained_) + 0.5 * (e in self.held_) for e in X[:, 0]]
        return np.column_stack([1 - np.array(seen), seen])

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


@st.composite
def samples(draw, *, copies=3):
    """Identifiers, some of them repeated as variations of an event, of one or two columns."""
    numbers = draw(
        st.lists(st.integers(0, 2**31), min_size=60, max_size=120, unique=True).map(np.array)
    )
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    event = np.repeat(numbers, rng.integers(1, copies + 1, len(numbers)))
    groups = np.column_stack([event % 7, event]) if draw(st.booleans()) else event
    y = np.tile([0, 1], len(event))[: len(event)]
    return event, groups, y, rng


@few
@given(samples(), st.integers(3, 5), st.integers(0, 99), st.booleans())
def test_no_event_is_predicted_by_a_model_that_saw_it(sample, n_splits, salt, validation):
    event, groups, y, rng = sample
    X = np.column_stack([event, rng.normal(size=len(event))])
    model = RotatingClassifier(Witness(), n_splits, salt=salt, validation_fold=validation)
    model.fit(X, y, groups=groups)
    assert not model.predict_proba(X, groups=groups)[:, 1].any()
    # and each is trained on by as many models as there can be
    seen = sum(fitted.predict_proba(X)[:, 1] for fitted in model.estimators_)
    assert np.all(seen == (n_splits - 1.5 if validation else n_splits - 1))


@few
@given(samples())
def test_variations_share_the_model_of_their_event(sample):
    event, groups, y, rng = sample
    X = np.column_stack([event, rng.normal(size=len(event))])
    model = RotatingClassifier(LogisticRegression(), 3).fit(X[:, 1:], y, groups=groups)
    varied = model.predict_proba(np.ones((len(event), 1)), groups=groups)[:, 1]
    for number in np.unique(event):
        assert len(set(varied[event == number])) == 1


@few
@given(samples(), st.data())
def test_prediction_knows_no_order_chunk_or_company(sample, data):
    _, groups, y, rng = sample
    n = len(y)
    X = rng.normal(size=(n, 2))
    model = RotatingClassifier(BDTClassifier(4, max_depth=2, n_jobs=1), 3)
    model.fit(X, y, rng.uniform(0.5, 2, n), groups=groups)
    p = model.predict_proba(X, groups=groups)
    order = rng.permutation(n)
    assert np.array_equal(model.predict_proba(X[order], groups=groups[order]), p[order])
    cut = data.draw(st.integers(1, n - 1))
    parts = (slice(0, cut), slice(cut, n))
    chunks = [model.predict_proba(X[part], groups=groups[part]) for part in parts]
    assert np.array_equal(np.concatenate(chunks), p)
    subset = np.flatnonzero(rng.random(n) < 0.3)
    assume(len(subset))
    assert np.array_equal(model.predict_proba(X[subset], groups=groups[subset]), p[subset])
    # new events in between change nothing for those that were there
    more = np.concatenate([groups, groups + 2**32])
    table = np.concatenate([X, rng.normal(size=(n, 2))])
    assert np.array_equal(model.predict_proba(table, groups=more)[:n], p)


@few
@given(samples(copies=1))
def test_training_knows_no_order(sample):
    event, groups, y, rng = sample
    X = rng.normal(size=(len(event), 2))
    order = rng.permutation(len(event))
    a = RotatingClassifier(LogisticRegression(tol=1e-8), 3).fit(X, y, groups=groups)
    b = RotatingClassifier(LogisticRegression(tol=1e-8), 3)
    b.fit(X[order], y[order], groups=groups[order])
    given_groups = {"groups": groups}
    assert np.allclose(
        a.predict_proba(X, **given_groups), b.predict_proba(X, **given_groups), atol=1e-6
    )


@few
@given(samples(), st.integers(3, 6))
def test_more_events_move_no_other(sample, n_splits):
    event, groups, y, rng = sample
    X = np.column_stack([event, rng.normal(size=len(event))])
    half = len(event) // 2
    fold = event_fold(groups[:half], n_splits, "rotating", 0)
    assume(len(set(fold)) == n_splits)
    few_events, all_events = (
        RotatingClassifier(Witness(), n_splits).fit(X[:n], y[:n], groups=groups[:n])
        for n in (half, len(event))
    )
    for a, b in zip(few_events.estimators_, all_events.estimators_, strict=True):
        assert a.trained_ <= b.trained_
        assert b.trained_.isdisjoint(set(event[:half]) - a.trained_)


@few
@given(samples(), st.integers(-20, 20))
def test_weights_have_no_unit(sample, power):
    _, groups, y, rng = sample
    n = len(y)
    X = rng.normal(y[:, None], size=(n, 2))
    w = np.where(rng.random(n) < 0.1, -1, 1) * rng.uniform(0.5, 2, n)
    bdt = BDTClassifier(4, early_stopping_rounds=2, max_depth=2, n_jobs=1, random_state=0)
    p = [
        RotatingClassifier(bdt, 3, validation_fold=True)
        .fit(X, y, w * unit, groups=groups)
        .predict_proba(X, groups=groups)
        for unit in (1.0, 2.0**power)
    ]
    assert np.array_equal(*p)


# --- in and around scikit-learn's own -------------------------------------------------------------


@pytest.fixture
def events():
    rng = np.random.default_rng(2)
    y = np.tile([0, 1], 300)
    X = rng.normal(y[:, None], size=(600, 3))
    w = np.where(rng.random(600) < 0.15, -1, 1) * rng.uniform(0.5, 2, 600)
    return X, y, w, np.arange(600) * 3


def small_bdt(**options):
    return BDTClassifier(n_estimators=6, n_jobs=1, random_state=0, **options)


SEARCHES = {
    "grid": GridSearchCV(
        make_pipeline(ZScoreScaler(), small_bdt()),
        {"bdtclassifier__max_depth": [1, 3]},
        cv=EventNumberKFold(2),
        scoring=background_rejection_scorer(0.5),
        error_score="raise",
    ),
    "bayes": BayesSearchCV(
        make_pipeline(ZScoreScaler(), small_bdt()),
        {"bdtclassifier__max_depth": (1, 4)},
        n_iter=3,
        n_initial_points=2,
        cv=EventNumberKFold(2),
        scoring=background_rejection_scorer(0.5),
        random_state=0,
    ),
}


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("routing", [True, False])
def test_nested_search_is_the_search_of_the_other_folds(events, kind, routing):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=routing):
        search = SEARCHES[kind]
        model = RotatingClassifier(search, 2).fit(X, y, w, groups=event)
        p = model.predict_proba(X, groups=event)
        fold = event_fold(event, 2, "rotating", 0)
        for k, fitted in enumerate(model.estimators_):
            rows = fold != k
            names = {"sample_weight": w[rows], "groups": event[rows]}
            if not routing:
                names["bdtclassifier__sample_weight"] = names.pop("sample_weight")
            by_hand = sklearn.clone(search).fit(X[rows], y[rows], **names)
            assert fitted.best_params_ == by_hand.best_params_
            assert np.array_equal(p[~rows], by_hand.predict_proba(X[~rows]))


@pytest.mark.parametrize("validation", [True, False])
def test_cross_validation_around_a_rotating_model(events, validation):
    X, y, w, event = events
    bdt = small_bdt(early_stopping_rounds=3)
    with sklearn.config_context(enable_metadata_routing=True):
        model = RotatingClassifier(bdt, 3, unidentified="mean", validation_fold=validation)
        out = cross_validate(
            model,
            X,
            y,
            cv=EventNumberKFold(3),
            scoring=roc_auc_scorer(),
            params={"sample_weight": w, "groups": event},
            return_estimator=True,
        )
        assert out["test_score"].min() > 0.7
        for (_, test), fitted in zip(
            EventNumberKFold(3).split(X, y, event), out["estimator"], strict=True
        ):
            p = np.mean([m.predict_proba(X[test]) for m in fitted.estimators_], axis=0)
            assert np.allclose(fitted.predict_proba(X[test]), p)


def test_the_same_kind_inside_needs_another_salt(events):
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=True):
        inner = RotatingClassifier(small_bdt(), 2, unidentified="mean")
        with pytest.raises(ValueError, match="another salt"):
            RotatingClassifier(inner, 2).fit(X, y, w, groups=event)
        model = RotatingClassifier(inner.set_params(salt=1), 2).fit(X, y, w, groups=event)
        assert model.score(X, y, w, groups=event) > 0.6


def test_learning_curve_by_event_number(events):
    """scikit-learn's own takes weights and identifiers, so that none of ours is needed."""
    X, y, w, event = events
    with sklearn.config_context(enable_metadata_routing=True):
        sizes, train, test = learning_curve(
            request_weights(make_pipeline(ZScoreScaler(), small_bdt())),
            X,
            y,
            cv=EventNumberKFold(2),
            scoring=roc_auc_scorer(),
            params={"sample_weight": w, "groups": event},
            train_sizes=[0.3, 1.0],
            shuffle=True,
            random_state=0,
            error_score="raise",
        )
        assert train.shape == test.shape == (len(sizes), 2)
        rows, held = next(EventNumberKFold(2).split(X, y, event))
        model = make_pipeline(ZScoreScaler(), small_bdt())
        model.fit(X[rows][: sizes[1]], y[rows][: sizes[1]], sample_weight=w[rows][: sizes[1]])
        score = roc_auc_scorer()(model, X[held], y[held], sample_weight=w[held])
        assert test[1, 0] == pytest.approx(score, abs=0.05)
        assert train[1].mean() > test[1].mean() > 0.7
