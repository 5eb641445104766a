import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skhep_ml.preprocessing import (
    delta_phi,
    delta_r,
    from_cartesian,
    invariant_mass,
    pairwise_delta_r,
    to_cartesian,
    transverse_mass,
)


def momenta(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.exponential(50.0, shape) + 0.1,
        rng.normal(0.0, 2.0, shape),
        rng.uniform(-np.pi, np.pi, shape),
        rng.exponential(5.0, shape),
    )


def obvious_cartesian(pt, eta, phi, mass):
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)


def test_cartesian_components_are_the_textbook_formulas():
    cylindrical = momenta((20, 3))
    found = to_cartesian(*cylindrical)
    for part, expected in zip(found, obvious_cartesian(*cylindrical), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)
    assert found.energy is found[3]


def test_both_ways_agree_with_vector_and_give_the_start_back():
    pt, eta, phi, mass = momenta(50)
    reference = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    cartesian = to_cartesian(pt, eta, phi, mass)
    for part, name in zip(cartesian, ("px", "py", "pz", "E"), strict=True):
        np.testing.assert_allclose(part, getattr(reference, name), rtol=1e-13)
    back = from_cartesian(*cartesian)
    for part, start in zip(back, (pt, eta, phi), strict=False):
        np.testing.assert_allclose(part, start, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(back.mass, mass, atol=1e-6 * cartesian.energy.max())


def test_negative_masses_survive_as_in_root():
    back = from_cartesian(*to_cartesian([30.0], [1.0], [2.0], [-4.0]))
    np.testing.assert_allclose(back.mass, [-4.0], rtol=1e-10)


def test_shapes_broadcast_and_nan_passes():
    pt = np.array([[10.0, np.nan]])
    found = to_cartesian(pt, np.zeros((3, 1)), 0.0, 0.0)
    assert found.px.shape == (3, 2)
    np.testing.assert_array_equal(found.px, [[10.0, np.nan]] * 3)
    assert np.isnan(found.energy[:, 1]).all()
    assert to_cartesian(5.0, 0.0, 0.0).energy.shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_floating_point_type_is_kept(dtype):
    pt, eta, phi, mass = (part.astype(dtype) for part in momenta((4, 5)))
    results = [
        *to_cartesian(pt, eta, phi, 0.1),
        *from_cartesian(pt, eta, phi, mass),
        delta_phi(phi, 0.0),
        delta_r(eta, phi, eta, phi),
        pairwise_delta_r(eta, phi),
        invariant_mass(pt, eta, phi),
        transverse_mass(pt, phi, mass, phi),
    ]
    assert {part.dtype for part in results} == {np.dtype(dtype)}


def test_integers_and_mixed_types_become_float64():
    assert to_cartesian(np.array([3]), [0], [0]).energy.dtype == np.float64
    assert delta_phi(np.float32([1.0]), np.zeros(1)).dtype == np.float64


def test_differences_of_azimuths_end_at_plus_pi():
    turn = 2 * np.pi
    assert delta_phi(np.pi, 0.0) == np.pi
    assert delta_phi(0.0, np.pi) == np.pi
    np.testing.assert_allclose(
        delta_phi([3.0, 0.1, 5 * turn + 1, -0.5], [-3.0, -0.1, 0.0, 7 * turn]),
        [6.0 - turn, 0.2, 1.0, -0.5],
        atol=1e-13,
    )
    assert np.isnan(delta_phi([np.nan], [0.0]))


def test_small_differences_of_azimuths_are_exact():
    assert delta_phi(1e-12, 0.0) == 1e-12


angle = arrays(np.float64, 5, elements=st.floats(-50, 50))


@given(angle, angle)
def test_difference_of_azimuths_is_that_of_directions(phi1, phi2):
    found = delta_phi(phi1, phi2)
    assert ((found > -np.pi) & (found <= np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * (phi1 - phi2)), atol=1e-12)
    away = np.abs(np.abs(found) - np.pi) > 1e-9
    swapped = delta_phi(phi2, phi1)
    np.testing.assert_allclose(swapped[away], -found[away], atol=1e-12)


def test_distances_agree_with_vector():
    pt, eta, phi, _ = momenta((6, 4))
    cloud = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": 0 * pt})
    expected = cloud[:, :, None].deltaR(cloud[:, None, :])
    found = pairwise_delta_r(eta, phi)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found, np.swapaxes(found, 1, 2))
    np.testing.assert_array_equal(
        found[2, 1, 3], delta_r(eta[2, 1], phi[2, 1], eta[2, 3], phi[2, 3])
    )


def test_invariant_mass_is_that_of_the_summed_vectors():
    pt, eta, phi, mass = momenta((7, 5))
    px, py, pz, energy = (part.sum(axis=1) for part in obvious_cartesian(pt, eta, phi, mass))
    expected = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    np.testing.assert_allclose(invariant_mass(pt, eta, phi, mass), expected, rtol=1e-10)
    swapped = [part.T for part in (pt, eta, phi, mass)]
    np.testing.assert_allclose(invariant_mass(*swapped, axis=0), expected, rtol=1e-10)


