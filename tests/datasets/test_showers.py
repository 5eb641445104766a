import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import dblquad, quad
from scipy.stats import gamma, ks_1samp, kstest, uniform

from skhep_ml.datasets import _shower_profiles as profiles
from skhep_ml.datasets import make_showers

EC = 7.43e-3


def visible(showers):
    return showers.data.sum(axis=(1, 2, 3), dtype=np.float64)


def mean_profile(energy, constant, edges):
    """Mean share of the energy in layers, by numbers over both gaussian logarithms."""
    log_y = np.log(energy / EC)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    weight = np.outer(weights, weights)
    rho = 0.705 - 0.023 * log_y
    t = (log_y + constant) * np.exp(first / (-1.4 + 1.26 * log_y))
    a = (1 + 0.5 * (log_y + constant)) * np.exp(
        (rho * first + np.sqrt(1 - rho**2) * second) / (-0.58 + 0.86 * log_y)
    )
    a = np.maximum(a, 1.1)
    share = np.diff(gamma.cdf(edges[:, None, None], a, scale=t / (a - 1)), axis=0)
    return (share * weight).sum(axis=(1, 2))


@pytest.mark.parametrize(("particle", "constant"), [("electron", -0.5), ("photon", 0.5)])
def test_longitudinal_profile_is_the_formula(particle, constant):
    # a single wide cell: nothing leaves sideways
    showers = make_showers(
        4000, particle=particle, energy=30.0, shape=(12, 1, 1), cell_size=1e3, random_state=0
    )
    expected = 30 * mean_profile(30.0, constant, showers.layer_edges)
    profile = showers.truth.longitudinal
    assert_allclose(
        profile.mean(axis=0), expected, atol=5 * (profile.std(axis=0) / np.sqrt(4000)).max()
    )
    maximum = np.log(showers.truth.maximum)
    assert abs(maximum.mean() - np.log(np.log(30 / EC) + constant)) < 4 * maximum.std() / 4000**0.5
    assert_allclose(maximum.std(), 1 / (1.26 * np.log(30 / EC) - 1.4), rtol=0.05)


def test_maximum_grows_with_the_logarithm_of_the_energy():
    showers = make_showers(6000, energy=(5.0, 200.0), shape=(2, 2, 2), random_state=1)
    slope, constant = np.polyfit(np.log(showers.energy / EC), showers.truth.maximum, 1)
    # the mean of exp(gauss) is above its median by half of the variance
    assert abs(slope - 1) < 0.06
    assert abs(constant + 0.5) < 0.6


def test_share_of_cells_is_the_integral_of_the_exponential():
    x_edges, y_edges = np.array([-2.0, -0.3, 0.4, 5.0]), np.array([-0.2, 0.1, 1.0])
    place = np.array([[0.15, -0.05]])
    found = profiles.cell_share(place, 0.8, x_edges, y_edges)[0]
    for row in range(2):
        for column in range(3):
            expected, _ = dblquad(
                lambda y, x: np.exp(-np.hypot(x - 0.15, y + 0.05) / 0.8) / (2 * np.pi * 0.64),
                x_edges[column],
                x_edges[column + 1],
                y_edges[row],
                y_edges[row + 1],
            )
            assert_allclose(found[row, column], expected, atol=3e-5)
    assert_allclose(profiles.cell_share(place, 0.1, *2 * [np.array([-1e6, 1e6])]), 1, atol=1e-5)


def test_containment_is_that_of_the_review_of_particle_physics():
    showers = make_showers(
        400, energy=20.0, shape=(25, 41, 41), cell_size=0.25, sampling=0, random_state=2
    )
    centre = (showers.column_edges[1:] + showers.column_edges[:-1]) / 2
    x = centre[None, None, :] - showers.truth.impact[:, 0, None, None]
    y = centre[None, :, None] - showers.truth.impact[:, 1, None, None]
    radius = np.hypot(x, y)
    plane = showers.data.sum(axis=1)
    total = showers.energy.sum()
    assert abs((plane * (radius < 1)).sum() / total - 0.90) < 0.02
    assert abs((plane * (radius < 3.5)).sum() / total - 0.985) < 0.01
    # and by the formula: the mean halo of this profile
    assert showers.truth.response.min() > 0.9


def test_halo_grows_with_depth():
    showers = make_showers(500, energy=50.0, shape=(10, 1, 1), cell_size=1.0, random_state=3)
    wide = make_showers(500, energy=50.0, shape=(10, 1, 1), cell_size=1e3, random_state=3)
    lost = 1 - showers.truth.longitudinal.sum(0) / wide.truth.longitudinal.sum(0)
    assert (np.diff(lost[1:]) > 0).all()


@pytest.mark.parametrize("sampling", [0.1, 0.3])
def test_sampling_fluctuations(sampling):
    showers = make_showers(5000, energy=20.0, shape=(8, 7, 7), sampling=sampling, random_state=4)
    expected = showers.truth.response * 20
    pull = (visible(showers) - expected) / (sampling * np.sqrt(expected))
    assert abs(pull.mean()) < 4 / np.sqrt(5000)
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * 5000)
    # also of a single layer, independent of another one
    layers = showers.data.sum(axis=(2, 3), dtype=np.float64)
    mean = showers.truth.longitudinal
    pulls = (layers - mean) / (sampling * np.sqrt(mean))
    assert_allclose(pulls[:, 3].std(), 1, atol=0.04)
    assert abs(np.corrcoef(pulls[:, 3], pulls[:, 4])[0, 1]) < 0.05


def test_without_sampling_the_cells_hold_the_mean():
    showers = make_showers(50, sampling=0, random_state=0)
    assert_allclose(showers.data.sum(axis=(2, 3)), showers.truth.longitudinal, rtol=1e-4)


