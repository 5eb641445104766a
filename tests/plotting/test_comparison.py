import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression

from skhep_ml.metrics import (
    average_precision_score,
    background_rejection_score,
    bootstrap,
    precision_recall_curve,
)
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.model_selection._rotating import event_folds
from skhep_ml.plotting import (
    OvertrainingDisplay,
    PrecisionRecallDisplay,
    RejectionDisplay,
    RocDisplay,
)
from skhep_ml.plotting._comparison import _GRID

KINDS = [RocDisplay, RejectionDisplay, PrecisionRecallDisplay]


@pytest.fixture
def events():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    weight = np.where(rng.random(600) < 0.1, -1.0, 1.0)
    return rng.normal(size=(600, 2)) + y[:, None], y, weight, np.arange(600)


@pytest.fixture
def rotating(events):
    X, y, _, event = events
    return RotatingClassifier(LogisticRegression(), n_splits=3).fit(X, y, groups=event)


def arrays(display):
    return {key: one for key, one in vars(display).items() if isinstance(one, np.ndarray)}


def assert_same(one, other):
    for key, values in arrays(other).items():
        np.testing.assert_array_equal(arrays(one)[key], values)


def test_precision_recall_is_the_metrics(sample):
    weight = np.abs(sample.weight)
    display = PrecisionRecallDisplay.from_predictions(sample.y, sample.score, sample_weight=weight)
    precision, recall, thresholds = precision_recall_curve(
        sample.y, sample.score, sample_weight=weight
    )
    np.testing.assert_allclose(display.precision, precision[-2::-1])
    np.testing.assert_allclose(display.recall, recall[-2::-1])
    np.testing.assert_array_equal(display.thresholds, thresholds[::-1])
    assert display.average_precision == average_precision_score(
        sample.y, sample.score, sample_weight=weight
    )
    assert display.ax_.get_xlabel() == "Signal efficiency (recall)"


def test_precision_error_is_that_of_the_bootstrap(sample):
    display = PrecisionRecallDisplay.from_predictions(
        sample.y, sample.score, sample_weight=sample.weight
    )
    k = len(display.thresholds) // 2

    def purity(y, score, sample_weight):
        selected = score >= display.thresholds[k]
        return sample_weight[selected & (y == 1)].sum() / sample_weight[selected].sum()

    found = bootstrap(
        purity,
        sample.y,
        sample.score,
        sample_weight=sample.weight,
        n_replicas=400,
        random_state=0,
    )
    np.testing.assert_allclose(display.precision[k], found.value)
    # 400 replicas know a width to 4%, and the purity is not quite linear in the yields
    np.testing.assert_allclose(display.precision_std[k], found.std, rtol=0.15)


def test_precision_is_undefined_where_signed_weights_cancel(legend_texts):
    display = PrecisionRecallDisplay.from_predictions(
        [1, 0, 0, 1], [0.9, 0.8, 0.4, 0.3], sample_weight=[1.0, -1.0, 2.0, 1.0], name="A"
    )
    np.testing.assert_allclose(display.precision, [1.0, np.nan, 0.5, 2 / 3])
    assert np.isnan(display.line_.get_ydata()).sum() == 1
    assert legend_texts(display.ax_) == ["All events", f"A (mean purity {5 / 6:.3g})"]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_by_name(sample, legend_texts, kind):
    scores = {"A": sample.score, "B": -sample.score}
    weight = np.abs(sample.weight)
    display = kind.from_scores(sample.y, scores, sample_weight=weight, name="Toy")
    assert [one.name for one in display.displays] == ["A", "B"]
    for one, score in zip(display.displays, scores.values(), strict=True):
        assert_same(one, kind.from_predictions(sample.y, score, sample_weight=weight))
    assert [text.split()[0] for text in legend_texts(display.ax_)[1:]] == ["A", "B"]
    assert display.ax_.get_title() == "Toy"
    assert display.ratio_ax_.get_ylabel() == "To A"
    assert not display.ax_.get_xlabel()
    reference, second = (line.get_ydata() for line in display.ratio_ax_.lines)
    known = np.isfinite(reference)
    assert known.sum() > 50
    np.testing.assert_allclose(reference[known], 1.0)
    assert np.nanmin(np.abs(second - 1)) < np.nanmax(np.abs(second - 1))
    assert kind.from_scores(sample.y, scores, ratio=False).ratio_ax_ is None
    assert kind.from_scores(sample.y, {"A": sample.score}).ratio_ax_ is None


