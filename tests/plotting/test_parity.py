import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.linear_model import LinearRegression

from skhep_ml.metrics import response_profile
from skhep_ml.plotting import ParityDisplay


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 100, 2000)
    weight = np.where(rng.random(2000) < 0.1, -1.0, 2.0)
    return truth, rng.normal(1.05 * truth, 3.0), weight


def test_cells_are_sums_of_weights(values, legend_texts):
    truth, predicted, weight = values
    display = ParityDisplay.from_predictions(
        truth, predicted, sample_weight=weight, bins=[0, 50, 80, 120], target="E (GeV)", name="Fit"
    )
    expected, _, _ = np.histogram2d(predicted, truth, [0, 50, 80, 120], weights=weight)
    np.testing.assert_allclose(display.counts, expected)
    counts, _, _ = np.histogram2d(predicted, truth, [0, 50, 80, 120])
    np.testing.assert_array_equal(display.filled, counts > 0)
    np.testing.assert_allclose(display.counts.sum(), weight.sum())
    assert display.ax_.get_title() == "Fit"
    assert display.ax_.get_ylabel() == "Predicted E (GeV)"
    assert display.profile_ax_.get_xlabel() == "True E (GeV)"
    assert display.profile_ax_.get_ylabel() == "Pred. - true"
    assert [text.split()[0] for text in legend_texts(display.profile_ax_)] == ["Bias", "Resolution"]


def test_profile_is_the_metrics(values):
    truth, predicted, weight = values
    display = ParityDisplay.from_predictions(
        truth, predicted, sample_weight=weight, profile_bins=4, relative=True
    )
    expected = response_profile(truth, predicted, bins=4, sample_weight=weight, relative=True)
    for found, wanted in zip(display.profile, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    whole = response_profile(truth, predicted, bins=1, sample_weight=weight, relative=True)
    np.testing.assert_allclose(display.overall.bias, whole.bias)
    edges = expected.edges
    for k, centre in enumerate(display.centres):
        inside = (truth >= edges[k]) & (truth <= edges[k + 1])
        assert centre == np.median(truth[inside])
    assert display.profile_ax_.get_ylabel() == "Pred. / true - 1"
    drawn = display.profile_ax_.containers[0][0].get_data()
    np.testing.assert_allclose(drawn, [display.centres, expected.bias])


def test_what_lies_outside_counts_in_the_outermost_cells():
    display = ParityDisplay.from_predictions(
        [0.0, 1.0, 2.0, 9.0], [0.0, 1.0, 2.0, -9.0], bins=[0.0, 1.5, 3.0], profile_bins=1
    )
    np.testing.assert_array_equal(display.counts, [[2, 1], [0, 1]])


def test_cells_without_positive_sum_are_grey(values):
    truth = np.array([1.0, 1.0, 5.0, 5.0])
    weight = np.array([-1.0, 0.5, 1.0, 1.0])
    display = ParityDisplay.from_predictions(
        truth, truth, sample_weight=weight, bins=[0.0, 3.0, 6.0], profile_bins=[1.0, 3.0, 5.0]
    )
    grey, cells = display.ax_.collections[:2]
    assert np.ma.count(np.ma.masked_invalid(grey.get_array())) == 1
    assert np.ma.count(np.ma.masked_invalid(cells.get_array())) == 1
    assert np.isnan(display.profile.bias[0])
    plain = ParityDisplay.from_predictions(*values[:2])
    assert plain.mesh_ is plain.ax_.collections[0]


def test_from_estimator(values):
    truth, measured, weight = values
    model = LinearRegression().fit(measured[:, None], truth)
    display = ParityDisplay.from_estimator(model, measured[:, None], truth, sample_weight=weight)
    other = ParityDisplay.from_predictions(
        truth, model.predict(measured[:, None]), sample_weight=weight
    )
    np.testing.assert_array_equal(display.counts, other.counts)
    assert display.name == "LinearRegression"


def test_bad_input():
    for truth, predicted, options, match in (
        ([1.0, 2.0], [1.0, np.nan], {}, "y_pred is NaN"),
        ([1.0, 2.0], [1.0], {}, "y_pred has 1 entries"),
        ([3.0, 3.0], [1.0, 2.0], {}, "y_true is 3 in all 2 events"),
        ([0.0, 1.0], [1.0, 2.0], {"relative": True}, "y_true is 0 in event 0"),
        ([0.0, 1.0], [1.0, 2.0], {"bins": [1, 0]}, "bins must be"),
        ([0.0, 1.0], [1.0, 2.0], {"sample_weight": [1.0, -1.0]}, "sum to 0"),
    ):
        with pytest.raises(ValueError, match=match):
            ParityDisplay.from_predictions(truth, predicted, **options)
    assert pyplot.get_fignums() == []
