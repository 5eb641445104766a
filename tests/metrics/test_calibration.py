import numpy as np
import pytest

from skhep_ml.metrics import calibration_error


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_mean_over_bins(weighted, strategy):
    rng = np.random.default_rng(0)
    prob = rng.beta(2, 4, 500)
    y = rng.random(500) < prob**1.5
    weight = rng.exponential(size=500) if weighted else np.ones(500)
    edges = np.linspace(0, 1, 8)
    if strategy == "quantile":
        edges = np.quantile(prob, edges)
    bins = np.digitize(prob, edges[1:-1])
    expected = 0.0
    for k in range(7):
        w = weight[bins == k]
        if len(w):
            gap = np.average(y[bins == k], weights=w) - np.average(prob[bins == k], weights=w)
            expected += w.sum() / weight.sum() * abs(gap)
    value = calibration_error(
        y, prob, n_bins=7, strategy=strategy, sample_weight=weight if weighted else None
    )
    assert value == pytest.approx(expected, rel=1e-12)


def test_signed_weights_estimate_the_unsigned_error():
    """Flipped signs with the expectation kept: the large-sample value is that of w >= 0."""
    rng = np.random.default_rng(1)
    n = 200_000
    prob = rng.random(n)
    y = rng.random(n) < prob**2
    signed = np.where(rng.random(n) < 0.2, -1.0, 1.0) / 0.6
    unsigned = calibration_error(y, prob)
    # closed form of E[p - p^2]
    assert unsigned == pytest.approx(1 / 6, abs=0.005)
    assert calibration_error(y, prob, sample_weight=signed) == pytest.approx(unsigned, abs=0.01)


def test_bin_of_negative_or_zero_sum_is_defined():
    y, prob = [0, 1, 1, 0], [0.1, 0.1, 0.9, 0.9]
    value = calibration_error(y, prob, n_bins=2, sample_weight=[1.0, -1.0, 2.0, 1.0])
    # |1 (0 - .1) - 1 (1 - .1)| + |2 (1 - .9) + 1 (0 - .9)| over 3
    assert value == pytest.approx((1.0 + 0.7) / 3)


def test_perfect_and_worst():
    assert calibration_error([0, 1], [0.0, 1.0]) == 0.0
    assert calibration_error([0, 1], [1.0, 0.0]) == 1.0
    assert calibration_error(["b", "s"], [1.0, 0.0], pos_label="b") == 0.0


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (([0, 1], [0.5, 1.5]), {}, r"first in event 1 \(1.5\)"),
        (([0, 1], [0.5, np.nan]), {}, "NaN"),
        (([0, 1], [0.5]), {}, "1 entries"),
        (([0, 1], [0.5, 0.5]), {"n_bins": 0}, "n_bins"),
        (([0, 1], [0.5, 0.5]), {"strategy": "equal"}, "strategy='equal'"),
        (([0, 1], [0.5, 0.5]), {"sample_weight": [1.0, -1.0]}, "sum to 0"),
    ],
)
def test_bad_input(args, options, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(*args, **options)
