from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from skhep_ml.events import Events
from skhep_ml.metrics import (
    frechet_distance,
    kernel_distance,
    separation_power,
    sliced_wasserstein_distance,
    wasserstein_distance,
)

DISTANCES = [
    wasserstein_distance,
    sliced_wasserstein_distance,
    kernel_distance,
    frechet_distance,
    separation_power,
]


def two_samples(n=400, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 1.3 * rng.normal(size=(n + 50, d)) + 0.4


# --- Wasserstein ------------------------------------------------------------------------------


def test_wasserstein_agrees_with_scipy():
    first, second = two_samples()
    rng = np.random.default_rng(1)
    w, v = rng.uniform(size=len(first)), rng.uniform(size=len(second))
    second[:20] = first[:20]  # ties between the samples
    expected = [
        stats.wasserstein_distance(x, y, w, v) for x, y in zip(first.T, second.T, strict=True)
    ]
    assert_allclose(wasserstein_distance(first, second, weight1=w, weight2=v), expected)


def test_wasserstein_of_a_shift_is_the_shift():
    first, _ = two_samples()
    shift = np.array([0.5, -2.0, 0.0])
    assert_allclose(wasserstein_distance(first, first + shift), np.abs(shift), atol=1e-12)


def test_wasserstein_of_widths():
    # of gaussians with one mean: (s1 - s2) E|z|
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50_000))
    value, std = wasserstein_distance(x, 1.5 * y, return_std=True, n_replicas=20)
    assert abs(value - 0.5 * np.sqrt(2 / np.pi)) < 4 * std
    assert 0 < std < 0.02


def test_wasserstein_of_signed_weights_is_the_integral_of_distribution_functions():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=40), rng.normal(size=30)
    w, v = rng.choice([-0.5, 1.0], 40), rng.choice([-0.3, 2.0], 30)
    points = np.sort(np.concatenate([x, y]))
    total = 0.0
    for low, high in pairwise(points):
        f = w[x <= low].sum() / w.sum() - v[y <= low].sum() / v.sum()
        total += abs(f) * (high - low)
    assert_allclose(wasserstein_distance(x, y, weight1=w, weight2=v), total)


def test_events_of_opposite_weight_cancel():
    first, second = two_samples()
    extra = np.array([[5.0, 5.0, 5.0]] * 2)
    for distance in (wasserstein_distance, sliced_wasserstein_distance, separation_power):
        options = {} if distance is separation_power else {"scale": None}
        if distance is separation_power:
            options["bins"] = np.linspace(-4, 4, 20)
        plain = distance(first, second, **options)
        both = np.concatenate([first, extra])
        weight = np.concatenate([np.ones(len(first)), [1.0, -1.0]])
        assert_allclose(distance(both, second, weight1=weight, **options), plain, atol=1e-12)


def test_units_of_the_first_sample():
    first, second = two_samples()
    plain = wasserstein_distance(first, second)
    assert_allclose(wasserstein_distance(first, second, scale="std"), plain / first.std(axis=0))
    most = np.abs(first).max(axis=0)
    assert_allclose(wasserstein_distance(first, second, scale="max"), plain / most)
    # a constant feature keeps its unit
    first[:, 1] = 7.0
    assert_allclose(wasserstein_distance(first, first + 2.0, scale="std")[1], 2.0)


@settings(max_examples=30)
@given(st.integers(0, 2**20), st.floats(0.01, 100), st.floats(-50, 50))
def test_wasserstein_follows_scale_shift_and_order(seed, factor, shift):
    first, second = two_samples(40, 2, seed)
    plain = wasserstein_distance(first, second)
    moved = wasserstein_distance(factor * first + shift, factor * second + shift)
    assert_allclose(moved, factor * plain, rtol=1e-9)
    rng = np.random.default_rng(seed)
    shuffled = wasserstein_distance(rng.permutation(second), rng.permutation(first))
    assert_allclose(shuffled, plain, rtol=1e-9)


def test_sliced_wasserstein_sees_correlations():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4000, 2))
    second = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000)
    same = rng.normal(size=(4000, 2))
    assert sliced_wasserstein_distance(first, second) > 5 * sliced_wasserstein_distance(first, same)
    # along the direction at the angle a the widths are 1 and sqrt(1 + 0.8 sin 2a)
    angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    expected = np.mean(np.abs(np.sqrt(1 + 0.8 * np.sin(2 * angle)) - 1)) * np.sqrt(2 / np.pi)
    found, std = sliced_wasserstein_distance(
        first, second, n_projections=200, return_std=True, n_replicas=5
    )
    assert abs(found - expected) < 4 * std + 0.01


