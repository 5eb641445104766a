"""Quark and gluon jets: the clouds are consistent, and the physics is that of the literature."""

import numpy as np
import pytest

from skhep_ml.datasets import load_jets


@pytest.fixture(scope="module")
def jets():
    return load_jets()


@pytest.fixture(scope="module")
def jet(jets):
    return dict(zip(jets.jet_feature_names, jets.jet_features.T.astype(np.float64), strict=True))


def test_contents(jets):
    n = len(jets.target)
    assert n >= 10_000
    assert jets.data.dtype == np.float32
    assert jets.data.shape == (n, jets.data.shape[1], 5)
    assert len(jets.feature_names) == 5
    assert np.bincount(jets.target).tolist() == [n // 2, n // 2]
    assert np.array_equal(jets.process == "quark", jets.target == 1)
    assert np.array_equal(jets.weight, np.ones(n))
    assert jets.event_number.dtype == np.int64
    assert len(np.unique(jets.event_number, axis=0)) == n
    # both kinds are spread over the file
    assert abs(jets.target[: n // 2].mean() - 0.5) < 0.03
    for name in (*jets.feature_names, *jets.jet_feature_names):
        assert name in jets.DESCR


def test_particles_are_sorted_then_absent(jets, jet):
    absent = np.isnan(jets.data)
    assert np.array_equal(absent.any(axis=2), absent.all(axis=2))
    there = ~absent[:, :, 0]
    np.testing.assert_array_equal(there.sum(axis=1), jet["multiplicity"])
    assert not np.any(there[:, 1:] & ~there[:, :-1])
    assert there[:, -1].any()
    pt = np.nan_to_num(jets.data[:, :, 0])
    assert np.all(np.diff(pt, axis=1) <= 0)


def test_kinds_and_charges(jets):
    particles = jets.data[~np.isnan(jets.data[:, :, 0])]
    charge, kind = particles[:, 3], particles[:, 4]
    assert set(np.unique(charge)) == {-1, 0, 1}
    assert set(np.unique(kind)) <= {0, 1, 2, 3, 4}
    assert np.array_equal(charge == 0, (kind == 0) | (kind == 2))
    fraction = np.bincount(kind.astype(int)) / len(kind)
    # charged pions, and the photons of neutral ones
    assert 0.4 < fraction[1] < 0.65
    assert 0.3 < fraction[2] < 0.5
    # gluons carry no charge
    gluon = jets.data[jets.target == 0]
    total = np.nansum(gluon[:, :, 3], axis=1)
    assert abs(total.mean()) < 4.5 * total.std() / np.sqrt(len(total))
    # a jet of radius 0.4 reaches a little further where it is not round
    assert (np.hypot(particles[:, 1], particles[:, 2]) < 0.5).mean() > 0.99


def test_momenta_add_up_to_the_jet(jets, jet):
    pt, eta, phi = (np.nan_to_num(jets.data[:, :, k].astype(np.float64)) for k in range(3))
    x, y = (pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1)
    np.testing.assert_allclose(np.hypot(x, y), jet["jet_pt"], rtol=5e-4)
    assert np.abs(y / x).max() < 2e-4
    absolute = jet["jet_eta"][:, None] + eta
    z, e = (pt * np.sinh(absolute)).sum(axis=1), (pt * np.cosh(absolute)).sum(axis=1)
    np.testing.assert_allclose(np.arcsinh(z / x), jet["jet_eta"], atol=5e-4)
    # the masses of the particles are not known here, so that the mass of the jet comes out low
    mass = np.sqrt(np.maximum(e**2 - x**2 - y**2 - z**2, 0))
    assert np.all(mass < 1.01 * jet["jet_mass"])
    assert np.median(mass / jet["jet_mass"]) > 0.85


def test_jet_features_follow_from_the_particles(jets, jet):
    for i in range(0, 200, 7):
        cloud = jets.data[i].astype(np.float64)
        pt, eta, phi, charge = cloud[~np.isnan(cloud[:, 0]), :4].T
        distance = np.sqrt(eta**2 + phi**2)
        expected = {
            "multiplicity": len(pt),
            "n_charged": np.count_nonzero(charge),
            "girth": (pt * distance).sum() / pt.sum(),
            "les_houches_angularity": (pt * (distance / 0.4) ** 0.5).sum() / pt.sum(),
            "pt_dispersion": np.sqrt((pt**2).sum()) / pt.sum(),
            "charged_fraction": pt[charge != 0].sum() / pt.sum(),
        }
        for name, value in expected.items():
            assert jet[name][i] == pytest.approx(value, rel=1e-5), name


def test_selection_and_known_differences(jets, jet):
    assert np.all((jet["jet_pt"] > 500 * (1 - 1e-6)) & (jet["jet_pt"] < 550 * (1 + 1e-6)))
    assert np.abs(jet["jet_eta"]).max() < 1.8
    quark = jets.target == 1
    mean = {k: (v[quark].mean(), v[~quark].mean()) for k, v in jet.items()}
    assert mean["multiplicity"] == pytest.approx((34, 53), abs=3)
    for name in ("girth", "les_houches_angularity", "jet_mass", "n_charged"):
        assert mean[name][0] < 0.9 * mean[name][1], name
    assert mean["pt_dispersion"][0] > 1.1 * mean["pt_dispersion"][1]
    assert abs(mean["charged_fraction"][0] - mean["charged_fraction"][1]) < 0.03
    phi = jet["jet_phi"]
    for wave in (np.cos(phi), np.sin(phi)):
        assert abs(wave.mean()) < 4.5 * np.sqrt(0.5 / len(phi))


def test_max_particles(jets):
    few = load_jets(max_particles=10)
    np.testing.assert_array_equal(few.data, jets.data[:, :10])
    np.testing.assert_array_equal(few.jet_features, jets.jet_features)
    many = load_jets(max_particles=jets.data.shape[1] + 5)
    assert np.isnan(many.data[:, -5:]).all()
    np.testing.assert_array_equal(many.data[:, :-5], jets.data)


@pytest.mark.parametrize("value", [0, -3, 2.5, "all"])
def test_bad_max_particles(value):
    with pytest.raises(ValueError, match="max_particles must be an integer of at least 1"):
        load_jets(max_particles=value)
