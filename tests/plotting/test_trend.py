import numpy as np
import pandas as pd
import pytest

from skhep_ml.inspection import describe_events
from skhep_ml.plotting import TrendDisplay


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    run = rng.integers(160000, 160040, 2000)
    return pd.DataFrame(
        {
            "Run": run,
            "met": rng.normal(40 + 0.3 * (run - 160000), 9),
            "pt": np.where(rng.random(2000) < 0.3, -999.0, rng.exponential(30, 2000)),
            "stuck": 3.0,
        }
    )


def weights(n=2000):
    rng = np.random.default_rng(1)
    return rng.exponential(size=n) * np.where(rng.random(n) < 0.2, -1, 1)


def test_data_and_description_agree(table, legend_texts):
    found = describe_events(table, None, weights(), order="Run", n_bins=8)
    names = ["pt", "met"]
    one = TrendDisplay.from_description(found, names)
    other = TrendDisplay.from_data(
        table, table["Run"], sample_weight=weights(), features=names, n_bins=8
    )
    for field in ("low", "high", "center", "mean", "error", "overall", "spread", "chi2", "ndf"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field))
    np.testing.assert_allclose(one.pvalue, other.pvalue)
    assert one.order_name == other.order_name == "Run"
    texts = legend_texts(one.ax_)
    assert [text.split(":")[0] for text in texts] == names
    assert texts[1].endswith("p < 0.0001")
    # units of standard deviations, side by side
    x, y = one.lines_[1].lines[0].get_data()
    np.testing.assert_allclose(y, (one.mean[1] - one.overall[1]) / one.spread[1])
    np.testing.assert_allclose(x, np.arange(len(one.low)) + 0.15)
    labels = [text.get_text() for text in one.ax_.get_xticklabels()]
    assert labels == [str(run) for run in one.low]
    assert one.ax_.get_xlabel() == "Run (first of the bin)"
    strongest = TrendDisplay.from_description(found)
    assert strongest.feature_names == [str(one) for one in found.trends.index[:3]]


def test_one_feature_in_its_own_units(table):
    display = TrendDisplay.from_data(table["met"], table["Run"] / 1.0, n_bins=5, name="data")
    assert display.feature_names == ["met"]
    x, y = display.lines_[0].lines[0].get_data()
    np.testing.assert_allclose(y, display.mean[0])
    np.testing.assert_allclose(x, display.center)
    ax = display.ax_
    assert ax.get_ylabel() == "Mean of met"
    assert ax.get_xlabel() == "Run"
    assert ax.get_title() == "data"
    real = TrendDisplay.from_data(table["met"], table["Run"], n_bins=5, equal_steps=False)
    np.testing.assert_allclose(real.lines_[0].lines[0].get_xdata(), real.center)


def test_bare_arrays_and_times(table):
    times = np.datetime64("2024-01-01") + np.arange(2000).astype("m8[h]")
    display = TrendDisplay.from_data(table["met"].to_numpy(), times, n_bins=4, order_name="time")
    assert display.feature_names == ["feature"]
    assert display.ax_.get_xlabel() == "time"
    assert display.center.dtype.kind == "M"
    display.figure_.canvas.draw()
    assert "Feb" in [text.get_text() for text in display.ax_.get_xticklabels()]


def test_features_without_spread_have_no_test(table, legend_texts):
    display = TrendDisplay.from_data(table[["stuck"]], table["Run"], n_bins=4)
    assert legend_texts(display.ax_) == ["stuck: no test"]
    both = TrendDisplay.from_data(table, table["Run"], features=["stuck", "met"], n_bins=4)
    np.testing.assert_allclose(both.lines_[0].lines[0].get_ydata(), 0)


def test_many_bins_keep_their_labels_apart():
    display = TrendDisplay.from_data(
        np.random.default_rng(2).normal(size=500), np.arange(500), n_bins=50
    )
    assert len(display.low) == 50
    assert len(display.ax_.get_xticks()) == 17


def test_bad_input_is_refused(table):
    with pytest.raises(ValueError, match="features='mass' is not a column of X"):
        TrendDisplay.from_data(table, table["Run"], features=["mass"])
    with pytest.raises(ValueError, match=r"Run has shape \(3,\), but there are 2000 events"):
        TrendDisplay.from_data(table, table["Run"][:3])
    with pytest.raises(ValueError, match="order has the one value 1 only"):
        TrendDisplay.from_data(table, np.ones(2000, dtype=int))
    with pytest.raises(ValueError, match="n_bins=0 must be"):
        TrendDisplay.from_data(table, table["Run"], n_bins=0)
    with pytest.raises(ValueError, match="there is nothing to show"):
        TrendDisplay.from_data(table, table["Run"], features=[])
    with pytest.raises(ValueError, match="has no trends: pass order="):
        TrendDisplay.from_description(describe_events(table))
    found = describe_events(table, order="Run")
    with pytest.raises(ValueError, match=r"features \['mass'\] are not among the trends"):
        TrendDisplay.from_description(found, ["mass"])


def test_the_strongest_of_many_features_are_shown():
    rng = np.random.default_rng(0)
    run = np.arange(2000)
    X = rng.normal(size=(2000, 9))
    X[:, [2, 6]] += run[:, None] / 2000
    X[:, 4] = 1.0
    display = TrendDisplay.from_data(X, run, n_bins=5)
    every = TrendDisplay.from_data(X, run, n_bins=5, features=[f"x{k}" for k in range(9)])
    assert len(display.feature_names) == 5
    assert set(display.feature_names[:2]) == {"x2", "x6"}
    assert "x4" not in display.feature_names
    assert display.pvalue.max() <= np.sort(every.pvalue)[4]
    assert len(every.feature_names) == 9
