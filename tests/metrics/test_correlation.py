import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.metrics import distance_correlation


def naive(x, y, weight):
    """The definition, with matrices."""
    p = np.asarray(weight) / np.sum(weight)

    def centred(values):
        distance = np.abs(values[:, None] - values[None])
        rows = distance @ p
        return distance - rows[:, None] - rows[None] + p @ rows

    a, b, pairs = centred(x), centred(y), np.outer(p, p)
    size = np.sqrt((pairs * a * a).sum() * (pairs * b * b).sum())
    return (pairs * a * b).sum() / size if size > 1e-12 else 0.0


@pytest.mark.parametrize("n", [3, 5, 8, 9, 64, 65, 300])
@pytest.mark.parametrize("digits", [0, 15])
def test_it_is_the_definition(n, digits):
    rng = np.random.default_rng(n)
    x = rng.normal(size=n).round(digits)
    y = (x**2 + rng.normal(size=n)).round(digits)
    weight = rng.exponential(size=n)
    weight[0] = 0
    expected = naive(x, y, weight)
    result = distance_correlation(x, y, sample_weight=weight, squared=True)
    assert result == pytest.approx(expected, abs=1e-12)
    plain = distance_correlation(x, y)
    assert plain == pytest.approx(np.sqrt(max(naive(x, y, np.ones(n)), 0)), abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 3)),
        min_size=2,
        max_size=20,
    )
)
def test_weights_are_repeated_events(events):
    x, y, weight = np.array(events, dtype=float).T
    repeated = np.repeat(np.arange(len(x)), weight.astype(int))
    weighted = distance_correlation(x, y, sample_weight=weight, squared=True)
    assert weighted == pytest.approx(
        distance_correlation(x[repeated], y[repeated], squared=True), abs=1e-10
    )
    assert weighted == pytest.approx(naive(x, y, weight), abs=1e-10)


def test_what_it_does_not_depend_on():
    rng = np.random.default_rng(0)
    x, noise, weight = rng.normal(size=(3, 400))
    y, weight = np.sin(3 * x) + 0.1 * noise, np.abs(weight)
    value = distance_correlation(x, y, sample_weight=weight)
    assert distance_correlation(y, x, sample_weight=weight) == pytest.approx(value)
    moved = distance_correlation(1e5 + 1e-3 * x, -7 * y, sample_weight=1e-6 * weight)
    assert moved == pytest.approx(value, rel=1e-6)
    order = rng.permutation(400)
    shuffled = distance_correlation(x[order], y[order], sample_weight=weight[order])
    assert shuffled == pytest.approx(value, rel=1e-12)


def test_independence_and_its_opposites():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 20000))
    assert distance_correlation(x, y) < 0.02
    assert distance_correlation(x, 3 - 2 * x) == pytest.approx(1)
    # no linear correlation, but not independent
    assert abs(np.corrcoef(x, x**2)[0, 1]) < 0.05
    assert distance_correlation(x, x**2) > 0.4
    assert distance_correlation(x, np.full(20000, 3.0)) == 0
    assert distance_correlation([1.0], [2.0]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0]), "x has 2 entries, y has 1"),
        (([1.0, np.nan], [1.0, 2.0]), "x is NaN in 1 events, first in event 1"),
        (([1.0, 2.0], [np.inf, 2.0]), "y is infinite in event 0"),
        (([], []), "x is empty"),
        (([1.0, 2.0], [1.0, 2.0], [1.0]), "sample_weight has 1 entries"),
        (([1.0, 2.0], [1.0, 2.0], [3.0, -1.0]), "negative in 1 events, first in event 1"),
    ],
)
def test_bad_input(arguments, message):
    x, y, *weight = arguments
    with pytest.raises(ValueError, match=message):
        distance_correlation(x, y, sample_weight=weight[0] if weight else None)
