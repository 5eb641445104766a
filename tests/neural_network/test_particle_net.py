"""ParticleNet: neighbours, convolutions over edges, masks, published sizes."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from torch import nn

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import ParticleNet
from skhep_ml.neural_network.modules._pairs import Packing, RowNorm, nearest_neighbours
from skhep_ml.neural_network.modules._particle_net import EdgeConv

TINY = {"n_neighbors": 3, "channels": ((8, 8), (12,)), "hidden": 10}


def clouds(n_events=6, n_particles=9, n_features=4, seed=0):
    """Events of 0, 1, 2, ... particles, at places among the absent ones drawn at random."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_events, n_particles, n_features)).astype(np.float32)
    for event, cloud in enumerate(X):
        absent = rng.permutation(n_particles)[min(event, n_particles) :]
        cloud[absent] = np.nan
    return torch.from_numpy(X)


def tiny(**options):
    torch.manual_seed(0)
    return ParticleNet(4, 2, **{**TINY, **options})


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def distances(points, event, i, *, period=None):
    delta = (points[event] - points[event, i]).numpy().astype(np.float64)
    if period is not None:
        delta[:, -1] = (delta[:, -1] + period / 2) % period - period / 2
    return (delta**2).sum(axis=1)


@pytest.mark.parametrize(("n_coordinates", "period"), [(2, None), (2, 1.5), (8, None), (8, 1.5)])
def test_neighbours_are_those_of_brute_force(n_coordinates, period):
    X = clouds(12, 10, n_coordinates)
    present = ~X.isnan().all(2)
    points = torch.nan_to_num(X)
    index, valid = nearest_neighbours(points, present, 4, period=period)
    assert index.shape == valid.shape == (12, 10, 4)
    for event in range(12):
        for i in range(10):
            found = set(index[event, i][valid[event, i]].tolist())
            others = [j for j in range(10) if j != i and present[event, j] and present[event, i]]
            distance = distances(points, event, i, period=period)
            assert found == set(sorted(others, key=lambda j: distance[j])[:4])