def test_energies_and_places():
    showers = make_showers(3000, energy=(2.0, 50.0), shape=(2, 3, 3), random_state=5)
    position = np.log(showers.energy / 2) / np.log(25)
    assert kstest(position, uniform.cdf).pvalue > 0.001
    assert kstest(showers.truth.impact[:, 0] / 0.5 + 0.5, uniform.cdf).pvalue > 0.001
    # x runs along the columns
    columns = showers.data.sum(axis=(1, 2)) @ [-1, 0, 1] / visible(showers)
    assert np.corrcoef(columns, showers.truth.impact[:, 0])[0, 1] > 0.7
    assert abs(np.corrcoef(columns, showers.truth.impact[:, 1])[0, 1]) < 0.1


def test_photons_of_a_neutral_pion_have_its_mass():
    energy = np.full(5000, 20.0)
    energies, places = profiles.photon_pair(energy, np.random.default_rng(0))
    assert_allclose(energies.sum(axis=0), energy)
    angle = np.linalg.norm(places[0] - places[1], axis=1) / profiles.PION_DISTANCE
    usual = angle < 1
    mass = 2 * np.sqrt(energies[0] * energies[1]) * np.sin(angle / 2)
    assert_allclose(mass[usual], 0.135)
    # the centre of energy is the pion's
    centre = np.einsum("pn,pnk->nk", energies, places)
    assert_allclose(centre, 0, atol=1e-9)
    assert ks_1samp(energies[0] / 20, uniform.cdf).pvalue > 0.001


def test_charged_pions_are_tracks_or_wide():
    showers = make_showers(4000, particle="pion", energy=20.0, random_state=6)
    # those that interact behind the calorimeter leave what they ionise along 25 radiation lengths
    response = showers.truth.response * 20
    track = abs(response - 25 * 7.15e-3) < 0.01
    assert_allclose(track.mean(), np.exp(-25 / 31.3), atol=0.03)
    both = make_showers(2000, particle=("pion", "pi0"), energy=20.0, random_state=6)
    centre = (both.column_edges[1:] + both.column_edges[:-1]) / 2
    plane = both.data.sum(axis=1)
    share = (plane * (np.hypot(*np.meshgrid(centre, centre)) > 1.2)).sum(axis=(1, 2))
    share /= visible(both)
    shower = visible(both) > 1
    of = [share[shower & (both.target == k)].mean() for k in (0, 1)]
    assert of[0] > 1.3 * of[1]


def test_fraction_of_neutral_pions_in_a_hadronic_shower():
    drawn = profiles.electromagnetic_fraction(np.full(20_000, 50.0), np.random.default_rng(0))
    mean = 1 - 50**-0.18
    assert abs(drawn.mean() - mean) < 0.005
    assert_allclose(drawn.var(), mean * (1 - mean) / 9, rtol=0.05)


def test_classes_and_what_comes_with_them():
    showers = make_showers(31, particle=["pi0", "pion", "photon"], shape=(4, 3, 2), random_state=0)
    assert showers.data.shape == (31, 4, 3, 2)
    assert showers.data.dtype == np.float32
    assert sorted(np.bincount(showers.target)) == [10, 10, 11]
    names = np.array(["pi0", "pion", "photon"])
    assert_array_equal(showers.process, names[showers.target])
    assert_array_equal(showers.event_number, np.arange(1, 32))
    assert_array_equal(showers.weight, 1)
    assert (len(showers.layer_edges), len(showers.row_edges)) == (5, 4)
    assert len(showers.column_edges) == 3
    assert (showers.data >= 0).all()
    assert "pion" in showers.DESCR


def test_reproducible():
    one = make_showers(300, particle=("pion", "pi0"), random_state=7)
    two = make_showers(300, particle=("pion", "pi0"), random_state=7)
    assert_array_equal(one.data, two.data)
    assert_array_equal(one.energy, two.energy)
    other = make_showers(300, particle=("pion", "pi0"), random_state=8)
    assert not np.array_equal(one.data, other.data)


def test_profile_integrates_to_one():
    shower = profiles.electromagnetic(np.array([1.0, 100.0]), "photon", np.random.default_rng(0))
    shares = shower.layer_share(np.linspace(0, 400, 5))
    assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    a, t = shower.shape[0], shower.maximum[0]
    b = (a - 1) / t
    expected, _ = quad(lambda x: gamma.pdf(x, a, scale=1 / b), 3, 7)
    assert_allclose(shower.layer_share(np.array([3.0, 7.0]))[0, 0], expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"n_samples": 2.5}, "n_samples must be an integer"),
        ({"particle": "muon"}, r"particle='muon': choose one of \('electron'"),
        ({"particle": ("pion", "pion")}, "several different ones"),
        ({"particle": ()}, "particle="),
        ({"energy": 0.1}, "energy=0.1: give a number of GeV .* at least 0.5"),
        ({"energy": (50, 10)}, "energy="),
        ({"energy": (1, 2, 3)}, "energy="),
        ({"energy": float("nan")}, "energy=nan"),
        ({"energy": "high"}, "energy='high'"),
        ({"shape": (3, 0, 2)}, "shape="),
        ({"shape": (3, 2)}, "shape="),
        ({"shape": 5}, "shape=5"),
        ({"depth": -1}, "depth must be a positive number"),
        ({"cell_size": 0}, "cell_size must be a positive number"),
        ({"sampling": -0.1}, "sampling must be a number of at least 0"),
        ({"sampling": None}, "sampling must be"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make_showers(**{"n_samples": 10, **options})
