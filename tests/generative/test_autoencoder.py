import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from skhep_ml.events import Events
from skhep_ml.generative import Autoencoder
from skhep_ml.generative._cloud_nets import chamfer
from skhep_ml.preprocessing import MinMaxScaler

pd = pytest.importorskip("pandas")

QUICK = {"max_epochs": 3, "hidden": (8,), "device": "cpu", "random_state": 0}


def make_clouds(n=200, seed=0):
    """Clouds around one direction, whose number of particles rises with the first coordinate."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(n, 1, 2))
    clouds = centre + 0.1 * rng.normal(size=(n, 6, 2))
    count = np.digitize(centre[:, 0, 0], [-1.0, -0.5, 0.0, 0.5, 1.0])
    clouds[np.arange(6) >= count[:, None]] = np.nan
    return clouds


def make_images(n=100, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2, 5, 6)) + 3 * rng.normal(size=(n, 1, 1, 1))


DATA = {
    "table": np.random.default_rng(1).normal(size=(200, 3)),
    "cloud": make_clouds(),
    "image": make_images(),
}


@pytest.fixture(params=DATA)
def X(request):
    return DATA[request.param]


def test_a_linear_one_loses_no_more_than_principal_components():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(1000, 5))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = Autoencoder(
        2,
        hidden=(),
        max_epochs=25,
        lr=3e-2,
        batch_size=128,
        schedule="cosine",
        device="cpu",
        random_state=0,
    )
    model.fit(X)
    components = PCA(2).fit(X)
    least = ((X - components.inverse_transform(components.transform(X))) ** 2).mean()
    assert least <= -model.score(X) * (1 + 1e-5) < 1.03 * least


def test_the_score_is_the_difference_to_what_comes_back():
    X = DATA["table"] * [1.0, 10.0, 1e-3] + [0.0, 5.0, 1.0]
    model = Autoencoder(2, **QUICK).fit(X)
    back = model.inverse_transform(model.transform(X))
    error = (((back - X) / X.std(axis=0)) ** 2).mean(axis=1)
    np.testing.assert_allclose(-model.score_samples(X), error, rtol=1e-3, atol=1e-5)
    assert model.score(X) == pytest.approx(-error.mean(), rel=1e-4)
    weight = np.where(np.arange(200) < 100, 2.0, -0.5)
    expected = -np.average(error, weights=weight)
    assert model.score(X, sample_weight=weight) == pytest.approx(expected, rel=1e-3)


def test_chamfer_agrees_with_loops():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    a[0, 2:] = a[1] = b[2, 0] = b[3] = np.nan
    expected = []
    for x, y in zip(a, b, strict=True):
        x, y = x[~np.isnan(x[:, 0])], y[~np.isnan(y[:, 0])]
        if not len(x) or not len(y):
            expected.append(0.0)
            continue
        distance = ((x[:, None] - y) ** 2).mean(axis=2)
        expected.append(distance.min(axis=1).mean() + distance.min(axis=0).mean())
    found = chamfer(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_clouds_come_back_with_their_particles_in_any_order():
    clouds = make_clouds(500)
    model = Autoencoder(3, max_epochs=25, lr=5e-3, batch_size=64, device="cpu", random_state=0).fit(
        clouds
    )
    latent = model.transform(clouds)
    np.testing.assert_allclose(model.transform(clouds[:, ::-1]), latent, atol=1e-4)
    back = model.inverse_transform(latent)
    assert back.shape == clouds.shape
    missing = np.isnan(back)
    assert (missing.any(axis=2) == missing.all(axis=2)).all()
    count = (~np.isnan(clouds[..., 0])).sum(axis=1)
    assert np.mean(np.abs((~missing[..., 0]).sum(axis=1) - count) <= 1) > 0.8
    filled = count > 0
    both = filled & ~missing.all(axis=(1, 2))
    distance = np.nanmean(back[both], axis=1) - np.nanmean(clouds[both], axis=1)
    assert np.sqrt((distance**2).mean()) < 0.35


def test_unusual_events_come_back_worse(X):
    model = Autoencoder(2, max_epochs=8, lr=3e-3, device="cpu", random_state=0).fit(X)
    assert model.transform(X).dtype == np.float32
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    assert (model.score_samples(X) <= 0).all()
    assert model.score_samples(X + 20.0).mean() < 10 * model.score(X)


def test_copies_and_fits_are_the_same(X):
    model = Autoencoder(2, **QUICK).fit(X)
    latent = model.transform(X)
    np.testing.assert_array_equal(clone(model).fit(X).transform(X), latent)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), latent)
    np.testing.assert_allclose(model.transform(X[7:9]), latent[7:9], atol=1e-5)


def test_frames_and_names():
    frame = pd.DataFrame(DATA["table"], columns=["a", "b", "c"])
    model = Autoencoder(2, **QUICK).set_output(transform="pandas").fit(frame)
    assert list(model.transform(frame).columns) == ["autoencoder0", "autoencoder1"]
    shuffled = model.transform(frame[["c", "a", "b"]])
    pd.testing.assert_frame_equal(shuffled, model.transform(frame))


def test_a_constant_column_is_no_obstacle():
    X = np.column_stack([DATA["table"], np.full(200, 1e6)])
    model = Autoencoder(2, **QUICK).fit(X)
    np.testing.assert_allclose(model.scale_[3], 1.0)
    assert np.isfinite(model.score(X))


def test_the_unit_of_weights_and_events_of_weight_zero_do_not_matter():
    X = DATA["table"]
    weight = np.random.default_rng(0).exponential(size=200)
    first = Autoencoder(2, **QUICK).fit(X, sample_weight=weight)
    second = Autoencoder(2, **QUICK).fit(X, sample_weight=1024 * weight)
    np.testing.assert_allclose(first.transform(X), second.transform(X), rtol=1e-5)
    weight[:100] = 0.0
    odd = X.copy()
    odd[:100] = 1e4
    model = Autoencoder(2, **QUICK).fit(odd, sample_weight=weight)
    np.testing.assert_allclose(model.mean_, np.average(X, axis=0, weights=weight), rtol=1e-5)


def test_negative_weights_follow_the_policy():
    X = DATA["table"]
    weight = np.where(np.arange(200) % 5 == 0, -1.0, 1.0)
    with pytest.raises(ValueError, match="negative"):
        Autoencoder(2, negative_weights="raise", **QUICK).fit(X, sample_weight=weight)
    model = Autoencoder(2, **QUICK).fit(X, sample_weight=weight, groups=np.arange(200))
    assert np.isfinite(model.score(X, sample_weight=weight))
    with pytest.raises(ValueError, match="sum"):
        Autoencoder(2, **QUICK).fit(X, sample_weight=-np.ones(200))


def test_a_search_finds_the_number_of_dimensions():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 4))
    model = Autoencoder(hidden=(), max_epochs=10, lr=3e-2, device="cpu", random_state=0)
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), model), {"autoencoder__n_latent": [1, 2]}, cv=KFold(2)
    )
    search.fit(X)
    assert search.best_params_ == {"autoencoder__n_latent": 2}
    assert search.transform(X).shape == (400, 2)


def test_early_stopping_holds_events_out():
    model = Autoencoder(2, early_stopping=True, patience=1, **QUICK)
    model.fit(DATA["table"], groups=np.arange(200))
    assert "valid_loss" in model.history_[-1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_latent": 0}, "n_latent=0 must be a positive"),
        ({"n_latent": 1.5}, "n_latent=1.5"),
        ({"hidden": 3}, r"hidden=3 must be a sequence"),
        ({"hidden": (0,)}, r"hidden=\(0,\)"),
        ({"lr": -1.0}, "lr must be a positive"),
        ({"negative_weights": "ignore"}, "negative_weights must be one of"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(**{**QUICK, **params}).fit(DATA["table"])


def test_wrong_input():
    model = Autoencoder(2, **QUICK)
    with pytest.raises(ValueError, match="hidden"):
        clone(model).set_params(hidden=()).fit(DATA["image"])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(np.eye(3, dtype=bool), np.nan, 1.0))
    partly = DATA["cloud"].copy()
    event, particle = np.argwhere(~np.isnan(partly[..., 0]))[0]
    partly[event, particle, 1] = np.nan
    with pytest.raises(ValueError, match=f"particle {particle} of event {event} is partly NaN"):
        model.fit(partly)
    with pytest.raises(ValueError, match="no particle"):
        model.fit(np.full((5, 3, 2), np.nan))
    with pytest.raises(ValueError, match="one table, cloud or image"):
        model.fit(Events(jets=DATA["cloud"], met=DATA["table"]))
    model.fit(DATA["cloud"])
    with pytest.raises(ValueError, match="4 places for particles, but fit had 6"):
        model.transform(DATA["cloud"][:, :4])
    with pytest.raises(ValueError, match="3 latent variables, but this Autoencoder has 2"):
        model.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="positive sum"):
        model.score(DATA["cloud"], sample_weight=-np.ones(200))
