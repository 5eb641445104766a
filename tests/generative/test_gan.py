import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.generative import GAN
from skhep_ml.generative._adversarial import AdversarialModule
from skhep_ml.generative._layout import Spec

QUICK = {"max_epochs": 2, "hidden": (8,), "device": "cpu", "random_state": 0}
LOSSES = ["wasserstein", "classic"]


def make_gaussian(n, seed=0):
    covariance = [[4.0, 1.5], [1.5, 1.0]]
    return np.random.default_rng(seed).multivariate_normal([5.0, -2.0], covariance, n)


def linear_module(loss):
    """A critic D(x) = 3 x_0 + 4 x_1 + 1, whose gradient has the norm 5."""
    torch.manual_seed(0)
    module = AdversarialModule(Spec("table", (2,), 0), 3, (), loss).double()
    with torch.no_grad():
        module.critic.head.weight[:] = torch.tensor([[3.0, 4.0]])
        module.critic.head.bias[:] = 1.0
    return module


def test_losses_and_penalties_of_a_linear_critic():
    torch.manual_seed(0)
    X, fake = torch.randn(2, 6, 2, dtype=torch.float64)
    real, made = (3 * x[:, 0] + 4 * x[:, 1] + 1 for x in (X, fake))
    module = linear_module("wasserstein")
    torch.testing.assert_close(module.critic_loss(X, fake, None), made - real)
    assert module.penalty(X, fake, None).item() == pytest.approx((5 - 1) ** 2, rel=1e-5)
    module = linear_module("classic")
    p_real, p_made = torch.sigmoid(real), torch.sigmoid(made)
    expected = -(p_real.log() + (1 - p_made).log())
    torch.testing.assert_close(module.critic_loss(X, fake, None), expected)
    assert module.penalty(X, fake, None).item() == pytest.approx(25, rel=1e-5)


@pytest.mark.parametrize("kind", ["table", "cloud", "image"])
def test_the_gradient_of_the_penalty_agrees_with_finite_differences(kind):
    torch.manual_seed(0)
    shape = {"table": (2,), "cloud": (4, 2), "image": (1, 4, 4)}[kind]
    module = AdversarialModule(Spec(kind, shape, 0), 3, (8,), "classic").double()
    X = torch.randn(5, *shape, dtype=torch.float64)
    if kind == "cloud":
        X[0, 2:] = X[1] = torch.nan
    parameter = next(module.critic.parameters())
    (slope,) = torch.autograd.grad(module.penalty(X, X, None), parameter)
    assert slope.isfinite().all()
    place, step = (0,) * parameter.ndim, 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[place] += sign * step
        values.append(module.penalty(X, X, None).item())
        with torch.no_grad():
            parameter[place] -= sign * step
    assert float(slope[place]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_means_and_widths_are_learnt(loss):
    X = make_gaussian(1000)
    model = GAN(
        loss,
        hidden=(16, 16),
        lr=5e-3,
        max_epochs=25,
        batch_size=100,
        ema_decay=0.98,
        device="cpu",
        random_state=0,
    ).fit(X)
    sample = model.sample(4000, random_state=0)
    np.testing.assert_allclose(sample.mean(axis=0), X.mean(axis=0), atol=0.4)
    np.testing.assert_allclose(sample.std(axis=0), X.std(axis=0), rtol=0.3)
    assert np.corrcoef(sample.T)[0, 1] == pytest.approx(0.75, abs=0.15)


def test_the_generator_waits_for_the_critic():
    X = make_gaussian(64)
    generators, critics = [], []
    # two batches an epoch
    for n_critic in (2, 3):
        model = GAN(n_critic=n_critic, **{**QUICK, "max_epochs": 1}, batch_size=32, ema_decay=None)
        module = model.fit(X).net_.module_
        generators.append(module.generator.head.weight.detach().clone())
        critics.append(module.critic.head.weight.detach().clone())
    torch.manual_seed(0)
    assert (generators[0] != generators[1]).any()
    start = AdversarialModule(model.spec_, 16, (8,), "wasserstein")
    assert generators[1].shape == start.generator.head.weight.shape
    first = GAN(n_critic=4, **{**QUICK, "max_epochs": 1}, batch_size=32, ema_decay=None).fit(X)
    # neither 3 nor 4 steps were reached: both generators are as they began
    torch.testing.assert_close(first.net_.module_.generator.head.weight, generators[1])
    assert (critics[0] != start.critic.head.weight).any()


def test_weights_of_both_signs():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (1500, 1)), rng.normal(4, 0.5, (500, 1))])
    # the second component takes away a third of what it adds
    weight = np.where(np.arange(2000) < 1500, 1.0, np.where(np.arange(2000) % 4, 1.0, -1.0))
    model = GAN(
        hidden=(16, 16),
        lr=3e-3,
        max_epochs=12,
        batch_size=100,
        ema_decay=0.98,
        negative_weights="keep",
        device="cpu",
        random_state=0,
    ).fit(X, sample_weight=weight)
    # 1.0 with abs(w), 0.8 without the negative ones
    truth = np.average(X[:, 0], weights=weight)
    assert model.sample(4000, random_state=0).mean() == pytest.approx(truth, abs=0.2)


def test_context():
    rng = np.random.default_rng(0)
    mass = rng.uniform(-2, 2, 1000)
    X = np.column_stack([mass + 0.3 * rng.normal(size=1000), mass])
    model = GAN(
        "classic",
        hidden=(16,),
        lr=5e-3,
        max_epochs=20,
        batch_size=100,
        ema_decay=0.98,
        context_features=[1],
        device="cpu",
        random_state=0,
    ).fit(X)
    sample = model.sample(context=np.repeat([[-1.5], [1.5]], 1000, axis=0), random_state=0)
    assert sample[:1000, 0].mean() == pytest.approx(-1.5, abs=0.45)
    assert sample[1000:, 0].mean() == pytest.approx(1.5, abs=0.45)
    assert (sample[:1000, 1] == -1.5).all()


def test_fits_copies_and_samples_are_reproducible():
    X = make_gaussian(200)
    model = GAN(**QUICK).fit(X)
    sample = model.sample(5, random_state=3)
    np.testing.assert_array_equal(clone(model).fit(X).sample(5, random_state=3), sample)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).sample(5, random_state=3), sample
    )
    assert not hasattr(model, "score_samples")


def test_training_that_diverges_keeps_finite_weights():
    X = make_gaussian(200)
    model = GAN("wasserstein", gradient_penalty=0.0, **{**QUICK, "lr": 1e18, "max_epochs": 5})
    with pytest.warns(DivergenceWarning, match="last weights whose loss was finite"):
        model.fit(X)
    assert all(p.isfinite().all() for p in model.net_.module_.parameters())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss='hinge' must be one of"),
        ({"n_latent": 0}, "n_latent"),
        ({"n_critic": 0}, "n_critic"),
        ({"gradient_penalty": -1.0}, "gradient_penalty"),
        ({"hidden": ()}, None),
    ],
)
def test_wrong_parameters(params, message):
    model = GAN(**{**QUICK, **params})
    if message is None:  # linear networks are allowed
        assert model.fit(make_gaussian(50)).sample(2).shape == (2, 2)
        return
    with pytest.raises(ValueError, match=message):
        model.fit(make_gaussian(50))
