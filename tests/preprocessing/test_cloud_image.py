import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skhep_ml.exceptions import TruncationWarning
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.preprocessing import CloudToImage

FEATURES = ["pt", "eta", "phi"]


def make_jets(n_events=20, n_particles=15, *, seed=0, dtype=np.float64):
    """Jets around (1, 3), part of them beyond phi = pi; the first one is empty."""
    rng = np.random.default_rng(seed)
    shape = (n_events, n_particles)
    eta = 1.0 + rng.normal(0.0, 0.12, shape)
    phi = 3.0 + rng.normal(0.0, 0.07, shape)
    jets = np.stack([rng.exponential(10.0, shape) + 0.1, eta, phi], axis=2).astype(dtype)
    jets[rng.random(shape) < 0.3] = np.nan
    jets[0] = np.nan
    return jets


def image_of(jets, **parameters):
    return CloudToImage(**{"features": FEATURES, **parameters}).fit_transform(jets)


def moved(jets, eta=0.0, phi=0.0):
    out = jets.copy()
    out[:, :, 1] += eta
    out[:, :, 2] = np.angle(np.exp(1j * (out[:, :, 2] + phi)))
    return out


def turned(jets, angle, mirror=1.0):
    """Rotate the jets around (1, 3), after mirroring eta."""
    x, y = mirror * (jets[:, :, 1] - 1.0), jets[:, :, 2] - 3.0
    out = jets.copy()
    out[:, :, 1] = 1.0 + np.cos(angle) * x - np.sin(angle) * y
    out[:, :, 2] = 3.0 + np.sin(angle) * x + np.cos(angle) * y
    return out


def obvious_images(eta, phi, weight, bins, extent):
    limits = [[-extent[0], extent[0]], [-extent[1], extent[1]]]
    return np.stack(
        [
            np.histogram2d(e[k], p[k], bins=bins, range=limits, weights=w[k])[0]
            for e, p, w, k in zip(eta, phi, weight, ~np.isnan(eta), strict=True)
        ]
    )


def test_images_without_centring_are_two_dimensional_histograms():
    jets = make_jets() - [0.0, 1.0, 3.0]
    step = CloudToImage((8, 5), features=FEATURES, extent=(0.3, 0.2), center=False).fit(jets)
    found = step.transform(jets)
    pt, eta, phi = np.moveaxis(jets, 2, 0)
    expected = obvious_images(eta, phi, pt, (8, 5), (0.3, 0.2))
    assert found.shape == (20, 1, 8, 5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], expected.astype(np.float32))
    np.testing.assert_array_equal(step.eta_edges_, np.histogram_bin_edges([], 8, (-0.3, 0.3)))
    np.testing.assert_array_equal(step.phi_edges_, np.histogram_bin_edges([], 5, (-0.2, 0.2)))


def test_values_on_edges_go_where_numpy_puts_them():
    edges = np.linspace(-0.7, 0.7, 8)
    near = np.concatenate([edges, np.nextafter(edges, 9), np.nextafter(edges, -9)])
    grid = np.stack(np.broadcast_arrays(1.0, near[:, None], near), axis=2)
    cloud = grid.reshape(1, -1, 3)
    found = image_of(cloud, n_pixels=7, extent=0.7, center=False)
    expected = np.histogram2d(cloud[0, :, 1], cloud[0, :, 2], bins=[edges, edges])[0]
    np.testing.assert_array_equal(found[0, 0], expected)


def test_centred_images_are_histograms_around_the_weighted_mean():
    jets = make_jets()
    pt, eta, phi = np.moveaxis(jets, 2, 0)
    with np.errstate(invalid="ignore"):
        mean_eta, mean_phi = (
            np.nansum(pt * v, axis=1, keepdims=True) / np.nansum(pt, axis=1, keepdims=True)
            for v in (eta, phi)
        )
    expected = obvious_images(eta - mean_eta, phi - mean_phi, pt, 16, (0.4, 0.4))
    np.testing.assert_allclose(image_of(jets, n_pixels=16)[:, 0], expected, rtol=1e-6)


