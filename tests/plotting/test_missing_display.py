import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from skhep_ml.impute import missing_report
from skhep_ml.plotting import MissingDisplay


@pytest.fixture
def events(sample):
    rng = np.random.default_rng(3)
    n = len(sample.y)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=["met", "jet_pt", "jet_eta", "mass"])
    X.loc[rng.random(n) < 0.4, ["jet_pt", "jet_eta"]] = -999.0
    X.loc[rng.random(n) < 0.1, "mass"] = np.nan
    return X


def test_bars_are_those_of_the_report(events, sample, legend_texts):
    display = MissingDisplay.from_arrays(events, sample.y, sample_weight=sample.weight, name="toy")
    report = missing_report(events, sample.y, sample.weight)
    assert display.features_ == ["jet_pt", "jet_eta", "mass"]
    ax = display.ax_
    assert [label.get_text() for label in ax.get_yticklabels()] == display.features_
    assert legend_texts(ax) == ["Background", "Signal"]
    for bars, label in zip(ax.containers[1::2], (0, 1), strict=True):
        table = report.features.loc[display.features_]
        widths = [bar.get_width() for bar in bars]
        np.testing.assert_allclose(widths, table[f"fraction_{label}"])
        segments = bars.errorbar.lines[2][0].get_segments()
        half = [(line[1, 0] - line[0, 0]) / 2 for line in segments]
        np.testing.assert_allclose(half, table[f"error_{label}"])
    assert ax.get_title(loc="left") == "toy: 3 of 4 features"


def test_matrix_marks_what_is_missing(events):
    display = MissingDisplay.from_arrays(events, max_patterns=3)
    patterns = display.report.patterns
    assert len(patterns) == 3
    present, missing = (points.get_offsets() for points in display.matrix_ax_.collections)
    found = {(display.features_[int(row)], int(column)) for column, row in missing}
    expected = {(name, k) for k, features in enumerate(patterns["features"]) for name in features}
    assert found == expected
    assert len(present) + len(missing) == 9
    texts = [label.get_text() for label in display.matrix_ax_.get_xticklabels()]
    assert texts[0] == f"{100 * patterns['fraction'].iloc[0]:.1f}%"
    assert display.ax_.get_legend() is None


def test_own_axes_options_and_limits(events, sample):
    figure, axes = pyplot.subplots(1, 2)
    display = MissingDisplay.from_arrays(
        events, sample.process, max_features=1, ax=axes[0], alpha=0.5
    )
    assert display.figure_ is figure
    assert display.features_ == ["jet_pt"]
    assert len(display.ax_.patches) == 3
    assert display.ax_.patches[0].get_alpha() == 0.5
    figure.draw_without_rendering()


def test_bad_input_is_refused(events):
    with pytest.raises(ValueError, match="nothing to show: 0 of 1 features"):
        MissingDisplay.from_arrays(events[["met"]])
    with pytest.raises(ValueError, match="max_features=0"):
        MissingDisplay.from_arrays(events, max_features=0)
    assert not pyplot.get_fignums()
