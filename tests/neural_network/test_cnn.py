"""CNN: images of any size, and that it finds a pattern wherever it is."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import CNN


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (7, 16), (33, 33)])
@pytest.mark.parametrize("training", [False, True])
def test_any_size_of_image(size, training):
    net = CNN(2, 3).train(training)
    X = torch.randn(4, 2, *size)
    assert net(X).shape == (4, 3)
    assert net.embed(X).shape == (4, 128)
    assert torch.isfinite(net(X)).all()


def test_parameters():
    def convolution(n_in, n_out):
        return 9 * n_in * n_out + 2 * n_out  # and batch norm

    pairs = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    expected = sum(convolution(*pair) for pair in pairs) + 129 * 128 + 129 * 2
    assert sum(p.numel() for p in CNN(3, 2).parameters()) == expected
    small = CNN(3, 2, channels=(4,), n_convolutions=1, hidden=())
    assert sum(p.numel() for p in small.parameters()) == convolution(3, 4) + 5 * 2


def test_one_block_is_its_formula():
    torch.manual_seed(0)
    net = CNN(1, 2, channels=(2,), n_convolutions=1, hidden=()).eval()
    X = torch.randn(3, 1, 4, 5)
    weight = net.body[0].weight.detach().numpy()
    padded = np.pad(X[:, 0].numpy(), ((0, 0), (1, 1), (1, 1)))
    mean = np.zeros((3, 2))
    for channel in range(2):
        pixels = sum(
            padded[:, a : a + 4, b : b + 5] * weight[channel, 0, a, b]
            for a in range(3)
            for b in range(3)
        )
        # batch norm with its initial statistics, mean 0 and variance 1
        mean[:, channel] = np.maximum(pixels / np.sqrt(1 + 1e-5), 0).mean(axis=(1, 2))
    np.testing.assert_allclose(net.embed(X).detach().numpy(), mean, rtol=1e-5)


def test_it_finds_a_pattern_anywhere():
    """Both classes have the same pixels, in another order: a cross, or two bars apart."""
    rng = np.random.default_rng(0)
    n = 500
    y = rng.integers(0, 2, n)
    X = 0.3 * rng.normal(size=(n, 1, 11, 9)).astype(np.float32)
    for event in range(n):
        row, column = rng.integers(1, 8), rng.integers(1, 8)
        X[event, 0, row, column - 1 : column + 2] += 1.5
        if y[event]:
            X[event, 0, row - 1 : row + 2, column] += 1.5
        else:
            X[event, 0, (row + 2) % 11, column - 1 : column + 2] += 1.5
    net = NetClassifier(
        CNN,
        module__channels=(8, 16),
        max_epochs=8,
        batch_size=32,
        lr=0.01,
        random_state=0,
        device="cpu",
    ).fit(X[:300], y[:300])
    assert roc_auc_score(y[300:], net.predict_proba(X[300:])[:, 1]) > 0.9
    assert net.n_features_in_ == 1


def test_activations_that_do_not_work_are_refused():
    with pytest.raises(ValueError, match="maxout"):
        CNN(3, 2, activation="maxout")
    with pytest.raises(ValueError, match="activation='step' must be one of"):
        CNN(3, 2, activation="step")
