import numpy as np
import pytest

from skhep_ml.metrics import ks_2samp_weighted
from skhep_ml.plotting import OvertrainingDisplay
from skhep_ml.plotting._histogram import histogram


def draw(train, test, **kwargs):
    return OvertrainingDisplay.from_predictions(
        train.y,
        train.score,
        test.y,
        test.score,
        sample_weight_train=train.weight,
        sample_weight_test=test.weight,
        **kwargs,
    )


def test_attributes_are_densities_and_the_metrics_tests(sample, other_sample):
    display = draw(sample, other_sample, bins=6)
    for kind, ks in ((1, display.ks_signal), (0, display.ks_background)):
        one, two = sample.y == kind, other_sample.y == kind
        assert ks == ks_2samp_weighted(
            sample.score[one],
            other_sample.score[two],
            weight1=sample.weight[one],
            weight2=other_sample.weight[two],
        )
        for part, mask, values, errors in (
            (sample, one, display.train, display.train_errors),
            (other_sample, two, display.test, display.test_errors),
        ):
            density = histogram(part.score[mask], display.edges, part.weight[mask]).density("")
            np.testing.assert_allclose(values[kind], density.values)
            np.testing.assert_allclose(errors[kind], density.errors)
            np.testing.assert_allclose((values[kind] * np.diff(display.edges)).sum(), 1.0)


def test_picture(sample, other_sample, legend_texts):
    display = draw(sample, other_sample, bins=6, name="BDT", marker="s")
    ax = display.ax_
    assert ax.get_xlabel() == "BDT score"
    assert legend_texts(ax) == [
        "Background, train",
        "Signal, train",
        f"Background, test (KS p = {display.ks_background.pvalue:.2g})",
        f"Signal, test (KS p = {display.ks_signal.pvalue:.2g})",
    ]
    points = ax.containers[0][0]
    assert points.get_marker() == "s"
    np.testing.assert_array_equal(points.get_ydata(), display.test[0])
    low, high = ax.get_ylim()
    assert high > (display.test + display.test_errors).max()
    assert low <= min(0, display.test.min(), display.train.min())


def test_named_labels(sample):
    names = np.array(["b", "s"])[sample.y]
    display = OvertrainingDisplay.from_predictions(
        names, sample.score, names, sample.score, pos_label="s", bins=4
    )
    assert display.ks_signal.statistic == 0
    np.testing.assert_array_equal(display.train, display.test)


def test_bad_input_is_refused(sample):
    y, score = sample.y, sample.score
    with pytest.raises(ValueError, match="sample_weight_test has 3 entries"):
        OvertrainingDisplay.from_predictions(y, score, y, score, sample_weight_test=[1, 1, 1])
    with pytest.raises(ValueError, match="y_score has 1 entries"):
        OvertrainingDisplay.from_predictions(y, score, y, [0.5])
    with pytest.raises(ValueError, match="both classes are needed"):
        OvertrainingDisplay.from_predictions(y, score, np.ones(3), [0.1, 0.2, 0.3])