@pytest.mark.parametrize("kind", KINDS)
def test_ratios_without_bands(sample, kind):
    display = kind.from_scores(sample.y, {"A": sample.score, "B": -sample.score}, band=False)
    assert not display.ratio_ax_.collections
    assert len(display.ratio_ax_.lines) == 2
    low, high = display.ratio_ax_.get_ylim()
    assert low < 1 < high


def test_ratio_is_that_of_the_rejections(sample):
    rng = np.random.default_rng(0)
    scores = {"A": rng.normal(sample.y), "B": rng.normal(0.5 * sample.y)}
    display = RejectionDisplay.from_scores(sample.y, scores)
    first, second = (
        background_rejection_score(sample.y, score, signal_efficiency=_GRID, return_std=True)
        for score in scores.values()
    )
    ratio = display.ratio_ax_.lines[1].get_ydata()
    shown = np.isfinite(ratio)
    assert shown.sum() > 100
    expected = second[0][shown] / first[0][shown]
    np.testing.assert_allclose(ratio[shown], expected, rtol=1e-9)
    path = display.ratio_ax_.collections[1].get_paths()[0].vertices
    highest = expected * (1 + second[1][shown] / second[0][shown])
    np.testing.assert_allclose(path[:, 1].max(), highest.max(), rtol=1e-9)


def test_estimators_by_name(events, rotating):
    X, y, weight, event = events
    plain = LogisticRegression().fit(X[:, :1], y)
    with pytest.raises(ValueError, match="features"):
        RocDisplay.from_estimators({"Rotating": rotating, "Plain": plain}, X, y, groups=event)
    plain = LogisticRegression().fit(X, y)
    display = RocDisplay.from_estimators(
        {"Rotating": rotating, "Plain": plain}, X, y, sample_weight=weight, groups=event
    )
    first, second = display.displays
    assert_same(
        first, RocDisplay.from_estimator(rotating, X, y, sample_weight=weight, groups=event)
    )
    assert_same(second, RocDisplay.from_estimator(plain, X, y, sample_weight=weight))


def test_second_classes_must_agree(events):
    X, y, _, _ = events
    models = {
        "A": LogisticRegression().fit(X, np.array(["b", "s"])[y]),
        "B": LogisticRegression().fit(X, np.array(["s", "z"])[y]),
    }
    with pytest.raises(ValueError, match="second classes of the models differ"):
        RocDisplay.from_estimators(models, X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_folds_and_pooled(events, rotating, legend_texts, kind):
    X, y, weight, event = events
    display = kind.from_folds(rotating, X, y, sample_weight=weight, groups=event, ratio=True)
    fold = event_folds(rotating, X, event)
    score = rotating.predict_proba(X, groups=event)[:, 1]
    *parts, pooled = display.displays
    assert len(parts) == 3
    for k, one in enumerate(parts):
        here = fold == k
        expected = kind.from_predictions(y[here], score[here], sample_weight=weight[here])
        assert_same(one, expected)
        assert one.band_ is None
    assert_same(pooled, kind.from_predictions(y, score, sample_weight=weight))
    assert pooled.band_ is not None
    texts = legend_texts(display.ax_)
    assert texts[1] == "3 folds"
    assert texts[2].startswith("Pooled")
    assert display.ratio_ax_.get_ylabel() == "To Pooled"


def test_identifiers_may_ride_in_the_table(events):
    X, y, weight, event = events
    table = pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1], "event": event})
    model = RotatingClassifier(LogisticRegression(), n_splits=3, id_columns="event").fit(table, y)
    display = RocDisplay.from_folds(model, table, y)
    assert len(display.displays) == 4
    trained = OvertrainingDisplay.from_folds(model, table, y, sample_weight=weight)
    assert trained.fold_tests.shape == (3, 2, 30)


def test_a_comparison_can_be_drawn_again(sample):
    display = RejectionDisplay.from_scores(sample.y, {"A": sample.score, "B": -sample.score})
    old = display.ax_
    figure, axes = pyplot.subplots(1, 2)
    assert display.plot(axes[1], name="Again") is display
    assert display.ax_ is not old
    assert display.figure_ is figure
    assert not axes[1].axison
    assert display.displays[0].ax_ is display.ax_


