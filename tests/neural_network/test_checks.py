"""Modules refuse inputs of another kind and sizes that make no sense, and say what they want."""

import numpy as np
import pytest
import torch

from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import (
    CNN,
    MLP,
    RNN,
    DeepSets,
    DenseNet,
    InteractionNetwork,
    ParticleNet,
    ParticleTransformer,
    ResNet,
    TabM,
)

TABLES = (MLP, ResNet, DenseNet, TabM)
CLOUDS = (DeepSets, InteractionNetwork, ParticleNet, ParticleTransformer, RNN)
INPUTS = {"table": (5, 4), "clouds": (5, 6, 4), "images": (5, 4, 8, 9)}
CASES = [
    *((module, "table", "(n_events, 4)") for module in TABLES),
    *((module, "clouds", "(n_events, n_particles, 4)") for module in CLOUDS),
    (CNN, "images", "(n_events, 4, height, width)"),
]


def message(module, right, shape, got):
    kind = "a table" if right == "table" else right
    text = f"{module.__name__} takes {kind} of shape {shape}, got shape {got}"
    for special in "()":
        text = text.replace(special, f"\\{special}")
    return text


@pytest.mark.parametrize(("module", "right", "shape"), CASES)
def test_inputs_of_another_kind(module, right, shape):
    net = module(4, 2)
    for kind, size in INPUTS.items():
        if kind == right:
            assert net(torch.rand(size)).isfinite().all()
            continue
        with pytest.raises(ValueError, match=message(module, right, shape, size)) as caught:
            net(torch.rand(size))
        # the remedy: modules that take what was given
        takers = {"table": "MLP", "clouds": "DeepSets", "images": "CNN"}
        assert takers[kind] in str(caught.value).split("; ")[1]
    for size in ((5,), (5, 1, 1, 1, 4)):
        with pytest.raises(ValueError, match=message(module, right, shape, size) + "$"):
            net(torch.rand(size))


@pytest.mark.parametrize(("module", "right", "shape"), CASES)
def test_another_number_of_features(module, right, shape):
    size = list(INPUTS[right])
    size[1 if right == "images" else -1] = 3
    with pytest.raises(ValueError, match=message(module, right, shape, tuple(size)) + "$"):
        module(4, 2)(torch.rand(size))


@pytest.mark.parametrize(
    ("module", "size"), [(MLP, (60, 5, 4)), (DeepSets, (60, 4)), (CNN, (60, 5, 4))]
)
def test_a_net_says_it_too(module, size):
    X = np.random.default_rng(0).normal(size=size).astype(np.float32)
    net = NetClassifier(module, max_epochs=1, device="cpu")
    with pytest.raises(ValueError, match=f"{module.__name__} takes"):
        net.fit(X, np.arange(60) % 2)


WIDTHS = [
    (MLP, "hidden"),
    (DenseNet, "hidden"),
    (CNN, "channels"),
    (CNN, "hidden"),
    (DeepSets, "particle_hidden"),
    (DeepSets, "event_hidden"),
    (InteractionNetwork, "edge_hidden"),
    (InteractionNetwork, "node_hidden"),
    (InteractionNetwork, "hidden"),
    (RNN, "hidden"),
    (ParticleTransformer, "embedding"),
    (ParticleTransformer, "pair_embedding"),
]


@pytest.mark.parametrize(("module", "name"), WIDTHS)
@pytest.mark.parametrize("value", [(0,), (8, -1), (8, 2.5), (True,), 8, None])
def test_widths_that_make_no_layers(module, name, value):
    match = f"{module.__name__}: {name}=.* must be a sequence of positive integers"
    with pytest.raises(ValueError, match=match) as caught:
        module(4, 2, **{name: value})
    if value == 8:
        assert "such as (8,)" in str(caught.value)


@pytest.mark.parametrize(("module", "name"), WIDTHS)
def test_no_layers_where_one_is_needed(module, name):
    needed = {"channels", "edge_hidden", "node_hidden", "embedding"}
    if name not in needed:
        right = next(kind for listed, kind, _ in CASES if listed is module)
        assert module(4, 2, **{name: ()})(torch.rand(INPUTS[right])).shape == (5, 2)
        return
    with pytest.raises(ValueError, match=f"{module.__name__}: {name}=.* needs at least one layer"):
        module(4, 2, **{name: ()})


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (ResNet, "n_blocks"),
        (ResNet, "d_block"),
        (ResNet, "d_hidden"),
        (TabM, "n_members"),
        (TabM, "n_blocks"),
        (TabM, "d_block"),
        (CNN, "n_convolutions"),
        (RNN, "n_hidden"),
        (RNN, "n_layers"),
        (InteractionNetwork, "n_neighbors"),
        (ParticleNet, "n_neighbors"),
        (ParticleNet, "hidden"),
        (ParticleTransformer, "n_heads"),
        (ParticleTransformer, "n_blocks"),
        (ParticleTransformer, "n_class_blocks"),
    ],
)
@pytest.mark.parametrize("value", [0, -3, 2.0, True])
def test_counts_that_are_none(module, name, value):
    match = f"{module.__name__}: {name}={value} must be a positive integer"
    with pytest.raises(ValueError, match=match):
        module(4, 2, **{name: value})


@pytest.mark.parametrize("channels", [((8, 0),), ((),), (8,)])
def test_channels_of_particle_net(channels):
    with pytest.raises(ValueError, match="ParticleNet: channels="):
        ParticleNet(4, 2, channels=channels)


def test_numpy_numbers_are_counts():
    sizes = np.array([8, 4])
    assert MLP(4, 2, hidden=sizes)(torch.rand(5, 4)).shape == (5, 2)
    assert RNN(4, 2, n_hidden=np.int64(3))(torch.rand(5, 6, 4)).shape == (5, 2)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"ParticleTransformer: embedding=\(16, 10\) .*n_heads=4"):
        ParticleTransformer(4, 2, embedding=(16, 10), n_heads=4)
