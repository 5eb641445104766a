"""Nets as ONNX graphs answer as the nets do: any batch, padding, empty events, members."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from skhep_ml.neural_network import NetClassifier, NetRegressor
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

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnxruntime

from skhep_ml.export._onnx_nets import net_graph

# smaller than the defaults of the modules, so that the tests are quick
SMALL_NET = {"n_neighbors": 3, "channels": ((8, 8), (12,)), "hidden": 8}
SMALL_TRANSFORMER = {
    "embedding": (16,),
    "pair_embedding": (8,),
    "n_heads": 2,
    "n_blocks": 1,
    "n_class_blocks": 1,
}
SMALL_SETS = {"particle_hidden": (16,), "event_hidden": (16,)}


def tables(n, n_particles=None):
    return np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)


def images(n, n_particles=None):
    return np.random.default_rng(n).normal(size=(n, 2, 8, 8)).astype(np.float32)


def clouds(n, n_particles=6):
    """Events of every multiplicity: empty, full, with gaps and with single features missing."""
    random = np.random.default_rng(n)
    X = random.normal(size=(n, n_particles, 4)).astype(np.float32)
    X[..., 0] = np.abs(X[..., 0]) * 3
    for event, count in zip(X, random.integers(0, n_particles + 1, n), strict=True):
        event[count:] = np.nan
    X[0] = np.nan
    if n > 2:
        X[1, 0], X[1, 1:] = 1.0, np.nan  # one particle
        X[2, 0], X[2, 1:] = np.nan, np.abs(X[2, :1]) + random.random((n_particles - 1, 4))
        X[2, 1, 3] = np.nan
    return np.where(np.isnan(X[..., :1]), np.nan, X) if n <= 2 else X


def module(cls, **params):
    return {"module": cls, **{f"module__{name}": value for name, value in params.items()}}


def fitted(kind, params, make):
    net = kind(**params, max_epochs=1, device="cpu", random_state=0)
    X = make(60)
    y = np.arange(60) % 2 if kind is NetClassifier else 100 + 20 * np.linspace(-1, 1, 60)
    return net.fit(X, y)


@lru_cache(maxsize=1)
def session_of(content):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(graph, **inputs):
    session = session_of(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


TABLES = [
    module(MLP, hidden=(8,)),
    module(MLP, hidden=(8,), activation="maxout", batch_norm=True, dropout=0.2),
    module(MLP, hidden=(8,), embedding="periodic"),
    module(ResNet),
    module(DenseNet),
    module(TabM, n_members=4),
    {"n_members": 3, **module(MLP, hidden=(8,))},
    {"n_members": 2, **module(TabM, n_members=4)},
    {"criterion": "focal", **module(MLP, hidden=(8,))},
    {"criterion": torch.nn.BCEWithLogitsLoss, "n_members": 2, **module(MLP, hidden=(8,))},
    {"criterion": torch.nn.BCEWithLogitsLoss, "prior": [0.2, 0.8], **module(MLP, hidden=(8,))},
    {"decorrelate": 1, **module(MLP, hidden=(8,))},
    *(
        {
            "early_stopping": True,
            "calibrate": "temperature",
            "prior": [0.2, 0.8],
            "n_members": n_members,
            **module(MLP, hidden=(8,)),
        }
        for n_members in (1, 2)
    ),
]
CLOUDS = [
    module(DeepSets, **SMALL_SETS),
    module(DeepSets, pooling="mean", **SMALL_SETS),
    module(DeepSets, pooling="max", **SMALL_SETS),
    module(DeepSets, variant="efn", **SMALL_SETS),
    {"n_members": 2, **module(DeepSets, **SMALL_SETS)},
    module(RNN, n_hidden=8),
    module(RNN, n_hidden=8, cell="gru", bidirectional=True, n_layers=2),
    module(ParticleNet, **SMALL_NET),
    module(ParticleNet, period=2 * np.pi, **SMALL_NET),
    module(InteractionNetwork),
    module(InteractionNetwork, message="edge", aggregation="mean"),
    module(
        InteractionNetwork,
        message="edge",
        n_neighbors=3,
        aggregation="max",
        pooling="mean",
        period=2 * np.pi,
    ),
    module(ParticleTransformer, **SMALL_TRANSFORMER),
    module(ParticleTransformer, kinematics=None, **SMALL_TRANSFORMER),
]


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.NetWarning")
@pytest.mark.parametrize(
    ("params", "make"),
    [
        *((params, tables) for params in TABLES),
        *((params, clouds) for params in CLOUDS),
        (module(CNN, channels=(8, 8)), images),
    ],
    ids=lambda thing: thing["module"].__name__ if isinstance(thing, dict) else thing.__name__,
)
def test_probabilities_are_those_of_the_net(params, make):
    net = fitted(NetClassifier, params, make)
    graph = net_graph(net, 13)
    assert {imported.version for imported in graph.opset_import} == {13}
    for n_events, n_particles in [(1, 6), (64, 6), (33, 9), (5, 2)]:
        X = make(n_events, n_particles)
        answers = run(graph, features=X)
        assert list(answers) == ["label", "probabilities"]
        expected = net.predict_proba(X)
        np.testing.assert_allclose(answers["probabilities"], expected, rtol=0, atol=1e-5)
        assert answers["label"].dtype == np.int64
        np.testing.assert_array_equal(answers["label"], answers["probabilities"].argmax(axis=1))


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize(
    "criterion",
    [
        {"criterion": "squared"},
        {"criterion": "gaussian"},
        {"criterion": "quantile", "criterion__quantiles": (0.1, 0.5, 0.9)},
    ],
    ids=lambda thing: thing["criterion"],
)
def test_predictions_are_in_the_unit_of_the_target(criterion, n_members):
    params = {**criterion, "n_members": n_members, **module(MLP, hidden=(8,))}
    net = fitted(NetRegressor, params, tables)
    X = tables(50)
    (prediction,) = run(net_graph(net, 13), features=X).values()
    expected = net.predict(X)
    assert prediction.shape == expected.shape == (50,)
    np.testing.assert_allclose(prediction, expected, rtol=1e-5)


def test_several_targets():
    X = tables(60)
    y = np.column_stack([X[:, 0] * 1e4, 5 + X[:, 1]])
    net = NetRegressor(module__hidden=(8,), max_epochs=1, device="cpu", random_state=0).fit(X, y)
    (prediction,) = run(net_graph(net, 13), features=X).values()
    np.testing.assert_allclose(prediction, net.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        module(RNN, n_hidden=8),
        module(InteractionNetwork),
        module(ParticleNet, **SMALL_NET),
        module(ParticleTransformer, **SMALL_TRANSFORMER),
    ],
    ids=lambda thing: thing["module"].__name__,
)
def test_outputs_of_particles(params):
    X = clouds(40)
    net = NetRegressor(
        **params,
        module__per_particle=True,
        module__n_outputs=1,
        scale_target=False,
        max_epochs=1,
        device="cpu",
        random_state=0,
    ).fit(X, np.nan_to_num(X[:, :, 1]))
    graph = net_graph(net, 13)
    for n_events in (1, 33):
        X = clouds(n_events)
        (prediction,) = run(graph, features=X).values()
        np.testing.assert_allclose(prediction, net.predict(X), rtol=0, atol=1e-5)
        assert (prediction[np.isnan(X).all(axis=2)] == 0).all()


class TwoInputs(torch.nn.Module):
    """A module of clouds and tables."""

    def __init__(self, n_outputs):
        super().__init__()
        self.sets = DeepSets(4, 5, **SMALL_SETS)
        self.head = torch.nn.Linear(8, n_outputs)

    def forward(self, jets, event):
        pooled = torch.where(jets.isnan(), 0.0, jets).sum(dim=1)
        return self.head(torch.cat([pooled, event, event[:, :1]], dim=1))


def test_several_inputs_by_name():
    inputs = {"jets": clouds(60), "event": tables(60)}
    net = NetClassifier(TwoInputs, max_epochs=1, device="cpu", random_state=0)
    net.fit(inputs, np.arange(60) % 2)
    graph = net_graph(net, 13)
    assert [value.name for value in graph.graph.input] == ["jets", "event"]
    got = {"jets": clouds(9, 4), "event": tables(9)}
    np.testing.assert_allclose(
        run(graph, **got)["probabilities"], net.predict_proba(got), rtol=0, atol=1e-5
    )


class LooksAtLengths(torch.nn.Module):
    """What a tracer gets wrong: a result that depends on the number of events."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.head = torch.nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.head(X) * torch.ones(len(X), 1)