def test_overtraining_of_folds_by_hand(events, rotating, legend_texts):
    X, y, weight, event = events
    display = OvertrainingDisplay.from_folds(
        rotating, X, y, sample_weight=weight, groups=event, bins=6, name="LR"
    )
    fold = event_folds(rotating, X, event)
    whole = rotating.predict_proba(X, groups=event)[:, 1]
    single = []
    for k, model in enumerate(rotating.estimators_):
        score = model.predict_proba(X)[:, 1]
        seen, held = fold != k, fold == k
        single.append(
            OvertrainingDisplay.from_predictions(
                y[seen],
                score[seen],
                y[held],
                score[held],
                sample_weight_train=weight[seen],
                sample_weight_test=weight[held],
                bins=display.edges,
            )
        )
        np.testing.assert_allclose(display.fold_tests[k], single[-1].test)
    np.testing.assert_allclose(display.train, np.mean([one.train for one in single], axis=0))
    np.testing.assert_allclose(
        display.train_errors, np.mean([one.train_errors for one in single], axis=0)
    )
    pooled = OvertrainingDisplay.from_predictions(
        y, whole, y, whole, sample_weight_test=weight, bins=display.edges
    )
    np.testing.assert_allclose(display.test, pooled.test)
    np.testing.assert_allclose(display.test_errors, pooled.test_errors)
    for kind in ("ks_signal", "ks_background"):
        smallest = min((getattr(one, kind) for one in single), key=lambda ks: ks.pvalue)
        assert getattr(display, kind).statistic == smallest.statistic
        assert getattr(display, kind).pvalue == min(1.0, 3 * smallest.pvalue)
    assert "3 folds, test" in legend_texts(display.ax_)


def test_validation_events_are_neither_training_nor_test():
    class Keeping(LogisticRegression):
        def fit(self, X, y, sample_weight=None, eval_set=None):
            self.n_validation_ = len(eval_set[0][0])
            return super().fit(X, y, sample_weight)

    rng = np.random.default_rng(1)
    y, event = rng.integers(0, 2, 300), np.arange(300)
    X = rng.normal(y[:, None], size=(300, 2))
    model = RotatingClassifier(Keeping(), n_splits=3, validation_fold=True).fit(X, y, groups=event)
    display = OvertrainingDisplay.from_folds(model, X, y, groups=event, bins=[-1.0, 0.5, 2.0])
    fold = event_folds(model, X, event)
    share = [
        np.mean(model.estimators_[k].predict_proba(X[fold == (k + 2) % 3])[:, 1][kept] >= 0.5)
        for k in range(3)
        for kept in [y[fold == (k + 2) % 3] == 1]
    ]
    np.testing.assert_allclose(display.train[1, 1] * 1.5, np.mean(share))


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_a_list_are_named_by_their_classes(events, rotating, kind):
    X, y, _, event = events
    plain = LogisticRegression().fit(X, y)
    display = kind.from_estimators([rotating, plain, plain], X, y, groups=event, ratio=False)
    names = [one.name for one in display.displays]
    assert names == [f"LogisticRegression {k}" for k in (1, 2, 3)]
    alone, same = (vars(one) for one in (kind.from_estimator(plain, X, y), display.displays[2]))
    for key, values in alone.items():
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(same[key], values)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input(events, rotating, kind):
    X, y, _, event = events
    with pytest.raises(TypeError, match="y_scores must be a mapping of names"):
        kind.from_scores(y, [X[:, 0]])
    with pytest.raises(ValueError, match="y_scores is empty"):
        kind.from_scores(y, {})
    with pytest.raises(ValueError, match="estimators is empty"):
        kind.from_estimators([], X, y)
    with pytest.raises(TypeError, match="from_folds needs a fitted RotatingClassifier, got Logis"):
        kind.from_folds(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="identifiers"):
        kind.from_folds(rotating, X, y)
    few = np.flatnonzero((event_folds(rotating, X, event) != 1) | (y == 1))
    with pytest.raises(ValueError, match=r"fold 1 \(\d+ events\): y_true holds no negative"):
        kind.from_folds(rotating, X[few], y[few], groups=event[few])
    with pytest.raises(ValueError, match="in fold 1"):
        OvertrainingDisplay.from_folds(rotating, X[few], y[few], groups=event[few])
    assert pyplot.get_fignums() == []


def test_ratios_need_axes_in_a_grid(sample):
    figure = pyplot.figure()
    ax = figure.add_axes([0.1, 0.1, 0.8, 0.8])
    with pytest.raises(ValueError, match="axes that are part of a grid"):
        RocDisplay.from_scores(sample.y, {"A": sample.score, "B": -sample.score}, ax=ax)
