import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.metrics import ams_score, asimov_significance, punzi_fom, selected_yields


def test_published_vectors():
    assert round(asimov_significance(10, 100, 10), 5) == 0.69020
    assert round(asimov_significance(10, 100), 5) == 0.98399
    # the same counts with the regularisation of the Higgs ML challenge
    assert round(asimov_significance(10, 110), 5) == 0.93954


def test_higgs_challenge_full_sample():
    """Everything selected: full-sample sums of the Higgs ML challenge."""
    s, b = 691.988607712, 410999.847
    weight = np.array([s, b])
    direct = np.sqrt(2 * ((s + b + 10) * np.log(1 + s / (b + 10)) - s))
    assert ams_score([1, 0], [True, True], sample_weight=weight) == pytest.approx(direct, rel=1e-9)
    # ten thousand unequal parts of the same sums
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(10_000) % 2)
    value = ams_score(
        np.where(y, "s", "b"),
        np.ones(len(y), dtype=bool),
        sample_weight=rng.exponential(size=len(y)),
        class_yields={"s": s, "b": b},
        pos_label="s",
    )
    assert value == pytest.approx(direct, rel=1e-9)


def test_asimov_is_continuous_as_sigma_vanishes():
    sigma = np.concatenate([[0.0], np.logspace(-160, -1, 60)])
    values = asimov_significance(10, 100, sigma)
    assert np.all(np.isfinite(values))
    np.testing.assert_allclose(values[sigma < 1e-7], values[0], rtol=1e-12)
    assert values[-1] == pytest.approx(values[0], rel=1e-4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(0.01, 1e3), st.floats(0.1, 1e5), st.floats(0.01, 1.0))
def test_asimov_against_the_formula_and_its_limits(s, b, relative):
    v = (relative * b) ** 2
    first = (s + b) * np.log((s + b) * (b + v) / (b**2 + (s + b) * v))
    second = b**2 / v * np.log(1 + v * s / (b * (b + v)))
    # the textbook form cancels: compare where it keeps digits
    value = asimov_significance(s, b, relative * b)
    np.testing.assert_allclose(value**2, 2 * (first - second), rtol=1e-6, atol=1e-8 * (s + b))
    assert value <= asimov_significance(s, b) + 1e-6
    assert value <= s / np.sqrt(b) + 1e-6


def test_small_signal_limit():
    np.testing.assert_allclose(asimov_significance(1.0, 1e6, 1e3), 1 / np.sqrt(2e6), rtol=1e-5)


def test_edges_of_the_figures_of_merit():
    values = asimov_significance([0, -1, 1, 1, 1, np.nan], [1, 1, 0, -1, 0, 1], [0, 0, 0, 0, 1, 0])
    np.testing.assert_array_equal(values, [0, 0, np.inf, np.nan, 0, np.nan])
    assert asimov_significance(np.ones((2, 1)), np.ones((1, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match="sigma_b"):
        asimov_significance(1, 1, -0.1)
    assert punzi_fom(0.3, 100, n_sigma=5) == pytest.approx(0.3 / 12.5)
    assert np.isnan(punzi_fom(0.3, -1.0))
    with pytest.raises(ValueError, match="n_sigma"):
        punzi_fom(0.3, 1.0, n_sigma=0)


def test_ams_with_negative_yields():
    y = np.array([1, 1, 0, 0])
    weight = np.array([-1.0, 3.0, -1.0, 3.0])
    assert ams_score(y, [1, 0, 0, 1], sample_weight=weight) == 0.0
    assert np.isnan(ams_score(y, [0, 1, 1, 0], sample_weight=weight))
    assert ams_score(y, [0, 1, 0, 0], sample_weight=weight, b_reg=0) == np.inf


def test_selected_yields_by_hand():
    y = np.array(["s", "s", "b", "b", "b", "b"])
    selected = np.array([True, False, True, True, True, False])
    weight = np.array([1.0, 3.0, 2.0, -1.0, 2.0, 1.0])
    yields = selected_yields(y, selected, sample_weight=weight, pos_label="s")
    assert yields == (1.0, 3.0, 1.0, 3.0, 1, 3, 1.0)
    scaled = selected_yields(
        y, selected, sample_weight=weight, pos_label="s", class_yields={"s": 8.0, "b": 40.0}
    )
    np.testing.assert_allclose(scaled, (2.0, 30.0, 2.0, 30.0, 1, 3, 1.0))


@pytest.mark.parametrize("weight", [None, [0.0, 1.0, 1.0, 1.0]])
def test_nothing_selected(weight):
    selected = [0, 0, 0, 0] if weight is None else [1, 0, 0, 0]
    yields = selected_yields([1, 0, 0, 1], selected, sample_weight=weight)
    assert yields == (0.0, 0.0, 0.0, 0.0, 0, 0, 0.0)
    assert ams_score([1, 0, 0, 1], selected, sample_weight=weight) == 0.0


def test_class_yields_make_folds_comparable():
    """A third of the events, with the yields of all, has the significance of all."""
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 3000)
    selected = rng.random(6000) < np.where(y, 0.6, 0.1)
    yields = {0: 5000.0, 1: 100.0}
    full = ams_score(y, selected, class_yields=yields)
    third = ams_score(y[::3], selected[::3], class_yields=yields)
    assert third == pytest.approx(full, rel=0.1)
    assert ams_score(y, selected, class_yields=yields, sample_weight=np.full(6000, 7.0)) == (
        pytest.approx(full, rel=1e-12)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_yields": {0: 1.0}}, "lacks label 1"),
        ({"class_yields": {0: 1.0, 1: 1.0, 2: 1.0}}, "not among the labels"),
        ({"class_yields": {"0": 1.0, "1": 1.0}}, "not among the labels"),
        ({"class_yields": {0: 1.0, 1: -1.0}}, "positive and finite"),
        ({"b_reg": -1.0}, "b_reg"),
        ({"sample_weight": [1.0, 1.0, -1.0]}, "2 events"),
        ({"selected": [0.3, 0.6, 0.9]}, "pos_label"),
        ({"selected": [True, False]}, "2 entries"),
    ],
)
def test_bad_input(options, message):
    good = {"y_true": [0, 1, 1], "selected": [0, 1, 1]}
    with pytest.raises(ValueError, match=message):
        ams_score(**(good | options))
