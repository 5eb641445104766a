import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import learning_curve

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.model_selection import RotatingClassifier, fold_learning_curves
from skhep_ml.plotting import LearningCurveDisplay


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    return rng.normal(y[:, None], size=(300, 2)), y, np.arange(300)


CURVES = {
    "train_loss": [np.array([3.0, 2.0, 1.0]), np.array([5.0, 4.0])],
    "valid_loss": [np.array([3.0, np.nan, 2.0]), np.array([5.0, 5.0])],
    "valid_metric": [np.array([0.5, 0.6, 0.7]), np.array([0.5, 0.7])],
}


def test_mean_and_spread_as_far_as_all_folds_go(legend_texts):
    display = LearningCurveDisplay.from_curves(CURVES, step_name="Epoch", name="Net")
    assert list(display.curves) == ["Training", "Validation"]
    assert legend_texts(display.ax_) == ["Net, training", "Net, validation"]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Epoch", "Loss")
    train, valid = display.lines_
    np.testing.assert_allclose(train.get_data(), [[1, 2], [4.0, 3.0]])
    # an epoch without a value in one of the folds has no mean
    np.testing.assert_allclose(valid.get_data(), [[1], [4.0]])
    band = display.ax_.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose((band.min(), band.max()), (3 - np.sqrt(2), 4 + np.sqrt(2)))
    thin = [line for line in display.ax_.lines if line not in display.lines_]
    assert [len(line.get_xdata()) for line in thin] == [3, 2, 3, 2]


def test_a_quantity_can_be_chosen(legend_texts):
    display = LearningCurveDisplay.from_curves(CURVES, quantity="metric")
    assert list(display.curves) == ["Validation"]
    assert display.ax_.get_ylabel() == "Metric"
    with pytest.raises(ValueError, match=r"quantity='auc' is not among .*\['loss', 'metric'\]"):
        LearningCurveDisplay.from_curves(CURVES, quantity="auc")
    with pytest.raises(ValueError, match=r"quantity=None is not among the curves' \[\]"):
        LearningCurveDisplay.from_curves({})
    with pytest.raises(ValueError, match="hold no finite value"):
        LearningCurveDisplay.from_curves({"valid_loss": [[np.nan]]})
    other = LearningCurveDisplay.from_curves({"valid_metric": [[0.5, 0.6]]})
    assert other.quantity == "Metric"
    assert len(other.ax_.lines) == 1


def test_trees_of_a_rotating_model(events):
    X, y, event = events
    bdt = BDTClassifier(n_estimators=5, max_depth=2, device="cpu", n_jobs=1)
    model = RotatingClassifier(bdt, n_splits=3, validation_fold=True).fit(X, y, groups=event)
    display = LearningCurveDisplay.from_estimator(model, name="BDT")
    assert display.ax_.get_xlabel() == "Tree"
    expected = fold_learning_curves(model)["validation_0 loss"]
    np.testing.assert_array_equal(display.curves["Validation"], expected)
    np.testing.assert_allclose(display.lines_[0].get_ydata(), np.mean(expected, axis=0))
    with pytest.raises(ValueError, match="has no learning curve"):
        LearningCurveDisplay.from_estimator(LogisticRegression().fit(X, y))


def test_numbers_of_training_events(events, legend_texts):
    X, y, _ = events
    sizes, train, test = learning_curve(LogisticRegression(), X, y, train_sizes=[30, 90, 200], cv=4)
    display = LearningCurveDisplay.from_learning_curve(sizes, train, test, quantity="Accuracy")
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Training events", "Accuracy")
    for line, scores in zip(display.lines_, (train, test), strict=True):
        np.testing.assert_allclose(line.get_data(), [sizes, scores.mean(axis=1)])
    alone = LearningCurveDisplay.from_learning_curve(sizes, None, test, ax=display.ax_, name="B")
    assert list(alone.curves) == ["Validation"]
    assert legend_texts(alone.ax_) == ["Training", "Validation", "B, validation"]
    assert alone.lines_[0].get_color() != display.lines_[0].get_color()


def test_bad_scores():
    with pytest.raises(ValueError, match=r"test_scores must have shape \(2, n_folds\), got \(3,"):
        LearningCurveDisplay.from_learning_curve([1, 2], None, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="scores are all NaN"):
        LearningCurveDisplay.from_learning_curve([1, 2], None, np.full((2, 2), np.nan))
    assert pyplot.get_fignums() == []
