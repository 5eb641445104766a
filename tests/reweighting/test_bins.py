"""BinsReweighter against closed forms and a plain histogram."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from skhep_ml.exceptions import BiasedWeightsWarning, SupportWarning
from skhep_ml.reweighting import BinsReweighter


def test_ratio_of_two_gaussians():
    rng = np.random.default_rng(0)
    original, target = rng.normal(0, 1, 100_000), rng.normal(0.4, 0.9, 50_000)
    model = BinsReweighter().fit(original, target)
    x = np.linspace(-1.5, 2, 500)
    truth = norm.logpdf(x, 0.4, 0.9) - norm.logpdf(x)
    assert np.abs(np.log(model.predict_weights(x)) - truth).max() < 0.12


def test_ratio_of_two_gaussians_in_two_dimensions():
    rng = np.random.default_rng(0)
    original = rng.normal(size=(200_000, 2))
    target = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 200_000)
    model = BinsReweighter(n_bins=60, n_neighs=1.5).fit(original, target)
    weight = model.predict_weights(original)
    # smoothing takes a little of the correlation
    assert np.cov(original.T, aweights=weight)[0, 1] == pytest.approx(0.5, abs=0.03)


def test_no_smoothing_is_the_ratio_of_histograms():
    rng = np.random.default_rng(0)
    original, target = rng.normal(0, 1, 4000), rng.normal(0.3, 1, 3000)
    w_original, w_target = rng.lognormal(size=4000), rng.lognormal(size=3000)
    model = BinsReweighter(20, 0, min_events=1e-9, normalize="target")
    model.fit(original, target, w_original, w_target)
    weight = model.predict_weights(original, w_original)

    def histogram(sample, weight):
        # an edge belongs to the bin below
        return np.bincount(np.searchsorted(model.edges_[0], sample), weight)

    reweighted, wanted = histogram(original, weight), histogram(target, w_target)
    np.testing.assert_allclose(reweighted, wanted, rtol=1e-10)
    # edges cut the equal mixture of both samples into equal parts
    mixture = histogram(original, w_original) / w_original.sum() + wanted / w_target.sum()
    np.testing.assert_allclose(mixture, 2 / 20, atol=0.01)


def test_agrees_with_hep_ml():
    reweight = pytest.importorskip("hep_ml.reweight")
    rng = np.random.default_rng(0)
    original, target = rng.normal(0, 1, 50_000), rng.normal(0.3, 0.9, 50_000)
    x = np.linspace(-1.2, 1.8, 300)
    ours = BinsReweighter(100, normalize=None).fit(original, target).predict_weights(x)
    peer = reweight.BinsReweighter(n_bins=100, n_neighs=3.0).fit(original, target)
    theirs = peer.predict_weights(x)
    truth = norm.logpdf(x, 0.3, 0.9) - norm.logpdf(x)
    errors = [np.sqrt(np.mean((np.log(w) - truth) ** 2)) for w in (ours, theirs)]
    assert errors[0] < errors[1] * 1.1
    assert np.sqrt(np.mean(np.log(ours / theirs) ** 2)) < 0.05


def test_empty_regions():
    # bins where neither has events get 1, those without original what min_events allows
    original, target = np.repeat([0.0, 1.0], [500, 500]), np.repeat([1.0, 2.0], [500, 500])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        model = BinsReweighter(8, 0, normalize=None).fit(original, target)
    np.testing.assert_allclose(model.predict_weights([0.0, 1.0, 2.0]), [1 / 500, 1, 500])
    assert set(model.ratio_) == {1 / 500, 1.0, 500.0}
    # events beyond the edges belong to the outer bins
    np.testing.assert_allclose(model.predict_weights([-10.0, 10.0]), [1 / 500, 500])


def test_categories_hardly_mix():
    rng = np.random.default_rng(0)
    original = rng.choice(4, 50_000, p=[0.4, 0.3, 0.2, 0.1])
    target = rng.choice(4, 50_000, p=[0.1, 0.2, 0.3, 0.4])
    weight = BinsReweighter().fit(original, target).predict_weights(original)
    after = np.bincount(original, weight) / weight.sum()
    np.testing.assert_allclose(after, [0.1, 0.2, 0.3, 0.4], atol=0.03)


def signed_sample(n, rng, shift=0.0):
    negative = rng.random(n) < 0.25 / 1.5
    x = np.where(negative, rng.normal(0.5, 0.6, n), rng.normal(0.0, 1.0, n)) + shift
    return x, np.where(negative, -1.0, 1.0)


@pytest.mark.parametrize("policy", ["refine", "keep", "pair", "cell"])
def test_signed_weights_on_both_sides(policy):
    rng = np.random.default_rng(0)
    original, w_original = signed_sample(30_000, rng)
    target, w_target = signed_sample(30_000, rng, 0.3)
    x = rng.normal(0, 0.9, 5000)
    density = [1.25 * norm.pdf(x, s) - 0.25 * norm.pdf(x, s + 0.5, 0.6) for s in (0.3, 0.0)]

    def rms(policy):
        model = BinsReweighter(negative_weights=policy, n_jobs=1, random_state=0)
        model.fit(original, target, w_original, w_target)
        return np.sqrt(np.mean(np.log(model.predict_weights(x) / density[0] * density[1]) ** 2))

    with pytest.warns(BiasedWeightsWarning):
        dropped = rms("drop")
    assert rms(policy) < dropped
    assert rms(policy) < 0.08


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from([1e-6, 1.0, 1e5]), st.integers(1, 2))
def test_unit_and_order_do_not_matter(seed, unit, n_features):
    rng = np.random.default_rng(seed)
    original, target = rng.normal(size=(200, n_features)), rng.normal(0.2, 1, (150, n_features))
    weight = rng.lognormal(size=200)
    order = rng.permutation(200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SupportWarning)
        plain = BinsReweighter(10, 1).fit(original, target, weight)
        other = BinsReweighter(10, 1).fit(original[order], target, weight[order] * unit)
    np.testing.assert_allclose(
        other.predict_weights(original), plain.predict_weights(original), rtol=1e-9
    )
    assert plain.predict_weights(original, weight).sum() == pytest.approx(weight.sum())


def test_replicas_cover_the_spread_of_independent_fits():
    x = np.linspace(-1.5, 1.5, 200)
    fits = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        original, target = rng.normal(0, 1, 5000), rng.normal(0.2, 1, 5000)
        fits.append(BinsReweighter().fit(original, target).predict_weights(x))
    model = BinsReweighter(n_replicas=30, random_state=0).fit(original, target)
    _, std = model.predict_weights(x, return_std=True)
    spread = np.std(fits, axis=0, ddof=1)
    assert 0.8 < np.sqrt(np.mean(std**2) / np.mean(spread**2)) < 1.25


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_bins": 1}, "n_bins must be an integer of at least 2, got 1"),
        ({"n_bins": 20.0}, "n_bins"),
        ({"n_neighs": -1}, "n_neighs must be a number >= 0, got -1"),
        ({"min_events": 0}, "min_events must be a positive number, got 0"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        BinsReweighter(**params).fit([0.0, 1.0], [0.0, 1.0])


def test_table_that_does_not_fit_into_memory():
    table = np.random.default_rng(0).normal(size=(100, 6))
    with pytest.raises(ValueError, match=r"n_bins=200 in 6 features are 6.4e\+13 bins.*GBReweight"):
        BinsReweighter().fit(table, table)


def test_missing_values_are_refused():
    with pytest.raises(ValueError, match="Input target contains NaN"):
        BinsReweighter().fit([0.0, 1.0], [0.0, np.nan])
