from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skhep_ml.metrics import sde_flatness
from skhep_ml.plotting import FlatnessDisplay


@pytest.fixture
def mass(sample):
    return np.random.default_rng(3).exponential(50, len(sample.y))


def test_points_are_the_slow_ones(sample, mass):
    edges = [0.0, 20.0, 60.0, 90.0]
    display = FlatnessDisplay.from_predictions(
        sample.y,
        sample.score,
        mass,
        uniform_label=0,
        efficiencies=[0.6, 0.2],
        bins=edges,
        sample_weight=sample.weight,
    )
    label = sample.y == 0
    total = sample.weight[label].sum()
    for k, target in enumerate([0.6, 0.2]):
        for s in np.sort(np.unique(sample.score[label]))[::-1]:
            passing = sample.weight[label & (sample.score >= s)].sum() / total
            if passing >= target:
                break
        assert display.cuts[k] == s
        np.testing.assert_allclose(display.overall[k], passing)
        for b, (low, high) in enumerate(pairwise(edges)):
            here = label & (mass >= low) & (mass < high)
            w, passes = sample.weight[here], sample.score[here] >= s
            share = w[passes].sum() / w.sum()
            np.testing.assert_allclose(display.efficiencies[k, b], share)
            error = np.sqrt((w**2 * (passes - share) ** 2).sum()) / w.sum()
            np.testing.assert_allclose(display.errors[k, b], error)


def test_spread_of_the_points_is_the_sde(sample, mass):
    weight = np.abs(sample.weight)
    options = {"uniform_label": 1, "efficiencies": [0.7, 0.3], "sample_weight": weight}
    display = FlatnessDisplay.from_predictions(sample.y, sample.score, mass, bins=6, **options)
    signal = sample.y == 1
    share = np.histogram(mass[signal], display.edges, weights=weight[signal])[0]
    square = ((display.efficiencies - display.overall[:, None]) ** 2 @ share).mean() / share.sum()
    sde = sde_flatness(sample.y, sample.score, mass, n_bins=6, **options)
    assert np.sqrt(square) == pytest.approx(sde)


def test_estimator_and_column(legend_texts):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    X = pd.DataFrame({"x": rng.normal(y), "m2": rng.uniform(0, 10, 500)})
    model = LogisticRegression().fit(X, y)
    display = FlatnessDisplay.from_estimator(model, X, y, "m2", uniform_label=1, bins=4)
    score = model.predict_proba(X)[:, 1]
    other = FlatnessDisplay.from_predictions(y, score, X["m2"], uniform_label=1, bins=4)
    np.testing.assert_array_equal(display.efficiencies, other.efficiencies)
    assert display.variable == other.variable == "m2"
    assert display.ax_.get_xlabel() == "m2"
    assert legend_texts(display.ax_)[0].startswith("LogisticRegression, 9")
    assert legend_texts(other.ax_)[0].endswith("% overall")
    array = LogisticRegression().fit(X.to_numpy(), y)
    by_position = FlatnessDisplay.from_estimator(
        array, X.to_numpy(), y, 1, uniform_label=1, bins=4, variable_name="mass", name="A"
    )
    np.testing.assert_array_equal(by_position.efficiencies, display.efficiencies)
    assert by_position.ax_.get_xlabel() == "mass"
    values = FlatnessDisplay.from_estimator(
        model, X, y, X["m2"].to_numpy(), uniform_label=1, bins=4, pos_label=1
    )
    np.testing.assert_array_equal(values.errors, display.errors)
    with pytest.raises(ValueError, match="variable names 'm3', but the columns are"):
        FlatnessDisplay.from_estimator(model, X, y, "m3", uniform_label=1)


def test_models_share_axes_and_bins_hold_equal_numbers(sample, mass):
    first = FlatnessDisplay.from_predictions(
        sample.y, sample.score, mass, uniform_label=None, efficiencies=[0.5], bins=4, name="A"
    )
    FlatnessDisplay.from_predictions(
        sample.y,
        1 - sample.score,
        mass,
        uniform_label=None,
        efficiencies=[0.3],
        name="B",
        ax=first.ax_,
    )
    points = [line for line in first.ax_.lines if line.get_gid() == "curve"]
    assert len({line.get_color() for line in points}) == 2
    assert first.ax_.get_ylim()[1] > first.efficiencies.max()
    assert np.ptp(np.histogram(mass, first.edges)[0]) <= 1
    assert first.edges[[0, -1]].tolist() == [mass.min(), mass.max()]


def test_empty_and_constant_bins(sample, mass):
    weight = np.where(mass < 20, -0.1, 1.0)
    display = FlatnessDisplay.from_predictions(
        sample.y,
        sample.score,
        mass,
        uniform_label=1,
        bins=[-10, 0, 20, 500],
        sample_weight=weight,
    )
    np.testing.assert_array_equal(np.isnan(display.efficiencies[0]), [True, True, False])
    constant = FlatnessDisplay.from_predictions(
        sample.y, sample.score, np.full(len(mass), 91.2), uniform_label=1
    )
    assert constant.edges.tolist() == [90.7, 91.7]
    np.testing.assert_allclose(constant.efficiencies[:, 0], constant.overall)


def test_bad_input_is_refused(sample, mass):
    def draw(**changes):
        options = {"uniform_label": 1} | changes
        return FlatnessDisplay.from_predictions(sample.y, sample.score, mass, **options)

    with pytest.raises(ValueError, match="uniform_label=5 is not among the labels"):
        draw(uniform_label=5)
    with pytest.raises(ValueError, match=r"efficiencies must be shares in \(0, 1\]"):
        draw(efficiencies=[0.0])
    with pytest.raises(ValueError, match="bins must be a positive number of bins"):
        draw(bins=[2.0, 1.0])
    with pytest.raises(ValueError, match=r"got \(400, 2\): draw one at a time"):
        FlatnessDisplay.from_predictions(
            sample.y, sample.score, np.column_stack([mass, mass]), uniform_label=1
        )


def test_given_cuts_on_a_multiplicity():
    rng = np.random.default_rng(0)
    n_jets, score = rng.integers(0, 5, 500), rng.random(500)
    display = FlatnessDisplay.from_predictions(
        np.zeros(500), score, n_jets, uniform_label=0, cuts=[0.2, 0.7]
    )
    np.testing.assert_array_equal(display.edges, np.arange(6) - 0.5)
    np.testing.assert_array_equal(display.cuts, [0.2, 0.7])
    expected = [[np.mean(score[n_jets == n] >= cut) for n in range(5)] for cut in (0.2, 0.7)]
    np.testing.assert_allclose(display.efficiencies, expected)
    np.testing.assert_allclose(display.overall, [np.mean(score >= 0.2), np.mean(score >= 0.7)])
    with pytest.raises(ValueError, match="cuts must be values of the score"):
        FlatnessDisplay.from_predictions(
            np.zeros(500), score, n_jets, uniform_label=0, cuts=[np.nan]
        )
