import numpy as np
import pytest
import torch
from scipy import stats

from skhep_ml.events import Events
from skhep_ml.generative import GAN, VAE, Diffusion, FlowMatching
from skhep_ml.generative._cloud_nets import CloudEncoder, CloudField, CloudMixture, Multiplicity

QUICK = {
    "max_epochs": 2,
    "hidden": (8,),
    "batch_size": 100,
    "device": "cpu",
    "random_state": 0,
}
MODELS = [VAE(2), GAN(), GAN("classic"), FlowMatching(n_steps=2), Diffusion(n_steps=2)]


def make_jets(n=400, seed=0):
    """Particles (pT, angle) of jets; the harder the jet, the more and the harder particles."""
    rng = np.random.default_rng(seed)
    energy = rng.uniform(1.0, 3.0, n)
    count = rng.binomial(5, energy / 4)
    pt = rng.gamma(4.0, energy[:, None] / 4, (n, 5))
    clouds = np.stack([pt, rng.normal(0, 0.2, (n, 5))], axis=2).astype(np.float32)
    clouds[np.arange(5) >= count[:, None]] = np.nan
    return clouds, energy


def multiplicity(clouds):
    return (~np.isnan(clouds[..., 0])).sum(axis=1)


@pytest.fixture(params=MODELS, ids=lambda m: f"{type(m).__name__}-{getattr(m, 'loss', '')}")
def model(request):
    from sklearn.base import clone

    return clone(request.param).set_params(**QUICK)


def test_samples_are_clouds_of_any_size(model):
    clouds, _ = make_jets()
    model.set_params(domains={0: "positive"}).fit(clouds)
    sample = model.sample(1500, random_state=0)
    assert sample.shape == (1500, 5, 2)
    assert sample.dtype == np.float32
    missing = np.isnan(sample)
    assert (missing.any(axis=2) == missing.all(axis=2)).all()
    assert (sample[..., 0][~missing[..., 0]] > 0).all()
    observed = np.bincount(multiplicity(sample), minlength=6)
    expected = np.bincount(multiplicity(clouds), minlength=6) / 400 * 1500
    assert stats.chisquare(observed, expected).pvalue > 1e-3
    np.testing.assert_array_equal(model.sample(3, random_state=1), model.sample(3, random_state=1))


def test_signed_weights_decide_multiplicities(model):
    clouds, _ = make_jets()
    weight = np.where(multiplicity(clouds) > 3, -1e-3, 1.0)
    weight[multiplicity(clouds) == 0] = 0.0
    model.set_params(negative_weights="keep").fit(clouds, sample_weight=weight)
    assert set(multiplicity(model.sample(500, random_state=0))) == {1, 2, 3}


def test_multiplicities_follow_the_context():
    clouds, energy = make_jets(800)
    model = VAE(
        2,
        hidden=(16,),
        lr=1e-2,
        max_epochs=15,
        batch_size=64,
        context_features="energy",
        domains={0: "positive"},
        device="cpu",
        random_state=0,
    ).fit(Events(jets=clouds, energy=energy))
    for value in (1.2, 2.8):
        sample = model.sample(2000, context=value, random_state=0)
        assert isinstance(sample, Events)
        assert (sample["energy"] == value).all()
        assert multiplicity(sample["jets"]).mean() == pytest.approx(5 * value / 4, abs=0.35)
        assert np.nanmean(sample["jets"][..., 0]) == pytest.approx(value, rel=0.12)


def test_velocities_make_clouds_with_context():
    clouds, energy = make_jets(800)
    model = FlowMatching(
        hidden=(16,),
        lr=1e-2,
        max_epochs=15,
        batch_size=64,
        ema_decay=0.98,
        n_steps=4,
        context_features="energy",
        domains={0: "positive"},
        device="cpu",
        random_state=0,
    ).fit({"jets": clouds, "energy": energy})
    means = [
        np.nanmean(model.sample(500, context=value, random_state=0)["jets"][..., 0])
        for value in (1.2, 2.8)
    ]
    np.testing.assert_allclose(means, [1.2, 2.8], rtol=0.2)
    assert not hasattr(model, "score_samples")


