import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skhep_ml.datasets import load_higgs
from skhep_ml.over_sampling import EtaReflection, PhiReflection, PhiRotation, Smearing


def leptons(n=500, seed=0):
    rng = np.random.default_rng(seed)
    table = {}
    for name in ("lep1", "lep2"):
        table[f"{name}_pt"] = rng.exponential(40, n) + 10
        table[f"{name}_eta"] = rng.uniform(-2.5, 2.5, n)
        table[f"{name}_phi"] = rng.uniform(-np.pi, np.pi, n)
    table["met"] = rng.exponential(30, n)
    table["met_phi"] = rng.uniform(-np.pi, np.pi, n)
    return pd.DataFrame(table)


PHI = ["lep1_phi", "lep2_phi", "met_phi"]
ETA = ["lep1_eta", "lep2_eta"]


def momentum(t, name):
    pt, eta, phi = (t[f"{name}_{what}"].to_numpy() for what in ("pt", "eta", "phi"))
    return np.array([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])


def invariants(t):
    first, second = momentum(t, "lep1"), momentum(t, "lep2")
    e, px, py, pz = first + second
    mass = np.sqrt(e**2 - px**2 - py**2 - pz**2)
    sum_x = px + t["met"] * np.cos(t["met_phi"])
    sum_y = py + t["met"] * np.sin(t["met_phi"])
    mt = np.sqrt(2 * t["lep1_pt"] * t["met"] * (1 - np.cos(t["lep1_phi"] - t["met_phi"])))
    dphi = np.arccos(np.cos(t["lep1_phi"] - t["lep2_phi"]))
    delta_r = np.hypot(dphi, t["lep1_eta"] - t["lep2_eta"])
    return np.array([mass, np.hypot(px, py), np.hypot(sum_x, sum_y), mt, dphi, delta_r])


@pytest.mark.parametrize(
    "augmenter",
    [PhiRotation(PHI, n_copies=2, random_state=0), PhiReflection(PHI), EtaReflection(ETA)],
)
def test_symmetries_keep_what_physics_depends_on(augmenter):
    table = leptons()
    out, _ = augmenter.fit_resample(table, np.zeros(500))
    expected = invariants(table)
    for start in range(500, len(out), 500):
        copies = out.iloc[start : start + 500]
        np.testing.assert_allclose(invariants(copies), expected, rtol=1e-6, atol=1e-6)
        assert not np.allclose(copies, table)


def test_the_angle_is_common_uniform_and_wrapped():
    table = leptons(4000)
    out, _ = PhiRotation(PHI, random_state=0).fit_resample(table, np.zeros(4000))
    copies = out.iloc[4000:].reset_index(drop=True)
    angles = (copies[PHI] - table[PHI]).to_numpy() % (2 * np.pi)
    np.testing.assert_allclose(np.cos(angles - angles[:, :1]), 1, atol=1e-12)
    assert stats.kstest(angles[:, 0], stats.uniform(0, 2 * np.pi).cdf).pvalue > 0.01
    # the new direction does not depend on the old one
    assert abs(np.corrcoef(table["met_phi"], copies["met_phi"])[0, 1]) < 0.05
    assert copies[PHI].to_numpy().min() > -np.pi
    assert copies[PHI].to_numpy().max() <= np.pi


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_azimuths_of_any_range_come_back_wrapped(dtype):
    rng = np.random.default_rng(0)
    X = rng.uniform(-10, 10, (5000, 1)).astype(dtype)
    X[:4, 0] = [-np.pi, np.pi, 3 * np.pi, 0]
    for augmenter in (PhiRotation([0], random_state=0), PhiReflection([0])):
        copies = augmenter.fit_resample(X, np.zeros(5000))[0][5000:]
        assert copies.dtype == dtype
        assert np.all(copies > -dtype(np.pi))
        assert np.all(copies <= dtype(np.pi))
    np.testing.assert_allclose(np.cos(copies), np.cos(X), atol=1e-5)
    np.testing.assert_allclose(np.sin(copies), -np.sin(X), atol=1e-5)
    np.testing.assert_allclose(np.abs(copies[:3, 0]), np.pi, rtol=1e-6)


def test_components_turn_with_the_azimuths():
    table = leptons()
    table["met_px"] = table["met"] * np.cos(table["met_phi"])
    table["met_py"] = table["met"] * np.sin(table["met_phi"])
    pair = [("met_px", "met_py")]
    for augmenter in (
        PhiRotation(PHI, vector_columns=pair, n_copies=2, random_state=0),
        PhiReflection(PHI, vector_columns=pair),
    ):
        out, _ = augmenter.fit_resample(table, np.zeros(500))
        np.testing.assert_allclose(out["met_px"], out["met"] * np.cos(out["met_phi"]), atol=1e-9)
        np.testing.assert_allclose(out["met_py"], out["met"] * np.sin(out["met_phi"]), atol=1e-9)


def test_a_vector_is_missing_as_a_whole():
    X = np.array([[1.0, -999.0], [np.nan, 2.0], [3.0, 4.0]])
    out, _ = PhiRotation([], vector_columns=[(0, 1)], random_state=0).fit_resample(X, np.zeros(3))
    np.testing.assert_array_equal(out[3:5], X[:2])
    assert np.hypot(*out[5]) == pytest.approx(5.0)
    assert out[5, 0] != 3.0


