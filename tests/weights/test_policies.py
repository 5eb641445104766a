import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skhep_ml.datasets import make_signed_events
from skhep_ml.exceptions import BiasedWeightsWarning, WeightWarning
from skhep_ml.weights import apply_negative_weights
from skhep_ml.weights._policies import NEGATIVE_WEIGHT_POLICIES, prepare_weights


@pytest.fixture(scope="module")
def shape_events():
    return make_signed_events(30_000, negative_fraction=0.1, kind="shape", random_state=0)


@pytest.mark.parametrize("policy", NEGATIVE_WEIGHT_POLICIES)
def test_weights_without_negatives_come_back_unchanged(policy):
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(50, 2)), rng.integers(2, size=50), rng.uniform(0, 3, 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(apply_negative_weights(X, y, w, policy), w)


def test_refined_weights_are_the_conditional_expectation(shape_events):
    e = shape_events
    refined = apply_negative_weights(e.data, e.target, e.weight, random_state=1)
    assert refined.min() >= 0
    for label in (0, 1):
        of = e.target == label
        assert refined[of].sum() == pytest.approx(e.weight[of].sum())
    # against the exact E[w | x, class]: far closer than the bias of dropping or taking abs
    truth = e.weight_truth
    error = np.mean((refined - truth)[e.target == 1] ** 2)
    assert error < 0.15 * np.mean((np.abs(e.weight) - truth)[e.target == 1] ** 2)


def test_refinement_closes_on_signed_histograms(shape_events):
    e = shape_events
    signal = e.target == 1
    refined = apply_negative_weights(e.data, e.target, e.weight, random_state=1)
    radius = np.sqrt((e.data**2).sum(axis=1))
    edges = np.quantile(radius[signal], np.linspace(0, 1, 11))
    index = np.clip(np.searchsorted(edges, radius, side="right") - 1, 0, 9)

    def histogram(w):
        return np.bincount(index[signal], w[signal], 10)

    expected = histogram(e.weight_truth)
    assert np.abs(histogram(refined) / expected - 1).max() < 0.08
    assert np.abs(histogram(np.abs(e.weight)) / expected - 1).max() > 0.2


def test_random_signs_leave_a_constant():
    e = make_signed_events(2000, negative_fraction=0.3, kind="random", random_state=3)
    refined = apply_negative_weights(e.data, e.target, e.weight, random_state=0)
    for label in (0, 1):
        of = refined[e.target == label]
        assert np.ptp(of) < 1e-9 * of.mean()


def test_refinement_is_reproducible_and_follows_events(shape_events):
    e = shape_events
    groups = np.arange(len(e.target)) * 10
    args = (e.data, e.target, e.weight)
    one = apply_negative_weights(*args, groups=groups, random_state=0, n_jobs=1)
    two = apply_negative_weights(*args, groups=groups, random_state=0, n_jobs=1)
    assert np.array_equal(one, two)
    order = np.random.default_rng(0).permutation(len(groups))
    permuted = apply_negative_weights(
        *(a[order] for a in args), groups=groups[order], random_state=0, n_jobs=1
    )
    # the sketch of quantiles depends on row order a little
    assert np.mean(np.abs(permuted - one[order])) < 0.02 * np.abs(e.weight).mean()


def test_missing_values_and_clouds():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(400, 3, 2))
    cloud[::3, 2] = np.nan
    w = np.where(rng.random(400) < 0.2, -1.0, 1.0)
    for policy in ("refine", "pair", "cell"):
        positive = apply_negative_weights(cloud, None, w, policy, random_state=0)
        assert positive.min() >= 0
        assert positive.sum() == pytest.approx(w.sum())


@pytest.mark.parametrize("policy", ["refine", "pair", "cell"])
def test_features_that_cannot_be_read(policy):
    w = [3.0, -1, 1, 1]
    with pytest.raises(ValueError, match="got a sparse X"):
        apply_negative_weights(csr_array(np.eye(4)), None, w, policy)
    with pytest.raises(ValueError, match="X has 3 events, but there are 4 weights"):
        apply_negative_weights(np.zeros((3, 1)), None, w, policy)
    X = np.zeros((4, 2))
    X[2, 1] = np.inf
    with pytest.raises(ValueError, match="1 infinite values, first in event 2, column 1"):
        apply_negative_weights(X, None, w, policy)


def test_shortcuts_warn_with_the_affected_fraction():
    X, y, w = np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.array([3.0, -1, 1, 1])
    with pytest.warns(BiasedWeightsWarning, match=r"25\.0% of the events"):
        assert apply_negative_weights(X, y, w, "drop").tolist() == [3, 0, 1, 1]
    with pytest.warns(BiasedWeightsWarning, match="'abs'"):
        assert apply_negative_weights(X, y, w, "abs").tolist() == [3, 1, 1, 1]


