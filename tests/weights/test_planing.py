import numpy as np
import pandas as pd
import polars as pl
import pytest

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.exceptions import SupportWarning, WeightWarning
from skhep_ml.metrics import roc_auc_score
from skhep_ml.weights import planing_weights


@pytest.fixture(scope="module")
def masses():
    """A wide peak over a falling spectrum."""
    rng = np.random.default_rng(0)
    mass = np.concatenate([rng.normal(110, 35, 8000), 50 + rng.exponential(60, 12_000)])
    y = np.repeat([1, 0], [8000, 12_000])
    inside = (mass > 50) & (mass < 200)
    return mass[inside], y[inside]


def shares(mass, weight, n_bins=30, limits=(50, 200)):
    sums = np.histogram(mass, n_bins, limits, weights=weight)[0]
    return sums / sums.sum()


def test_flat_in_finer_bins_than_those_of_the_fit(masses):
    mass, y = masses
    mass = mass[y == 0]
    weight = planing_weights(mass)
    expected, events = 1 / 30, np.histogram(mass, 30, (50, 200))[0]
    assert np.all(np.abs(shares(mass, weight) / expected - 1) < 0.05 + 3 / np.sqrt(events))
    assert weight.sum() == pytest.approx(len(mass))
    # the exact factor is one over the density
    exact = np.exp(mass / 60)
    ratio = weight / exact
    assert np.std(ratio) < 0.1 * np.mean(ratio)


def test_factor_has_no_steps(masses):
    mass, y = masses
    mass = np.sort(mass[y == 0])
    weight = planing_weights(mass, bins=10)
    dense = np.diff(mass) < 0.05
    assert np.abs(np.diff(np.log(weight)))[dense].max() < 0.01


def test_given_edges_are_filled_equally(masses):
    mass, y = masses
    edges = np.linspace(50, 200, 11)
    weight = planing_weights(mass, y, bins=edges)
    for label in (0, 1):
        sums = np.histogram(mass[y == label], edges, weights=weight[y == label])[0]
        assert np.allclose(sums, (y == label).sum() / 10, rtol=0.01)
    uneven = np.array([50, 60, 80, 120, 200.0])
    weight = planing_weights(mass, y, bins=uneven, uniform_label=0)
    sums = np.histogram(mass[y == 0], uneven, weights=weight[y == 0])[0]
    assert np.allclose(sums / sums.sum(), np.diff(uneven) / 150, rtol=0.01)
    assert np.all(weight[y == 1] == 1)


def test_as_in_a_reference_class(masses):
    mass, y = masses
    labels = np.where(y == 1, "signal", "background")
    weight = planing_weights(mass, labels, reference_label="signal")
    assert np.all(weight[y == 1] == 1)
    assert weight[y == 0].sum() == pytest.approx((y == 0).sum())
    signal, background = (shares(mass[y == k], weight[y == k], 15) for k in (1, 0))
    assert np.allclose(background, signal, atol=0.01)
    assert not np.allclose(shares(mass[y == 0], None, 15), signal, atol=0.02)


def test_a_classifier_gains_nothing_from_planed_variables(masses):
    mass, y = masses
    options = {"n_estimators": 30, "max_depth": 2, "n_jobs": 1}
    even = np.arange(len(y)) % 2 == 0

    def auc(weight):
        X = mass[:, None]
        model = BDTClassifier(**options).fit(X[even], y[even], weight[even])
        score = model.decision_function(X[~even])
        return roc_auc_score(y[~even], score, sample_weight=weight[~even])

    assert auc(np.ones(len(y))) > 0.6
    assert abs(auc(planing_weights(mass, y)) - 0.5) < 0.05


def test_two_variables():
    rng = np.random.default_rng(0)
    mass, pt = rng.beta(2, 3, 40_000), rng.beta(3, 2, 40_000)
    mass = np.clip(0.5 * mass + 0.5 * pt, 0, 1)
    X = np.column_stack([mass, pt])
    inside = np.all((X > 0.3) & (X < 0.7), axis=1)
    X = X[inside]
    weight = planing_weights(X, bins=[8, np.linspace(0.3, 0.7, 9)])
    sums = np.histogram2d(*X.T, 5, [(0.3, 0.7)] * 2, weights=weight)[0] / weight.sum()
    plain = np.histogram2d(*X.T, 5, [(0.3, 0.7)] * 2)[0] / len(X)
    filled = plain > 20 / len(X)
    spread = [np.std(part[filled]) / np.mean(part[filled]) for part in (sums, plain)]
    assert spread[0] < 0.35 * spread[1]
    frame = pd.DataFrame(X, columns=["mass", "pt"])
    assert np.array_equal(planing_weights(frame), planing_weights(pl.from_pandas(frame)))


