import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skhep_ml.inspection import describe_events
from skhep_ml.inspection._trends import global_pvalue, order_bins, trend


@given(st.lists(st.integers(-3, 12), min_size=2, max_size=60), st.integers(2, 12))
def test_bins_follow_the_order_and_never_cut_equal_values(values, n_bins):
    order = np.array(values)
    if len(set(values)) == 1:
        with pytest.raises(ValueError, match="has the one value"):
            order_bins(order, n_bins, "run")
        return
    bins = order_bins(order, n_bins, "run")
    n_found = len(bins.low)
    assert 1 <= n_found <= n_bins
    np.testing.assert_array_equal(np.bincount(bins.of_event, minlength=n_found), bins.events)
    for k in range(n_found):
        inside = order[bins.of_event == k]
        assert inside.min() == bins.low[k] <= bins.center[k] <= bins.high[k] == inside.max()
        assert bins.center[k] in inside
    assert (bins.high[:-1] < bins.low[1:]).all()


def test_bins_of_different_values_are_equal():
    order = np.random.default_rng(0).permutation(1000) * 7
    bins = order_bins(order, 8, "event")
    np.testing.assert_array_equal(bins.events, 125)


def test_unit_weights_give_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    x, index = rng.gamma(2.0, size=500), rng.integers(0, 6, 500)
    found = trend(x, index, None, 6)
    statistic = stats.f_oneway(*(x[index == k] for k in range(6))).statistic
    assert found.chi2 == pytest.approx(5 * statistic)
    assert found.ndf == 5
    assert found.pvalue == pytest.approx(stats.chi2.sf(found.chi2, 5))


def test_slow_formula_with_weights():
    rng = np.random.default_rng(2)
    x, index, w = rng.normal(50, 9, 300), rng.integers(0, 4, 300), rng.exponential(size=300)
    found = trend(x, index, w, 5)
    mean = np.array([np.average(x[index == k], weights=w[index == k]) for k in range(4)])
    # how much of its own distance an event keeps when it takes part in the mean
    own = np.array([w[index == k].sum() for k in range(4)])[index]
    others = np.array([np.sum(w[index == k] ** 2) for k in range(4)])[index]
    kept = (1 - w / own) ** 2 + (others - w**2) / own**2
    distance = (x - mean[index]) ** 2
    variance = max(
        np.sum(w**2 * distance) / np.sum(w**2 * kept),
        np.sum(w * distance) / np.sum(w * (1 - w / own)),
    )
    error = np.array(
        [np.sqrt(variance * np.sum(w[index == k] ** 2)) / w[index == k].sum() for k in range(4)]
    )
    common = np.average(mean, weights=1 / error**2)
    np.testing.assert_allclose(found.mean, [*mean, np.nan])
    np.testing.assert_allclose(found.error, [*error, np.nan])
    assert found.overall == pytest.approx(common)
    assert found.spread == pytest.approx(np.sqrt(variance))
    assert found.chi2 == pytest.approx(np.sum((mean - common) ** 2 / error**2))
    assert found.ndf == 3
    excess = np.mean((mean - common) ** 2 - error**2)
    assert found.drift == pytest.approx(np.sqrt(max(excess, 0) / variance))


def test_pvalues_without_a_trend_are_uniform():
    rng = np.random.default_rng(3)
    p = []
    for _ in range(400):
        x = rng.exponential(size=600)
        w = rng.exponential(size=600)
        p.append(trend(x, rng.integers(0, 10, 600), w, 10).pvalue)
    p = np.array(p)
    # 40 and 200 expected
    assert 22 <= np.sum(p < 0.1) <= 58
    assert 165 <= np.sum(p < 0.5) <= 235


def test_constant_inside_bins():
    index = np.repeat([0, 1], 50)
    flat = trend(np.full(100, 3.7), index, None, 2)
    assert np.isnan(flat.pvalue)
    assert flat.drift == 0
    assert flat.overall == pytest.approx(3.7)
    step = trend(3.7 + index, index, None, 2)
    assert step.pvalue == 0
    assert step.chi2 == np.inf
    empty = trend(np.array([]), index[:0], None, 2)
    assert np.isnan(empty.chi2)
    alone = trend(np.array([1.0, 5.0, 2.0]), np.arange(3), np.array([1.0, 2.0, 0.3]), 3)
    assert np.isnan(alone.pvalue)
    np.testing.assert_allclose(alone.mean, [1.0, 5.0, 2.0])


def test_drift_of_a_slope():
    rng = np.random.default_rng(5)
    phase = np.sort(rng.random(100_000))
    bins = order_bins(phase, 20, "time")
    found = trend(rng.normal(3 + 0.3 * phase), bins.of_event, None, 20)
    assert found.drift == pytest.approx(0.3 / np.sqrt(12), rel=0.1)
    assert found.spread == pytest.approx(1.0, rel=0.01)


def test_global_pvalue():
    np.testing.assert_allclose(global_pvalue(np.array([0.1, np.nan, 1.0])), [0.19, np.nan, 1.0])
    np.testing.assert_allclose(global_pvalue(np.array([1e-20, 0.5])), [2e-20, 0.75])


def test_planted_trends_are_found_and_others_not():
    rng = np.random.default_rng(4)
    n = 5000
    time = np.datetime64("2024-03-01T00:00") + rng.integers(0, 10**6, n).astype("m8[s]")
    phase = (time - time.min()) / (time.max() - time.min())
    table = pd.DataFrame(
        {
            "still": rng.normal(size=n),
            "tails": rng.lognormal(0, 1.5, n),
            "drifts": rng.normal(0.5 * phase),
            "when": time,
        }
    )
    weight = np.where(rng.random(n) < 0.2, -1.0, 1.0) * rng.exponential(size=n)
    found = describe_events(table, None, weight, order="when")
    assert "when" not in found.features.index
    assert found.trends.index[0] == "drifts"
    assert set(found.trends.index) == {"drifts", "still", "tails", "sample_weight"}
    assert found.trends.loc["drifts", "global_pvalue"] < 1e-3
    assert (found.trends.drop(index="drifts")["pvalue"] > 0.01).all()
    assert any("with a trend along when: 'drifts'" in finding for finding in found.findings)
    profile = found.profiles[found.profiles["feature"] == "drifts"]
    assert len(profile) == 20
    assert profile["events"].sum() == n
    assert profile["low"].is_monotonic_increasing
    growing = describe_events(table[["still"]], None, weight * (1 + phase), order=time)
    assert growing.trends.index[0] == "sample_weight"
    assert growing.trends.loc["sample_weight", "pvalue"] < 1e-3


def test_a_feature_may_be_called_sample_weight():
    table = pd.DataFrame({"sample_weight": np.arange(10.0)})
    found = describe_events(table, None, np.ones(10), order=np.arange(10), n_bins=2)
    assert found.trends.index.tolist() == ["sample_weight"]
    assert found.profiles["mean"].tolist() == [2.0, 7.0]