def test_bad_input():
    X, y = np.zeros((4, 1)), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"must be one of .*'refine'.* got 'ignore'"):
        apply_negative_weights(X, y, np.ones(4), "ignore")
    with pytest.raises(ValueError, match=r"first in event 1 \(-1\)"):
        apply_negative_weights(X, y, [3.0, -1, 1, 1], "raise")
    with pytest.raises(ValueError, match="class 0 sum to -1"):
        apply_negative_weights(X, y, [1.0, -2, 1, 1], "drop")
    with pytest.raises(ValueError, match="NaN or infinite in 1 events, first in event 2"):
        apply_negative_weights(X, y, [1.0, 1, np.nan, 1])
    with pytest.raises(ValueError, match="3 entries, but there are 4 events"):
        apply_negative_weights(X, y, np.ones(3))


def test_prepared_weights_have_no_unit_and_balanced_classes():
    rng = np.random.default_rng(0)
    codes, classes = np.repeat([0, 1], [900, 100]), np.array(["bkg", "sig"])
    w = rng.uniform(1, 5, 1000)
    a, b = (
        prepare_weights(np.zeros((1000, 1)), codes, classes, s * w, class_weight="balanced")
        for s in (1.0, 1e-7)
    )
    assert np.allclose(a.train, b.train)
    assert np.mean(np.abs(a.train)) == pytest.approx(1)
    assert a.train[codes == 0].sum() == pytest.approx(a.train[codes == 1].sum())
    assert np.allclose((w * a.class_factor[codes])[codes == 0].sum(), w.sum() / 2)


def test_cap_is_announced():
    w = np.ones(100)
    w[0] = 1000
    with pytest.warns(WeightWarning, match=r"in 1 events, which takes"):
        prepared = prepare_weights(
            np.zeros((100, 1)), np.zeros(100, dtype=int), np.array(["x"]), w, weight_cap=0.95
        )
    assert np.allclose(prepared.train, 1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"weight_scale": "sum"}, "weight_scale"),
        ({"weight_cap": 95}, "between 0 and 1"),
        ({"class_weight": "equal"}, "balanced"),
        ({"class_weight": {"sgn": 2.0}}, "names 'sgn'"),
    ],
)
def test_bad_parameters(options, match):
    codes, classes = np.array([0, 1]), np.array(["bkg", "sig"])
    with pytest.raises(ValueError, match=match):
        prepare_weights(np.zeros((2, 1)), codes, classes, np.ones(2), **options)


Y, W = [0, 0, 0, 1], [2.0, -1.0, 1.0, 1.0]


@pytest.mark.parametrize("policy", ["pair", "cell"])
def test_missing_values_of_any_kind_are_nan(policy):
    X = np.array([[0.0, np.nan], [0.1, 1.0], [5.0, 1.1], [3.0, np.nan]])
    expected = apply_negative_weights(X, Y, W, policy)
    masked = np.ma.masked_invalid(np.nan_to_num(X, nan=-999.0))
    masked.mask = np.isnan(X)
    nullable = pd.DataFrame(X, columns=["pt", "eta"]).astype("Float64")
    assert nullable["eta"].isna().sum() == 2
    for same in (masked, nullable, X.astype(object)):
        np.testing.assert_allclose(apply_negative_weights(same, Y, W, policy), expected)


def test_a_sentinel_that_is_taken_as_a_number_is_said():
    X = pd.DataFrame({"met": [1.0, 2.0, 3.0, 4.0], "jet2_pt": [-999.0, 30.0, 40.0, -999.0]})
    with pytest.warns(WeightWarning, match=r"-999 in many events of 1 col.*'jet2_pt' \(50.0%\)"):
        apply_negative_weights(X, Y, W, "pair")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[0.0], [1.0], [np.inf], [2.0]], dtype=object), "1 infinite values"),
        (pd.DataFrame({"pt": [1.0] * 4, "process": list("abcd")}), "column 'process' of type"),
        (pl.DataFrame({"pt": [1.0] * 4, "process": list("abcd")}), "column 'process' of type"),
        (np.array([[1.0, "a"]] * 4, dtype=object), "column 1 of X holds more than numbers"),
        (np.arange(4.0), r"X has shape \(4,\), a table is needed"),
    ],
)
def test_tables_that_are_none_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        apply_negative_weights(X, Y, W, "pair")
