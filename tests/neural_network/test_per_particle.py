"""Outputs for single particles: masks, order, what each architecture computes, and learning."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from skhep_ml.neural_network import NetRegressor
from skhep_ml.neural_network.modules import (
    RNN,
    InteractionNetwork,
    ParticleNet,
    ParticleTransformer,
)

SIZES = {
    InteractionNetwork: {"message": "edge", "n_neighbors": 2},
    ParticleNet: {"channels": ((16, 16),), "n_neighbors": 2, "hidden": 16},
    ParticleTransformer: {
        "embedding": (16, 16),
        "pair_embedding": (8,),
        "n_heads": 4,
        "n_blocks": 1,
    },
    RNN: {"bidirectional": True, "n_hidden": 16, "hidden": (16,)},
}
MODULES = list(SIZES)


def small(module, n_outputs=2, **options):
    torch.manual_seed(0)
    return module(3, n_outputs, per_particle=True, **SIZES[module], **options).eval()


def clouds(n_events=6, n_particles=8, seed=0):
    """Clouds with absent particles anywhere; event 0 has none and event 1 a single one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, n_particles, 3)).astype(np.float32)
    X[..., 0] = rng.exponential(size=(n_events, n_particles))
    X[rng.random((n_events, n_particles)) < 0.4] = np.nan
    X[:2] = np.nan
    X[1, 3] = [1.0, 0.2, 0.3]
    return torch.from_numpy(X)


@pytest.mark.parametrize("module", MODULES)
def test_shapes_and_absent_particles(module):
    X = clouds()
    absent = X.isnan().all(dim=2)
    net = small(module)
    output, hidden = net(X), net.embed(X)
    assert output.shape == (6, 8, 2)
    assert hidden.shape[:2] == (6, 8)
    assert (output[absent] == 0).all()
    assert (hidden[absent] == 0).all()
    assert (output[~absent] != 0).all()
    torch.testing.assert_close(net.head(hidden[~absent]), output[~absent])
    assert small(module, 1)(X).shape == (6, 8)


@pytest.mark.parametrize("module", MODULES)
def test_padding_changes_nothing_and_order_moves_outputs_along(module):
    X, net = clouds(), small(module)
    output = net(X)
    padded = torch.full((6, 13, 3), torch.nan)
    padded[:, 2:10] = X
    torch.testing.assert_close(net(padded)[:, 2:10], output, rtol=1e-4, atol=1e-5)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    same = torch.allclose(net(X[:, order]), output[:, order], rtol=1e-4, atol=1e-5)
    assert same == (module is not RNN)


@pytest.mark.parametrize("module", MODULES)
def test_gradients_are_finite_and_every_parameter_has_one(module):
    X, net = clouds().requires_grad_(), small(module).train()
    net(X).square().sum().backward()
    assert X.grad.isfinite().all()
    assert (X.grad[X.isnan()] == 0).all()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()


def test_particle_net_and_transformer_end_at_their_last_blocks():
    """The layers after the blocks act on each particle instead of the pool of all."""
    X = clouds()
    for module, last in (
        (ParticleNet, lambda net: net.body),
        (ParticleTransformer, lambda net: net.norm),
    ):
        net, seen = small(module), []
        net.blocks[-1].register_forward_hook(lambda _, args, rows, seen=seen: seen.append(rows))
        output = net(X)
        present = ~X.isnan().all(dim=2)
        torch.testing.assert_close(output[present], net.head(last(net)(seen[0])))
    assert not any("class" in name or "token" in name for name, _ in net.named_parameters())


def test_recurrent_outputs_are_those_of_each_step():
    X, net = clouds(), small(RNN)
    plain = nn.LSTM(3, 16, batch_first=True, bidirectional=True)
    flat = [p for cell in net.recurrent[0] for p in cell.parameters()]
    for theirs, ours in zip(plain.parameters(), flat, strict=True):
        theirs.data = ours.data
    output = net(X)
    for event, found in zip(X[1:], output[1:], strict=True):
        present = ~event.isnan().all(dim=1)
        steps, _ = plain(event[present])
        torch.testing.assert_close(found[present], net.head(net.body(steps)))


def near_another(n=400, seed=0):
    """Clouds whose particles partly come in close pairs, and which ones do."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8, 3)).astype(np.float32)
    X[..., 0] = rng.exponential(size=(n, 8))
    close = rng.random((n, 4)) < 0.4
    near = X[:, :4, 1:] + 0.1 * rng.normal(size=(n, 4, 2))
    X[:, 4:, 1:] = np.where(close[..., None], near, X[:, 4:, 1:])
    X[rng.random(n) < 0.5, 3::4] = np.nan
    delta = X[:, :, None, 1:] - X[:, None, :, 1:]
    distance = np.sqrt((delta**2).sum(axis=3)) + 9 * np.eye(8)
    return X, (np.nan_to_num(distance, nan=9.0) < 0.3).any(axis=2)


@pytest.mark.parametrize("module", [InteractionNetwork, ParticleNet, ParticleTransformer])
def test_they_learn_labels_of_particles(module):
    """No particle alone tells whether another one is near. Weights are those of events."""
    X, near = near_another(300)
    present = ~np.isnan(X).all(axis=2)
    net = NetRegressor(
        module,
        module__per_particle=True,
        module__n_outputs=1,
        criterion=nn.BCEWithLogitsLoss,
        scale_target=False,
        max_epochs=10,
        batch_size=16,
        lr=5e-3,
        random_state=0,
        device="cpu",
        **{f"module__{name}": value for name, value in SIZES[module].items()},
    ).fit(X[:200], near[:200], np.linspace(0.5, 1.5, 200))
    score = net.predict(X[200:])
    shown = present[200:]
    assert (score[~shown] == 0).all()
    assert roc_auc_score(near[200:][shown], score[shown]) > 0.8
