import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skhep_ml.generative._domains import (
    N_OFFSETS,
    Columns,
    Conditions,
    Domain,
    integer_offsets,
    make_domain,
)

CONTINUOUS = {
    "positive": (1e-6, 1e6),
    (2.0, None): (2.001, 500.0),
    (None, 2.0): (-500.0, 1.999),
    (-3.0, 5.0): (-2.999, 4.999),
    (None, None): (-1e3, 1e3),
    "periodic": (-math.pi, math.pi - 1e-6),
    ("periodic", 360.0): (-180.0, 179.99),
}


def learnt(value):
    domain = make_domain(value, "x")
    low, high = CONTINUOUS[value]
    domain.learn(np.linspace(low, high, 50), None)
    return domain


@pytest.mark.parametrize("value", CONTINUOUS, ids=str)
@given(st.floats(0.001, 0.999))
def test_the_inverse_returns_the_value(value, share):
    domain = learnt(value)
    low, high = CONTINUOUS[value]
    x = np.array([low + share * (high - low)])
    assert not domain.outside(x).any()
    assert domain.inverse(domain.forward(x)[0]) == pytest.approx(x, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("value", CONTINUOUS, ids=str)
def test_the_derivative_is_that_of_small_steps(value):
    domain = learnt(value)
    low, high = CONTINUOUS[value]
    x = np.random.default_rng(0).uniform(low + 0.2 * (high - low), high - 0.2 * (high - low), 20)
    h = 1e-6 * np.abs(x)
    above, below = domain.forward(x + h)[0], domain.forward(x - h)[0]
    slope = np.log(np.abs(above - below) / (2 * h))
    near_cut = np.abs(above - below) > 0.1  # where a circle is cut open
    expected = np.broadcast_to(domain.forward(x)[1], x.shape)
    np.testing.assert_allclose(slope[~near_cut], expected[~near_cut], rtol=1e-5, atol=1e-5)
    assert near_cut.sum() < 2


def test_a_uniform_interval_becomes_exactly_normal():
    domain = make_domain((2.0, 4.0), "x")
    x = np.linspace(2.0, 4.0, 101)[1:-1]
    z, log_slope = domain.forward(x)
    np.testing.assert_allclose(z, stats.norm.ppf((x - 2) / 2), atol=1e-12)
    np.testing.assert_allclose(stats.norm.logpdf(z) + log_slope, np.log(0.5), atol=1e-12)


def test_the_ends_of_an_interval_belong_to_it_and_stay_finite():
    domain = make_domain((0.0, 1.0), "x")
    ends = np.array([0.0, 1.0])
    assert not domain.outside(ends).any()
    z, log_slope = domain.forward(ends)
    assert np.isfinite(z).all()
    assert np.isfinite(log_slope).all()
    np.testing.assert_allclose(domain.inverse(z), ends, atol=1e-11)
    assert domain.outside(np.array([-1e-9, 1 + 1e-9, np.inf])).all()


def test_an_open_edge_is_outside_and_rounding_does_not_reach_it():
    domain = make_domain("positive", "x")
    assert domain.outside(np.array([0.0, -1.0, np.inf])).all()
    tiny = domain.inside(domain.inverse(np.array([-1000.0])).astype(np.float32))
    assert tiny[0] > 0
    assert tiny.dtype == np.float32
    assert np.isfinite(domain.inverse(np.array([1e6]))).all()


def test_angles_are_cut_where_there_are_none_and_come_back_in_their_period():
    rng = np.random.default_rng(0)
    angle = rng.normal(math.pi, 0.3, 1000)  # around the seam
    wrapped = (angle + math.pi) % (2 * math.pi) - math.pi
    domain = make_domain("periodic", "phi")
    domain.learn(wrapped, None)
    z, _ = domain.forward(wrapped)
    # one bump, not two halves at both ends
    assert np.abs(z).max() < 1
    back = domain.inverse(z)
    np.testing.assert_allclose(back, wrapped, atol=1e-9)
    # any number of turns is the same angle
    np.testing.assert_allclose(domain.forward(wrapped + 6 * math.pi)[0], z, atol=1e-9)
    positive = make_domain("periodic", "phi")
    positive.learn(angle % (2 * math.pi), None)
    assert positive.inverse(np.linspace(-3, 3, 100)).min() >= 0


@pytest.mark.parametrize(
    ("value", "good", "bad"),
    [
        ("integer", [0, 3, 200], [-1, 0.5]),
        (("integer", -1, 1), [-1, 0, 1], [-2, 2, 0.5]),
        (("integer", None, None), [-5, 12], [0.25]),
        (("integer", None, 3), [-5, 3], [4]),
    ],
)
def test_whole_numbers_survive_any_offset(value, good, bad):
    domain = make_domain(value, "n")
    good = np.array(good, dtype=float)
    assert not domain.outside(good).any()
    assert domain.outside(np.array(bad, dtype=float)).all()
    for offset in (0.01, 0.5, 0.99):
        z, _ = domain.forward(good + offset)
        np.testing.assert_array_equal(domain.inverse(z), good)
    far = domain.inverse(np.array([-30.0, 30.0]))
    assert (far == np.floor(far)).all()
    assert not domain.outside(far).any()


@pytest.mark.parametrize(
    "value",
    ["positiv", 3, (1, 0), (0, 1, 2), ("periodic", -1.0), ("integer", 1), (0, math.nan), (True, 2)],
)
def test_what_is_no_domain_is_named(value):
    with pytest.raises(ValueError, match=r"of column 'energy' is no domain: give 'positive'"):
        make_domain(value, "energy")


def test_columns_are_standardised_with_absolute_weights():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(5, 2, 500), rng.exponential(3, 500)])
    weight = rng.choice([-1.0, 2.0], 500)
    columns = Columns([Domain(), make_domain("positive", "e")], ["x", "e"]).fit(X, weight)
    z, log_jacobian = columns.forward(X)
    size = np.abs(weight)
    np.testing.assert_allclose(np.average(z, axis=0, weights=size), 0, atol=1e-6)
    np.testing.assert_allclose(np.average(z**2, axis=0, weights=size), 1, atol=1e-5)
    expected = -np.log(columns.scale_).sum() - np.log(X[:, 1])
    np.testing.assert_allclose(log_jacobian, expected, atol=1e-12)
    np.testing.assert_allclose(columns.inverse(z, np.float64), X, rtol=1e-5)