def test_everything_inside_the_extent_is_kept():
    jets = make_jets(dtype=np.float32)
    total = np.nansum(jets[:, :, 0], axis=1, dtype=float)
    found = image_of(jets, extent=3.0).sum(axis=(1, 2, 3), dtype=float)
    np.testing.assert_allclose(found, total, rtol=1e-6)
    assert (image_of(jets, extent=0.1).sum(axis=(1, 2, 3)) < total)[1:].all()
    # whole numbers are exact
    jets[:, :, 0] = np.ceil(jets[:, :, 0])
    found = image_of(jets, extent=3.0).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(found, np.nansum(jets[:, :, 0], axis=1))


@pytest.mark.parametrize("options", [{}, {"rotate": True}, {"rotate": True, "flip": True}])
@pytest.mark.parametrize(("eta", "phi"), [(0.7, 0.0), (0.0, 0.3), (-2.0, 3.0)])
def test_moving_a_jet_changes_nothing(options, eta, phi):
    jets = make_jets()
    np.testing.assert_array_equal(
        image_of(moved(jets, eta, phi), **options), image_of(jets, **options)
    )


@pytest.mark.parametrize("angle", [0.3, 2.0, np.pi, -1.2])
def test_rotated_jets_give_the_same_image(angle):
    jets = make_jets()
    plain = image_of(jets, rotate=True)
    np.testing.assert_array_equal(image_of(turned(jets, angle), rotate=True), plain)
    assert (image_of(turned(jets, angle)) != image_of(jets)).any()


@pytest.mark.parametrize("angle", [0.0, 0.8])
def test_mirrored_jets_give_the_same_image_with_flip(angle):
    jets = make_jets()
    mirrored = turned(jets, angle, mirror=-1.0)
    both = {"rotate": True, "flip": True}
    np.testing.assert_array_equal(image_of(mirrored, **both), image_of(jets, **both))
    assert (image_of(mirrored, rotate=True) != image_of(jets, rotate=True)).any()


def test_the_principal_axis_is_vertical_and_the_harder_half_is_up():
    jets = turned(make_jets(), 0.9)
    found = image_of(jets, rotate=True, flip=True, n_pixels=40, extent=1.0)[1:, 0]
    centers = (np.arange(40) - 19.5) / 20
    spread_eta = (found.sum(axis=2) * centers**2).sum()
    spread_phi = (found.sum(axis=1) * centers**2).sum()
    assert spread_eta > 1.5 * spread_phi
    covariance = np.einsum("nij,i,j->n", found, centers, centers) / found.sum(axis=(1, 2))
    # the width of a pixel is what is left
    assert np.abs(covariance).max() < 0.05 * 0.12
    assert (found[:, 20:].sum(axis=(1, 2)) >= found[:, :20].sum(axis=(1, 2))).all()
    assert (found[:, :, 20:].sum(axis=(1, 2)) >= found[:, :, :20].sum(axis=(1, 2))).all()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_particles_does_not_matter(seed):
    jets = make_jets(6, seed=seed)
    rng = np.random.default_rng(seed)
    shuffled = np.stack([rng.permutation(jet) for jet in jets])
    step = CloudToImage(features=FEATURES, rotate=True, flip=True).fit(jets)
    # float32 rounding of a sum, as long as no particle sits within 1e-15 of an edge
    np.testing.assert_allclose(step.transform(shuffled), step.transform(jets), rtol=1e-6)


def test_empty_events_are_images_of_zeros():
    options = {"rotate": True, "flip": True, "normalize": True}
    assert not image_of(make_jets(), **options)[0].any()


def test_particles_with_something_missing_add_nothing():
    jets = make_jets()
    expected = image_of(jets)
    for feature in range(3):
        more = np.concatenate([jets, jets[:, :1] * 0 + [5.0, 1.0, 3.0]], axis=1)
        more[:, -1] = [5.0, 1.0, 3.0]
        more[:, -1, feature] = np.nan
        np.testing.assert_array_equal(image_of(more), expected)


