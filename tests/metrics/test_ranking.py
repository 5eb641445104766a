import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skhep_ml.metrics import (
    background_rejection_score,
    precision_recall_curve,
    roc_curve,
    signal_efficiency_score,
)


@st.composite
def samples(draw, signed=False, weighted=True):
    """Labels, tied scores and weights of both classes."""
    n = draw(st.integers(4, 40))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    grid = draw(st.sampled_from([2, 5, 1000]))
    score = np.array(draw(st.lists(st.integers(-grid, grid), min_size=n, max_size=n))) / grid
    weight = None
    if weighted:
        low = -1.0 if signed else 0.0
        weight = np.array(draw(st.lists(st.floats(low, 3.0), min_size=n, max_size=n)))
        weight = np.where(np.abs(weight) < 1e-3, 0.0, weight)
        assume(weight[y == 1].sum() > 0.1)
        assume(weight[y == 0].sum() > 0.1)
    assume(0 < y.sum() < n)
    return y, score, weight


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.booleans(), st.booleans(), st.data())
def test_curves_equal_scikit_learn(weighted, drop, data):
    y, score, weight = data.draw(samples(weighted=weighted))
    for name in ("roc_curve", "precision_recall_curve"):
        mine = {"roc_curve": roc_curve, "precision_recall_curve": precision_recall_curve}[name](
            y, score, sample_weight=weight, drop_intermediate=drop
        )
        theirs = getattr(reference, name)(y, score, sample_weight=weight, drop_intermediate=drop)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(samples(signed=True))
def test_roc_curve_is_the_sum_above_each_threshold(sample):
    y, score, weight = sample
    fpr, tpr, thresholds = roc_curve(y, score, sample_weight=weight, drop_intermediate=False)
    for false, true, threshold in zip(fpr, tpr, thresholds, strict=True):
        above = score >= threshold
        expected = weight[above & (y == 1)].sum() / weight[y == 1].sum()
        np.testing.assert_allclose(true, expected, atol=1e-12)
        expected = weight[above & (y == 0)].sum() / weight[y == 0].sum()
        np.testing.assert_allclose(false, expected, atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(samples(signed=True))
def test_dropped_points_lie_on_the_curve(sample):
    y, score, weight = sample
    weight = np.round(2 * weight) / 2  # equal steps occur
    assume(weight[y == 1].sum() > 0)
    assume(weight[y == 0].sum() > 0)
    full = roc_curve(y, score, sample_weight=weight, drop_intermediate=False)
    short = roc_curve(y, score, sample_weight=weight)
    kept = np.isin(full[2], short[2])
    # points are dropped where they lie midway: interpolate by position between the kept ones
    position = np.arange(len(kept))
    for whole, part in zip(full[:2], short[:2], strict=True):
        np.testing.assert_allclose(np.interp(position, position[kept], part), whole, atol=1e-12)


def test_signed_curve_is_not_monotone_and_ends_at_one():
    y = np.array([0, 0, 0, 1, 1, 1])
    score = np.array([0.9, 0.5, 0.1, 0.8, 0.6, 0.2])
    weight = np.array([-1.0, 2.0, 1.0, 2.0, -1.0, 1.0])
    fpr, tpr, _ = roc_curve(y, score, sample_weight=weight)
    assert fpr.min() < 0
    assert np.diff(tpr).min() < 0
    assert (fpr[-1], tpr[-1]) == (1.0, 1.0)


def test_infinite_scores_go_to_the_ends():
    y = [0, 1, 0, 1, 1]
    infinite = roc_curve(y, [-np.inf, np.inf, 0.1, 0.2, np.inf])
    finite = roc_curve(y, [-9.0, 9.0, 0.1, 0.2, 9.0])
    np.testing.assert_array_equal(infinite[0], finite[0])
    np.testing.assert_array_equal(infinite[1], finite[1])
    assert infinite[2][[1, -1]].tolist() == [np.inf, -np.inf]


def test_string_labels_and_both_signs_of_pos_label():
    y = np.array(["b", "s", "s", "b"])
    score = np.array([0.1, 0.4, 0.35, 0.8])
    for label in ("s", "b"):
        mine = roc_curve(y, score, pos_label=label)
        theirs = reference.roc_curve(y, score, pos_label=label)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="pos_label="):
        roc_curve(y, score)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"y_score": [0.1, np.nan, 0.3, np.nan]}, "NaN in 2 events, first in event 1"),
        ({"y_score": [0.1, 0.2, 0.3]}, "3 entries"),
        ({"y_score": np.zeros((4, 2))}, "column of the positive class"),
        ({"sample_weight": [1.0, -1.0, 1.0, 1.0]}, "negative events sum to 0"),
        ({"sample_weight": [0.1, 0.2, 0.1, -0.3]}, "positive events sum to"),
        ({"sample_weight": [1.0, np.nan, 1.0, 1.0]}, "NaN or infinite"),
        ({"sample_weight": [1.0, 1.0]}, "2 entries"),
        ({"y_true": [1, 1, 1, 1]}, "no negative event"),
    ],
)
def test_bad_input(kwargs, message):
    good = {"y_true": [0, 0, 1, 1], "y_score": [0.1, 0.4, 0.35, 0.8], "sample_weight": None}
    with pytest.raises(ValueError, match=message):
        roc_curve(**(good | kwargs))