def test_columns_name_what_is_wrong_with_them():
    X = np.column_stack([np.arange(5.0), np.ones(5)])
    with pytest.raises(ValueError, match=r"column 'e' is 0 in row 0, one of 1 of 5 rows outside"):
        Columns([make_domain("positive", "e"), Domain()], ["e", "m"]).fit(X, None)
    with pytest.raises(ValueError, match=r"column 'm' is 1 in every row.*drop the column"):
        Columns([Domain(), Domain()], ["e", "m"]).fit(X, None)


def test_conditions_may_be_constant_and_angles_do_not_jump():
    X = np.column_stack([np.full(6, 3.0), [-3.1, 3.1, 0, 1, 2, -1]])
    conditions = Conditions([Domain(), make_domain("periodic", "phi")], ["m", "phi"]).fit(X, None)
    assert conditions.n_columns == 3
    made = conditions.forward(np.array([[3.0, math.pi], [3.0, -math.pi]]))
    np.testing.assert_allclose(made[0], made[1], atol=1e-6)
    assert np.isfinite(made).all()
    positive = Conditions([make_domain("positive", "E")], ["E"]).fit(np.array([[1.0], [2.0]]), None)
    with pytest.raises(ValueError, match=r"column 'E' is -1 in row 1"):
        positive.forward(np.array([[1.0], [-1.0]]))


def test_offsets_cover_every_column_evenly():
    offsets = integer_offsets(3)
    assert offsets.shape == (N_OFFSETS, 3)
    for column in offsets.T:
        np.testing.assert_allclose(np.sort(column), (np.arange(N_OFFSETS) + 0.5) / N_OFFSETS)