def test_channels_share_the_axis_of_the_first():
    jets = make_jets()
    charge = np.where(np.isnan(jets[:, :, :1]), np.nan, np.sign(jets[:, :, 1:2] - 1.0))
    names = [*FEATURES, "charge"]
    cloud = np.concatenate([jets, charge], axis=2)
    step = CloudToImage(16, features=names, intensity=["pt", "charge", "energy"]).fit(cloud)
    found = step.transform(cloud)
    assert step.channels_ == ["pt", "charge", "energy"]
    np.testing.assert_array_equal(found[:, :1], image_of(jets, n_pixels=16))
    assert (found[:, 1] < 0).any()
    energy = np.nansum(jets[:, :, 0] * np.cosh(jets[:, :, 1]), axis=1)
    wide = CloudToImage(16, features=names, intensity="energy", extent=3.0).fit_transform(cloud)
    np.testing.assert_allclose(wide.sum(axis=(1, 2, 3)), energy, rtol=1e-6)
    with pytest.raises(ValueError, match="'charge' is negative for some particles"):
        CloudToImage(features=names, intensity="charge").fit_transform(cloud)


def test_normalized_images_sum_to_one():
    found = image_of(make_jets(), normalize=True)
    np.testing.assert_allclose(found[1:].sum(axis=(1, 2, 3)), 1.0, rtol=1e-6)
    plain = image_of(make_jets())
    np.testing.assert_allclose(found * plain.sum(axis=(2, 3), keepdims=True), plain, rtol=1e-5)


def test_a_whole_event_fits_around_the_beam():
    rng = np.random.default_rng(0)
    phi = rng.uniform(0, 2 * np.pi, (5, 30))
    cloud = np.stack([np.ones((5, 30)), rng.uniform(-5, 5, (5, 30)), phi], axis=2)
    found = image_of(cloud, extent=(5.0, np.pi), center=False)
    np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), 30)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_pixels": 0}, "n_pixels=0 must be a positive integer"),
        ({"n_pixels": (3, 2.5)}, r"n_pixels=\(3, 2.5\) must be"),
        ({"n_pixels": (3, 3, 3)}, "must be a positive integer, or two"),
        ({"extent": -1.0}, "extent=-1.0 must be a positive number"),
        ({"extent": (0.4, np.inf)}, "must be a positive number, or two"),
        ({"intensity": "charge"}, "needs the feature 'charge'"),
        ({"intensity": None}, "intensity=None must be a list"),
        ({"intensity": []}, "names no channel"),
        ({"features": ["a", "eta", "phi"], "intensity": "energy"}, "needs the feature 'pt'"),
    ],
)
def test_wrong_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        image_of(make_jets(), **parameters)


def test_a_search_over_its_parameters_with_signed_weights():
    y = np.arange(100) % 2
    jets = make_jets(100)
    jets[y == 1, :, 1] = 1.0 + 0.3 * (jets[y == 1, :, 1] - 1.0)
    weight = np.where(np.arange(100) % 10 == 3, -0.5, 1.0)
    pipe = make_pipeline(
        CloudToImage(4, features=FEATURES, extent=0.2, normalize=True),
        FunctionTransformer(_flat, feature_names_out=_pixel_names),
        LogisticRegression(),
    ).set_output(transform="pandas")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            pipe,
            {"cloudtoimage__rotate": [True, False]},
            cv=2,
            scoring=roc_auc_scorer(),
            error_score="raise",
        ).fit(jets, y, sample_weight=weight)
    assert search.best_score_ > 0.8


def _flat(images):
    return images.reshape(len(images), -1)


def _pixel_names(step, names):
    return [f"pixel{i}" for i in range(16)]


def test_much_intensity_outside_is_told():
    jets = make_jets()
    with pytest.warns(TruncationWarning, match="100% of the intensity 'pt' lies outside"):
        images = image_of(jets, center=False)
    assert not images.any()
    inside = image_of(jets)
    assert inside.sum() > 0.5 * np.nansum(jets[:, :, 0])


def test_sentinels_of_directions_are_refused():
    jets = make_jets()
    jets[1, 0] = [1.0, -999.0, 0.0]
    with pytest.raises(ValueError, match="eta is beyond 50 in 1 places"):
        image_of(jets)