def test_rounding_to_zero_sum_is_refused():
    weight = [1.0, 1.0, 0.1, 0.2, -0.3]  # the last three sum to 5.6e-17
    with pytest.raises(ValueError, match="positive sum"):
        roc_curve([0, 0, 1, 1, 1], [1, 2, 3, 4, 5], sample_weight=weight)


def test_working_points_by_hand():
    y = np.array([0, 0, 0, 0, 1, 1])
    score = np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    # curve (fpr, tpr): (0, 0) (0, .5) (.25, .5) (.25, 1) (.5, 1) ...
    assert background_rejection_score(y, score, signal_efficiency=0.75) == 4.0
    assert background_rejection_score(y, score, signal_efficiency=0.5) == np.inf
    assert signal_efficiency_score(y, score, background_efficiency=0.0) == 0.5
    np.testing.assert_allclose(
        signal_efficiency_score(y, score, background_efficiency=[0.1, 0.25, 1.0]), [0.5, 1.0, 1.0]
    )
    assert isinstance(signal_efficiency_score(y, score, background_efficiency=0.5), float)


def test_ties_are_interpolated():
    # one merged point: the curve is the diagonal
    y, score = [0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(
        background_rejection_score(y, score, signal_efficiency=[0.2, 0.5]), [5.0, 2.0]
    )
    np.testing.assert_allclose(
        signal_efficiency_score(y, score, background_efficiency=[0.2, 1.0]), [0.2, 1.0]
    )


def test_first_crossing_from_the_highest_score_on_a_signed_curve():
    y = np.array([1, 1, 1, 1, 0, 0])
    score = np.array([6.0, 5.0, 4.0, 2.0, 5.5, 1.0])
    weight = np.array([1.0, -0.5, 0.5, 1.0, 1.0, 1.0])
    # tpr from the top: .5, .5, .25, .5, 1: 0.5 is reached at once, before any background
    value = background_rejection_score(y, score, signal_efficiency=0.5, sample_weight=weight)
    assert value == np.inf


@settings(max_examples=25, deadline=None, derandomize=True)
@given(samples(signed=True), st.floats(0.05, 1.0), st.floats(0.1, 10.0), st.randoms())
def test_working_points_know_no_order_and_no_unit(sample, target, factor, random):
    y, score, weight = sample
    order = np.array(random.sample(range(len(y)), len(y)))
    args = (y, score), (y[order], score[order])
    weights = weight, factor * weight[order]
    for metric, name in (
        (background_rejection_score, "signal_efficiency"),
        (signal_efficiency_score, "background_efficiency"),
    ):
        a, b = (
            metric(*arg, sample_weight=w, return_std=True, **{name: target})
            for arg, w in zip(args, weights, strict=True)
        )
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, np.nan])
def test_rejection_target_out_of_range(target):
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        background_rejection_score([0, 1], [0.0, 1.0], signal_efficiency=target)


def test_errors_agree_with_the_spread_of_toys():
    """Signed background, many toys; the signal is fixed and large, as the formula supposes."""
    rng = np.random.default_rng(5)
    signal = np.linspace(-2.0, 4.0, 1001)
    n_toys, n = 400, 1000
    values, errors = [], []
    for _ in range(n_toys):
        size = rng.poisson(n)
        sign = np.where(rng.random(size) < 0.25, -1.0, 1.0)
        weight = np.concatenate([sign * rng.exponential(size=size), np.ones(len(signal))])
        y = np.repeat([0, 1], [size, len(signal)])
        score = np.concatenate([rng.normal(size=size), signal])
        rejection, std = background_rejection_score(
            y, score, signal_efficiency=0.5, sample_weight=weight, return_std=True
        )
        values.append(1 / rejection)
        errors.append(std / rejection**2)
    spread = np.std(values, ddof=1)
    # the spread of 400 toys is known to 3.5%
    assert abs(np.mean(errors) / spread - 1) < 0.12


def test_signal_efficiency_error_for_counts_is_binomial():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 400)
    score = rng.normal(y)
    value, std = signal_efficiency_score(y, score, background_efficiency=0.3, return_std=True)
    np.testing.assert_allclose(std, np.sqrt(value * (1 - value) / 400), rtol=1e-3)


def test_infinite_rejection_has_no_error():
    rejection, std = background_rejection_score([0, 1], [0.0, 1.0], return_std=True)
    assert rejection == np.inf
    assert np.isnan(std)
