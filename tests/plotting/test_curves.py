import numpy as np
import pytest
from matplotlib import pyplot

from skhep_ml.metrics import background_rejection_score, roc_auc_score, roc_curve
from skhep_ml.plotting import RejectionDisplay, RocDisplay
from skhep_ml.plotting._style import COLORS


def slow_efficiency(passing, weight):
    total = weight.sum()
    share = weight[passing].sum() / total
    return share, np.sqrt((weight**2 * (passing - share) ** 2).sum()) / total


def test_roc_is_the_metrics_curve_with_the_slow_error(sample):
    display = RocDisplay.from_predictions(sample.y, sample.score, sample_weight=sample.weight)
    fpr, tpr, thresholds = roc_curve(
        sample.y, sample.score, sample_weight=sample.weight, drop_intermediate=False
    )
    np.testing.assert_array_equal(display.fpr, fpr)
    np.testing.assert_array_equal(display.tpr, tpr)
    np.testing.assert_array_equal(display.thresholds, thresholds)
    background = sample.y == 0
    for k, threshold in enumerate(thresholds):
        share, std = slow_efficiency(
            sample.score[background] >= threshold, sample.weight[background]
        )
        np.testing.assert_allclose(display.fpr[k], share, atol=1e-12)
        np.testing.assert_allclose(display.fpr_std[k], std, atol=1e-12)
    assert (display.roc_auc, display.roc_auc_std) == roc_auc_score(
        sample.y, sample.score, sample_weight=sample.weight, return_std=True
    )


def test_roc_picture(sample, legend_texts):
    display = RocDisplay.from_predictions(
        sample.y, sample.score, sample_weight=sample.weight, name="Model"
    )
    ax = display.ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Signal efficiency", "Background efficiency")
    chance, model = legend_texts(ax)
    assert chance == "Chance"
    assert model.startswith(f"Model (AUC = {display.roc_auc:.3f} ± 0.0")
    np.testing.assert_array_equal(display.line_.get_xdata(), display.tpr)
    # the band reaches one error up and down
    vertices = display.band_.get_paths()[0].vertices
    np.testing.assert_allclose(vertices[:, 1].max(), (display.fpr + display.fpr_std).max())
    np.testing.assert_allclose(vertices[:, 1].min(), (display.fpr - display.fpr_std).min())


@pytest.mark.parametrize("kind", [RocDisplay, RejectionDisplay])
def test_several_models_share_axes(sample, legend_texts, kind):
    first = kind.from_predictions(sample.y, sample.score, name="A")
    second = kind.from_predictions(sample.y, -sample.score, name="B", ax=first.ax_)
    assert second.figure_ is first.figure_
    assert [text.split()[0] for text in legend_texts(second.ax_)] == ["Chance", "A", "B"]
    assert first.line_.get_color() == COLORS[0]
    assert second.line_.get_color() == COLORS[1]
    assert len(first.ax_.lines) == 3


def test_axes_stay_wide_enough_for_the_first_model(sample):
    first = RocDisplay.from_predictions(sample.y, sample.score, sample_weight=sample.weight)
    low, high = first.ax_.get_ylim()
    assert low < 0
    RocDisplay.from_predictions(sample.y, sample.score, ax=first.ax_)
    assert first.ax_.get_ylim() == (low, high)


@pytest.mark.parametrize("kind", [RocDisplay, RejectionDisplay])
def test_plot_again_elsewhere(sample, legend_texts, kind):
    display = kind.from_predictions(sample.y, sample.score, name="A", color="green")
    old = display.ax_
    assert display.line_.get_color() == "green"
    _, ax = pyplot.subplots()
    assert display.plot(ax, name="B", ls=":") is display
    assert display.ax_ is ax is not old
    assert display.line_.get_linestyle() == ":"
    assert legend_texts(ax)[1].startswith("B")


def test_rejection_is_the_metrics(sample):
    weight = np.abs(sample.weight)
    display = RejectionDisplay.from_predictions(sample.y, sample.score, sample_weight=weight)
    # the first point of every signal efficiency is where the metric stands
    efficiency, first = np.unique(display.signal_efficiency, return_index=True)
    rejection, std = background_rejection_score(
        sample.y,
        sample.score,
        signal_efficiency=np.minimum(efficiency[1:], 1.0),
        sample_weight=weight,
        return_std=True,
    )
    np.testing.assert_allclose(display.rejection[first[1:]], rejection)
    np.testing.assert_allclose(display.rejection_std[first[1:]], std)


def test_signed_rejection_has_gaps_where_there_is_none(sample):
    display = RejectionDisplay.from_predictions(sample.y, sample.score, sample_weight=sample.weight)
    fpr, _, thresholds = roc_curve(
        sample.y, sample.score, sample_weight=sample.weight, drop_intermediate=False
    )
    positive = fpr > 1e-12
    assert not positive.all()
    np.testing.assert_allclose(display.rejection[positive], 1 / fpr[positive])
    assert np.isinf(display.rejection[~positive]).all()
    assert np.isnan(display.rejection_std[~positive]).all()
    background = sample.y == 0
    k = len(fpr) // 2
    share, std = slow_efficiency(
        sample.score[background] >= thresholds[k], sample.weight[background]
    )
    np.testing.assert_allclose(display.rejection_std[k], std / share**2)
    drawn = display.line_.get_ydata()
    assert np.isnan(drawn).sum() == (~positive).sum()


def test_rejection_picture(sample, legend_texts):
    display = RejectionDisplay.from_predictions(sample.y, sample.score, name="Model")
    ax = display.ax_
    assert ax.get_yscale() == "log"
    assert legend_texts(ax) == ["Chance", "Model"]
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(x * y, 1.0)
    low, high = ax.get_ylim()
    known = display.rejection_std < 0.5 * display.rejection
    assert low < 1
    assert high == 2 * display.rejection[known].max()


def test_many_events_give_few_points():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20_000)
    display = RejectionDisplay.from_predictions(y, rng.normal(y))
    assert len(display.rejection) == 40_001
    assert len(display.line_.get_xdata()) < 3_000


@pytest.mark.parametrize("kind", [RocDisplay, RejectionDisplay])
def test_bad_input_is_refused_before_a_figure_is_made(kind):
    with pytest.raises(ValueError, match="y_score is NaN in 1 events"):
        kind.from_predictions([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="pass pos_label="):
        kind.from_predictions(["b", "s"], [0.1, 0.2])
    with pytest.raises(ValueError, match="both classes are needed"):
        kind.from_predictions([1, 1], [0.1, 0.2])
    assert pyplot.get_fignums() == []
