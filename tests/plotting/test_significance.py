import numpy as np
import pytest

from skhep_ml.metrics import asimov_significance, best_cut, selected_yields
from skhep_ml.plotting import SignificanceDisplay

YIELDS = {0: 5000.0, 1: 100.0}


@pytest.fixture
def events():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 600)
    weight = rng.exponential(1.0, 600) * np.where(rng.random(600) < 0.15, -1, 1)
    return y, np.round(rng.normal(1.5 * y), 2), weight


def test_curves_are_the_slow_ones(events):
    y, score, weight = events
    display = SignificanceDisplay.from_predictions(
        y, score, sample_weight=weight, class_yields=YIELDS, background_uncertainties=[0.0, 0.1]
    )
    np.testing.assert_array_equal(display.thresholds, np.unique(score)[::-1])
    for k in range(0, len(display.thresholds), 25):
        cut = display.thresholds[k]
        at = selected_yields(y, score >= cut, sample_weight=weight, class_yields=YIELDS)
        enough = at.n_background >= 10 and at.effective_background >= 10 and at.b >= 0
        assert display.reliable[k] == enough
        for row, uncertainty in enumerate([0.0, 0.1]):
            z = asimov_significance(at.s, at.b, uncertainty * max(at.b, 0))
            np.testing.assert_allclose(display.significance[row, k], z, rtol=1e-9)


def test_error_is_that_of_the_bootstrap():
    rng = np.random.default_rng(6)
    y = np.repeat([0, 1], 4000)
    score = rng.normal(y)
    weight = np.where(rng.random(8000) < 0.1, -1.0, 1.0) * np.where(y == 1, 0.05, 1.0)
    options = {"cut": 0.7, "background_uncertainties": [0.05]}
    display = SignificanceDisplay.from_predictions(y, score, sample_weight=weight, **options)
    passing = score >= 0.7
    replicas = []
    for _ in range(800):
        w = weight * rng.poisson(1.0, 8000)
        s, b = w[passing & (y == 1)].sum(), w[passing & (y == 0)].sum()
        replicas.append(asimov_significance(s, b, 0.05 * b))
    np.testing.assert_allclose(display.values_std[0], np.std(replicas), rtol=0.1)
    np.testing.assert_allclose(display.values[0], np.mean(replicas), rtol=0.02)


def test_error_without_uncertainty_is_the_closed_form():
    """For s much less than b, Z is s/sqrt(b)."""
    y = np.repeat([0, 1], 100)
    score = np.repeat([0.5, 0.5], 100)
    display = SignificanceDisplay.from_predictions(
        y, score, class_yields={0: 1e6, 1: 1.0}, background_uncertainties=[0.0]
    )
    # both relative errors are 10%; the background enters with half of its own
    np.testing.assert_allclose(display.values, 1e-3, rtol=1e-5)
    np.testing.assert_allclose(display.values_std, 1e-3 * np.hypot(0.1, 0.05), rtol=1e-5)


def test_marks_are_the_best_cuts(events, legend_texts):
    y, score, weight = events
    uncertainties = (0.0, 0.05, 0.1)
    display = SignificanceDisplay.from_predictions(
        y, score, sample_weight=weight, class_yields=YIELDS, name="BDT"
    )
    for k, uncertainty in enumerate(uncertainties):
        best = best_cut(
            y,
            score,
            metric="asimov",
            sample_weight=weight,
            class_yields=YIELDS,
            background_uncertainty=uncertainty,
        )
        assert display.best_cuts[k] == best
        assert display.cuts[k] == best.threshold
        np.testing.assert_allclose(display.values[k], best.value)
    ax = display.ax_
    assert ax.get_xlabel() == "Cut on the BDT score"
    curves = [line for line in ax.lines if line.get_gid() == "curve"]
    assert len(curves) == 3
    texts = legend_texts(ax)
    assert [text.split(":")[0] for text in texts] == [
        r"$\sigma_b/b$ = 0%",
        r"$\sigma_b/b$ = 5%",
        r"$\sigma_b/b$ = 10%",
        "Too little background",
    ]
    assert f"at {display.cuts[0]:.3g}" in texts[0]
    # nothing is drawn where the background is unknown
    assert np.isnan(curves[0].get_ydata()[0])
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert dots == display.cuts.tolist()


def test_given_cut_is_marked(events):
    y, score, weight = events
    display = SignificanceDisplay.from_predictions(
        y, score, sample_weight=weight, class_yields=YIELDS, cut=1.0
    )
    at = selected_yields(y, score >= 1.0, sample_weight=weight, class_yields=YIELDS)
    assert display.best_cuts is None
    assert display.cuts.tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(display.values[2], asimov_significance(at.s, at.b, 0.1 * at.b))
    dashed = [line for line in display.ax_.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [1.0]


def test_axis_is_logarithmic_for_values_far_apart():
    y = np.repeat([0, 1], 2000)
    score = np.random.default_rng(0).normal(y)
    near = SignificanceDisplay.from_predictions(
        y, score, class_yields={0: 100.0, 1: 10.0}, background_uncertainties=(0.0, 0.05)
    )
    far = SignificanceDisplay.from_predictions(y, score, class_yields={0: 1e6, 1: 1e3})
    assert near.ax_.get_yscale() == "linear"
    assert far.ax_.get_yscale() == "log"
    assert far.ax_.get_ylim()[0] < far.values.min()


def test_infinite_scores_and_cuts_without_background():
    y = np.array([0] * 20 + [1] * 5)
    score = np.array([-np.inf, *np.linspace(0, 1, 19), 0.2, 0.5, 1.5, 2.0, np.inf])
    display = SignificanceDisplay.from_predictions(y, score, background_uncertainties=[0.0])
    assert np.isinf(display.significance[0, :3]).all()
    assert not display.reliable[:3].any()
    assert display.ax_.get_xlim() == (0.0, 2.0)


def test_bad_input_is_refused(events):
    y, score, _ = events
    with pytest.raises(ValueError, match="background_uncertainties must be shares"):
        SignificanceDisplay.from_predictions(y, score, background_uncertainties=[-0.1])
    with pytest.raises(ValueError, match="background_uncertainties must be shares"):
        SignificanceDisplay.from_predictions(y, score, background_uncertainties=[])
    with pytest.raises(ValueError, match="no threshold leaves 10 raw"):
        SignificanceDisplay.from_predictions([0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="class_yields lacks label 1"):
        SignificanceDisplay.from_predictions(y, score, class_yields={0: 1.0})
