import numpy as np
import pytest

from skhep_ml.plotting import FeatureDisplay
from skhep_ml.plotting._histogram import histogram


def test_densities_and_missing_share(sample, legend_texts):
    rng = np.random.default_rng(3)
    values = rng.normal(sample.y)
    values[rng.random(len(values)) < 0.1] = np.nan
    display = FeatureDisplay.from_arrays(
        values, sample.process, sample_weight=sample.weight, bins=10, name="mass"
    )
    assert display.labels == ["H", "W", "Z"]
    assert len(display.edges) == 11
    for k, label in enumerate(display.labels):
        mask = (sample.process == label) & ~np.isnan(values)
        density = histogram(values[mask], display.edges, sample.weight[mask]).density("")
        np.testing.assert_allclose(display.values[k], density.values)
        np.testing.assert_allclose(display.errors[k], density.errors)
        here = sample.process == label
        lost = sample.weight[here & np.isnan(values)].sum() / sample.weight[here].sum()
        np.testing.assert_allclose(display.missing[k], lost, atol=1e-12)
    ax = display.ax_
    assert ax.get_xlabel() == "mass"
    assert legend_texts(ax) == [
        f"{label} ({100 * lost:.1f}% missing)"
        for label, lost in zip(display.labels, display.missing, strict=True)
    ]
    assert len(ax.patches) == 6


def test_usual_labels_have_names_and_integers_their_bins(legend_texts):
    display = FeatureDisplay.from_arrays([0, 1, 1, 2], [-1, -1, 1, 1], bins=5)
    assert legend_texts(display.ax_) == ["Background", "Signal"]
    np.testing.assert_allclose(display.edges, [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(display.values, [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])


def test_outliers_and_infinities_count_in_the_outer_bins():
    values = [-np.inf, 0.25, 0.75, 50.0]
    display = FeatureDisplay.from_arrays(values, np.zeros(4), bins=[0.0, 0.5, 1.0])
    np.testing.assert_allclose(display.values, [[1.0, 1.0]])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"must both have shape \(n_events,\)"):
        FeatureDisplay.from_arrays([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="feature 'm' is missing"):
        FeatureDisplay.from_arrays([np.nan, np.nan], [0, 1], name="m")
    with pytest.raises(ValueError, match="weights of the class 1 events sum to -1"):
        FeatureDisplay.from_arrays([1.0, 2.0], [0, 1], sample_weight=[1.0, -1.0])
