"""The resonance toy: the stated densities, and the ideal score."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logit
from scipy.stats import gamma, kstest, norm

from skhep_ml.datasets import make_mass_tagging, make_resonance_search
from skhep_ml.metrics import max_significance_improvement, roc_auc_score


@pytest.fixture(scope="module")
def mixed():
    return make_resonance_search(40_000, signal_fraction=0.5, as_frame=True, random_state=0)


def test_bunch_has_the_keys_of_the_other_toys(mixed):
    keys = set(make_mass_tagging(10, random_state=0))
    assert set(mixed) == keys | {"log_likelihood_ratio", "signal_region", "mass"}
    assert mixed.feature_names == [*mixed.train_features, "m_jj"]
    assert mixed.signal_region == (3300.0, 3700.0)
    assert np.bincount(mixed.target).tolist() == [20_000, 20_000]


def test_densities(mixed):
    table = {name: mixed.data[name].to_numpy(np.float64) for name in mixed.feature_names}
    signal = mixed.target == 1

    def density(m):
        return (1 - m / 13_000) ** 8 * (m / 13_000) ** -4

    total = quad(density, 2700, 5500)[0]
    grid = np.linspace(2700, 5500, 400)
    distribution = [quad(density, 2700, m)[0] / total for m in grid]
    background = {name: values[~signal] for name, values in table.items()}
    assert kstest(background["m_jj"], lambda m: np.interp(m, grid, distribution)).pvalue > 0.01
    assert kstest(np.log(background["m_j1"] / 130), norm(0, 0.55).cdf).pvalue > 0.01
    assert kstest(background["delta_m_j"], gamma(2, scale=120).cdf).pvalue > 0.01
    for jet, mass, middle in (
        (1, background["m_j1"], 130),
        (2, background["m_j1"] + background["delta_m_j"], 370),
    ):
        pull = (logit(background[f"tau21_j{jet}"]) - 0.6 + 0.3 * np.log(mass / middle)) / 0.6
        assert kstest(pull, norm.cdf).pvalue > 0.01
    expected = {"m_jj": (3500, 100), "m_j1": (100, 20), "delta_m_j": (400, 60)}
    for name, moments in expected.items():
        assert kstest(table[name][signal], norm(*moments).cdf).pvalue > 0.01
    assert kstest(logit(table["tau21_j1"][signal]), norm(-0.3, 0.6).cdf).pvalue > 0.01


@pytest.mark.parametrize("dependence", [0.0, 2.0])
def test_likelihood_ratio_turns_background_into_signal(dependence):
    # E_B[r] = 1, and E_B[r x] = E_S[x], at any mass dependence
    events = make_resonance_search(
        200_000, signal_fraction=0.5, mass_dependence=dependence, random_state=1
    )
    signal = events.target == 1
    r = np.exp(events.log_likelihood_ratio[~signal])
    assert r.mean() == pytest.approx(1, abs=5 * r.std() / np.sqrt(len(r)))
    for k in range(4):
        x = events.data[~signal, k].astype(np.float64)
        wanted = events.data[signal, k].astype(np.float64).mean()
        error = np.std(r * x) / np.sqrt(len(x))
        assert np.mean(r * x) == pytest.approx(wanted, abs=5 * error)


def test_no_score_beats_the_ideal_one(mixed):
    ideal = roc_auc_score(mixed.target, mixed.log_likelihood_ratio)
    for name, sign in zip(mixed.train_features, (-1, 1, -1, -1), strict=True):
        assert roc_auc_score(mixed.target, sign * mixed.data[name]) < ideal - 0.05
    assert 10 < max_significance_improvement(mixed.target, mixed.log_likelihood_ratio).value < 30


def test_mass_range_gives_the_background_of_a_region():
    events = make_resonance_search(5000, mass_dependence=3.0, random_state=0)
    inside = make_resonance_search(
        3000, signal_fraction=0.0, mass_range=events.signal_region, random_state=1
    )
    mass = inside.data[:, -1]
    assert inside.target.sum() == 0
    assert inside.log_likelihood_ratio.max() < np.inf
    assert mass.min() >= 3300
    assert mass.max() <= 3700
    wide = make_resonance_search(60_000, signal_fraction=0.0, random_state=2).data[:, -1]
    assert kstest(mass, wide[(wide > 3300) & (wide < 3700)]).pvalue > 0.01


def test_mass_dependence_moves_background_alone():
    events = make_resonance_search(20_000, signal_fraction=0.5, mass_dependence=2.0, random_state=0)
    jet, mass, signal = events.data[:, 0], events.data[:, -1], events.target == 1
    slope = np.polyfit(np.log(mass[~signal]), np.log(jet[~signal]), 1)[0]
    assert slope == pytest.approx(2, abs=0.1)
    assert abs(np.corrcoef(mass[signal], jet[signal])[0, 1]) < 0.04


def test_same_seed_same_events_and_bad_input():
    one, other = (make_resonance_search(100, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one.data, other.data)
    with pytest.raises(ValueError, match="signal_fraction must lie in"):
        make_resonance_search(100, signal_fraction=1.5)
    with pytest.raises(ValueError, match="mass_range must be two rising masses"):
        make_resonance_search(100, mass_range=(5000.0, 3000.0))
    with pytest.raises(ValueError, match="far outside of mass_range"):
        make_resonance_search(100, signal_mass=9000.0)
    with pytest.raises(ValueError, match="mass_dependence must be finite"):
        make_resonance_search(100, mass_dependence=np.nan)