def test_mass_of_two_massless_particles_is_the_closed_formula():
    pt, eta, phi, _ = momenta((50, 2))
    expected = np.sqrt(
        2 * pt.prod(axis=1) * (np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1]))
    )
    np.testing.assert_allclose(invariant_mass(pt, eta, phi), expected, rtol=1e-7)


def test_collinear_light_particles_have_a_small_mass_and_no_nan():
    rng = np.random.default_rng(1)
    pt = rng.exponential(500.0, (1000, 2)).astype(np.float32)
    eta = np.repeat(rng.normal(0, 2, (1000, 1)), 2, axis=1).astype(np.float32)
    found = invariant_mass(pt, eta, eta)
    assert (found >= 0).all()
    energy = (pt.astype(float) * np.cosh(eta.astype(float))).sum(axis=1)
    assert (found < 1e-7 * energy).all()


def test_absent_particles_are_skipped_and_partly_missing_ones_are_not():
    pt, eta, phi, mass = momenta((1, 3))
    columns = [np.vstack([part] * 3) for part in (pt, eta, phi, mass)]
    for part in columns:
        part[1, 2] = np.nan
    columns[0][2, 1] = np.nan
    found = invariant_mass(*columns)
    np.testing.assert_allclose(found[1], invariant_mass(*(part[0, :2] for part in columns)))
    assert np.isfinite(found[0])
    assert np.isnan(found[2])
    nothing = np.full((2, 3), np.nan)
    np.testing.assert_array_equal(invariant_mass(nothing, nothing, nothing), [np.nan] * 2)
    no_mass = invariant_mass(columns[0], columns[1], columns[2], 0.5)
    np.testing.assert_allclose(
        no_mass[1], invariant_mass(*(part[0, :2] for part in columns[:3]), [0.5, 0.5])
    )


def test_transverse_mass_is_the_closed_formula():
    pt, _, phi, met = momenta(30)
    met_phi = momenta(30, seed=1)[2]
    expected = np.sqrt(2 * pt * met * (1 - np.cos(phi - met_phi)))
    np.testing.assert_allclose(transverse_mass(pt, phi, met, met_phi), expected, rtol=1e-9)
    assert transverse_mass(30.0, 1e-9, 30.0, 0.0) == pytest.approx(3e-8, rel=1e-12)
    assert np.isnan(transverse_mass([np.nan], [0.0], [1.0], [0.0]))


def test_sentinels_in_place_of_nan_are_refused():
    with pytest.raises(ValueError, match=r"pt is negative in 1 places, for example -999"):
        to_cartesian([30.0, -999.0], [0.0, 0.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="pt is negative"):
        invariant_mass([[30.0, -999.0]], [[0.0, 0.0]], [[0.0, 0.0]])
    with pytest.raises(ValueError, match="met is negative"):
        transverse_mass([30.0], [0.0], [-1.0], [0.0])


def test_a_sum_needs_an_axis():
    with pytest.raises(ValueError, match="sums over an axis of particles"):
        invariant_mass(30.0, 0.0, 0.0)


def test_a_missing_vector_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vector", None)
    with pytest.raises(ModuleNotFoundError, match=r"skhep-ml\[root\]"):
        to_cartesian([1.0], [0.0], [0.0])


def test_series_and_awkward_arrays_are_plain_arrays():
    first, second = [3.1, 0.5], [-3.1, 0.25]
    expected = delta_phi(first, second)
    index = pd.Series(first, index=[1, 0]), pd.Series(second, index=[0, 1])
    for pair in (index, (pl.Series(first), pl.Series(second)), (ak.Array(first), ak.Array(second))):
        found = delta_phi(*pair)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)
    masked = np.ma.masked_equal([3.1, -999.0], -999.0)
    assert np.isnan(delta_phi(masked, second)).tolist() == [False, True]
    missing = delta_phi(ak.Array([3.1, None]), second)
    assert np.isnan(missing).tolist() == [False, True]


def test_jagged_arrays_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"phi1 is jagged .* JaggedToPadded"):
        delta_phi(ak.Array([[1.0], [2.0, 3.0]]), 0.0)
    with pytest.raises(ValueError, match=r"one shape.* phi1 \(3,\), phi2 \(2,\)"):
        delta_phi([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"one shape"):
        invariant_mass(np.ones((2, 3)), np.ones((2, 2)), np.ones((2, 3)))


def test_infinite_angles_give_nan():
    assert np.isnan(delta_phi([np.inf, np.inf], [0.0, np.inf])).all()
    assert np.isnan(delta_r([np.inf], [0.0], [np.inf], [0.0])).all()


@pytest.mark.parametrize(("eta", "phi", "name"), [(-999.0, 0.0, "eta"), (0.0, -99.0, "phi")])
def test_sentinels_of_directions_are_refused(eta, phi, name):
    with pytest.raises(ValueError, match=f"{name} is beyond 50.*made NaN first"):
        to_cartesian([10.0], [eta], [phi])