# --- separation power -------------------------------------------------------------------------


def test_separation_power_is_the_formula():
    rng = np.random.default_rng(0)
    x, y, w, v = rng.normal(size=500), rng.normal(0.5, size=600), rng.random(500), rng.random(600)
    edges = np.linspace(-6, 6, 25)
    h1, h2 = np.histogram(x, edges, weights=w)[0], np.histogram(y, edges, weights=v)[0]
    h1, h2 = h1 / h1.sum(), h2 / h2.sum()
    expected = 0.5 * np.sum((h1 - h2) ** 2 / (h1 + h2 + 1e-16))
    found = separation_power(x, y, bins=edges, weight1=w, weight2=v)
    assert_allclose(found, expected)
    # the same from the histograms
    centre = (edges[1:] + edges[:-1]) / 2
    filled = (h1 > 0) | (h2 > 0)
    weights = {"weight1": h1[filled], "weight2": h2[filled]}
    assert_allclose(separation_power(centre[filled], centre[filled], bins=edges, **weights), found)


def test_separation_power_of_equal_and_of_disjoint_samples():
    x = np.arange(10.0)
    assert separation_power(x, x) == 0
    assert_allclose(separation_power(x, x + 100, bins=[0, 50, 200]), 1.0)
    # events beyond the edges count
    assert_allclose(separation_power(x, x + 100, bins=10), 0.5 * (9 * 0.1 + 0.9**2 / 1.1))


def test_separation_power_of_equal_distributions_is_as_documented():
    rng = np.random.default_rng(0)
    values = [
        separation_power(*rng.uniform(size=(2, 2000)), bins=np.linspace(0, 1, 21))
        for _ in range(100)
    ]
    assert_allclose(np.mean(values), 20 / (2 * 2000), rtol=0.15)


# --- kernel distance --------------------------------------------------------------------------


def slow_kernel_distance(x, y, w, v):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 4

    def mean(first, second, one, two, same):
        total = weights = 0.0
        for i in range(len(first)):
            for j in range(len(second)):
                if not (same and i == j):
                    total += one[i] * two[j] * kernel(first[i], second[j])
                    weights += one[i] * two[j]
        return total / weights

    return mean(x, x, w, w, True) + mean(y, y, v, v, True) - 2 * mean(x, y, w, v, False)


def test_kernel_distance_is_the_formula():
    x, y = two_samples(25, 2)
    rng = np.random.default_rng(5)
    w, v = rng.choice([-0.2, 1.0], len(x)), rng.uniform(size=len(y))
    found = kernel_distance(x, y, weight1=w, weight2=v, scale=None)
    assert_allclose(found, slow_kernel_distance(x, y, w, v), rtol=1e-9)


def test_kernel_distance_of_degree_one_is_that_of_means():
    # unbiased estimate of |mu1 - mu2|^2 / d
    x, y = two_samples(300, 3)
    expected = (
        np.sum((x.mean(0) - y.mean(0)) ** 2)
        - x.var(0, ddof=1).sum() / len(x)
        - y.var(0, ddof=1).sum() / len(y)
    ) / 3
    assert_allclose(kernel_distance(x, y, degree=1, scale=None), expected, rtol=1e-9)


@pytest.mark.parametrize("distance", [kernel_distance, frechet_distance])
def test_errors_of_unbiased_distances(distance):
    rng = np.random.default_rng(0)
    values, errors = [], []
    for k in range(80):
        # the first half without a difference, the second with one
        x, y = rng.normal(size=(2, 200, 2))
        value, std = distance(x, y + (k >= 40), scale=None, return_std=True, n_replicas=20)
        values.append(value)
        errors.append(std)
    same, different = np.array(values[:40]), np.array(values[40:])
    assert abs(same.mean()) < 3 * same.std() / np.sqrt(40) + 0.002
    assert_allclose(np.mean(errors[40:]), different.std(), rtol=0.25)
    assert same.std() < np.mean(errors[:40]) < 2.5 * same.std()
    if distance is frechet_distance:
        assert abs(different.mean() - 2) < 3 * different.std() / np.sqrt(40)


def test_batches_agree_on_average():
    x, y = two_samples(1200, 2)
    whole, std = kernel_distance(x, y, batch_size=None, return_std=True)
    assert abs(kernel_distance(x, y, batch_size=300) - whole) < 2 * std
    # in any order of a single batch
    assert_allclose(kernel_distance(x[::-1], y[::-1]), kernel_distance(x, y), rtol=1e-9)


