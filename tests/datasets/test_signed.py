"""Signed toy events: the densities are exact, and the sample follows them."""

import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, multivariate_normal

from skhep_ml.datasets import make_signed_events

CASES = [
    ("shape", 0.2, 4),
    ("shape", 0.05, 2),
    ("shape", 0.4, 3),
    ("random", 0.3, 4),
    ("random", 0, 1),
]


@pytest.mark.parametrize(("kind", "fraction", "dimensions"), CASES)
def test_likelihood_ratio_is_the_ratio_of_the_stated_densities(kind, fraction, dimensions):
    truth = make_signed_events(10, fraction, kind, n_features=dimensions, random_state=0).truth
    X = np.random.default_rng(0).normal(size=(200, dimensions))
    mean, unit = np.full(dimensions, 0.4), np.eye(dimensions)
    v = truth.hole_variance
    signal = (1 - fraction) * multivariate_normal(mean, unit).pdf(X)
    signal -= fraction * multivariate_normal(mean, v * unit).pdf(X)
    signal /= 1 - 2 * fraction
    background = multivariate_normal(np.zeros(dimensions), 1.2 * unit).pdf(X)
    np.testing.assert_allclose(
        truth.likelihood_ratio(X), signal / background, rtol=1e-9, atol=1e-12
    )
    posterior = signal / (signal + background)
    np.testing.assert_allclose(truth.posterior(X), posterior, rtol=1e-9, atol=1e-12)
    assert truth.likelihood_ratio(mean[None]).min() >= 0


def test_first_toy_has_a_hole_of_variance_one_half():
    truth = make_signed_events(10, 0.2, "shape", n_features=4, random_state=0).truth
    assert truth.hole_variance == pytest.approx(0.5)
    assert truth.likelihood_ratio(np.full((1, 4), 0.4)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.3, 0.49])
def test_ratio_integrates_to_one_over_background(fraction):
    truth = make_signed_events(10, fraction, n_features=1, random_state=0).truth

    def integrand(x):
        density = np.exp(-0.5 * x**2 / 1.2) / np.sqrt(2 * np.pi * 1.2)
        return float(truth.likelihood_ratio([[x]])[0]) * density

    assert quad(integrand, -12, 12, points=[0.4], limit=200)[0] == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("kind", ["shape", "random"])
def test_ratio_averages_to_one_over_background_in_four_dimensions(kind):
    events = make_signed_events(50_000, 0.2, kind, random_state=1)
    ratio = events.likelihood_ratio[events.target == 0]
    weight = events.weight[events.target == 0]
    mean = (weight * ratio).mean()
    assert abs(mean - 1) < 4 * (weight * ratio).std() / np.sqrt(len(ratio))


@pytest.mark.parametrize(("kind", "fraction"), [("shape", 0.2), ("shape", 0.4), ("random", 0.3)])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("field", ["weight", "weight_truth"])
def test_weighted_sample_agrees_with_the_unsigned_one(kind, fraction, label, field):
    n = 40_000
    events = make_signed_events(n, fraction, kind, random_state=2)
    X, y = events.truth.sample_unsigned(n, random_state=3)
    assert len(y) == 2 * n
    assert y.sum() == n
    use, unsigned = events.target == label, X[y == label]
    signed, w = events.data[use], events[field][use]
    # moments about the centre of the signal, and the histogram of the distance to it
    for power in (1, 2):
        a, b = (signed - 0.4) ** power, (unsigned - 0.4) ** power
        error = np.sqrt((w[:, None] ** 2 * a**2).sum(0) + (b**2).sum(0)) / n
        difference = (w[:, None] * a).sum(0) / n - b.sum(0) / n
        assert np.all(np.abs(difference) < 4.5 * error)
    edges = [0, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 20]
    near, far = (np.linalg.norm(A - 0.4, axis=1) for A in (signed, unsigned))
    h = np.histogram(near, edges, weights=w)[0]
    variance = np.histogram(near, edges, weights=w**2)[0]
    expected = np.histogram(far, edges)[0]
    statistic = ((h - expected) ** 2 / (variance + expected)).sum()
    assert chi2.sf(statistic, len(expected)) > 1e-4


@pytest.mark.parametrize(("kind", "fraction", "dimensions"), CASES)
def test_weights(kind, fraction, dimensions):
    n = 20_000
    events = make_signed_events(n, fraction, kind, n_features=dimensions, random_state=4)
    assert events.data.shape == (2 * n, dimensions)
    assert events.event_number.dtype == np.int64
    assert len(np.unique(events.event_number)) == 2 * n
    signed = [1] if kind == "shape" else [0, 1]
    for label in (0, 1):
        w = events.weight[events.target == label]
        f = fraction if label in signed else 0
        assert len(w) == n
        np.testing.assert_allclose(np.abs(w), 1 / (1 - 2 * f))
        assert abs((w < 0).mean() - f) <= 4.5 * np.sqrt(f * (1 - f) / n)
        assert events.weight_truth.min() >= 0
        assert events.class_yields[label] == n
    np.testing.assert_array_equal(events.process == "signal", events.target == 1)
    np.testing.assert_array_equal(events.posterior, events.truth.posterior(events.data))


def test_random_signs_carry_no_shape_and_shapes_do():
    for kind, differs in (("random", False), ("shape", True)):
        events = make_signed_events(40_000, 0.3, kind, random_state=5)
        X, w = events.data[events.target == 1], events.weight[events.target == 1]
        spread = [((X[side] - 0.4) ** 2).mean() for side in (w < 0, w > 0)]
        assert bool(abs(spread[0] / spread[1] - 1) > 0.1) is differs


def test_reproducible_and_picklable():
    a, b = (make_signed_events(500, random_state=7) for _ in range(2))
    c = make_signed_events(500, random_state=8)
    np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_array_equal(a.weight, b.weight)
    assert not np.array_equal(a.data, c.data)
    copy = pickle.loads(pickle.dumps(a.truth))
    np.testing.assert_array_equal(copy.likelihood_ratio(a.data), a.likelihood_ratio)
    first, second = (copy.sample_unsigned(100, random_state=1)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"n": 10.0}, "n must be an integer"),
        ({"n": 10, "n_features": 0}, "n_features must be"),
        ({"n": 10, "negative_fraction": 0.5}, r"\[0, 0.5\), got 0.5"),
        ({"n": 10, "negative_fraction": -0.1}, "got -0.1"),
        ({"n": 10, "kind": "flip"}, "'shape' or 'random', got 'flip'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_signed_events(**arguments)


def test_truth_checks_the_number_of_features():
    truth = make_signed_events(10, random_state=0).truth
    with pytest.raises(ValueError, match=r"shape \(n_events, 4\), got \(3, 2\)"):
        truth.likelihood_ratio(np.zeros((3, 2)))
