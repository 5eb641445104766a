import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from skhep_ml.anomaly import bump_hunt
from skhep_ml.datasets import make_resonance_search
from skhep_ml.plotting import BumpHuntDisplay


@pytest.fixture(scope="module")
def events():
    return make_resonance_search(20_000, signal_fraction=0.005, random_state=0)


def test_spectra_fits_and_pulls(events, legend_texts):
    mass = pd.Series(events.data[:, -1], name="m (GeV)")
    options = {"signal_region": events.signal_region, "efficiency": 0.05, "bins": 25}
    display = BumpHuntDisplay.from_predictions(
        mass, events.log_likelihood_ratio, name="Toy", **options
    )
    hunt = bump_hunt(mass, events.log_likelihood_ratio, **options)
    assert display.result.after.significance == hunt.after.significance
    fits = [line for line in display.ax_.lines if line.get_gid() == "fit"]
    for line, part in zip(fits, (hunt.before, hunt.after), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), part.background)
    for drawn, part in zip(display.ax_.containers, (hunt.before, hunt.after), strict=True):
        np.testing.assert_array_equal(drawn[0].get_ydata(), part.values[part.values > 0])
    pulls = display.pull_ax_.patches[1].get_data().values
    wanted = (hunt.after.values - hunt.after.background) / np.sqrt(hunt.after.background)
    np.testing.assert_allclose(pulls, wanted)
    assert display.pull_ax_.get_xlabel() == "m (GeV)"
    assert display.ax_.get_title() == "Toy"
    texts = legend_texts(display.ax_)
    assert texts[0] == f"All: Z = {hunt.before.significance:.1f}, p = {hunt.before.pvalue:.2g}"
    assert texts[1].startswith(f"Best 5%: Z = {hunt.after.significance:.1f}")


def test_weighted_pulls_and_axes_of_a_grid(events):
    hunt = bump_hunt(
        events.data[:, -1],
        events.log_likelihood_ratio,
        signal_region=events.signal_region,
        efficiency=0.1,
        sample_weight=np.full(20_000, 4.0),
    )
    figure, axes = pyplot.subplots(1, 2)
    display = BumpHuntDisplay.from_result(hunt, variable_name="m", ax=axes[0])
    assert display.figure_ is figure
    pulls = display.pull_ax_.patches[1].get_data().values
    wanted = (hunt.after.values - hunt.after.background) / np.sqrt(4 * hunt.after.background)
    np.testing.assert_allclose(pulls, wanted)


def test_bad_input(events):
    with pytest.raises(ValueError, match="no event in the signal region"):
        BumpHuntDisplay.from_predictions(
            events.data[:, -1], events.log_likelihood_ratio, signal_region=(1.0, 2.0)
        )
    assert pyplot.get_fignums() == []
