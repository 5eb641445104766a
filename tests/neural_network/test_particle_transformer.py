"""Particle Transformer: kinematics of pairs, attention, masks, published sizes."""

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
from skhep_ml.neural_network.modules import ParticleTransformer
from skhep_ml.neural_network.modules._pairs import Packing, pairwise_features, wrapped
from skhep_ml.neural_network.modules._particle_transformer import Attention, PairBias

TINY = {
    "embedding": (12, 8),
    "pair_embedding": (6,),
    "n_heads": 2,
    "n_blocks": 2,
    "n_class_blocks": 1,
}


def kinematics(shape, seed=0, *, mass=False):
    """Columns pT, eta, phi and mass."""
    rng = np.random.default_rng(seed)
    columns = [rng.exponential(5.0, shape) + 0.5, rng.normal(size=shape)]
    columns.append(rng.uniform(-np.pi, np.pi, shape))
    if mass:
        columns.append(rng.uniform(0.1, 2.0, shape))
    return np.stack(columns, axis=-1)


def clouds(n_events=6, n_particles=9, seed=0):
    """Events of 0, 1, 2, ... particles, at places among the absent ones drawn at random."""
    rng = np.random.default_rng(seed)
    X = kinematics((n_events, n_particles), seed, mass=True).astype(np.float32)
    for event, cloud in enumerate(X):
        cloud[rng.permutation(n_particles)[min(event, n_particles) :]] = np.nan
    return torch.from_numpy(X)


def tiny(**options):
    torch.manual_seed(0)
    return ParticleTransformer(4, 2, **{**TINY, **options})


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def momentum(particle):
    """Energy and momentum of (pT, eta, phi) or (pT, eta, phi, mass), in double precision."""
    pt, eta, phi = particle[:3]
    mass = particle[3] if len(particle) > 3 else 0.0
    p = pt * np.array([np.cos(phi), np.sin(phi), np.sinh(eta)])
    return np.array([np.sqrt(p @ p + mass**2), *p])


def features_of_pair(a, b):
    """The published formulas, from four-momenta."""
    p, q = momentum(a), momentum(b)
    delta_y = np.arctanh(p[3] / p[0]) - np.arctanh(q[3] / q[0])
    delta_phi = np.arccos(np.clip(np.cos(a[2] - b[2]), -1, 1))
    delta = np.hypot(delta_y, delta_phi)
    soft = min(a[0], b[0])
    total = p + q
    mass2 = total[0] ** 2 - total[1:] @ total[1:]
    return np.log([soft * delta, soft / (a[0] + b[0]), delta, mass2])


@pytest.mark.parametrize("mass", [False, True])
def test_pair_features_are_the_closed_formulas(mass):
    first, second = (kinematics(200, seed, mass=mass) for seed in (1, 2))
    expected = [features_of_pair(a, b) for a, b in zip(first, second, strict=True)]
    found = pairwise_features(*(torch.from_numpy(x).unbind(1) for x in (first, second)))
    assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    single = pairwise_features(*(torch.from_numpy(x).float().unbind(1) for x in (first, second)))
    assert_allclose(single, expected, atol=1e-5)


def test_collinear_particles_keep_their_digits_in_single_precision():
    a = np.array([[300.0, 2.0, 1.0], [300.0, 0.0, 3.0]])
    b = a + np.array([[-100.0, 2e-4, 1e-4], [0.0, 0.0, 1e-4]])
    a, b = (x.astype(np.float32) for x in (a, b))
    eta, phi = (a - b).astype(np.float64).T[1:]
    mass2 = 4 * a[:, 0] * b[:, 0] * (np.sinh(eta / 2) ** 2 + np.sin(phi / 2) ** 2)
    found = pairwise_features(*(torch.from_numpy(x).unbind(1) for x in (a, b)))
    assert_allclose(found[:, 3], np.log(mass2), rtol=1e-6)
    assert_allclose(found[:, 2], 0.5 * np.log(eta**2 + phi**2), rtol=1e-6)


