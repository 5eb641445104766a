import numpy as np
import pytest
import torch
from sklearn.base import clone

from skhep_ml.events import Events
from skhep_ml.generative import GAN, VAE, Diffusion, FlowMatching, NormalizingFlow
from skhep_ml.generative._domains import Columns, make_domain
from skhep_ml.generative._image_nets import ImageDecoder, ImageEncoder, ImageField

QUICK = {
    "max_epochs": 2,
    "hidden": (8, 8),
    "batch_size": 100,
    "device": "cpu",
    "random_state": 0,
}
MODELS = [VAE(2), GAN(), FlowMatching(n_steps=2), Diffusion(n_steps=2)]


def make_images(n=200, seed=0):
    """Energies in two layers of 5 x 6 cells, many empty, whose sum follows the incident energy."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(1.0, 3.0, n)
    rows, columns = np.arange(5)[:, None], np.arange(6)
    shape = np.exp(-((rows - 2) ** 2 + (columns - 2.5) ** 2) / 3)
    images = energy[:, None, None, None] * shape * rng.gamma(4.0, 0.25, (n, 2, 5, 6))
    images[images < 0.05] = 0.0
    return images.astype(np.float32), energy


@pytest.fixture(params=MODELS, ids=lambda m: type(m).__name__)
def model(request):
    return clone(request.param).set_params(**QUICK)


def test_samples_are_images_without_negative_cells(model):
    images, energy = make_images()
    model.set_params(domains={0: "nonnegative", 1: "nonnegative"}, context_features="energy")
    model.fit(Events(cells=images, energy=energy))
    sample = model.sample(context=energy[:40], random_state=0)
    assert sample["cells"].shape == (40, 2, 5, 6)
    assert sample["cells"].dtype == np.float32
    assert (sample["cells"] >= 0).all()
    np.testing.assert_array_equal(sample["energy"], energy[:40])
    again = model.sample(context=energy[:40], random_state=0)
    np.testing.assert_array_equal(again["cells"], sample["cells"])


@pytest.mark.parametrize(
    "model",
    [
        VAE(4, hidden=(8, 16), lr=1e-2, max_epochs=8),
        FlowMatching(hidden=(8, 16), lr=5e-3, max_epochs=12, n_steps=4, ema_decay=0.97),
    ],
    ids=lambda m: type(m).__name__,
)
def test_energies_empty_cells_and_profiles(model):
    images, energy = make_images(700)
    model.set_params(
        context_features="energy",
        domains={0: "nonnegative", 1: "nonnegative"},
        batch_size=64,
        device="cpu",
        random_state=0,
    )
    model.fit({"cells": images, "energy": energy})
    sample = model.sample(context=energy[:300], random_state=0)["cells"]
    total, expected = sample.sum(axis=(1, 2, 3)), images[:300].sum(axis=(1, 2, 3))
    assert total.mean() == pytest.approx(expected.mean(), rel=0.1)
    assert np.corrcoef(total, expected)[0, 1] > 0.8
    assert np.mean(sample == 0) == pytest.approx(np.mean(images == 0), abs=0.06)
    profile, truth = sample.mean(axis=(0, 1, 2)), images.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(profile, truth, atol=0.12 * truth.max())


def test_the_density_of_an_image_is_in_units_of_its_cells():
    images, _ = make_images(200)
    images = images + 0.1
    domains = {0: "positive", 1: "positive"}
    model = VAE(2, domains=domains, **QUICK).fit(images)
    scaled = VAE(2, domains=domains, **QUICK).fit(10 * images)
    difference = model.score_samples(images) - scaled.score_samples(10 * images)
    np.testing.assert_allclose(difference, 60 * np.log(10), rtol=1e-4)
    assert model.score_samples(-images[:3]).tolist() == [-np.inf] * 3


def test_zeros_have_a_probability_beside_a_density():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(2000) < 0.3, 0.0, rng.gamma(5.0, 1.0, 2000) + 0.2)
    X = np.column_stack([x, rng.normal(size=2000)])
    model = NormalizingFlow(
        domains={0: "nonnegative"},
        context_features=[1],
        n_transforms=1,
        hidden=(16,),
        max_epochs=6,
        batch_size=128,
        lr=1e-2,
        device="cpu",
        random_state=0,
    ).fit(X)
    grid = np.linspace(x[x > 0].min(), 30, 800)
    step = grid[1] - grid[0]
    above = np.exp(model.score_samples(np.column_stack([grid, np.zeros(800)]))).sum() * step
    zero = float(np.exp(model.score_samples([[0.0, 0.0]]))[0])
    assert zero + above == pytest.approx(1.0, abs=0.05)
    assert zero == pytest.approx(0.3, abs=0.1)
    sample = model.sample(3000, context=0.0, random_state=0)[:, 0]
    assert np.mean(sample == 0) == pytest.approx(zero, abs=0.05)
    assert model.score_samples([[-1.0, 0.0]])[0] == -np.inf


def test_nonnegative_values_come_back():
    x = np.array([0.0, 0.2, 3.0, 1e4, 0.0])[:, None]
    columns = Columns([make_domain("nonnegative", "e")], ["e"]).fit(x, None)
    for offset in (0.01, 0.5, 0.999):
        z, _ = columns.forward(x, np.full((1, 1), offset))
        np.testing.assert_allclose(columns.inverse(z, np.float64), x, rtol=1e-5)
    with pytest.raises(ValueError, match="'e' is -1 in row 0"):
        columns.check(np.array([[-1.0]]))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 6), (3, 8, 8)])
def test_networks_take_images_of_any_size(shape):
    torch.manual_seed(0)
    X, condition = torch.randn(3, *shape), torch.randn(3, 4)
    assert ImageField(shape[0], 4)(X, condition).shape == X.shape
    assert ImageEncoder(shape, 4, 7)(X, condition).shape == (3, 7)
    assert ImageDecoder(shape, 4)(condition).shape == X.shape


def test_every_pixel_sees_the_others_and_the_condition():
    torch.manual_seed(0)
    net = ImageField(1, 1, (8, 8))
    X, condition = torch.zeros(1, 1, 12, 12), torch.zeros(1, 1)
    moved = X.clone()
    moved[0, 0, 0, 0] = 1.0
    with torch.no_grad():
        base = net(X, condition)
        assert (net(moved, condition) != base).all()
        assert (net(X, condition + 1) != base).all()


def test_wrong_input():
    images, _ = make_images(50)
    model = VAE(2, **QUICK)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(images > 2, np.nan, images))
    with pytest.raises(ValueError, match="column 0 is 0 in row"):
        VAE(2, domains={0: "positive"}, **QUICK).fit(images)
    with pytest.raises(ValueError, match="generates tables"):
        NormalizingFlow(device="cpu").fit(images)
    with pytest.raises(ValueError, match="hidden"):
        VAE(2, **{**QUICK, "hidden": ()}).fit(images)
    model.fit(images)
    with pytest.raises(ValueError, match=r"events of X have shape \(2, 4, 6\)"):
        model.score_samples(images[:, :, :4])
    dull = np.concatenate([images, np.zeros((50, 1, 5, 6), np.float32)], axis=1)
    with pytest.raises(ValueError, match="column 2 is 0 in every row"):
        model.fit(dull)
