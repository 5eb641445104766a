import numpy as np
import pytest

from skhep_ml.io import iterate_events, read_events
from skhep_ml.preprocessing import AutoScaler

pytest.importorskip("pandas")


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    x = rng.normal(size=(2000, 2)) + y[:, None]
    np.savez(tmp_path / "a.npz", x=x[:, 0], z=np.exp(x[:, 1]), y=y, w=rng.exponential(size=2000))
    return tmp_path / "a.npz"


def test_a_scaler_learns_from_chunks_what_it_learns_from_all(path):
    given = {"features": ["x", "z"], "weight": "w", "library": "numpy"}
    scaler = AutoScaler()
    for chunk in iterate_events(path, **given, step_size=300):
        scaler.partial_fit(chunk.data, sample_weight=chunk.weight)
    events = read_events(path, **given)
    whole = AutoScaler().fit(events.data, sample_weight=events.weight)
    assert scaler.methods_ == whole.methods_
    np.testing.assert_allclose(
        scaler.transform(events.data), whole.transform(events.data), rtol=1e-5, atol=1e-6
    )


def test_a_net_learns_from_chunks(path):
    from skhep_ml.metrics import roc_auc_score
    from skhep_ml.neural_network import NetClassifier

    given = {"features": ["x", "log(z)"], "label": "y", "weight": "w", "library": "numpy"}
    chunks = iterate_events(path, **given, step_size=500)
    net = NetClassifier(
        module__hidden=(8,), lr=0.02, max_epochs=1, random_state=0, device="cpu", verbose=0
    )
    for _ in range(3):
        for chunk in chunks:
            net.partial_fit(chunk.data, chunk.target, sample_weight=chunk.weight, classes=[0, 1])
    events = read_events(path, **given)
    score = net.predict_proba(events.data)[:, 1]
    assert roc_auc_score(events.target, score, sample_weight=events.weight) > 0.8
