import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression

from skhep_ml.metrics import jsd_sculpting
from skhep_ml.plotting import SculptingDisplay
from skhep_ml.plotting._histogram import histogram


@pytest.fixture
def mass(sample):
    return np.random.default_rng(5).exponential(50.0, len(sample.y)) + 20 * sample.score


def test_spectra_and_divergence(sample, mass, legend_texts):
    weight = np.abs(sample.weight)
    weight[:20] = 0.0
    display = SculptingDisplay.from_predictions(
        sample.y,
        sample.score,
        mass,
        signal_efficiencies=[0.7, 0.4],
        bins=[0, 40, 80, 200],
        sample_weight=weight,
        variable_name="m (GeV)",
        name="Toy",
    )
    background = sample.y == 0
    before = histogram(mass[background], display.edges, weight[background]).density("")
    np.testing.assert_allclose(display.before, [before.values, before.errors])
    signal = histogram(mass[~background], display.edges, weight[~background]).density("")
    np.testing.assert_allclose(display.signal, [signal.values, signal.errors])
    for k, efficiency in enumerate((0.7, 0.4)):
        found = weight[~background & (sample.score >= display.cuts[k])].sum()
        assert found / weight[~background].sum() >= efficiency
        passing = background & (sample.score >= display.cuts[k])
        after = histogram(mass[passing], display.edges, weight[passing]).density("")
        np.testing.assert_allclose(display.after[k], [after.values, after.errors])
        assert display.sculpting[k] == jsd_sculpting(
            sample.y,
            sample.score,
            mass,
            signal_efficiency=efficiency,
            sample_weight=weight,
            return_std=True,
        )
    assert display.ratio_ax_.get_xlabel() == "m (GeV)"
    assert display.ax_.get_title() == "Toy"
    texts = legend_texts(display.ax_)
    assert texts[:2] == ["Background, no cut", "Signal, no cut"]
    assert [text.split(":")[0] for text in texts[2:]] == [
        r"$\varepsilon_S$ = 70%",
        r"$\varepsilon_S$ = 40%",
    ]
    ratio = display.ratio_ax_.containers[0][0].get_ydata()
    np.testing.assert_allclose(ratio, display.after[0, 0] / display.before[0])


def test_from_estimator_takes_a_column(sample, mass):
    table = pd.DataFrame({"x": sample.score, "m": mass})
    names = np.array(["b", "s"])[sample.y]
    model = LogisticRegression().fit(table, names)
    one = SculptingDisplay.from_estimator(model, table, names, "m", bins=5)
    other = SculptingDisplay.from_estimator(model, table, names, mass, bins=5)
    np.testing.assert_array_equal(one.after, other.after)
    assert (one.variable, other.variable) == ("m", "mass")
    assert one.name == "LogisticRegression"
    with pytest.raises(ValueError, match="absent"):
        SculptingDisplay.from_estimator(model, table, names, "absent")


def test_bad_input(sample, mass):
    with pytest.raises(ValueError, match="must be shares in"):
        SculptingDisplay.from_predictions(
            sample.y, sample.score, mass, signal_efficiencies=[0.5, 1.5]
        )
    with pytest.raises(ValueError, match="that fail the cut"):
        SculptingDisplay.from_predictions(
            sample.y, np.zeros(len(mass)), mass, signal_efficiencies=[0.5]
        )
    with pytest.raises(ValueError, match="NaN"):
        SculptingDisplay.from_predictions(sample.y, sample.score, np.full(len(mass), np.nan))
    assert pyplot.get_fignums() == []