# --- Frechet distance -------------------------------------------------------------------------


def test_frechet_distance_is_the_formula():
    from scipy.linalg import sqrtm

    x, y = two_samples(300, 3)
    y[:, 1] += 0.7 * y[:, 0]
    cov1, cov2 = np.cov(x.T), np.cov(y.T)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(
        cov1 + cov2 - 2 * sqrtm(cov1 @ cov2).real
    )
    found = frechet_distance(x, y, scale=None, extrapolate=False)
    assert_allclose(found, expected, rtol=1e-9)
    # repeated events as weights: the weighted mean and spread, up to the correction for n
    doubled = frechet_distance(np.repeat(x, 2, axis=0), y, scale=None, extrapolate=False)
    weighted = frechet_distance(x, y, weight1=np.full(300, 2.0), scale=None, extrapolate=False)
    assert_allclose(weighted, doubled, rtol=0.01)


def test_frechet_distance_of_gaussians():
    rng = np.random.default_rng(0)
    x = rng.normal([0, 0], [1, 2], (40_000, 2))
    y = rng.normal([1, 0], [1.5, 3], (40_000, 2))
    value, std = frechet_distance(x, y, scale=None, return_std=True, n_replicas=20)
    assert abs(value - (1 + 0.25 + 1)) < 4 * std
    # weights move the first gaussian to the mean of 1, without change of its width
    weight = np.exp(x[:, 0] - 0.5)
    moved, std = frechet_distance(x, y, weight1=weight, scale=None, return_std=True, n_replicas=20)
    assert abs(moved - (0.25 + 1)) < 4 * std


def test_extrapolation_removes_the_bias():
    rng = np.random.default_rng(0)
    plain, extrapolated = [], []
    for _ in range(40):
        x, y = rng.normal(size=(2, 400, 5))
        plain.append(frechet_distance(x, y, scale=None, extrapolate=False))
        extrapolated.append(frechet_distance(x, y, scale=None))
    assert np.mean(plain) > 0.03
    error = np.std(extrapolated) / np.sqrt(40)
    assert abs(np.mean(extrapolated)) < 3 * error + 0.003


def test_indefinite_covariances_count_as_zero():
    x = np.array([[-1.0], [1.0], [3.0], [-3.0]] * 12)
    weight = np.array([1.0, 1.0, -0.1, -0.1] * 12)
    value = frechet_distance(x, x, weight1=weight, scale=None, extrapolate=False)
    assert np.isfinite(value)
    # variance of (2 * 1 - 0.2 * 9) / 1.8, the second 5
    n = 48
    total, square = weight.sum(), weight @ weight
    variance = (weight @ x[:, 0] ** 2) / (total - square / total)
    second = (x[:, 0] ** 2).sum() / (n - 1)
    assert_allclose(value, (np.sqrt(variance) - np.sqrt(second)) ** 2)


# --- what all share ---------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda f: f.__name__)
def test_errors_are_reproducible_and_scale_of_weights_does_not_matter(distance):
    first, second = two_samples()
    one, std = distance(first, second, return_std=True, n_replicas=10, random_state=3)
    two, same = distance(
        first,
        second,
        weight1=np.full(len(first), 7.0),
        weight2=np.full(len(second), 0.01),
        return_std=True,
        n_replicas=10,
        random_state=3,
    )
    assert_allclose(two, one, rtol=1e-9)
    assert_allclose(same, std, rtol=1e-6)
    assert np.all(std > 0)
    assert_allclose(distance(first, second, random_state=3), one, rtol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda f: f.__name__)
def test_columns_are_matched_by_name(distance):
    first, second = two_samples()
    first, second = (pd.DataFrame(table, columns=["a", "b", "c"]) for table in (first, second))
    assert_allclose(distance(first, second[["c", "a", "b"]]), distance(first, second))
    with pytest.raises(ValueError, match=r"\['c'\] are missing in X2, \['d'\] in X1"):
        distance(first, second.rename(columns={"c": "d"}))


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_refused(distance, bad):
    first, second = two_samples()
    second[7, 1] = bad
    with pytest.raises(ValueError, match=r"'x1' of X2 is (nan|inf) in 1 events, first in event 7"):
        distance(first, second)


