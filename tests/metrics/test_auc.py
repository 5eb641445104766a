import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skhep_ml.metrics import average_precision_score, roc_auc_score, roc_curve


def pair_sum(y, score, weight):
    """The definition: every signal event against every background event."""
    s, b = score[y == 1][:, None], score[y == 0][None, :]
    pairs = weight[y == 1][:, None] * weight[y == 0][None, :]
    won = (s > b) + 0.5 * (s == b)
    return (pairs * won).sum() / pairs.sum()


def sample(rng, n=60, grid=None, signed=False):
    y = rng.permutation(np.arange(n) % 2)
    score = rng.normal(y)
    if grid:
        score = np.round(score * grid) / grid
    weight = rng.lognormal(size=n)
    if signed:
        weight *= np.where(rng.random(n) < 0.25, -1, 1)
    return y, score, weight


@pytest.mark.parametrize("grid", [None, 1, 4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("seed", range(5))
def test_signed_auc_is_the_sum_over_pairs(seed, dtype, grid):
    y, score, weight = sample(np.random.default_rng(seed), grid=grid, signed=True)
    score = (3 * score).astype(dtype)
    expected = pair_sum(y, score, weight)
    np.testing.assert_allclose(
        roc_auc_score(y, score, sample_weight=weight), expected, rtol=1e-12, atol=1e-12
    )
    fpr, tpr, _ = roc_curve(y, score, sample_weight=weight)
    np.testing.assert_allclose(np.trapezoid(tpr, fpr), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-4, 4), st.floats(0, 5)), min_size=2, max_size=50
    ),
    st.sampled_from([None, 0.05, 0.3, 0.9, 1.0]),
    st.booleans(),
)
def test_equal_to_scikit_learn(events, max_fpr, weighted):
    y, score, weight = (np.array(column) for column in zip(*events, strict=True))
    y, score = y.astype(int), score / 3
    weight = np.where(weight < 1e-3, 0, weight) if weighted else None
    filled = np.ones(len(y)) if weight is None else weight
    assume(filled[y == 0].sum() > 0)
    assume(filled[y == 1].sum() > 0)
    for metric, options in (
        ("roc_auc_score", {"max_fpr": max_fpr}),
        ("average_precision_score", {}),
    ):
        mine = {"roc_auc_score": roc_auc_score, "average_precision_score": average_precision_score}
        np.testing.assert_allclose(
            mine[metric](y, score, sample_weight=weight, **options),
            getattr(reference, metric)(y, score, sample_weight=weight, **options),
            rtol=1e-12,
            atol=1e-12,
        )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
def test_several_classes_equal_scikit_learn(average, weighted):
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 200)
    prob = rng.dirichlet([1, 1, 1], 200).round(2)
    prob[:, 2] = 1 - prob[:, 0] - prob[:, 1]
    weight = rng.exponential(size=200) if weighted else None
    names = np.array(["gg", "qq", "tt"])[y]
    for labels in (y, names):
        options = {"average": average, "multi_class": "ovr", "sample_weight": weight}
        np.testing.assert_allclose(
            roc_auc_score(labels, prob, **options),
            reference.roc_auc_score(labels, prob, **options),
            rtol=1e-12,
        )
        options.pop("multi_class")
        np.testing.assert_allclose(
            average_precision_score(labels, prob, **options),
            reference.average_precision_score(labels, prob, **options),
            rtol=1e-12,
        )
    indicator = rng.integers(0, 2, (200, 3))
    for metric in ("roc_auc_score", "average_precision_score"):
        mine = {"roc_auc_score": roc_auc_score, "average_precision_score": average_precision_score}
        np.testing.assert_allclose(
            mine[metric](indicator, prob, average=average, sample_weight=weight),
            getattr(reference, metric)(indicator, prob, average=average, sample_weight=weight),
            rtol=1e-12,
        )


def test_one_against_one_and_labels():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 100)
    prob = rng.dirichlet([1, 1, 1], 100)
    assert roc_auc_score(y, prob, multi_class="ovo") == reference.roc_auc_score(
        y, prob, multi_class="ovo"
    )
    with pytest.raises(ValueError, match="negative weights"):
        roc_auc_score(y, prob, multi_class="ovo", sample_weight=np.r_[-1.0, np.ones(99)])
    assert roc_auc_score(y, prob, multi_class="ovr", labels=[0, 1, 2]) == roc_auc_score(
        y, prob, multi_class="ovr"
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_signed_one_against_rest(weighted):
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 90)
    prob = rng.dirichlet([1, 1, 1], 90)
    weight = rng.normal(1.0, 0.8, 90)
    areas = roc_auc_score(y, prob, multi_class="ovr", average=None, sample_weight=weight)
    expected = [pair_sum((y == k).astype(int), prob[:, k], weight) for k in range(3)]
    np.testing.assert_allclose(areas, expected, rtol=1e-11)
    average = "weighted" if weighted else "macro"
    joined = roc_auc_score(y, prob, multi_class="ovr", average=average, sample_weight=weight)
    sums = np.bincount(y, weight) if weighted else None
    np.testing.assert_allclose(joined, np.average(expected, weights=sums), rtol=1e-11)


def test_signed_average_precision_by_definition():
    y, score, weight = sample(np.random.default_rng(6), grid=2, signed=True)
    expected, before = 0.0, 0.0
    for threshold in np.unique(score)[::-1]:
        above = score >= threshold
        signal = weight[above & (y == 1)].sum()
        expected += (signal - before) * signal / weight[above].sum()
        before = signal
    expected /= weight[y == 1].sum()
    np.testing.assert_allclose(
        average_precision_score(y, score, sample_weight=weight), expected, rtol=1e-11
    )


