import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from skhep_ml.metrics import calibration_error
from skhep_ml.plotting import CalibrationDisplay


def test_points_are_the_slow_ones(sample):
    display = CalibrationDisplay.from_predictions(
        sample.y, sample.score, sample_weight=sample.weight, n_bins=4
    )
    residual = 0.0
    for k in range(4):
        upper = np.inf if k == 3 else (k + 1) / 4
        here = (sample.score >= k / 4) & (sample.score < upper)
        w, y, p = sample.weight[here], sample.y[here], sample.score[here]
        share = (w * y).sum() / w.sum()
        np.testing.assert_allclose(display.prob_true[k], share)
        np.testing.assert_allclose(display.prob_pred[k], (w * p).sum() / w.sum())
        error = np.sqrt((w**2 * (y - share) ** 2).sum()) / w.sum()
        np.testing.assert_allclose(display.prob_true_std[k], error)
        residual += abs((w * (y - p)).sum())
    np.testing.assert_allclose(display.calibration_error, residual / sample.weight.sum())


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_counts_agree_with_scikit_learn(sample, strategy):
    # away from the edges of the bins, where the two differ in side
    prob = np.clip(sample.score + 0.0013, 0, 1)
    display = CalibrationDisplay.from_predictions(sample.y, prob, n_bins=5, strategy=strategy)
    share, mean = calibration_curve(sample.y, prob, n_bins=5, strategy=strategy)
    if strategy == "uniform":
        np.testing.assert_allclose(display.prob_true, share)
        np.testing.assert_allclose(display.prob_pred, mean)
    else:
        # an edge is itself an event's score, which the two put on different sides
        np.testing.assert_allclose(display.prob_pred, mean, atol=0.03)
    expected = calibration_error(sample.y, prob, n_bins=5, strategy=strategy)
    assert display.calibration_error == expected


def test_bins_without_positive_sum_are_left_out(legend_texts):
    display = CalibrationDisplay.from_predictions(
        [0, 1, 0, 1],
        [0.1, 0.2, 0.8, 0.9],
        sample_weight=[1.0, -2.0, 1.0, 3.0],
        n_bins=2,
        name="Model",
    )
    np.testing.assert_array_equal(np.isnan(display.prob_true), [True, False])
    np.testing.assert_array_equal(np.isnan(display.prob_pred), [True, False])
    assert display.prob_true[1] == 0.75
    assert legend_texts(display.ax_) == [
        "Ideal",
        f"Model (calibration error {display.calibration_error:.3g})",
    ]


def test_shares_beyond_one_are_shown():
    display = CalibrationDisplay.from_predictions(
        [0, 1, 1], [0.2, 0.3, 0.9], sample_weight=[-1.0, 3.0, 1.0], n_bins=2
    )
    assert display.prob_true.tolist() == [1.5, 1.0]
    np.testing.assert_allclose(display.ax_.get_ylim(), (-0.02, 1.52))


def test_several_models_share_axes(sample):
    first = CalibrationDisplay.from_predictions(sample.y, sample.score, name="A")
    CalibrationDisplay.from_predictions(sample.y, 1 - sample.score, name="B", ax=first.ax_)
    colors = [line.get_color() for line in first.ax_.lines if line.get_gid() == "curve"]
    assert len(colors) == len(set(colors)) == 2
    assert sum(line.get_gid() == "ideal" for line in first.ax_.lines) == 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"y_prob lies outside \[0, 1\]"):
        CalibrationDisplay.from_predictions([0, 1], [0.1, 1.5])
    with pytest.raises(ValueError, match="n_bins must be at least 1"):
        CalibrationDisplay.from_predictions([0, 1], [0.1, 0.5], n_bins=0)
