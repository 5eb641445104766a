"""Nets behind other steps, in rotation and with several inputs, in one graph."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from skhep_ml.events import Events
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.impute import MissingValueImputer
from skhep_ml.model_selection import RotatingClassifier
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import DeepSets
from skhep_ml.preprocessing import AutoScaler, ZScoreScaler

ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

OPTIONS = {"max_epochs": 2, "batch_size": 64, "device": "cpu", "random_state": 0}
SMALL = {"module__hidden": (8,)}


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, size=(200, 3)).astype(np.float32)
    X[rng.random(200) < 0.2, 1] = np.nan
    y = np.array(["bkg", "sig"])[(X[:, 0] > 3).astype(int)]
    cloud = rng.normal(size=(200, 5, 3)).astype(np.float32)
    cloud[np.arange(5) >= rng.integers(0, 6, 200)[:, None]] = np.nan
    return X, y, cloud


def test_steps_before_a_net(events):
    X, y, _ = events
    imputer = MissingValueImputer(add_indicator=True)
    model = make_pipeline(imputer, AutoScaler(), NetClassifier(**OPTIONS, **SMALL)).fit(X, y)
    graph = to_onnx(model)
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3
    assert verify_onnx(model, graph, X)
    session = ort.InferenceSession(graph.SerializeToString())
    assert session.run(["label"], {"features": X})[0].tolist() == model.predict(X).tolist()
    model = make_pipeline(imputer, AutoScaler(), NetRegressor(**OPTIONS, **SMALL))
    model.fit(X, 1e5 * np.nan_to_num(X[:, 1]))
    assert verify_onnx(model, to_onnx(model), X)


def test_a_cloud_before_a_net(events):
    _, y, cloud = events
    model = make_pipeline(ZScoreScaler(), NetClassifier(DeepSets, **OPTIONS)).fit(cloud, y)
    graph = to_onnx(model)
    assert verify_onnx(model, graph, cloud)
    longer = np.concatenate([cloud, cloud[:, ::-1]], axis=1)
    assert verify_onnx(model, graph, longer)


def test_rotating_nets(events):
    X, y, _ = events
    inner = make_pipeline(MissingValueImputer(), AutoScaler(), NetClassifier(**OPTIONS, **SMALL))
    event = np.arange(200) + 10**17
    model = RotatingClassifier(inner, n_splits=2).fit(X, y, groups=event)
    graph = to_onnx(model, X=X, groups=event)
    session = ort.InferenceSession(graph.SerializeToString())
    for k in range(3):
        one = {"features": X[k : k + 1], "event_number": event[k : k + 1, None]}
        expected = model.predict_proba(X[k : k + 1], groups=event[k : k + 1])
        assert np.abs(session.run(["probabilities"], one)[0] - expected).max() < 1e-5


class TwoInputs(torch.nn.Module):
    """Summed jets and the event's own numbers."""

    def __init__(self, n_outputs=2):
        super().__init__()
        self.output = torch.nn.Linear(5, n_outputs)

    def forward(self, jets, event):
        return self.output(torch.cat([torch.nan_to_num(jets).sum(dim=1), event], dim=1))


def test_several_inputs_and_rotation(events):
    X, y, cloud = events
    mixed = Events({"jets": cloud, "event": X[:, [0, 2]]})
    net = NetClassifier(TwoInputs, **OPTIONS)
    net.fit(mixed, y)
    graph = to_onnx(net)
    assert {value.name for value in graph.graph.input} == {"jets", "event"}
    assert verify_onnx(net, graph, mixed)
    number = np.arange(200)
    model = RotatingClassifier(net, n_splits=3).fit(mixed, y, groups=number)
    graph = to_onnx(model, X=mixed, groups=number)
    assert {value.name for value in graph.graph.input} == {"jets", "event", "event_number"}
    with pytest.raises(ValueError, match=r"AutoScaler.*takes one array, but the events hold"):
        to_onnx(AutoScaler().fit(X), X=mixed)
    with pytest.raises(ValueError, match=r"takes the inputs \['event', 'jets'\], but gets"):
        to_onnx(net, X=X)
