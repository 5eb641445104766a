"""ResNet, DenseNet and periodic embeddings: formulas, sizes, and that they learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import MLP, DenseNet, ResNet, TabM
from skhep_ml.neural_network.modules._embeddings import PeriodicEmbedding


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


def linear(n_in, n_out):
    return (n_in + 1) * n_out


def rings(n=2000, seed=0):
    """Signal on two rings in a plane, background between them, and a column of noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    radius = np.where(y == 1, rng.choice([0.5, 2.5], n), 1.5) + 0.2 * rng.normal(size=n)
    phi = rng.uniform(0, 2 * np.pi, n)
    X = np.column_stack([radius * np.cos(phi), radius * np.sin(phi), rng.normal(size=n)])
    return X.astype(np.float32), y


SMALL = {"module__d_block": 48}
SMALL_TABM = SMALL | {"module__n_members": 4}


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (ResNet, SMALL),
        (ResNet, SMALL | {"module__embedding": "periodic"}),
        (DenseNet, {}),
        (DenseNet, {"module__batch_norm": True, "module__activation": "maxout"}),
        (MLP, {"module__embedding": "periodic", "module__hidden": (64, 64)}),
        (TabM, SMALL_TABM),
        (TabM, SMALL_TABM | {"module__embedding": "periodic"}),
    ],
)
def test_they_learn_what_no_linear_model_can(module, options):
    X, y = rings(1200)
    net = NetClassifier(
        module, max_epochs=8, batch_size=32, lr=0.01, random_state=0, device="cpu", **options
    )
    net.fit(X, y)
    X_test, y_test = rings(seed=1)
    assert roc_auc_score(y_test, net.predict_proba(X_test)[:, 1]) > 0.94
    assert net.embed(X_test).shape == (2000, net.module_.head.weight.shape[-1 - (module is TabM)])


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("module", [ResNet, DenseNet])
def test_shapes_and_rows_are_independent(module, n):
    torch.manual_seed(0)
    net = module(5, 3).eval()
    X = torch.randn(n, 5)
    assert net(X).shape == (n, 3)
    torch.testing.assert_close(net(X)[:1], net(X[:1]))
    torch.testing.assert_close(net.head(net.embed(X)), net(X))


def test_parameters_of_resnet():
    d, h = 192, 384
    block = 2 * d + linear(d, h) + linear(h, d)
    expected = linear(28, d) + 2 * block + 2 * d + linear(d, 2)
    assert n_parameters(ResNet(28, 2)) == expected
    other = ResNet(28, 2, n_blocks=3, d_block=16, d_hidden=5, embedding="periodic")
    block = 2 * 16 + linear(16, 5) + linear(5, 16)
    embedding = 28 * (16 + 16 + linear(16, 3))
    expected = embedding + linear(4 * 28, 16) + 3 * block + 2 * 16 + linear(16, 2)
    assert n_parameters(other) == expected


def test_resnet_is_its_formula():
    torch.manual_seed(0)
    net = ResNet(3, 2, n_blocks=1, d_block=4, d_hidden=6, dropout=0.0)
    X = torch.randn(50, 3)

    def normalised(x):
        return (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt()

    block = net.blocks[0]
    x = X @ net.first.weight.T + net.first.bias
    inner = torch.relu(normalised(x) @ block[1].weight.T + block[1].bias)
    x = x + inner @ block[4].weight.T + block[4].bias
    expected = torch.relu(normalised(x)) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(X), expected)


def test_dropout_of_resnet_acts_in_training_only():
    net = ResNet(3, 2, dropout=0.0, residual_dropout=0.5)
    X = torch.randn(20, 3)
    assert not torch.equal(net(X), net(X))
    net.eval()
    assert torch.equal(net(X), net(X))


def test_parameters_of_densenet():
    widths = [28 + 33 * layer for layer in range(7)]
    expected = sum(linear(n, 33) for n in widths[:-1]) + linear(widths[-1], 2)
    assert n_parameters(DenseNet(28, 2)) == expected


def test_every_layer_of_densenet_sees_all_earlier_outputs():
    torch.manual_seed(0)
    net = DenseNet(3, 2, hidden=(4, 5), activation="relu")
    X = torch.randn(10, 3)
    first = torch.relu(net.layers[0][0](X))
    second = torch.relu(net.layers[1][0](torch.cat([X, first], dim=1)))
    torch.testing.assert_close(net.embed(X), torch.cat([X, first, second], dim=1))


def test_the_embedding_is_its_formula():
    torch.manual_seed(0)
    module = PeriodicEmbedding(2, 3, n_frequencies=5)
    with torch.no_grad():
        module.bias.normal_()
    X = torch.randn(4, 2)
    out = module(X).reshape(4, 2, 3)
    for event in range(4):
        for feature in range(2):
            x = X[event, feature]
            waves = torch.cos(2 * math.pi * module.frequency[feature] * x + module.phase[feature])
            mixed = waves @ module.weight[feature] + module.bias[feature]
            torch.testing.assert_close(out[event, feature], torch.cat([x[None], mixed]))
    assert module.width == 6


def test_the_embedding_starts_with_the_asked_spread():
    torch.manual_seed(0)
    module = PeriodicEmbedding(1000, sigma=0.3)
    assert module.frequency.std().item() == pytest.approx(0.3, rel=0.02)
    assert module.frequency.mean().item() == pytest.approx(0.0, abs=0.01)
    assert module.phase.abs().max().item() <= math.pi
    assert module.phase.std().item() == pytest.approx(2 * math.pi / 12**0.5, rel=0.02)
    assert n_parameters(module) == 1000 * 83


def test_without_an_embedding_an_mlp_is_what_it_was():
    torch.manual_seed(0)
    net = MLP(4, 2, (8,))
    torch.manual_seed(0)
    plain = torch.nn.Linear(4, 8)
    torch.nn.init.kaiming_normal_(plain.weight, nonlinearity="relu")
    assert torch.equal(net.body[0].weight, plain.weight)


@pytest.mark.parametrize("module", [MLP, ResNet, TabM])
def test_unknown_embeddings_are_refused(module):
    with pytest.raises(ValueError, match="embedding='fourier' must be None or 'periodic'"):
        module(3, 2, embedding="fourier")


def test_maxout_is_refused_where_it_would_halve_the_blocks():
    with pytest.raises(ValueError, match="maxout"):
        ResNet(3, 2, activation="maxout")


def test_a_last_batch_of_one_event_is_left_out():
    """Batch norm has no variance of one event."""
    X, y = rings(65)
    net = NetClassifier(ResNet, max_epochs=1, batch_size=64, random_state=0, device="cpu")
    assert net.fit(X, y).history[0]["train_batch_count"] == 1
