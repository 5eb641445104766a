"""Mass sculpting: closed forms, scipy, and the errors against repeated samples."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn.linear_model import LogisticRegression

from skhep_ml.metrics import SculptingResult, jsd_sculpting, sculpting_scorer


def spectrum(seed, *, sculpting=0.0, signed=0.0, n=3000):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n)
    mass = rng.exponential(60, 2 * n)
    score = rng.normal(y + sculpting * ((mass > 50) & (mass < 100)))
    weight = rng.exponential(size=2 * n) * np.where(rng.random(2 * n) < signed, -1, 1)
    return y, score, mass, weight


def test_closed_form():
    # signal cuts at 0.5; three of four passing events lie in the upper bin, one of four failing
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2])
    mass = np.array([0, 0, 3, 3, 3, 1, 1, 1, 1, 3.0])
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert jsd_sculpting(y, score, mass, bins=[0, 2, 4]) == pytest.approx(expected)
    bits = jsd_sculpting(y, score, mass, bins=[0, 2, 4], base=2)
    assert bits == pytest.approx(expected / np.log(2))
    apart = np.where(score > 0.5, 3.0, 1.0)
    assert jsd_sculpting(y, score, apart, bins=[0, 2, 4], base=2) == pytest.approx(1)
    assert jsd_sculpting(y, score, np.ones(10), bins=5) == 0
    # bias: both variances are 3/64, the mean spectrum is flat
    result = jsd_sculpting(y, score, mass, bins=[0, 2, 4], return_std=True)
    assert isinstance(result, SculptingResult)
    assert result.value == pytest.approx(expected)
    assert result.bias == pytest.approx(2 * (2 * 3 / 64) / (8 * 0.5))


@pytest.mark.parametrize("signed", [0.0, 0.1])
def test_against_scipy(signed):
    y, score, mass, weight = spectrum(1, sculpting=1, signed=signed)
    edges = np.array([10.0, 30, 50, 80, 120])
    value = jsd_sculpting(
        y, score, mass, bins=edges, sample_weight=weight, signal_efficiency=0.3, base=2
    )
    signal, background = y == 1, y == 0
    order = np.argsort(score[signal])[::-1]
    efficiency = np.cumsum(weight[signal][order]) / weight[signal].sum()
    cut = score[signal][order][np.argmax(efficiency >= 0.3)]
    spectra = [
        np.histogram(mass[rows], edges, weights=weight[rows])[0]
        for rows in (background & (score >= cut), background & (score < cut))
    ]
    assert value == pytest.approx(jensenshannon(*spectra, base=2) ** 2)


@pytest.mark.parametrize(("sculpting", "signed"), [(0, 0), (0, 0.2), (1, 0), (1, 0.2)])
def test_errors_and_bias_are_those_of_repeated_samples(sculpting, signed):
    bins = [0, 20, 40, 60, 80, 110, 1000]
    options = {"bins": bins, "signal_efficiency": 0.3}
    results = np.array(
        [
            jsd_sculpting(y, score, mass, sample_weight=weight, return_std=True, **options)
            for y, score, mass, weight in (
                spectrum(seed, sculpting=sculpting, signed=signed) for seed in range(150)
            )
        ]
    )
    truth = 0.0
    if sculpting:
        y, score, mass, _ = spectrum(0, sculpting=sculpting, n=1_000_000)
        truth = jsd_sculpting(y, score, mass, **options)
    value, std, bias = results.mean(axis=0)
    spread = results[:, 0].std()
    fluctuation = spread / np.sqrt(len(results))
    assert value - bias == pytest.approx(truth, abs=0.2 * bias + 3 * fluctuation)
    assert std == pytest.approx(spread, rel=0.35)


def test_bins_units_and_labels():
    y, score, mass, weight = spectrum(3, sculpting=1)
    options = {"sample_weight": weight, "return_std": True}
    result = jsd_sculpting(y, score, mass, **options)
    names = np.where(y == 1, "signal", "background")
    assert jsd_sculpting(names, score, pd.Series(mass), **options) == result
    # equal counts do not care about units, nor do shares about those of the weights
    other = jsd_sculpting(y, score, np.log(mass), **(options | {"sample_weight": 1e-6 * weight}))
    np.testing.assert_allclose(other, result)
    swapped = jsd_sculpting(y, -score, mass, pos_label=0, **options)
    assert swapped.value != result.value
    # what lies outside given edges does not count, events of weight zero neither
    edges = [20.0, 50.0, 90.0, 150.0]
    inside = (y == 1) | ((mass >= 20) & (mass <= 150))
    full = jsd_sculpting(y, score, mass, bins=edges, sample_weight=np.where(inside, weight, 0.0))
    part = jsd_sculpting(
        y[inside], score[inside], mass[inside], bins=edges, sample_weight=weight[inside]
    )
    assert full == pytest.approx(part, rel=1e-12)
    assert jsd_sculpting(y, score, mass, bins=edges, sample_weight=weight) == pytest.approx(part)


def test_scorer_is_free_of_the_bias():
    y, score, mass, weight = spectrum(4)
    X = pd.DataFrame({"x": score, "mass": mass})
    result = jsd_sculpting(
        y, score, mass, sample_weight=weight, signal_efficiency=0.4, bins=8, return_std=True
    )
    scorer = sculpting_scorer("mass", signal_efficiency=0.4, bins=8)
    assert scorer.score_predictions(y, score, weight, X=X) == result.bias - result.value
    model = LogisticRegression().fit(X[["x"]], y)
    own = scorer.score_predictions(y, model.predict_proba(X[["x"]])[:, 1], weight, X=X)
    whole = LogisticRegression().fit(X.assign(mass=0.0), y)
    whole.coef_[:, 1] = 0
    assert scorer(whole, X, y, weight) == pytest.approx(own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal_efficiency": 0}, r"signal_efficiency must lie in \(0, 1\], got 0"),
        ({"base": 1}, "base must be 'e' or a number above 1, got 1"),
        ({"base": "two"}, "base must be 'e' or a number above 1, got 'two'"),
        ({"bins": 0}, "bins must be a positive number of bins or rising edges, got 0"),
        ({"bins": [3.0, 1.0]}, "or rising edges"),
        ({"bins": [1e5, 2e5]}, "there are no background events that pass"),
        ({"sample_weight": np.ones(3)}, "sample_weight has 3 entries"),
    ],
)
def test_bad_options_are_refused(change, message):
    y, score, mass, _ = spectrum(0, n=100)
    with pytest.raises(ValueError, match=message):
        jsd_sculpting(y, score, mass, **change)


def test_bad_arrays_are_refused():
    y, score, mass, _ = spectrum(0, n=100)
    with pytest.raises(ValueError, match="mass is NaN or infinite in 1 events, first in event 4"):
        jsd_sculpting(y, score, np.where(np.arange(200) == 4, np.inf, mass))
    with pytest.raises(ValueError, match=r"mass must have shape \(n_events,\), got \(200, 2\)"):
        jsd_sculpting(y, score, np.column_stack([mass, mass]))
    with pytest.raises(ValueError, match="y_true holds no negative event"):
        jsd_sculpting(np.zeros(200), score, mass)
    with pytest.raises(ValueError, match="there are no background events that pass"):
        jsd_sculpting(y, np.where(y == 1, 9.0, score), mass)
    with pytest.raises(ValueError, match="there are no background events that fail"):
        jsd_sculpting(y, np.where(y == 0, 99.0, score), mass)
    weight = np.ones(200)
    weight[(y == 0) & (score >= np.median(score[y == 1]))] = -0.1
    with pytest.raises(ValueError, match="background events that pass events sum to"):
        jsd_sculpting(y, score, mass, sample_weight=weight)
