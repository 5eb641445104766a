import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from skhep_ml.metrics import (
    max_significance_improvement,
    significance_improvement,
    significance_improvement_scorer,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=3000)
    return y, rng.normal(1.5 * y).round(1), rng.choice([-0.4, 1.0, 2.0], 3000, p=[0.1, 0.7, 0.2])


def test_curve_against_the_obvious_sums(sample):
    y, score, weight = sample
    curve = significance_improvement(y, score, sample_weight=weight)
    assert np.array_equal(curve.thresholds, np.unique(score)[::-1])
    for k in (0, 5, 20, len(curve.thresholds) - 1):
        passes = score >= curve.thresholds[k]
        parts = []
        for label in (1, 0):
            w, p = weight[y == label], passes[y == label]
            share = w[p].sum() / w.sum()
            parts.append((share, np.sqrt(np.sum(w**2 * (p - share) ** 2)) / w.sum(), w[p]))
        (s, s_std, _), (b, b_std, w) = parts
        assert curve.signal_efficiency[k] == pytest.approx(s)
        assert curve.background_efficiency[k] == pytest.approx(b)
        if b <= 0:
            assert np.isnan(curve.improvement[k])
            continue
        assert curve.improvement[k] == pytest.approx(s / np.sqrt(b))
        relative = np.hypot(s_std / s, b_std / (2 * b))
        assert curve.improvement_std[k] == pytest.approx(relative * s / np.sqrt(b))
        assert curve.background_events[k] == pytest.approx(min(len(w), w.sum() ** 2 / (w @ w)))
    assert curve.improvement[-1] == 1
    assert curve.improvement_std[-1] == pytest.approx(0, abs=1e-9)


def test_maximum_is_the_closed_form_of_gaussians():
    # signal N(2, 1), background N(0, 1): SIC(t) = Q(t - 2) / sqrt(Q(t))
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [400_000, 100_000])
    score = rng.normal(2.0 * y, 1.0)
    curve = significance_improvement(y, score)
    for t in (1.0, 2.0, 2.5):
        k = np.searchsorted(-curve.thresholds, -t)
        truth = norm.sf(t - 2) / np.sqrt(norm.sf(t))
        assert curve.improvement[k] == pytest.approx(truth, abs=4 * curve.improvement_std[k])


def test_floor(sample):
    y, score, weight = sample
    curve = significance_improvement(y, score, sample_weight=weight)
    for floor in (5, 25, 200):
        best = max_significance_improvement(
            y, score, sample_weight=weight, min_background_events=floor
        )
        allowed = curve.background_events >= floor
        assert best.value == np.nanmax(curve.improvement[allowed])
        k = int(np.flatnonzero(curve.thresholds == best.threshold)[0])
        assert allowed[k]
        assert best[1:] == (
            curve.improvement_std[k],
            best.threshold,
            curve.signal_efficiency[k],
            curve.background_efficiency[k],
        )
    with pytest.raises(ValueError, match="no cut leaves 1e\\+06 background events"):
        max_significance_improvement(y, score, min_background_events=1_000_000)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_neither_unit_nor_monotone_map_matter(seed, unit):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], 200)
    score, weight = rng.normal(y), rng.uniform(0.5, 2, 400)
    one = max_significance_improvement(y, score, sample_weight=weight)
    other = max_significance_improvement(y, np.exp(score), sample_weight=unit * weight)
    np.testing.assert_allclose(other.value, one.value)
    np.testing.assert_allclose(other.std, one.std)
    assert one.value >= 1


def test_scorer_in_cross_validation(sample):
    y, score, weight = sample
    X = score[:, None]
    names = np.array(["b", "s"])[y]
    scorer = significance_improvement_scorer(min_background_events=20)
    model = LogisticRegression().fit(X, names)
    expected = max_significance_improvement(
        y, score, sample_weight=weight, min_background_events=20
    ).value
    assert scorer(model, X, names, sample_weight=weight) == pytest.approx(expected)
    assert cross_val_score(LogisticRegression(), X, names, scoring=scorer, cv=3).min() > 1


def test_bad_input():
    with pytest.raises(ValueError, match="NaN in 1 events, first in event 1"):
        significance_improvement([0, 1], [0.0, np.nan])
    with pytest.raises(ValueError, match="no positive event"):
        max_significance_improvement([0, 0], [0.0, 1.0])
    with pytest.raises(ValueError, match="sum to -1"):
        significance_improvement([0, 1], [0.0, 1.0], sample_weight=[-1.0, 1.0])
