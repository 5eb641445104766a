import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skhep_ml.datasets import load_jets
from skhep_ml.over_sampling import (
    CollinearSplit,
    JetRotation,
    JetTranslation,
    ResampledClassifier,
    SoftSmearing,
)

JETS = load_jets(max_particles=30)
NAMES = {"eta": "delta_eta", "phi": "delta_phi", "features": JETS.feature_names}


def copies_of(augmenter, X):
    out, y, weight = augmenter.fit_resample(X, np.zeros(len(X)), sample_weight=np.ones(len(X)))
    assert len(y) == len(weight) == len(out)
    return out[len(X) :]


def distances(X, eta=1, phi=2):
    X = X.astype(np.float64)
    return np.hypot(
        X[:, :, None, eta] - X[:, None, :, eta], X[:, :, None, phi] - X[:, None, :, phi]
    )


def massless_sum(X):
    pt, eta, phi = np.moveaxis(X[..., :3].astype(np.float64), -1, 0)
    parts = [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    return np.nansum(np.stack(parts), axis=-1)


def padded(n=40, particles=12, seed=0):
    """Jets with 0 to 8 particles: pt, eta, phi, charge, sorted."""
    rng = np.random.default_rng(seed)
    jets = rng.normal(0, 0.1, (n, particles, 4))
    jets[..., 0] = -np.sort(-rng.exponential(20, (n, particles)), axis=1)
    jets[..., 3] = rng.integers(-1, 2, (n, particles))
    jets[np.arange(particles) >= rng.integers(0, 9, n)[:, None]] = np.nan
    return jets


def test_rotations_keep_distances_and_turn_uniformly():
    X = JETS.data[:2000]
    copies = copies_of(JetRotation(random_state=0, **NAMES), X)
    assert copies.dtype == np.float32
    np.testing.assert_array_equal(copies[..., [0, 3, 4]], X[..., [0, 3, 4]])
    np.testing.assert_allclose(distances(copies[:300]), distances(X[:300]), atol=1e-6)
    np.testing.assert_allclose(
        np.hypot(copies[..., 1], copies[..., 2]), np.hypot(X[..., 1], X[..., 2]), atol=1e-6
    )
    leading = X[:, 0, 1] + 1j * X[:, 0, 2]
    away = np.abs(leading) > 0.01
    turned = (copies[:, 0, 1] + 1j * copies[:, 0, 2])[away] / leading[away]
    angle = np.angle(turned) % (2 * np.pi)
    assert stats.kstest(angle, stats.uniform(0, 2 * np.pi).cdf).pvalue > 0.01


def test_a_rotation_is_one_angle_a_jet():
    X = padded()
    copies = copies_of(JetRotation(random_state=0), X)
    with np.errstate(invalid="ignore"):
        turned = (copies[..., 1] + 1j * copies[..., 2]) / (X[..., 1] + 1j * X[..., 2])
    first = turned[:, :1]
    present = ~np.isnan(X[..., 0])
    np.testing.assert_allclose(turned[present], np.broadcast_to(first, turned.shape)[present])


def test_jets_that_are_not_centred_are_refused():
    rng = np.random.default_rng(0)
    X = padded(200)
    X[..., 1:3] += rng.uniform([-2.5, -np.pi], [2.5, np.pi], (200, 1, 2))
    with pytest.raises(ValueError, match="must be relative to the jet axis"):
        JetRotation().fit_resample(X, np.zeros(200))


def test_translations_are_common_and_within_the_extent():
    X = padded(500)
    X = X[(~np.isnan(X[..., 0])).sum(axis=1) >= 2]
    copies = copies_of(JetTranslation(0.5, random_state=0), X)
    shift = copies[..., 1:3] - X[..., 1:3]
    with np.errstate(invalid="ignore"):
        spread = np.nanmax(shift, axis=1) - np.nanmin(shift, axis=1)
    np.testing.assert_allclose(spread, 0, atol=1e-12)
    extent = np.nanmax(X[..., 1:3], axis=1) - np.nanmin(X[..., 1:3], axis=1)
    relative = shift[:, 0] / extent
    assert np.abs(relative).max() <= 0.5
    for column in relative.T:
        assert stats.kstest(column, stats.uniform(-0.5, 1.0).cdf).pvalue > 0.01
    np.testing.assert_array_equal(copies[..., [0, 3]], X[..., [0, 3]])


def test_translations_do_not_cross_pi():
    X = padded(300)
    X[..., 2] += 2.9
    X[..., 2] = np.minimum(X[..., 2], np.pi)
    copies = copies_of(JetTranslation(3.0, random_state=0), X)
    assert np.nanmax(copies[..., 2]) <= np.pi
    empty = np.isnan(X[..., 0]).all(axis=1)
    assert empty.any()
    assert np.isnan(copies[empty]).all()


def test_soft_smearing_is_as_wide_as_scale_over_pt():
    n = 20_000
    pt = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
    X = np.zeros((n, 5, 3))
    X[..., 0] = pt
    copies = copies_of(SoftSmearing(0.05, min_pt=0.2, random_state=0), X)
    np.testing.assert_array_equal(copies[..., 0], X[..., 0])
    width = 0.05 / np.maximum(pt, 0.2)
    pull = copies[..., 1:] / width[:, None]
    np.testing.assert_allclose(pull.mean(axis=0), 0, atol=4 / np.sqrt(n))
    np.testing.assert_allclose(pull.std(axis=0), 1, atol=4 / np.sqrt(2 * n))
    assert stats.kstest(pull.ravel(), stats.norm.cdf).pvalue > 0.01


def test_soft_smearing_wraps_azimuths_and_leaves_particles_without_pt():
    X = np.zeros((200, 3, 3))
    X[:, 0] = [0.1, 0.0, 3.1]
    X[:, 1] = [np.nan, 0.2, 0.3]
    X[:, 2] = [-999.0, 0.2, 0.3]
    copies = copies_of(SoftSmearing(random_state=0), X)
    np.testing.assert_array_equal(copies[:, 1:], X[:, 1:])
    assert np.abs(copies[:, 0, 2]).max() <= np.pi
    assert copies[:, 0, 2].min() < 0
    X[5, 0, 0] = -3.0
    with pytest.raises(ValueError, match="pt is negative in 1 particles, for example -3"):
        SoftSmearing().fit_resample(X, np.zeros(200))
    with pytest.raises(ValueError, match="pt is negative"):
        CollinearSplit().fit_resample(np.where(X == -3, X, np.nan), np.zeros(200))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_splits_keep_the_four_momentum(dtype):
    X = padded().astype(dtype)
    copies = copies_of(CollinearSplit(0.7, random_state=0), X)
    np.testing.assert_allclose(massless_sum(copies), massless_sum(X), rtol=1e-6, atol=1e-6)
    # each parent is the exact sum of the particles in its direction
    for jet, copy in zip(X, copies, strict=True):
        for particle in jet[~np.isnan(jet[:, 0])]:
            parts = copy[np.all(copy[:, 1:] == particle[1:], axis=1)]
            assert len(parts) in (1, 2)
            assert np.all(parts[:, 0] > 0)
            assert parts[:, 0].sum(dtype=dtype) == particle[0]


def test_the_fraction_is_uniform_and_the_probability_as_asked():
    X = np.full((4000, 6, 3), np.nan)
    X[:, :3] = [[64.0, 0.1, 0.2], [32.0, -0.1, 0.2], [16.0, 0.3, 0.2]]
    copies = copies_of(CollinearSplit(0.3, random_state=0), X)
    added = (~np.isnan(copies[..., 0])).sum() - 12_000
    assert abs(added - 3600) < 4 * np.sqrt(12_000 * 0.3 * 0.7)
    part = np.sort(copies[..., 0][copies[..., 1] == 0.1])
    part = part[part < 64] / 64
    assert stats.kstest(part, stats.uniform.cdf).pvalue > 0.01


def test_more_splits_than_free_slots():
    X = padded(particles=10)
    X[:, 8:] = np.nan
    X = X[(~np.isnan(X[..., 0])).sum(axis=1) >= 6]
    assert len(X) > 5
    copies = copies_of(CollinearSplit(1.0, n_copies=1, random_state=0), X)
    assert np.isfinite(copies).all()
    np.testing.assert_allclose(massless_sum(copies), massless_sum(X), rtol=1e-12)
    # which particles split is random
    chosen = [
        np.isin(
            X[..., 0],
            CollinearSplit(1.0, random_state=seed).fit_resample(X, np.zeros(len(X)))[0][
                len(X) :, :, 0
            ],
        )
        for seed in range(30)
    ]
    assert np.all(np.mean(chosen, axis=0)[:, :6] > 0)
    assert np.all(np.mean(chosen, axis=0)[:, :6] < 1)


def test_full_jets_are_copied_and_full_clouds_refused():
    X = padded(particles=4)
    full = ~np.isnan(X[..., 0]).any(axis=1)
    assert 0 < full.sum() < len(X)
    copies = copies_of(CollinearSplit(1.0, random_state=0), X)
    np.testing.assert_array_equal(copies[full], X[full])
    with pytest.raises(ValueError, match="no jet has a free slot among its 4 particles"):
        CollinearSplit().fit_resample(X[full], np.zeros(full.sum()))


def test_sorted_jets_stay_sorted_and_others_keep_their_order():
    X = padded()
    copies = copies_of(CollinearSplit(1.0, random_state=0), X)
    pt = np.nan_to_num(copies[..., 0], nan=-1.0)
    assert np.all(np.diff(pt, axis=1) <= 0)
    shuffled = X[:, ::-1]
    copies = copies_of(CollinearSplit(1.0, random_state=0), shuffled)
    several = (~np.isnan(X[..., 0])).sum(axis=1) >= 2
    present = ~np.isnan(shuffled[..., 0]) & several[:, None]
    np.testing.assert_array_equal(copies[..., 1][present], shuffled[..., 1][present])
    np.testing.assert_allclose(massless_sum(copies), massless_sum(shuffled), rtol=1e-12)


def test_shared_features_are_shared_and_missing_ones_stay_missing():
    X = np.full((50, 4, 4), np.nan)
    X[:, 0] = [64.0, 0.5, 0.2, 2.0]  # pt, eta, phi, mass
    X[:, 1] = [32.0, 0.4, 0.1, -999.0]
    copies = copies_of(CollinearSplit(1.0, shared_features=["mass"], random_state=0), X)
    heavy = copies[copies[..., 1] == 0.5].reshape(50, 2, 4)
    np.testing.assert_allclose(heavy[..., 3] / heavy[..., 0], 2 / 64)
    np.testing.assert_allclose(heavy.sum(axis=1)[:, [0, 3]], np.broadcast_to([64, 2], (50, 2)))
    assert np.all(copies[copies[..., 1] == 0.4][:, 3] == -999.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.integers(1, 3))
def test_splitting_never_loses_anything(seed, probability, n_copies):
    X = padded(20, particles=7, seed=seed)
    augmenter = CollinearSplit(probability, n_copies=n_copies, random_state=seed)
    out, _ = augmenter.fit_resample(X, np.zeros(20))
    parents = augmenter.sample_indices_
    np.testing.assert_allclose(massless_sum(out), massless_sum(X[parents]), rtol=1e-12, atol=1e-12)
    n_before = (~np.isnan(X[parents, :, 0])).sum(axis=1)
    n_after = (~np.isnan(out[..., 0])).sum(axis=1)
    assert np.all((n_after >= n_before) & (n_after <= 2 * n_before))


@pytest.mark.parametrize(
    ("augmenter", "message"),
    [
        (JetTranslation(0.0), "max_shift=0.0 must be a positive number"),
        (SoftSmearing(-1), "scale=-1 must be a positive number"),
        (SoftSmearing(min_pt=np.inf), "min_pt=inf must be a positive number"),
        (CollinearSplit(1.2), "probability=1.2 must be a positive number of at most 1"),
        (CollinearSplit(True), "probability=True must be"),
        (CollinearSplit(shared_features="mass"), "must be a list of columns"),
        (CollinearSplit(shared_features=["pt"]), "names a column twice"),
        (JetRotation(eta="delta_eta"), "names 'delta_eta', but the columns are"),
        (JetRotation(features=["pt", "eta"]), "names 2 features, but the clouds have 4"),
        (JetRotation(phi="eta"), "names a column twice"),
    ],
)
def test_wrong_parameters_are_refused(augmenter, message):
    with pytest.raises(ValueError, match=message):
        augmenter.fit_resample(padded(), np.zeros(40))


@pytest.mark.parametrize("sampler", [JetRotation, JetTranslation, SoftSmearing, CollinearSplit])
def test_tables_are_refused(sampler):
    with pytest.raises(ValueError, match=r"needs clouds.*X is of shape \(4, 3\)"):
        sampler().fit_resample(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match="X is a list"):
        sampler().fit_resample([[1.0, 2.0]], [0])


def energy_flow(X):
    """Energy of the jet in pixels of eta and phi."""
    edges = np.linspace(-0.3, 0.3, 7)
    row, column = (np.digitize(X[..., index], edges) for index in (1, 2))
    pixel = 64 * np.arange(len(X))[:, None] + 8 * row + column
    pt = np.nan_to_num(X[..., 0])
    return np.log1p(np.bincount(pixel.ravel(), pt.ravel(), 64 * len(X))).reshape(-1, 64)


def test_a_model_of_few_jets_learns_from_rotated_ones():
    """Scores depend less on how a jet is turned, and separate better."""
    train, test = slice(500), slice(2000, 6000)
    X, y = JETS.data[train], JETS.target[train]
    model = make_pipeline(FunctionTransformer(energy_flow), StandardScaler(), LogisticRegression())
    rotation = JetRotation(n_copies=10, random_state=0, **NAMES)
    turned = [
        copies_of(JetRotation(random_state=seed, **NAMES), JETS.data[test]) for seed in range(3)
    ]

    def sensitivity_and_auc(model):
        model.fit(X, y)
        score = np.array([model.decision_function(jets) for jets in turned])
        auc = np.mean([roc_auc_score(JETS.target[test], part) for part in score])
        return score.std(axis=0).mean() / score.std(), auc

    sensitivity, auc = sensitivity_and_auc(model)
    augmented_sensitivity, augmented_auc = sensitivity_and_auc(ResampledClassifier(rotation, model))
    assert augmented_sensitivity < 0.85 * sensitivity
    assert augmented_auc > auc + 0.02


def test_names_of_relative_coordinates_are_found():
    X = padded()
    names = ["pt", "delta_eta", "delta_phi", "mass"]
    found, _ = JetRotation(features=names, random_state=0).fit_resample(X, np.zeros(len(X)))
    expected, _ = JetRotation(random_state=0).fit_resample(X, np.zeros(len(X)))
    np.testing.assert_array_equal(found, expected)
    sampler = JetRotation(features=["pt", "x", "y", "mass"])
    with pytest.raises(ValueError, match="give names or positions of these"):
        sampler.fit_resample(X, np.zeros(len(X)))
