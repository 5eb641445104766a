"""The Poisson bootstrap against closed forms, and its counts by event number."""

import numpy as np
import pandas as pd
import pytest

from skhep_ml.metrics import background_rejection_score, bootstrap, roc_auc_score


def mean(values, sample_weight=None):
    return np.average(values, weights=sample_weight)


def total(values, sample_weight=None):
    return np.sum(values if sample_weight is None else values * sample_weight)


def test_error_of_a_mean_and_of_a_sum():
    rng = np.random.default_rng(0)
    values, weight = rng.normal(3.0, 2.0, 2000), rng.uniform(0, 2, 2000)
    result = bootstrap(mean, values, n_replicas=1000, random_state=0)
    assert result.value == values.mean()
    assert result.std == pytest.approx(values.std() / 2000**0.5, rel=0.08)
    low, high = result.interval(0.95)
    assert high - low == pytest.approx(2 * 1.96 * result.std, rel=0.1)
    # the number of events fluctuates too: sum w^2 for a yield
    signed = np.where(rng.random(2000) < 0.3, -weight, weight)
    result = bootstrap(total, np.ones(2000), sample_weight=signed, n_replicas=1000, random_state=0)
    assert result.std == pytest.approx(np.sqrt(np.sum(signed**2)), rel=0.08)


def test_agrees_with_the_error_of_the_rejection():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 4000)
    score, weight = rng.normal(y), np.where(rng.random(8000) < 0.2, -1.0, 1.5)
    value, std = background_rejection_score(y, score, sample_weight=weight, return_std=True)
    result = bootstrap(background_rejection_score, y, score, sample_weight=weight, random_state=0)
    assert result.value == value
    # the threshold moves with the signal, which the closed form leaves out
    assert std < result.std < 1.6 * std


def test_candidates_of_one_event_are_counted_together():
    values = np.repeat(np.random.default_rng(0).normal(size=500), 4)
    groups = np.repeat(np.arange(500), 4)
    apart = bootstrap(mean, values, n_replicas=400, random_state=0)
    together = bootstrap(mean, values, groups=groups, n_replicas=400, random_state=0)
    assert together.std / apart.std == pytest.approx(2.0, rel=0.15)


def test_replicas_follow_the_identifiers_and_not_the_rows():
    rng = np.random.default_rng(0)
    values, number = rng.normal(size=300), rng.permutation(10**6)[:300]
    order = rng.permutation(300)
    result = bootstrap(mean, values, groups=number, random_state=0)
    shuffled = bootstrap(mean, values[order], groups=number[order], random_state=0)
    np.testing.assert_allclose(shuffled.replicas, result.replicas, rtol=1e-12)
    # a variation of the same events: the difference is known far better than either
    varied = bootstrap(mean, values + 0.1, groups=number, random_state=0)
    assert np.std(varied.replicas - result.replicas) < 1e-12
    other = bootstrap(mean, values, groups=number, random_state=1)
    assert not np.allclose(other.replicas, result.replicas)
    first = bootstrap(mean, values, random_state=0, n_replicas=3)
    more = bootstrap(mean, values, random_state=0, n_replicas=6, n_jobs=2)
    np.testing.assert_array_equal(more.replicas[:3], first.replicas)


def test_tables_and_arrays_of_values():
    frame = pd.DataFrame({"x": np.arange(50.0), "y": np.ones(50)})
    result = bootstrap(
        lambda table, sample_weight=None: np.average(table, axis=0, weights=sample_weight),
        frame,
        n_replicas=20,
        random_state=0,
    )
    assert result.replicas.shape == (20, 2)
    assert result.std[1] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="different lengths"):
        bootstrap(roc_auc_score, [0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="n_replicas"):
        bootstrap(mean, [1.0], n_replicas=1)
    with pytest.raises(ValueError, match="give the arrays"):
        bootstrap(mean)