@pytest.mark.parametrize("distance", DISTANCES, ids=lambda f: f.__name__)
def test_bad_samples(distance):
    first, second = two_samples()
    with pytest.raises(ValueError, match="X1 holds no events"):
        distance(first[:0], second)
    with pytest.raises(ValueError, match="weight2 has 3 entries"):
        distance(first, second, weight2=[1, 1, 1])
    with pytest.raises(ValueError, match="sum to -400"):
        distance(first, second, weight1=-np.ones(400))
    with pytest.raises(ValueError, match="different features"):
        distance(first, second[:, :2])
    with pytest.raises(ValueError, match="n_replicas must be an integer of at least 2"):
        distance(first, second, return_std=True, n_replicas=1)
    with pytest.raises(ValueError, match="made of numbers"):
        distance(np.array([["a"], ["b"]]), second)
    with pytest.raises(ValueError, match=r"shape \(2, 1, 1, 1, 1\)"):
        distance(np.zeros((2, 1, 1, 1, 1)), second)


def test_bad_options():
    first, second = two_samples()
    with pytest.raises(ValueError, match="scale='mad'"):
        wasserstein_distance(first, second, scale="mad")
    with pytest.raises(ValueError, match="n_projections"):
        sliced_wasserstein_distance(first, second, n_projections=0)
    with pytest.raises(ValueError, match="bins must be"):
        separation_power(first, second, bins=[1, 0])
    with pytest.raises(ValueError, match="degree"):
        kernel_distance(first, second, degree=0)
    with pytest.raises(ValueError, match="batch_size"):
        kernel_distance(first, second, batch_size=0)
    with pytest.raises(ValueError, match="too small for 400 batches"):
        kernel_distance(first[:50], np.repeat(second, 2, axis=0)[:800], batch_size=2)
    with pytest.raises(ValueError, match=r"X1 holds 50 events, at least 72 .* extrapolate=False"):
        frechet_distance(first[:50], second)


def test_features_of_clouds():
    cloud = np.full((2, 3, 2), np.nan)
    cloud[0, :2] = [[1.0, 2.0], [3.0, np.nan]]
    found = wasserstein_distance(cloud[:1], cloud[1:])
    # number, mean, std and maximum of both features; the second event is empty
    assert_allclose(found, [2, 2, 1, 3, 2, 0, 2])


def test_features_of_images():
    image = np.zeros((1, 2, 4, 4))
    image[0, 0, 1, 2], image[0, 0, 3, 2] = 1.0, 3.0
    empty = np.zeros((1, 2, 4, 4))
    found = wasserstein_distance(image, empty)
    assert_allclose(found, [4, 2.5, 2, np.sqrt(0.75), 0, 0, 0, 0], atol=1e-12)


def test_features_of_events():
    events = Events(jets=np.ones((3, 2, 1)), met=np.arange(3.0))
    assert_allclose(wasserstein_distance(events, events), np.zeros(5))
    other = {"jets": 2 * np.ones((3, 2, 1)), "met": np.arange(3.0) + 1}
    assert_allclose(wasserstein_distance(events, other), [0, 1, 0, 1, 1])
    with pytest.raises(ValueError, match=r"'met'.* missing in X2, \['ht'\]"):
        wasserstein_distance(events, {"jets": np.ones((3, 2, 1)), "ht": np.zeros(3)})


def test_features_in_any_order():
    first, second = two_samples(50)
    expected = wasserstein_distance(first, second)
    names = (1, 2, 0)
    frames = pd.DataFrame(first), pd.DataFrame(second)[list(names)]
    assert_allclose(wasserstein_distance(*frames), expected)
    inputs = [
        {f"in{k}": table[:, k] for k in order}
        for table, order in ((first, range(3)), (second, names))
    ]
    assert_allclose(wasserstein_distance(*inputs), expected)


def test_separation_power_from_a_constant_feature():
    constant = np.full(40, 5.0)
    assert separation_power(constant, np.full(10, 5.0)) == pytest.approx(0)
    assert separation_power(constant, np.linspace(0, 9, 30)) == pytest.approx(1)
    assert separation_power(constant, [5.0, 7.0], bins=3) == pytest.approx(1 / 3)


def test_errors_of_too_few_events():
    with pytest.raises(
        ValueError, match="X1 has no positive sum of weights in a bootstrap replica"
    ):
        wasserstein_distance([1.0], [2.0, 3.0], return_std=True)


def test_awkward_arrays_are_refused():
    ak = pytest.importorskip("awkward")
    with pytest.raises(ValueError, match="JaggedToPadded"):
        wasserstein_distance(*[{"pt": ak.Array([[1.0, 2.0], [3.0]])}] * 2)
