"""Momenta, tables and images of clouds, and mixed events, inside the graph."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.export import to_onnx, verify_onnx
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import CNN
from skhep_ml.preprocessing import (
    CloudToImage,
    CloudToTable,
    EventsTransformer,
    KinematicsTransformer,
    LogScaler,
    ZScoreScaler,
)

ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("vector", reason="the extra root is not installed")

N = 120
NAMES = ["pt", "eta", "phi", "mass", "charge"]


def make_clouds():
    """Jets of 0 to 6 particles, some of which lack a value; phi of the axis is near pi."""
    rng = np.random.default_rng(0)
    shape = (N, 6)
    parts = [
        rng.exponential(30, shape) + 1,
        0.1 * rng.normal(size=shape),
        0.1 * rng.normal(size=shape) + 3.1,
        rng.exponential(2, shape),
        rng.choice([-1.0, 1.0], shape),
    ]
    clouds = np.stack(parts, axis=2).astype(np.float32)
    for event, n_particles in enumerate(rng.integers(0, 7, N)):
        clouds[event, n_particles:] = np.nan
    clouds[:3, :] = clouds[np.isfinite(clouds).all(axis=(1, 2))][:1]
    clouds[0, 0, 3] = clouds[1, 2, 0] = clouds[2, 1, 1] = np.nan
    return clouds


@pytest.fixture(autouse=True)
def one_session_for_each_graph(monkeypatch):
    """Make each session once: that takes longer than anything else, and graphs are asked often."""
    make, made = ort.InferenceSession, {}

    def session(content, *options, **providers):
        if content not in made:
            made[content] = make(content, *options, **providers)
        return made[content]

    monkeypatch.setattr(ort, "InferenceSession", session)


CLOUDS = make_clouds()
ENERGIES = np.where(np.arange(5) == 3, CLOUDS[:, :, 3:4] + 1000, CLOUDS)
TARGET = np.arange(N) % 2


def assert_same(model, data):
    graph = to_onnx(model, X=data)
    comparison = verify_onnx(model, graph, data)
    assert comparison, str(comparison)
    few = {name: part[:5] for name, part in data.items()} if isinstance(data, Events) else data[:5]
    assert verify_onnx(model, graph, Events(few) if isinstance(data, Events) else few)
    return graph


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("to", ["cartesian", "relative"])
@pytest.mark.parametrize("completed", ["mass", "energy", None])
def test_coordinates(to, completed, precision):
    clouds = (ENERGIES if completed == "energy" else CLOUDS).astype(precision)
    names = [*NAMES[:3], completed or "size", "charge"]
    order = [4, 1, 0, 3, 2]
    model = KinematicsTransformer(to, features=[names[k] for k in order])
    assert_same(model.fit(clouds[:, :, order]), clouds[:, :, order])


def test_cartesian_components():
    momenta = KinematicsTransformer().fit_transform(CLOUDS)
    momenta[5, 0] = [0, 0, 7, 9, 1]  # along the beam
    momenta[5, 1] = [0, 0, 0, 2, 1]  # at rest
    momenta[5, 2] = [3, 4, 0, 1, 1]  # of a negative square
    momenta[5, 3] = [-1, 0, -1, 5, 1]
    graph = assert_same(KinematicsTransformer("cylindrical").fit(momenta), momenta)
    (found,) = ort.InferenceSession(graph.SerializeToString()).run(None, {"features": momenta})
    np.testing.assert_allclose(found[5, :3, 1], [np.inf, 0, 0])
    np.testing.assert_allclose(found[5, 2:4, [0, 2]].T, [[5, np.arctan2(4, 3)], [1, np.pi]])
    np.testing.assert_allclose(found[5, 2, 3], -np.sqrt(24), rtol=1e-6)


TABLES = {
    "default": CloudToTable(),
    "all": CloudToTable(
        NAMES, n_leading=4, count={"pt": [30, 50]}, extrema=["eta"], sums=["pt", "charge"]
    ),
    "in order": CloudToTable(sort_by=None, n_leading=8, system=False),
    "no leading": CloudToTable(n_leading=0, extrema=["pt"]),
    "by eta": CloudToTable(sort_by="eta", n_leading=1, count=False, sums=[]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name):
    model = TABLES[name].fit(CLOUDS)
    graph = assert_same(model, CLOUDS)
    # another number of particles than any before, and none at all
    for clouds in (CLOUDS[:, :2], CLOUDS[:, :0]):
        assert verify_onnx(model, graph, clouds)


IMAGES = {
    "default": CloudToImage(9),
    "unequal": CloudToImage((5, 7), extent=(0.5, 0.3)),
    "turned": CloudToImage(7, rotate=True, flip=True, normalize=True),
    "two channels": CloudToImage(9, center=False, extent=4.0, intensity=["energy", "pt"]),
}


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    assert_same(IMAGES[name].fit(CLOUDS), CLOUDS)


def test_models_behind_clouds():
    model = make_pipeline(CloudToTable(), BDTClassifier(5, n_jobs=1)).fit(CLOUDS, TARGET)
    assert_same(model, CLOUDS)
    # the shape of the input is known without events
    assert verify_onnx(model, to_onnx(model), CLOUDS[:, :3])
    net = NetClassifier(CNN, max_epochs=1, device="cpu", random_state=0, verbose=0)
    model = make_pipeline(CloudToImage(8), net).fit(CLOUDS, TARGET)
    assert verify_onnx(model, to_onnx(model), CLOUDS)


def test_mixed_events():
    rng = np.random.default_rng(1)
    events = Events(
        jets=CLOUDS, met=rng.exponential(30, N), lepton=rng.normal(size=(N, 2)), run=np.arange(N)
    )
    steps = {"jets": KinematicsTransformer("relative"), "met": LogScaler(), "run": "drop"}
    graph = assert_same(EventsTransformer(steps).fit(events), events)
    inputs = {value.name for value in graph.graph.input}
    assert {"jets", "met", "lepton"} <= inputs
    outputs = [value.name for value in graph.graph.output]
    assert outputs == ["transformed_jets", "transformed_met", "transformed_lepton"]
    steps = {"jets": CloudToTable(), "lepton": ZScoreScaler(), "run": "drop"}
    table = EventsTransformer(steps, concatenate=True)
    assert_same(make_pipeline(table, BDTClassifier(5, n_jobs=1)).fit(events, TARGET), events)


class TwoInputs(torch.nn.Module):
    """Summed particles and the event's own numbers."""

    def __init__(self, n_outputs=2):
        super().__init__()
        self.output = torch.nn.Linear(10, n_outputs)

    def forward(self, jets, event):
        return self.output(torch.cat([torch.nan_to_num(jets).sum(dim=1), event], dim=1))


def test_mixed_events_into_a_net():
    events = Events(jets=CLOUDS, event=np.random.default_rng(1).normal(size=(N, 2)))
    net = NetClassifier(TwoInputs, max_epochs=1, device="cpu", random_state=0, verbose=0)
    steps = {"jets": KinematicsTransformer("relative"), "event": ZScoreScaler()}
    model = make_pipeline(EventsTransformer(steps), net).fit(events, TARGET)
    assert_same(model, events)


def test_mixed_events_that_lack_a_step():
    events = Events(jets=CLOUDS, met=CLOUDS[:, 0, 0])
    model = make_pipeline(EventsTransformer({"met": "passthrough"}), ZScoreScaler())
    model.steps[0][1].fit(events)
    model.steps[1][1].fit(CLOUDS)
    with pytest.raises(ValueError, match=r"ZScoreScaler.*takes one array, but the events hold"):
        to_onnx(model, X=events)
