import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.plotting import (
    CalibrationDisplay,
    ConfusionDisplay,
    OvertrainingDisplay,
    RejectionDisplay,
    RocDisplay,
    ScoreDisplay,
    SignificanceDisplay,
)
from skhep_ml.plotting._base import positive_score


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    return rng.normal(size=(200, 2)) + y[:, None], y


@pytest.mark.parametrize("labels", [(0, 1), ("background", "signal")])
def test_probability_and_decision_columns(events, labels):
    X, y = events
    y = np.array(labels)[y]
    model = LogisticRegression().fit(X, y)
    score, label = positive_score(model, X)
    assert label == labels[1]
    np.testing.assert_array_equal(score, model.predict_proba(X)[:, 1])
    score, label = positive_score(model, X, pos_label=labels[0])
    assert label == labels[0]
    np.testing.assert_array_equal(score, model.predict_proba(X)[:, 0])

    machine = LinearSVC().fit(X, y)
    score, _ = positive_score(machine, X)
    np.testing.assert_array_equal(score, machine.decision_function(X))
    score, _ = positive_score(machine, X, pos_label=labels[0])
    np.testing.assert_array_equal(score, -machine.decision_function(X))


def test_several_classes_need_a_choice(events):
    X, _ = events
    y = np.arange(200) % 3
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="knows 3 classes: pass pos_label="):
        positive_score(model, X)
    with pytest.raises(ValueError, match="pos_label=7 is not among the model's classes"):
        positive_score(model, X, pos_label=7)
    score, _ = positive_score(model, X, pos_label=1)
    np.testing.assert_array_equal(score, model.predict_proba(X)[:, 1])


def test_models_that_do_not_fit_are_refused(events):
    X, y = events
    with pytest.raises(NotFittedError):
        positive_score(LogisticRegression(), X)
    with pytest.raises(ValueError, match="DummyRegressor knows 0 classes"):
        RocDisplay.from_estimator(DummyRegressor().fit(X, y), X, y)
    with pytest.raises(AttributeError, match="LinearSVC has no predict_proba, which"):
        CalibrationDisplay.from_estimator(LinearSVC().fit(X, y), X, y)


@pytest.mark.parametrize(
    "display", [RocDisplay, RejectionDisplay, SignificanceDisplay, CalibrationDisplay]
)
def test_from_estimator_is_from_predictions(events, display):
    X, y = events
    weight = np.where(np.arange(200) % 5, 1.0, -0.5)
    names = np.array(["b", "s"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, names)
    score = model.predict_proba(X)[:, 1]
    one = display.from_estimator(model, X, names, sample_weight=weight)
    other = display.from_predictions(names, score, sample_weight=weight, pos_label="s")
    assert one.name == "Pipeline"
    for key, value in vars(other).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(one, key), value)


def test_groups_reach_a_rotating_model(events):
    X, y = events
    groups = np.arange(200)
    model = RotatingClassifier(LogisticRegression(), n_splits=3).fit(X, y, groups=groups)
    score = model.predict_proba(X, groups=groups)[:, 1]
    expected = RocDisplay.from_predictions(y, score)
    display = RocDisplay.from_estimator(model, X, y, groups=groups)
    np.testing.assert_array_equal(display.fpr, expected.fpr)
    stacked = ScoreDisplay.from_estimator(model, X, y, groups=groups, bins=5)
    np.testing.assert_array_equal(
        stacked.values, ScoreDisplay.from_predictions(score, y, bins=5).values
    )
    matrix = ConfusionDisplay.from_estimator(model, X, y, groups=groups).confusion_matrix
    assert np.trace(matrix) == np.sum(model.predict(X, groups=groups) == y)
    with pytest.raises(ValueError, match="groups"):
        RocDisplay.from_estimator(model, X, y)


def test_overtraining_from_estimator(events):
    X, y = events
    model = LogisticRegression().fit(X[:100], y[:100])
    score = model.predict_proba(X)[:, 1]
    one = OvertrainingDisplay.from_estimator(model, X[:100], y[:100], X[100:], y[100:], bins=5)
    other = OvertrainingDisplay.from_predictions(y[:100], score[:100], y[100:], score[100:], bins=5)
    np.testing.assert_array_equal(one.test, other.test)
    assert one.ks_signal == other.ks_signal
    assert one.ax_.get_xlabel() == "LogisticRegression score"
