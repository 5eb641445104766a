"""make_unfolding_toy: the known ratio, selections, fakes, smearing, reproducibility."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from skhep_ml.datasets import make_unfolding_toy


def test_ratio_is_that_of_the_data():
    toy = make_unfolding_toy(60_000, 60_000, random_state=0)
    inside = toy.pass_truth
    np.testing.assert_allclose(toy.weight_truth[inside], toy.truth_ratio(toy.truth_sim[inside]))
    assert (toy.weight_truth[~inside] == 0).all()
    for k, edges in enumerate(([100, 120, 150, 200, 300], [6, 12, 18, 25, 40], [0, 0.1, 0.2, 0.4])):
        simulated = toy.truth_sim[inside, k]
        expected, squares = (
            np.histogram(simulated, edges, weights=toy.weight_truth[inside] ** p)[0] for p in (1, 2)
        )
        data = np.histogram(toy.truth_data[:, k], edges)[0]
        assert (np.abs(data - expected) / np.sqrt(data + squares) < 4).all()


def test_mean_of_the_ratio_is_one():
    ratio = make_unfolding_toy(10, 20, strength=0.7).truth_ratio

    def integrand(pt):
        return np.exp(-(pt - 80) / 50) / 50 * ratio([[pt, 0.12 * pt, 0.1]])[0]

    # at the median mass the factor of the mass is 1, which is its mean too
    assert quad(integrand, 80, 1500)[0] == pytest.approx(2, rel=1e-6)
    z = np.linspace(-8, 8, 4001)
    at = np.column_stack([np.full(4001, 150.0), 18 * np.exp(0.35 * z), np.ones(4001)])
    mean = np.trapezoid(norm.pdf(z) * ratio(at), z)
    assert mean == pytest.approx(ratio([[150.0, 18.0, 1.0]])[0])


def test_selections_and_missing_values():
    toy = make_unfolding_toy(5000, 4000, as_frame=True, random_state=1)
    assert list(toy.truth_sim.columns) == toy.feature_names
    assert (toy.pass_truth | toy.pass_reco).all()
    assert (toy.truth_sim.notna().all(axis=1) == toy.pass_truth).all()
    assert (toy.reco_sim.notna().all(axis=1) == toy.pass_reco).all()
    for table, passed in ((toy.truth_sim, toy.pass_truth), (toy.reco_sim, toy.pass_reco)):
        assert (table["pt"][passed] > 100).all()
    assert (toy.reco_data["pt"] > 100).all()
    assert (toy.truth_data["pt"] > 100).all()
    fakes = np.mean(~toy.pass_truth[toy.pass_reco])
    assert 0.03 < fakes < 0.1
    assert 0.7 < np.mean(toy.pass_reco[toy.pass_truth]) < 0.85
    assert len(np.unique(toy.event_number)) == len(toy.truth_sim)
    assert len(toy.event_number_data) == len(toy.reco_data)


def test_smearing():
    wide, narrow = (make_unfolding_toy(20_000, 10, resolution=r, random_state=0) for r in (1, 0.01))
    both = narrow.pass_truth & narrow.pass_reco
    np.testing.assert_allclose(
        narrow.reco_sim[both] / narrow.truth_sim[both] / [0.98, 1, 1], 1, atol=0.01
    )
    both = wide.pass_truth & wide.pass_reco & (wide.truth_sim[:, 0] > 150)
    spread = np.log(wide.reco_sim[both] / wide.truth_sim[both]).std(axis=0)
    np.testing.assert_allclose(spread[1:], [0.12, 0.1], rtol=0.05)
    assert 0.06 < spread[0] < 0.09


def test_closure_and_reproducibility():
    toy = make_unfolding_toy(1000, 3000, strength=0, random_state=4)
    np.testing.assert_allclose(toy.weight_truth[toy.pass_truth], 3)
    again = make_unfolding_toy(1000, 3000, strength=0, random_state=4)
    np.testing.assert_array_equal(again.reco_data, toy.reco_data)
    np.testing.assert_array_equal(again.truth_sim, toy.truth_sim)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_sim": 0}, "n_sim must be an integer of at least 1, got 0"),
        ({"n_data": 2.5}, "n_data must be an integer of at least 1, got 2.5"),
        ({"strength": 1.5}, r"strength must lie in \[0, 1\], got 1.5"),
        ({"resolution": 0}, "resolution must be positive, got 0"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        make_unfolding_toy(**options)