def test_signed_weights(masses):
    mass, y = masses
    rng = np.random.default_rng(1)
    signed = rng.choice([-1.0, 1.0], len(y), p=[0.2, 0.8])
    weight = planing_weights(mass, y, signed)
    assert np.array_equal(np.sign(weight), signed)
    assert np.isfinite(weight).all()
    for label in (0, 1):
        part = y == label
        assert weight[part].sum() == pytest.approx(signed[part].sum())
    flat = shares(mass[y == 0], weight[y == 0], 8)
    assert np.allclose(flat, 1 / 8, atol=0.02)


def test_bins_without_net_weight_take_the_factor_of_their_neighbours():
    mass = np.repeat([0.5, 1.5, 2.5], 100)
    signs = np.concatenate([np.ones(100), np.tile([1.0, -1.0], 50), np.ones(100)])
    weight = planing_weights(mass, None, signs, bins=[0, 1, 2, 3])
    assert np.isfinite(weight).all()
    assert np.array_equal(np.sign(weight), signs)
    two = np.column_stack([mass, mass])
    weight = planing_weights(two, None, signs, bins=[[0, 1, 2, 3]] * 2)
    assert np.array_equal(np.sign(weight), signs)
    assert weight.sum() == pytest.approx(200)


def test_unit_of_weights_and_order_of_events(masses):
    mass, y = masses
    w = np.linspace(0.5, 2, len(y))
    weight = planing_weights(mass, y, w)
    assert np.allclose(planing_weights(mass, y, 1e-6 * w), 1e-6 * weight)
    order = np.random.default_rng(0).permutation(len(y))
    assert np.allclose(planing_weights(mass[order], y[order], w[order]), weight[order])
    assert np.allclose(planing_weights(1000 * mass, y, w), weight)


def test_events_of_other_classes_need_no_value(masses):
    mass, y = masses
    holes = np.where(y == 1, np.nan, mass)
    assert np.all(planing_weights(holes, y, uniform_label=[0])[y == 1] == 1)


def test_warns_where_the_reference_has_nothing(masses):
    mass, y = masses
    y = np.where(mass > 150, 0, y)
    with pytest.warns(SupportWarning, match=r"% of class 0 lies in bins where the reference"):
        weight = planing_weights(mass, y, reference_label=1)
    assert weight[mass > 155].sum() < 0.02 * weight[y == 0].sum()


def test_warns_where_little_is_left():
    heavy = np.random.default_rng(0).pareto(1.0, 5000)
    with pytest.warns(WeightWarning, match=r"planing leaves .* effective events"):
        planing_weights(heavy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_uniform": [1.0, np.nan, 2.0, 3.0]}, "NaN or infinite in 1 events, first in event 1"),
        ({"X_uniform": pd.DataFrame({"m": [1, np.inf, 2, 3]})}, "column 'm'"),
        ({"X_uniform": np.ones(4)}, "variable 0 is 1 in every event"),
        ({"X_uniform": np.ones((4, 2, 2))}, r"must have shape \(n_events, n_variables\)"),
        ({"y": [0, 1, 1]}, "4 events"),
        ({"y": None, "reference_label": 1}, "y is None"),
        ({"uniform_label": 2}, r"uniform_label names 2, but the classes are \[0, 1\]"),
        ({"reference_label": "s"}, "reference_label names 's'"),
        ({"reference_label": 1, "uniform_label": [0, 1]}, "other than reference_label"),
        ({"uniform_label": []}, "must name classes"),
        ({"sample_weight": [1, 1, -1, -2]}, "weights of class 1 sum to -3"),
        ({"sample_weight": [1, 1, np.nan, 1]}, "NaN or infinite"),
        ({"bins": 0}, "bins must be a positive number"),
        ({"bins": [1, 1, 2]}, "rising edges"),
        ({"bins": [0.0, 2.5]}, r"1 events have 0 outside the edges 0 to 2.5, first event 3 \(3\)"),
        ({"X_uniform": np.eye(4), "bins": [2, 2]}, "bins has 2 entries for 4 variables"),
    ],
)
def test_bad_input(arguments, message):
    given = {"X_uniform": [0.0, 1.0, 2.0, 3.0], "y": [0, 0, 1, 1], **arguments}
    with pytest.raises(ValueError, match=message):
        planing_weights(**given)