def test_the_density_holds_multiplicity_and_units():
    clouds, _ = make_jets()
    model = VAE(2, n_importance=16, domains={0: "positive"}, **QUICK).fit(clouds)
    density = model.score_samples(clouds)
    np.testing.assert_allclose(model.score_samples(clouds[:, ::-1]), density, atol=1e-4)
    np.testing.assert_allclose(model.score_samples(clouds[5:7]), density[5:7], atol=1e-4)
    empty = np.full((1, 5, 2), np.nan)
    share = np.mean(multiplicity(clouds) == 0)
    # but for the error of the bound, since the encoder need not give the prior
    assert model.score_samples(empty)[0] == pytest.approx(np.log(share), abs=0.05)
    # one particle: the integral over its features is the probability of there being one
    pt, angle = np.exp(np.linspace(-5, 4, 60)), np.linspace(-1.5, 1.5, 50)
    grid = np.full((3000, 5, 2), np.nan)
    grid[:, 2] = np.stack(np.meshgrid(pt, angle, indexing="ij"), axis=-1).reshape(-1, 2)
    step = 9 / 59 * 3 / 49
    total = (np.exp(model.score_samples(grid)) * grid[:, 2, 0]).sum() * step
    # a bound from 16 draws is a little too low
    assert 0.8 < total / np.mean(multiplicity(clouds) == 1) < 1.02
    grid[0, 2, 0] = -1.0
    assert model.score_samples(grid[:2])[0] == -np.inf


def test_the_mixture_is_that_of_scipy():
    torch.manual_seed(0)
    mixture = CloudMixture(2, 3, (8,), n_components=3)
    X = torch.randn(4, 5, 2)
    X[0, 3:] = X[1] = torch.nan
    condition = torch.randn(4, 3)
    with torch.no_grad():
        found = mixture.log_prob(X, condition)
        log_share, mean, log_width = mixture._parameters_of(condition, ~X[..., 0].isnan())
    share, mean, width = log_share.exp().numpy(), mean.numpy(), log_width.exp().numpy()
    for event in range(4):
        total = 0.0
        for particle in X[event].numpy():
            if np.isnan(particle[0]):
                continue
            parts = stats.norm.pdf(particle, mean[event], width[event]).prod(axis=1)
            total += np.log(share[event] @ parts)
        assert float(found[event]) == pytest.approx(total, rel=1e-4, abs=1e-6)


def test_multiplicities_without_context_are_the_frequencies():
    frequency = torch.tensor([1.0, 0.0, 3.0])
    module = Multiplicity(frequency)
    X = torch.full((3, 2, 1), torch.nan)
    X[1, 0], X[2] = 0.0, 0.0
    share = module.log_prob(X, torch.zeros(3, 0)).exp().tolist()
    assert share == pytest.approx([0.25, 0.0, 0.75], abs=1e-6)
    drawn = module.sample(torch.zeros(4000, 0), torch.Generator().manual_seed(0)).sum(dim=1)
    assert set(drawn.tolist()) == {0, 2}
    assert float(drawn.float().mean()) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("make", [CloudField, lambda f, c: CloudEncoder(f, c, 2)])
def test_networks_see_neither_order_nor_padding(make):
    torch.manual_seed(0)
    net = make(3, 2)
    X = torch.randn(4, 5, 3)
    X[0, 3:] = X[1] = torch.nan
    condition = torch.randn(4, 2)
    order = torch.tensor([4, 0, 3, 1, 2])
    with torch.no_grad():
        output, shuffled = net(X, condition), net(X[:, order], condition)
    if isinstance(net, CloudField):
        assert (output[X.isnan()] == 0).all()
        output = output[:, order]
    torch.testing.assert_close(shuffled, output, atol=1e-5, rtol=1e-4)


def test_wrong_input():
    clouds, energy = make_jets()
    model = VAE(2, **QUICK)
    partly = clouds.copy()
    event = int(np.argmax(multiplicity(clouds)))
    partly[event, 0, 1] = np.nan
    with pytest.raises(ValueError, match=f"particle 0 of event {event} is partly NaN"):
        model.fit(partly)
    with pytest.raises(ValueError, match="names columns of a table"):
        VAE(2, context_features=[0], **QUICK).fit(clouds)
    with pytest.raises(ValueError, match="outside of its domain"):
        VAE(2, domains={1: "positive"}, **QUICK).fit(clouds)
    with pytest.raises(ValueError, match="attention"):
        FlowMatching(**{**QUICK, "hidden": (8, 16)}).fit(clouds)
    model.fit(clouds)
    with pytest.raises(ValueError, match=r"events of X have shape \(4, 2\), but VAE was fitted"):
        model.score_samples(clouds[:, :4])
    with pytest.raises(ValueError, match="fitted without"):
        model.sample(3, context=energy[:3])
