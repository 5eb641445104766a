"""Thresholds at efficiencies, scale factors, and the best binning."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.metrics import (
    asimov_significance,
    best_cut,
    binned_significance_scorer,
    optimize_binning,
    scale_factors,
    working_points,
)


def events(n=3000, seed=0, signed=True):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    weight = np.where(rng.random(n) < 0.2 * signed, -1.0, 1.0) * rng.uniform(0.5, 2, n)
    return y, rng.normal(1.2 * y), weight


def efficiency(score, weight, threshold):
    return weight[score >= threshold].sum() / weight.sum()


@given(st.integers(0, 1000), st.sampled_from(["signal", "background"]))
@settings(max_examples=20, deadline=None)
def test_the_efficiencies_are_those_of_the_threshold(seed, kind):
    y, score, weight = events(seed=seed)
    target = [0.3, 0.5, 0.9]
    points = working_points(y, score, sample_weight=weight, **{f"{kind}_efficiency": target})
    for k, cut in enumerate(points.threshold):
        for label, column in ((1, points.signal_efficiency), (0, points.background_efficiency)):
            own = y == label
            assert column[k] == pytest.approx(efficiency(score[own], weight[own], cut))
    asked = getattr(points, f"{kind}_efficiency")
    np.testing.assert_allclose(asked, target, atol=0.005)
    assert np.all(asked >= target) if kind == "signal" else np.all(asked <= target)


def test_scale_factors():
    rng = np.random.default_rng(0)
    data, simulation = rng.normal(0.2, 1, 5000), rng.normal(0, 1, 20_000)
    weight = np.where(rng.random(5000) < 0.1, -1.0, 1.0)
    cuts = [-1.0, 0.5]
    factor = scale_factors(data, simulation, cuts, weight_data=weight)
    for k, cut in enumerate(cuts):
        eff_data = efficiency(data, weight, cut)
        eff_simulation = np.mean(simulation >= cut)
        assert factor.value[k] == pytest.approx(eff_data / eff_simulation)
        binomial = np.sqrt(eff_simulation * (1 - eff_simulation) / 20_000)
        assert factor.simulation_efficiency_std[k] == pytest.approx(binomial)
        relative = factor.data_efficiency_std[k] / eff_data, binomial / eff_simulation
        assert factor.std[k] == pytest.approx(factor.value[k] * np.hypot(*relative))
    assert np.isnan(scale_factors(data, simulation, 99.0).value[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, s: working_points(y, s), "either signal_efficiency or"),
        (lambda y, s: working_points(y, s, signal_efficiency=0), r"must lie in \(0, 1\]"),
        (lambda y, s: working_points([1, 0], [0.1, 0.9], background_efficiency=0.1), "below that"),
        (lambda y, s: optimize_binning(y, s, max_bins=0), "max_bins must be"),
        (lambda y, s: optimize_binning(y, s, min_effective_background=1e6), "below the floor"),
        (lambda y, s: optimize_binning(y, np.where(s > 2, np.inf, s)), "infinite"),
        (lambda y, s: optimize_binning(y, s, background_uncertainty=-1), "must not be negative"),
    ],
)
def test_wrong_input(call, message):
    y, score, _ = events(300)
    with pytest.raises(ValueError, match=message):
        call(y, score)


# --- binning --------------------------------------------------------------------------------------


def contents(y, score, weight, edges, power=1):
    inner = np.searchsorted(edges[1:-1], score, "right")
    return [np.bincount(inner[y == k], weight[y == k] ** power, len(edges) - 1) for k in (1, 0)]


@pytest.mark.parametrize("signed", [False, True])
def test_contents_are_those_of_the_edges(signed):
    y, score, weight = events(signed=signed)
    binning = optimize_binning(y, score, sample_weight=weight, min_effective_background=15)
    s, b = contents(y, score, weight, binning.edges)
    np.testing.assert_allclose(binning.s, s)
    np.testing.assert_allclose(binning.b, b)
    np.testing.assert_allclose(binning.b_std**2, contents(y, score, weight, binning.edges, 2)[1])
    assert np.all(binning.effective_background >= 15)
    assert np.all(binning.s >= 0)
    z = asimov_significance(s, b, binning.b_std)
    np.testing.assert_allclose(binning.bin_significance, z)
    assert binning.significance == pytest.approx(np.sqrt(np.sum(z**2)))
    assert binning.edges[0] == score.min()
    assert binning.edges[-1] == score.max()


def test_it_is_the_best_of_all_binnings_by_exhaustion():
    rng = np.random.default_rng(3)
    y, score = rng.integers(2, size=400), rng.integers(0, 9, 400).astype(float)
    score += 2 * y
    weight = np.where(rng.random(400) < 0.2, -1.0, 1.0)
    options = {"sample_weight": weight, "min_effective_background": 2, "min_gain": 0}
    binning = optimize_binning(y, score, max_bins=3, **options)
    levels, best = np.unique(score), 0.0
    for n_bins in (1, 2, 3):
        for inner in combinations(levels[1:], n_bins - 1):
            edges = np.array([levels[0], *inner, levels[-1]])
            (s, b), (_, b2) = (contents(y, score, weight, edges, power) for power in (1, 2))
            if np.all((b > 0) & (s >= 0) & (b**2 >= 2 * b2)):
                best = max(best, np.sum(asimov_significance(s, b, np.sqrt(b2)) ** 2))
    assert binning.significance == pytest.approx(np.sqrt(best))


def test_more_bins_are_never_worse_and_better_than_a_cut():
    y, score, weight = events(20_000)
    yields = {0: 1e4, 1: 200.0}
    options = {"sample_weight": weight, "class_yields": yields, "min_gain": 0.0}
    found = [optimize_binning(y, score, max_bins=k, **options).significance for k in (1, 2, 5, 10)]
    assert found == sorted(found)
    cut = best_cut(y, score, metric="asimov", sample_weight=weight, class_yields=yields)
    assert found[-1] > asimov_significance(cut.s, cut.b, cut.b_std)
    uncertain = optimize_binning(y, score, background_uncertainty=0.1, **options)
    assert uncertain.significance < found[-1]
    scorer = binned_significance_scorer(yields, min_gain=0.0)
    assert scorer.score_predictions(y, score, weight) == pytest.approx(found[-1])