def test_pair_features_end_at_a_floor_with_finite_gradients():
    """Twice the same particle, no pT, and values that are no physics."""
    a = torch.tensor([[1.0, 0.3, 0.1], [0.0, 0.0, 0.0], [5.0, 900.0, 0.0], [1e6, -900.0, 1.0]])
    a.requires_grad_()
    found = pairwise_features(a.unbind(1), a.flip(0).unbind(1))
    same = pairwise_features(a.unbind(1), a.unbind(1))
    assert found.isfinite().all()
    log_eps = np.log(1e-8)
    assert_allclose(same[0].detach(), [log_eps, np.log(0.5), log_eps, log_eps], rtol=1e-6)
    (found.sum() + same.sum()).backward()
    assert a.grad.isfinite().all()


def test_wrapped_differences():
    delta = torch.linspace(-6.2, 6.2, 51, dtype=torch.float64)
    assert_allclose(wrapped(delta), np.angle(np.exp(1j * delta.numpy())), atol=1e-12)
    assert float(wrapped(torch.tensor(1e-6))) == np.float32(1e-6)


def test_bias_holds_both_orders_of_each_pair_and_the_mask():
    torch.manual_seed(0)
    X = clouds()
    present = ~X.isnan().all(2)
    bias = PairBias((6,), 3).eval()
    values = bias(torch.nan_to_num(X)[..., :3], present)
    assert values.shape == (6, 3, 9, 9)
    assert torch.equal(values, values.mT)
    both = (present[:, :, None] & present[:, None, :])[:, None].expand_as(values)
    assert (values[~both] == -1e9).all()
    event, i, j = 5, *present[5].nonzero()[[1, 3]].flatten()
    pair = pairwise_features(X[event, i, :3, None], X[event, j, :3, None])
    assert_allclose(values[event, :, i, j].detach(), bias.layers(pair)[0].detach(), rtol=1e-5)


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    X = clouds(8, 9)[2:]  # torch's gives NaN for an event without particles
    packing = Packing(~X.isnan().all(2))
    x = torch.randn(6, 9, 8)
    ours, theirs = Attention(8, 2, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    bias = torch.randn(6, 2, 9, 9)
    mask = bias.masked_fill(~packing.present[:, None, None, :], -1e9)
    expected, _ = theirs(x, x, x, attn_mask=mask.flatten(0, 1))
    found = ours(packing.pack(x), packing, mask)
    assert_allclose(found.detach(), packing.pack(expected).detach(), rtol=1e-4, atol=1e-6)
    with torch.no_grad():  # a head of scale 0 does not count
        ours.scale[1] = 0.0
        theirs.out_proj.weight[:, 4:] = 0.0
    expected, _ = theirs(x, x, x, attn_mask=mask.flatten(0, 1))
    found = ours(packing.pack(x), packing, mask)
    assert_allclose(found.detach(), packing.pack(expected).detach(), rtol=1e-4, atol=1e-6)
    with_token = torch.cat([torch.randn(6, 1, 8), x], dim=1)
    absent = torch.cat([torch.zeros(6, 1, dtype=torch.bool), ~packing.present], dim=1)
    expected, _ = theirs(with_token[:, :1], with_token, with_token, key_padding_mask=absent)
    token = with_token[:, 0]
    found = ours(packing.pack(x), packing, ~absent[:, None, None, :], token)
    assert_allclose(found.detach(), expected[:, 0].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("columns", [None, (0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(columns, training):
    """Not even what batch norm learns."""
    X = clouds()
    wider = torch.full((6, 14, 4), torch.nan)
    wider[:, 3:12] = X
    short, long = (tiny(kinematics=columns, dropout=0.0).train(training) for _ in range(2))
    assert_allclose(short(X).detach(), long(wider).detach(), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(short.buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("columns", [None, (0, 1, 2)])
def test_order_of_particles_changes_nothing(columns):
    X = clouds()
    shuffled = X[:, torch.randperm(9, generator=torch.Generator().manual_seed(0))]
    module = tiny(kinematics=columns).eval()
    assert_allclose(module(X).detach(), module(shuffled).detach(), rtol=1e-4, atol=1e-5)


def test_events_do_not_see_each_other():
    X = clouds()
    module = tiny().eval()
    alone = torch.cat([module(event[None]) for event in X])
    assert_allclose(module(X).detach(), alone.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("columns", [None, (0, 1, 2)])
def test_empty_events_and_single_particles_are_finite(columns):
    X = clouds()
    module = tiny(kinematics=columns)
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
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert all(p.grad.abs().sum() > 0 for p in module.pair_bias.layers[1:3].parameters())
    assert X.grad.isfinite().all()
    assert (X.grad[X.isnan()] == 0).all()


def formula(n_features, n_outputs, d=128, n_heads=8, n_blocks=8 + 2):
    """Parameters of the published layers, and how many of them belong to the bias of pairs."""
    widths = [n_features, 128, 512, d]
    embedding = 2 * n_features + sum(2 * a + (a + 1) * b for a, b in pairwise(widths))
    pairs = 8 + sum((a + 1) * b + 2 * b for a, b in pairwise([4, 64, 64, 64, n_heads]))
    attention = 2 * d + (d + 1) * 3 * d + n_heads + (d + 1) * d + 2 * d
    perceptron = 2 * d + (d + 1) * 4 * d + 8 * d + (4 * d + 1) * d
    blocks = n_blocks * (attention + perceptron + d)
    return embedding + pairs + blocks + d + 2 * d + (d + 1) * n_outputs, pairs


def test_published_number_of_parameters():
    """2.14M, for the 17 features and 10 classes of JetClass."""
    paper, pairs = formula(17, 10)
    assert parameters(ParticleTransformer(17, 10)) == paper
    assert round(paper, -4) == 2_140_000
    assert parameters(ParticleTransformer(17, 10, kinematics=None)) == paper - pairs
    assert parameters(ParticleTransformer(18, 5)) == formula(18, 5)[0]
    assert parameters(ParticleTransformer.lite(5, 2)) < 200_000


def test_the_pair_bias_sees_the_physical_pair():
    """Only what pairs have in common: turning all particles changes the result without phi."""
    X = clouds()
    module = tiny().eval()
    with torch.no_grad():
        module.embedding[0].weight[2] = 0.0  # phi enters through the pairs alone
    turned = X.clone()
    turned[..., 2] = wrapped(X[..., 2] + 2.0)
    assert_allclose(module(X).detach(), module(turned).detach(), rtol=1e-4, atol=1e-5)
    moved = X.clone()
    moved[..., 2] *= 0.5
    assert not torch.allclose(module(X)[2:], module(moved)[2:], rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinematics": (0, 1, 4)}, r"kinematics=\(0, 1, 4\) asks for column 4, .* 4 features"),
        ({"kinematics": (0, 1)}, r"kinematics=\(0, 1\) must name pT, eta, phi"),
        ({"n_heads": 3}, r"embedding=\(12, 8\) must end in a multiple of n_heads=3"),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_scaled_momenta_are_refused():
    X = clouds()
    X[..., 0] -= 5.0
    with pytest.raises(ValueError, match=r"pT, column 0, is negative .* not scaled"):
        tiny()(X)
    assert tiny(kinematics=None)(X).isfinite().all()


def test_it_learns_in_a_net(two_prongs):
    X, y = two_prongs
    net = NetClassifier(
        ParticleTransformer.lite,
        module__embedding=(32, 16),
        module__n_heads=2,
        module__n_blocks=1,
        lr=5e-3,
        max_epochs=10,
        batch_size=32,
        random_state=0,
        device="cpu",
    )
    net.fit(X[:200], y[:200])
    score = net.predict_proba(X[200:])
    assert roc_auc_score(y[200:], score[:, 1]) > 0.85
    assert net.embed(X[:5]).shape == (5, 16)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(X[200:]), score)
    assert clone(net).module == ParticleTransformer.lite


def test_tables_are_refused():
    with pytest.raises(ValueError, match=r"ParticleTransformer takes clouds.* got shape \(5, 4\)"):
        tiny()(torch.zeros(5, 4))


def test_bfloat16_gives_nearly_the_same():
    module = tiny().eval()
    exact = module(clouds())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module(clouds())
    assert_allclose(rough.detach().float(), exact.detach(), atol=0.15)
