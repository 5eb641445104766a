import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from skhep_ml.metrics import ks_2samp_weighted
from skhep_ml.plotting import ReweightingDisplay
from skhep_ml.plotting._histogram import histogram
from skhep_ml.reweighting import GBReweighter, QuantileMorpher, RotatingReweighter


def samples(n=2000):
    rng = np.random.default_rng(0)
    original = pd.DataFrame({"m": rng.normal(size=n), "n_jets": rng.poisson(2, n)})
    target = pd.DataFrame({"n_jets": rng.poisson(2, n // 2), "m": rng.normal(0.5, 1, n // 2)})
    return original, target, np.exp(0.5 * original.m.to_numpy() - 0.125)


def test_densities_ratios_and_names(legend_texts):
    original, target, weights = samples()
    display = ReweightingDisplay.from_weights(weights, original, target, bins=12, name="true")
    assert display.feature_names == ["m", "n_jets"]
    for k, one in enumerate(("m", "n_jets")):
        edges = display.target[k].edges
        for panel, values, weight in (
            (display.original, original[one], None),
            (display.reweighted, original[one], weights),
            (display.target, target[one], None),
        ):
            expected = histogram(values.to_numpy(), edges, weight).density("")
            np.testing.assert_allclose(panel[k].values, expected.values)
            np.testing.assert_allclose(panel[k].errors, expected.errors)
        reference = ks_2samp_weighted(original[one], target[one], weight1=weights)
        np.testing.assert_allclose(display.ks[k, 1], reference.statistic)
        assert display.ratio_axes_[k].get_xlabel() == one
        assert legend_texts(display.axes_[k])[1].startswith("true (KS 0.0")
    assert display.ks[0, 1] < 0.05 < display.ks[0, 0]
    np.testing.assert_allclose(display.target[1].edges[:3], [-0.5, 0.5, 1.5])
    # points of the reweighted sample in the ratio panel
    below = display.ratio_axes_[0].containers[1].lines[0]
    filled = display.target[0].values > 0
    np.testing.assert_allclose(
        below.get_ydata(), (display.reweighted[0].values / display.target[0].values)[filled]
    )
    assert display.figure_.get_size_inches()[0] == pytest.approx(2 * 4.2)


def test_from_estimator_and_identifiers(legend_texts):
    original, target, _ = samples()
    event, other = np.arange(len(original)), np.arange(len(target))
    gb = GBReweighter(n_estimators=10, device="cpu", n_jobs=1, random_state=0)
    model = RotatingReweighter(gb).fit(original, target, groups=event, target_groups=other)
    display = ReweightingDisplay.from_estimator(model, original, target, groups=event)
    riding = RotatingReweighter(gb, id_columns="event").fit(
        original.assign(event=event), target.assign(event=other)
    )
    again = ReweightingDisplay.from_estimator(
        riding, original.assign(event=event), target.assign(event=other)
    )
    assert again.feature_names == ["m", "n_jets"]
    np.testing.assert_array_equal(display.ks, again.ks)
    assert legend_texts(display.axes_[0])[1].startswith("RotatingReweighter (KS")
    # a reweighter that does not predict by identifiers is not given any
    plain = gb.fit(original, target)
    display = ReweightingDisplay.from_estimator(plain, original, target, groups=event)
    weights = plain.predict_weights(original)
    expected = ReweightingDisplay.from_weights(weights, original, target)
    np.testing.assert_array_equal(display.ks, expected.ks)
    with pytest.raises(ValueError, match="QuantileMorpher has no predict_weights"):
        ReweightingDisplay.from_estimator(QuantileMorpher(), original, target)


def test_arrays_signs_and_missing_values():
    original, target, weights = samples()
    X, Y = original.to_numpy(dtype=float), target[["m", "n_jets"]].to_numpy(dtype=float)
    X[::4, 0] = np.nan
    sign = np.where(np.arange(len(X)) % 5 == 0, -1.0, 1.0)
    display = ReweightingDisplay.from_weights(
        sign * weights, X, Y, sign, np.ones(len(Y)), feature_names=["a", "b"], features=["a"]
    )
    assert display.feature_names == ["a"]
    widths = np.diff(display.target[0].edges)
    for panel in (display.original, display.reweighted, display.target):
        np.testing.assert_allclose(np.sum(panel[0].values * widths), 1)
    single = ReweightingDisplay.from_weights(weights, X[:, 1], Y[:, 1])
    assert single.feature_names == ["x0"]


def test_it_takes_the_place_of_given_axes():
    original, target, weights = samples()
    figure, (left, right) = pyplot.subplots(1, 2)
    display = ReweightingDisplay.from_weights(weights, original, target, ax=right)
    assert display.ax_ is right
    assert not right.axison
    assert left.axison
    assert len(figure.axes) == 6
    loose = figure.add_axes((0.1, 0.1, 0.2, 0.2))
    with pytest.raises(ValueError, match="part of a grid"):
        display.plot(loose)


def test_wrong_input_is_refused():
    original, target, weights = samples(200)
    make = ReweightingDisplay.from_weights
    with pytest.raises(ValueError, match="different columns"):
        make(weights, original, target[["m"]])
    with pytest.raises(ValueError, match="features='q' is not a column"):
        make(weights, original, target, features=["q"])
    with pytest.raises(ValueError, match="nothing to show"):
        make(weights, original, target, features=[])
    with pytest.raises(ValueError, match="weights has 3 entries"):
        make(weights[:3], original, target)
    with pytest.raises(ValueError, match="missing in all events"):
        make(weights, original, target.assign(m=np.nan))
    with pytest.raises(ValueError, match=r"^weights sums to -\d.*: a density needs a positive sum"):
        make(-weights, original, target)


def test_an_array_takes_the_names_of_the_other_sample():
    original, target, weights = samples(200)
    expected = ReweightingDisplay.from_weights(weights, original, target)
    array = target[["m", "n_jets"]].to_numpy()
    with pytest.warns(UserWarning, match="original has column names and target has none"):
        display = ReweightingDisplay.from_weights(weights, original, array)
    assert display.feature_names == ["m", "n_jets"]
    np.testing.assert_array_equal(display.ks, expected.ks)
    with pytest.raises(ValueError, match="different columns"):
        ReweightingDisplay.from_weights(weights, original, array, feature_names=["a", "m"])
