import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from skhep_ml.generative import VAE
from skhep_ml.generative._layout import Spec
from skhep_ml.generative._vae import VariationalNet

pd = pytest.importorskip("pandas")

QUICK = {"max_epochs": 2, "hidden": (8,), "batch_size": 32, "device": "cpu", "random_state": 0}
COVARIANCE = np.array([[4.0, 1.5], [1.5, 1.0]])


def make_gaussian(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal([5.0, -2.0], COVARIANCE, n)


def linear_net():
    """A decoder x = A z + b with fixed widths, whose density is a normal distribution."""
    torch.manual_seed(0)
    net = VariationalNet(Spec("table", (3,), 0), 2, (), 1.0).eval()
    with torch.no_grad():
        net.decoder.net.head.weight[3:] = 0.0
        net.encoder.head.weight *= 0.1  # near the prior, so that few draws say much
        net.decoder.net.head.bias[:] = torch.tensor([0.3, -0.2, 0.1, -0.5, -0.2, 0.0])
    return net


def test_the_bound_tends_to_the_density_of_a_linear_model():
    net = linear_net()
    A = net.decoder.net.head.weight[:3].detach().numpy()
    width = np.exp([-0.5, -0.2, 0.0])
    truth = stats.multivariate_normal([0.3, -0.2, 0.1], A @ A.T + np.diag(width**2))
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    density = truth.logpdf(X)
    errors = []
    for n in (1, 16, 1024):
        noise = torch.from_numpy(np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32))
        with torch.no_grad():
            bound = net.bound(torch.from_numpy(X), None, noise).numpy()
        errors.append(density.mean() - bound.mean())
    assert errors[0] > errors[1] > errors[2]
    assert abs(errors[2]) < 0.01


def test_the_loss_is_the_evidence_lower_bound():
    net = linear_net()
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    with torch.no_grad():
        loss = net(X)
        mean, log_width = net.encode(X, None)
        draws = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        q = torch.distributions.Normal(mean, log_width.exp())
        p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        divergence = torch.distributions.kl_divergence(q, p).sum(dim=1)
        density = net.log_prob_given(X, mean + log_width.exp() * draws, None)
    np.testing.assert_allclose(3 * loss, divergence - density, rtol=1e-5)


def test_a_normal_distribution_is_learnt_in_units_of_the_columns():
    X, T = make_gaussian(3000), make_gaussian(1000, 1)
    model = VAE(
        2, hidden=(16,), lr=2e-2, max_epochs=12, batch_size=128, device="cpu", random_state=0
    ).fit(X)
    truth = stats.multivariate_normal([5.0, -2.0], COVARIANCE).logpdf(T).mean()
    assert abs(model.score(T) - truth) < 0.05
    sample = model.sample(20000, random_state=0)
    np.testing.assert_allclose(sample.mean(axis=0), [5.0, -2.0], atol=0.15)
    np.testing.assert_allclose(np.cov(sample.T), COVARIANCE, rtol=0.12)


def test_context_boundaries_and_frames():
    rng = np.random.default_rng(0)
    mass = rng.uniform(1, 3, 1000)
    frame = pd.DataFrame({"energy": rng.gamma(20.0, mass / 20.0), "mass": mass})
    model = VAE(
        2,
        hidden=(16,),
        lr=1e-2,
        max_epochs=10,
        batch_size=64,
        context_features="mass",
        domains={"energy": "positive"},
        device="cpu",
        random_state=0,
    ).fit(frame)
    low, high = (model.sample(2000, context=m, random_state=1) for m in (1.2, 2.8))
    assert list(low.columns) == ["energy", "mass"]
    assert (low["energy"] > 0).all()
    assert low["energy"].mean() == pytest.approx(1.2, rel=0.1)
    assert high["energy"].mean() == pytest.approx(2.8, rel=0.1)
    values = np.linspace(0.01, 8.0, 400)
    grid = pd.DataFrame({"energy": values, "mass": 2.0})
    density = np.exp(model.score_samples(grid))
    assert density.sum() * (values[1] - values[0]) == pytest.approx(1.0, abs=0.02)
    assert model.score_samples(grid.assign(energy=-1.0))[0] == -np.inf
    with pytest.raises(ValueError, match="pass context="):
        model.sample(3)


def test_a_large_beta_empties_the_latent_variables():
    X = make_gaussian(500)
    spread = []
    for beta in (1.0, 100.0):
        model = VAE(2, **{**QUICK, "max_epochs": 6}, lr=2e-2, beta=beta).fit(X)
        z, _ = model._columns.forward(X)
        with torch.no_grad():
            mean, _ = model.net_.module_.encode(torch.from_numpy(z), None)
        spread.append(float(mean.std(dim=0).max()))
    assert spread[1] < 0.1 < spread[0]


def test_annealing_changes_training_and_not_validation():
    X = make_gaussian(200)
    model = VAE(2, **{**QUICK, "max_epochs": 4}, kl_annealing=0.5, early_stopping=True).fit(X)
    assert model.net_.module_.annealing == 1.0
    module, z = model.net_.module_, torch.zeros(3, 2)
    losses = []
    for share in (0.0, 1.0):
        module.annealing = share
        losses.append(module.eval()(z))
    np.testing.assert_array_equal(losses[0].detach(), losses[1].detach())
    without = VAE(2, **{**QUICK, "max_epochs": 4}, early_stopping=True).fit(X)
    assert without.history_[0, "train_loss"] != model.history_[0, "train_loss"]


def test_fits_copies_and_samples_are_reproducible():
    X = make_gaussian(200)
    model = VAE(2, **QUICK).fit(X)
    density, sample = model.score_samples(X), model.sample(5, random_state=3)
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.score_samples(X), density)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.sample(5, random_state=3), sample)
    np.testing.assert_allclose(model.score_samples(X[3:6]), density[3:6], rtol=1e-5)
    assert (model.sample(5) != sample).all()


def test_signed_weights_give_the_signed_density():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (1500, 1)), rng.normal(2, 0.5, (500, 1))])
    # the second component of opposite sign takes away a half of what it adds
    weight = np.where(np.arange(2000) < 1500, 1.0, np.where(np.arange(2000) % 2, 1.0, -1.0))
    model = VAE(1, **{**QUICK, "max_epochs": 4}, lr=5e-3, negative_weights="pair").fit(
        X, None, weight
    )
    assert abs(model.sample(4000, random_state=0).mean()) < 0.2
    with pytest.raises(ValueError, match="negative"):
        VAE(1, negative_weights="raise", **QUICK).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="weights sum to -2000"):
        VAE(1, **QUICK).fit(X, sample_weight=-np.ones(2000))


def test_a_search_by_density_prefers_the_better_model():
    search = GridSearchCV(VAE(2, **QUICK), {"max_epochs": [1, 10]}, cv=KFold(2))
    assert search.fit(make_gaussian(600)).best_params_ == {"max_epochs": 10}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_latent": 0}, "n_latent must be an integer of at least 1"),
        ({"n_importance": 0}, "n_importance"),
        ({"beta": -1.0}, "beta must be"),
        ({"kl_annealing": 1.5}, "kl_annealing=1.5 is a part of max_epochs"),
        ({"hidden": "wide"}, "hidden='wide'"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        VAE(**{**QUICK, **params}).fit(make_gaussian(50))
