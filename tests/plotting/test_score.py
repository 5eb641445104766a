import numpy as np
import pytest
from matplotlib import pyplot

from skhep_ml.plotting import ScoreDisplay


def test_values_are_the_slow_sums(sample):
    display = ScoreDisplay.from_predictions(
        sample.score, sample.process, sample_weight=sample.weight, signal=["H"], bins=8
    )
    assert set(display.processes) == {"H", "W", "Z"}
    yields = display.values.sum(axis=1)
    assert (np.diff(yields) <= 0).all()
    total, squares = np.zeros(8), np.zeros(8)
    for k, process in enumerate(display.processes):
        mask = sample.process == process
        for j in range(8):
            upper = np.inf if j == 7 else display.edges[j + 1]
            here = mask & (sample.score >= display.edges[j]) & (sample.score < upper)
            weight = sample.weight[here]
            np.testing.assert_allclose(display.values[k, j], weight.sum(), atol=1e-12)
            np.testing.assert_allclose(display.errors[k, j], np.sqrt((weight**2).sum()))
            if process != "H":
                total[j] += weight.sum()
                squares[j] += (weight**2).sum()
    np.testing.assert_allclose(display.total, total, atol=1e-12)
    np.testing.assert_allclose(display.total_errors, np.sqrt(squares))


def test_picture(sample, legend_texts):
    display = ScoreDisplay.from_predictions(
        sample.score, sample.process, signal="H", bins=5, name="BDT"
    )
    ax = display.ax_
    assert ax.get_xlabel() == "BDT score"
    assert ax.get_ylabel() == "Events / 0.2"
    assert ax.get_yscale() == "log"
    assert legend_texts(ax) == ["Z", "W", "Stat. error", "H"]
    # two fills, the sum, its band, one signal
    assert len(ax.patches) == 5
    sum_line = ax.patches[2]
    np.testing.assert_array_equal(sum_line.get_data().values, display.total)
    assert ax.get_ylim()[1] > display.total.max()


def test_uneven_bins_and_linear_axis(sample):
    display = ScoreDisplay.from_predictions(
        sample.score, sample.process, bins=[0.0, 0.5, 0.6, 1.0], log=False
    )
    assert display.ax_.get_ylabel() == "Events / bin"
    assert display.ax_.get_yscale() == "linear"
    assert display.ax_.get_ylim()[0] == 0
    np.testing.assert_allclose(display.values.sum(), len(sample.y))


def test_bins_of_no_positive_sum_are_marked_on_a_log_axis(legend_texts):
    score = np.array([0.1, 0.1, 0.4, 0.6, 0.9, 0.9])
    weight = np.array([3.0, -1.0, -2.0, 1.0, 1.0, -1.0])
    process = np.array(["a", "b", "a", "a", "a", "b"])
    edges = [0.0, 0.25, 0.5, 0.55, 0.75, 1.0]
    display = ScoreDisplay.from_predictions(score, process, sample_weight=weight, bins=edges)
    np.testing.assert_allclose(display.total, [2.0, -2.0, 0.0, 1.0, 0.0])
    assert legend_texts(display.ax_) == ["a", "b", "Stat. error", "Sum ≤ 0"]
    # the empty bin is not marked, the one that cancels is
    (marks,) = display.ax_.lines
    np.testing.assert_allclose(marks.get_xdata(), [0.375, 0.875])
    drawn = display.ax_.patches[2].get_data().values
    np.testing.assert_array_equal(np.isnan(drawn), [False, True, True, False, True])
    assert display.ax_.get_ylim()[0] > 0

    linear = ScoreDisplay.from_predictions(
        score, process, sample_weight=weight, bins=edges, log=False
    )
    assert len(linear.ax_.lines) == 0
    assert linear.ax_.get_ylim()[0] < -2
    np.testing.assert_allclose(linear.ax_.patches[2].get_data().values, linear.total)


def test_only_signals_and_nothing_positive_can_be_drawn(legend_texts):
    display = ScoreDisplay.from_predictions([0.1, 0.9], ["H", "H"], signal="H", bins=2)
    assert legend_texts(display.ax_) == ["H"]
    assert display.total.tolist() == [0.0, 0.0]
    negative = ScoreDisplay.from_predictions([0.1], ["Z"], sample_weight=[-1.0], bins=2)
    assert "Sum ≤ 0" in legend_texts(negative.ax_)
    signal = ScoreDisplay.from_predictions(
        [0.1, 0.9, 0.9],
        ["H", "H", "Z"],
        sample_weight=[-1.0, 1.0, 1.0],
        signal="H",
        bins=2,
        alpha=0.5,
    )
    assert legend_texts(signal.ax_)[-1] == "H ≤ 0"
    assert signal.ax_.patches[0].get_alpha() == 0.5


def test_band_shows_what_may_be_above_zero():
    display = ScoreDisplay.from_predictions(
        [0.1, 0.2, 0.9], ["Z", "Z", "Z"], sample_weight=[2.0, -3.0, -1.0], bins=[0.0, 0.5, 1.0]
    )
    low, high = display.ax_.get_ylim()
    reach = -1.0 + np.sqrt(13.0)
    assert 0 < low < reach < high
    band = display.ax_.patches[2].get_data()
    np.testing.assert_allclose(band.values[0], reach)
    # the second bin reaches 0 at most: an empty band
    assert band.values[1] == band.baseline[1] == low


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="signal holds 'X', which is not among the processes"):
        ScoreDisplay.from_predictions([0.1, 0.2], ["a", "b"], signal=["X"])
    with pytest.raises(ValueError, match=r"process has shape \(1,\), but there are 2 scores"):
        ScoreDisplay.from_predictions([0.1, 0.2], ["a"])
    with pytest.raises(ValueError, match="bins must be"):
        ScoreDisplay.from_predictions([0.1, 0.2], ["a", "b"], bins=0)
    with pytest.raises(ValueError, match="y_score is NaN"):
        ScoreDisplay.from_predictions([0.1, np.nan], ["a", "b"])
    assert pyplot.get_fignums() == []


def test_bins_of_very_different_width_in_equal_steps(sample):
    edges = [0.0, 0.5, 0.9, 0.99, 1.0]
    display = ScoreDisplay.from_predictions(
        sample.score, sample.process, bins=edges, signal="H", equal_steps=True
    )
    np.testing.assert_array_equal(display.edges, edges)
    ax = display.ax_
    assert ax.get_xlim() == (0, 4)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.5", "0.9", "0.99", "1"]
    assert ax.get_ylabel() == "Events / bin"