@pytest.mark.parametrize(
    "labels", [[0, 1], [-1, 1], [1, 2], [-1, 0], [False, True], ["b", "s"], [0.5, 1.5]]
)
def test_any_two_labels(labels):
    y, score, weight = sample(np.random.default_rng(7))
    named = np.array(labels)[y]
    expected = roc_auc_score(y, score, sample_weight=weight)
    assert roc_auc_score(named, score, sample_weight=weight) == expected
    assert roc_auc_score(named, score, sample_weight=weight, pos_label=labels[1]) == expected
    np.testing.assert_allclose(
        roc_auc_score(named, score, sample_weight=weight, pos_label=labels[0]), 1 - expected
    )


def test_order_and_unit_do_not_matter():
    rng = np.random.default_rng(8)
    y, score, weight = sample(rng, n=500, grid=3, signed=True)
    order = rng.permutation(500)
    value, std = roc_auc_score(y, score, sample_weight=weight, return_std=True)
    again, _ = roc_auc_score(
        y[order], score[order], sample_weight=1e-4 * weight[order], return_std=True
    )
    np.testing.assert_allclose(again, value, rtol=1e-12)
    _, scaled = roc_auc_score(y, score, sample_weight=1e-4 * weight, return_std=True)
    np.testing.assert_allclose(scaled, std, rtol=1e-12)
    # monotone maps of the score change nothing
    assert roc_auc_score(y, np.exp(score), sample_weight=weight) == pytest.approx(value, rel=1e-12)


def test_infinite_scores():
    y = [0, 0, 1, 1]
    assert roc_auc_score(y, [-np.inf, 0.0, 0.0, np.inf]) == 0.875
    assert roc_auc_score(y, [np.inf, 0.0, 0.0, np.inf]) == 0.5


def test_partial_area_on_a_signed_curve_ends_at_the_first_crossing():
    y = np.array([1, 0, 0, 1, 0])
    score = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    weight = np.array([1.0, 1.0, -0.5, 1.0, 1.5])
    # (fpr, tpr): (0, 0) (0, .5) (.5, .5) (.25, .5) (.25, 1) (1, 1); 0.4 is crossed on the second
    area, worst = 0.4 * 0.5, 0.4**2 / 2
    expected = 0.5 * (1 + (area - worst) / (0.4 - worst))
    np.testing.assert_allclose(
        roc_auc_score(y, score, sample_weight=weight, max_fpr=0.4), expected, rtol=1e-12
    )


@pytest.mark.parametrize("max_fpr", [None, 0.3])
@pytest.mark.parametrize("signed", [False, True])
def test_bootstrap_error_agrees_with_the_spread_of_toys(signed, max_fpr):
    values, errors = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = rng.poisson(300)
        y = rng.integers(0, 2, n)
        score = rng.normal(y).round(1)
        weight = np.where(rng.random(n) < 0.2, -1.0, 1.0) if signed else None
        options = {"sample_weight": weight, "max_fpr": max_fpr}
        values.append(roc_auc_score(y, score, **options))
        if seed < 20:
            errors.append(roc_auc_score(y, score, return_std=True, **options)[1])
    # both sides are known to about 6%
    assert abs(np.mean(errors) / np.std(values, ddof=1) - 1) < 0.25


def test_bootstrap_is_seeded():
    y, score, weight = sample(np.random.default_rng(9), n=200)
    one, two, other = (
        roc_auc_score(y, score, sample_weight=weight, return_std=True, random_state=seed)
        for seed in (1, 1, 2)
    )
    assert one == two
    assert one[1] != other[1]


@pytest.mark.parametrize(
    ("y", "score", "options", "message"),
    [
        ([0, 1], [[0.2, 0.8], [0.3, 0.7]], {}, r"y_score\[:, 1\]"),
        ([0, 1, 2], [0.1, 0.2, 0.3], {}, "3 labels"),
        ([0, 1, 2], np.eye(3), {}, "choose 'ovr' or 'ovo'"),
        ([0, 1, 2], 2 * np.eye(3), {"multi_class": "ovr"}, "event 0 sums to 2"),
        ([0, 1, 2], np.eye(3), {"multi_class": "ovr", "max_fpr": 0.1}, "two classes only"),
        ([0, 1, 1], np.eye(3), {"multi_class": "ovr"}, "pass labels="),
        ([0, 1, 2], np.eye(3), {"multi_class": "ovr", "labels": [2, 1, 0]}, "sorted"),
        ([0, 1, 3], np.eye(3), {"multi_class": "ovr", "labels": [0, 1, 2]}, "3"),
        ([0, 1, 2], np.eye(3), {"multi_class": "ovr", "return_std": True}, "two classes"),
        ([0, 1, 2], np.eye(3), {"multi_class": "ovr", "average": "best"}, "average='best'"),
        ([0, 1], [0.1, 0.2], {"max_fpr": 0}, "max_fpr"),
        ([0, 1], [0.1, np.nan], {}, "NaN in 1 events, first in event 1"),
        ([1, 1], [0.1, 0.2], {}, "both classes"),
        ([[0, 2], [1, 0]], np.eye(2), {}, "indicator"),
        ([[0, 1], [1, 0]], np.eye(3), {}, "shape"),
    ],
)
def test_bad_input(y, score, options, message):
    with pytest.raises(ValueError, match=message):
        roc_auc_score(y, score, **options)


def test_average_precision_needs_the_label_by_name():
    with pytest.raises(ValueError, match="pos_label"):
        average_precision_score(["b", "s"], [0.1, 0.2])
    assert average_precision_score(["b", "s"], [0.1, 0.2], pos_label="s") == 1.0
    with pytest.raises(ValueError, match="several classes"):
        average_precision_score([0, 1, 2], np.eye(3), pos_label=2)
