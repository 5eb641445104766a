import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression

from skhep_ml.metrics import max_significance_improvement, significance_improvement
from skhep_ml.plotting import SignificanceImprovementDisplay


def test_curve_floor_and_maximum(sample, legend_texts):
    display = SignificanceImprovementDisplay.from_predictions(
        sample.y, sample.score, sample_weight=sample.weight, name="Toy"
    )
    curve = significance_improvement(sample.y, sample.score, sample_weight=sample.weight)
    np.testing.assert_array_equal(display.improvement, curve.improvement)
    np.testing.assert_array_equal(display.improvement_std, curve.improvement_std)
    best = max_significance_improvement(sample.y, sample.score, sample_weight=sample.weight)
    x, y = display.line_.get_data()
    # what too few background events pass is not drawn
    assert np.isnan(y[0])
    assert np.nanmax(y) <= best.value
    lowest = display.signal_efficiency[np.argmax(display.background_events >= 25)]
    assert x[np.isfinite(y)].min() >= lowest - 1e-9
    dots = [line for line in display.ax_.lines if line.get_marker() == "o"]
    assert dots[0].get_xydata().tolist() == [[best.signal_efficiency, best.value]]
    assert legend_texts(display.ax_)[1].startswith("Toy (max. ")
    assert display.ax_.get_ylim()[0] == 0


def test_other_floor_and_several_models(sample, legend_texts):
    scores = {"one": sample.score, "noise": np.random.default_rng(0).random(len(sample.y))}
    display = SignificanceImprovementDisplay.from_scores(
        sample.y, scores, min_background_events=100
    )
    assert [text.split(" ")[0] for text in legend_texts(display.ax_)] == ["Chance", "one", "noise"]
    assert display.ratio_ax_ is not None
    for one in display.displays:
        shown = np.isfinite(one.line_.get_ydata())
        assert one.band_ is not None
        k = np.argmax(one.background_events >= 100)
        assert one.line_.get_xdata()[shown].min() >= one.signal_efficiency[k] - 1e-9


def test_from_estimator_and_too_little_background(sample):
    X = sample.score[:, None]
    names = np.array(["b", "s"])[sample.y]
    model = LogisticRegression().fit(X, names)
    one = SignificanceImprovementDisplay.from_estimator(model, X, names)
    assert one.name == "LogisticRegression"
    few = SignificanceImprovementDisplay.from_predictions(
        sample.y, sample.score, min_background_events=10**9
    )
    assert np.isnan(few.line_.get_ydata()).all()
    pyplot.close("all")
    with pytest.raises(ValueError, match="NaN"):
        SignificanceImprovementDisplay.from_predictions(sample.y, np.full(len(names), np.nan))
    assert pyplot.get_fignums() == []