def test_close_neighbours_far_from_the_origin_are_told_apart():
    """A matrix product would lose the digits that tell these particles apart."""
    eta = 5.0 + 1e-4 * torch.tensor([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    points = torch.stack([eta, eta.clone()], dim=1)[None]
    index, _ = nearest_neighbours(points, torch.ones(1, 6, dtype=torch.bool), 1)
    assert index[0, :, 0].tolist() == [1, 0, 1, 2, 3, 4]


def test_packing_there_and_back():
    X = clouds()
    packing = Packing(~X.isnan().all(2))
    rows = packing.pack(X)
    assert rows.shape == (0 + 1 + 2 + 3 + 4 + 5, 4)
    assert not rows.isnan().any()
    assert torch.equal(packing.unpack(rows), torch.nan_to_num(X))
    assert torch.equal(rows[packing.positions()[packing.present]], rows)


@pytest.mark.parametrize("n_particles", [7, 3])
def test_convolution_is_that_of_single_edges(n_particles):
    """Against a loop over edges with (x_i, x_j - x_i) put together as published."""
    torch.manual_seed(1)
    k = 4
    block = EdgeConv(3, (5, 6)).eval()
    for norm in (*block.norms, block.shortcut[1]):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    x = torch.randn(n_particles, 3)
    present = torch.ones(1, n_particles, dtype=torch.bool)
    index, valid = nearest_neighbours(x[None], present, k)
    result = block(x, index[0], valid[0])
    for i in range(n_particles):
        messages = []
        for j in index[0, i][valid[0, i]]:
            message = torch.cat([x[i], x[j] - x[i]])[None]
            for linear, norm in zip([block.first, *block.linears], block.norms, strict=True):
                message = norm(linear(message)).relu()
            messages.append(message[0])
        assert len(messages) == min(k, n_particles - 1)
        expected = (torch.stack(messages).mean(0) + block.shortcut(x[i : i + 1])[0]).relu()
        assert_allclose(result[i].detach(), expected.detach(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(training):
    """Not even what batch norm learns."""
    X = clouds()
    wider = torch.full((6, 14, 4), torch.nan)
    wider[:, 3:12] = X
    short, long = (tiny(dropout=0.0).train(training) for _ in range(2))
    assert_allclose(short(X).detach(), long(wider).detach(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(short.buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_order_of_particles_changes_nothing():
    X = clouds()
    shuffled = X[:, torch.randperm(9, generator=torch.Generator().manual_seed(0))]
    module = tiny().eval()
    assert_allclose(module(X).detach(), module(shuffled).detach(), rtol=1e-5, atol=1e-6)


def test_events_do_not_see_each_other():
    X = clouds()
    module = tiny().eval()
    alone = torch.cat([module(event[None]) for event in X])
    assert_allclose(module(X).detach(), alone.detach(), rtol=1e-5, atol=1e-6)


def test_empty_events_and_single_particles_are_finite():
    X = clouds()
    module = tiny()
    for batch in (X, X[:1], X[1:2], X[:2]):  # none, one alone, one beside none
        for training in (True, False):
            module.train(training)
            output = module(batch)
            assert output.isfinite().all()
            module.zero_grad()
            output.square().sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
    assert all(buffer.isfinite().all() for buffer in module.buffers())


def test_gradients_of_parameters_and_inputs_are_finite():
    X = clouds().requires_grad_()
    module = tiny()
    module(X).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in module.parameters())
    assert X.grad.isfinite().all()
    assert (X.grad[X.isnan()] == 0).all()


def test_batch_norm_of_rows_learns_from_two_rows_on():
    norm = RowNorm(3)
    rows = torch.randn(10, 3)
    assert_allclose(norm(rows).detach(), nn.BatchNorm1d(3)(rows).detach(), rtol=1e-6)
    before = norm.running_var.clone()
    for short in (rows[:1], rows[:0]):
        expected = (short - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        assert_allclose(norm(short).detach(), expected, rtol=1e-6)
    assert torch.equal(norm.running_var, before)


def formula(n_features, channels, hidden, n_outputs):
    """Parameters of the published layers: no biases where a norm, of 2 parameters each, follows."""
    total, n_in = 2 * n_features, n_features
    for block in channels:
        widths = [2 * n_in, *block]
        total += sum(a * b + 2 * b for a, b in pairwise(widths))
        total += n_in * block[-1] + 2 * block[-1]
        n_in = block[-1]
    return total + (n_in + 1) * hidden + (hidden + 1) * n_outputs


def test_published_numbers_of_parameters():
    """366k and 26k (table 4 of arXiv:1902.08570), for the 7 features of the top tagging sample."""
    paper = formula(7, ((64,) * 3, (128,) * 3, (256,) * 3), 256, 2)
    assert parameters(ParticleNet(7, 2)) == paper
    assert round(paper, -3) == 366_000
    lite = formula(7, ((32,) * 3, (64,) * 3), 128, 2)
    assert parameters(ParticleNet.lite(7, 2)) == lite
    assert round(lite, -3) == 26_000
    # a feature adds a norm's 2, and columns of the first layer (2) and of the shortcut
    assert parameters(ParticleNet(8, 2)) - paper == 2 + 2 * 64 + 64


def test_neighbours_come_from_the_coordinates():
    """Far away in the plane, near in other features: only the coordinates decide."""
    X = torch.zeros(1, 4, 4)
    X[0, :, 1] = torch.tensor([0.0, 1.0, 10.0, 11.0])
    X[0, :, 0] = torch.tensor([0.0, 5.0, 0.0, 5.0])
    one_block = {"n_neighbors": 1, "channels": ((8,),)}
    by_eta = tiny(**one_block).eval()
    by_pt = tiny(**one_block, coordinates=(0, 3)).eval()
    by_pt.load_state_dict(by_eta.state_dict())
    assert not torch.allclose(by_eta(X), by_pt(X))
    moved = X.clone()
    moved[0, 2:, 1] -= 8.0  # neighbours as before, and eta itself is switched off
    with torch.no_grad():
        by_eta.input_norm.weight[1] = 0.0
    assert_allclose(by_eta(X).detach(), by_eta(moved).detach(), rtol=1e-6)


def test_period_joins_both_ends_of_the_azimuth():
    torch.manual_seed(0)
    X = torch.randn(5, 6, 4)
    X[..., 2] = torch.rand(5, 6) * 6 - 3
    module = tiny(period=2 * np.pi, n_neighbors=2).eval()
    with torch.no_grad():
        module.input_norm.weight[2] = 0.0  # the azimuth enters through the neighbours alone
    turned = X.clone()
    turned[..., 2] = torch.remainder(X[..., 2] + 2.0 + np.pi, 2 * np.pi) - np.pi
    assert_allclose(module(X).detach(), module(turned).detach(), rtol=1e-4, atol=1e-5)
    module.period = None
    assert not torch.allclose(module(X), module(turned), rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coordinates": (1, 4)}, r"coordinates=\(1, 4\) asks for column 4, but .* 4 features"),
        ({"channels": ()}, "n_convolutions=0"),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_it_learns_in_a_net(two_prongs):
    X, y = two_prongs
    net = NetClassifier(
        ParticleNet.lite,
        module__channels=((16, 16), (16,)),
        module__n_neighbors=4,
        module__hidden=16,
        lr=5e-3,
        max_epochs=8,
        batch_size=32,
        random_state=0,
        device="cpu",
    )
    net.fit(X[:200], y[:200])
    score = net.predict_proba(X[200:])
    assert roc_auc_score(y[200:], score[:, 1]) > 0.9
    assert net.embed(X[:5]).shape == (5, 16)
    assert net.module_.n_neighbors == 4
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(X[200:]), score)
    assert clone(net).module == ParticleNet.lite


def test_bfloat16_gives_nearly_the_same(two_prongs):
    X = two_prongs[0][:40]
    module = ParticleNet(3, 2, **TINY).eval()
    exact = module(torch.from_numpy(X))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module(torch.from_numpy(X))
    assert_allclose(rough.detach().float(), exact.detach(), atol=0.15)