def test_mirror_images_twice_are_the_events():
    table = leptons()
    for mirror in (
        PhiReflection(PHI, keep_original=False),
        EtaReflection(ETA, keep_original=False),
    ):
        once, y = mirror.fit_resample(table, np.arange(500))
        twice, y = mirror.fit_resample(once, y)
        pd.testing.assert_frame_equal(twice, table)
        np.testing.assert_array_equal(y, np.arange(500))


def test_one_angle_turns_all_particles_of_an_event():
    rng = np.random.default_rng(0)
    events = rng.normal(size=(100, 5, 4)).astype(np.float32)
    events[:, 3:] = np.nan
    out, _ = PhiRotation(["phi"], random_state=0).fit_resample(events, np.zeros(100))
    copies = out[100:]
    assert copies.dtype == np.float32
    np.testing.assert_array_equal(copies[..., [0, 1, 3]], events[..., [0, 1, 3]])
    angle = (copies[:, :3, 2] - events[:, :3, 2]).astype(np.float64)
    np.testing.assert_allclose(np.cos(angle - angle[:, :1]), 1, atol=1e-6)
    assert np.all(np.isnan(copies[:, 3:]))
    assert len(np.unique(angle[:, 0].round(3))) > 90


@pytest.mark.parametrize("relative", [True, False])
def test_smearing_has_the_resolution_that_was_asked_for(relative):
    n = 40_000
    X = np.column_stack([np.full(n, 50.0), np.linspace(20, 200, n)])
    resolution = {0: 0.1, 1: lambda pt: 1 / np.sqrt(pt)}
    out, _ = Smearing(resolution, relative=relative, random_state=0).fit_resample(X, np.zeros(n))
    shift = out[n:] - X
    if relative:
        shift /= X
    pull = shift / np.column_stack([np.full(n, 0.1), 1 / np.sqrt(X[:, 1])])
    np.testing.assert_allclose(pull.mean(axis=0), 0, atol=4 / np.sqrt(n))
    np.testing.assert_allclose(pull.std(axis=0), 1, atol=4 / np.sqrt(2 * n))
    assert stats.kstest(pull.ravel(), stats.norm.cdf).pvalue > 0.01
    assert abs(np.corrcoef(pull.T)[0, 1]) < 4 / np.sqrt(n)


def test_relative_smearing_keeps_signs_and_zero():
    n = 5000
    X = np.column_stack([np.full(n, 10.0), np.full(n, -10.0), np.zeros(n)])
    sigma = dict.fromkeys(range(3), 0.8)
    copies = Smearing(sigma, random_state=0).fit_resample(X, np.zeros(n))[0][n:]
    assert copies[:, 0].min() > 0
    assert copies[:, 1].max() < 0
    assert np.all(copies[:, 2] == 0)
    # the normal distribution, cut at -1 / sigma
    cut = stats.truncnorm(-1 / 0.8, np.inf)
    assert stats.kstest((copies[:, 0] / 10 - 1) / 0.8, cut.cdf).pvalue > 0.01


def test_a_resolution_of_zero_changes_nothing():
    X = np.random.default_rng(0).normal(size=(20, 2))
    out, _ = Smearing({0: 0.0, 1: lambda v: np.zeros(len(v))}).fit_resample(X, np.zeros(20))
    np.testing.assert_array_equal(out[20:], X)


def test_a_resolution_function_sees_present_values_alone():
    seen = []

    def resolution(values):
        seen.append(values)
        return 0.1

    X = np.array([[50.0], [-999.0], [np.nan], [30.0]])
    Smearing({0: resolution}, n_copies=2).fit_resample(X, np.zeros(4))
    np.testing.assert_array_equal(np.concatenate(seen), [50.0, 30.0, 50.0, 30.0])


def test_invariant_columns_of_the_higgs_sample_stay_what_they_are():
    """The derived columns of the embedded sample, computed again from rotated events."""
    events = load_higgs()
    names = events.feature_names
    phi = [name for name in names if name.endswith("_phi")]
    assert phi == ["tau_phi", "lep_phi", "met_phi", "jet1_phi", "jet2_phi"]
    X = events.data[:2000]
    augmenter = PhiRotation(phi, features=names, random_state=0)
    out, _ = augmenter.fit_resample(X, events.target[:2000])
    assert out.dtype == X.dtype
    t = dict(zip(names, out[2000:].T.astype(np.float64), strict=True))
    mt = np.sqrt(2 * t["lep_pt"] * t["met"] * (1 - np.cos(t["lep_phi"] - t["met_phi"])))
    np.testing.assert_allclose(mt, t["lep_met_mt"], rtol=0.02, atol=0.2)
    np.testing.assert_array_equal(np.isnan(out[2000:]), np.isnan(X))


def test_masked_entries_stay_missing():
    X = np.ma.masked_equal(np.array([[1.0, -77.0], [2.0, 3.0]]), -77.0)
    for sampler in (PhiRotation([0, 1], random_state=0), Smearing({1: 0.1}, random_state=0)):
        out, _ = sampler.fit_resample(X, [0, 1])
        assert np.isnan(out[[0, 2], 1]).all()
        assert np.isfinite(out[[1, 3]]).all()