class Determinant(torch.nn.Module):
    """What no operator set has."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.head = torch.nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.head(
            torch.linalg.matrix_exp(X[:, :2, None] * X[:, None, :2]).sum(1)[:, [0] * 3]
        )


@pytest.mark.parametrize(
    ("own", "match"),
    [
        (LooksAtLengths, "graph of LooksAtLengths (does not reproduce it|fails on)"),
        (Determinant, "torch cannot trace Determinant into opset 13: .*not supported"),
    ],
)
def test_modules_that_cannot_be_exported_are_refused(own, match, capfd):
    X = tables(60)
    net = NetClassifier(own, max_epochs=1, device="cpu", random_state=0)
    net.fit(X, np.arange(60) % 2)
    capfd.readouterr()
    with pytest.raises(NotImplementedError, match=match):
        net_graph(net, 13)
    assert capfd.readouterr().out == ""


def test_the_net_is_left_as_it_was():
    net = fitted(NetClassifier, module(ParticleNet, **SMALL_NET), clouds)
    X = clouds(20)
    before = net.predict_proba(X)
    state = {name: value.clone() for name, value in net.module_.state_dict().items()}
    net_graph(net, 13)
    np.testing.assert_array_equal(net.predict_proba(X), before)
    assert all(torch.equal(value, state[name]) for name, value in net.module_.state_dict().items())
    net.partial_fit(X, np.arange(20) % 2)
