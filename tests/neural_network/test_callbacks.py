"""What callbacks write into the history."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.dataset import Dataset, ValidSplit
from torch.utils.data import DataLoader

from skhep_ml.neural_network import NetClassifier, NetRegressor, ScoreDistribution
from skhep_ml.neural_network.modules import MLP, TabM


def toy(n=300, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += y
    return X, y, rng.normal(1.0, 1.0, n)


def net(*callbacks, cls=NetClassifier, **options):
    defaults = {"max_epochs": 3, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}
    defaults |= {"module": MLP, "module__hidden": (8,), "callbacks": list(callbacks) or None}
    return cls(**(defaults | options))


def expected(score, y, weight, bins):
    """The histograms by a loop over events."""
    values, squares = np.zeros((y.max() + 1, bins)), np.zeros((y.max() + 1, bins))
    for p, label, w in zip(score, y, weight, strict=True):
        number = min(int(p * bins), bins - 1)
        values[label, number] += w
        squares[label, number] += w**2
    return values, np.sqrt(squares)


def assert_score(found, score, y, weight, bins):
    values, errors = expected(score.astype(float), y, weight, bins)
    np.testing.assert_allclose(found["edges"], np.linspace(0, 1, bins + 1))
    np.testing.assert_allclose(found["values"], values, atol=1e-4)
    np.testing.assert_allclose(found["errors"], errors, atol=1e-4)


def test_scores_of_each_epoch_are_those_of_the_net_at_its_end():
    X, y, _ = toy()
    X_valid, y_valid, w_valid = toy(200, seed=1)
    model = net(ScoreDistribution(bins=8))
    model.fit(X, y, eval_set=(X_valid, y_valid), sample_weight_eval_set=[w_valid])
    w_valid = w_valid * len(w_valid) / w_valid.sum()
    assert (w_valid < 0).any()
    for n_epochs in (1, 2, 3):
        early = net(max_epochs=n_epochs).fit(X, y)
        score = early.predict_proba(X)[:, 1]
        assert_score(model.history[n_epochs - 1, "train_score"], score, y, np.ones(300), 8)
        score = early.predict_proba(X_valid)[:, 1]
        assert_score(model.history[n_epochs - 1, "valid_score"], score, y_valid, w_valid, 8)
    assert len(model.history[:, "valid_score"]) == 3


def test_signed_weights_of_training():
    X, y, weight = toy()
    model = net(ScoreDistribution(bins=5), negative_weights="keep").fit(X, y, weight)
    used = weight / np.abs(weight).mean()
    assert_score(model.history[-1, "train_score"], model.predict_proba(X)[:, 1], y, used, 5)
    assert "valid_score" not in model.history[-1]


@pytest.mark.parametrize(
    "options",
    [
        {"module__dropout": 0.3},
        {"early_stopping": True, "ema_decay": 0.9},
        {"iterator_valid": DataLoader, "train_split": ValidSplit(4, stratified=True)},
    ],
)
def test_training_is_what_it_is_without(options):
    X, y, _ = toy()
    plain = net(**options).fit(X, y)
    model = net(ScoreDistribution(max_events=50), **options).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.history[:, "train_loss"] == plain.history[:, "train_loss"]
    assert "train_score" not in plain.history[-1]
    again = clone(model).fit(X, y)
    assert again.history[:, "train_score"] == model.history[:, "train_score"]


def test_a_sample_of_the_training_events():
    X, y, weight = toy(2000)
    weight = np.abs(weight)
    model = net(ScoreDistribution(max_events=500)).fit(X, y, weight)
    few = np.sum(model.history[-1, "train_score"]["values"], axis=1)
    every = np.bincount(y, weight / weight.mean())
    assert few.sum() == pytest.approx(500, rel=0.15)
    np.testing.assert_allclose(few / few.sum(), every / every.sum(), atol=0.1)
    totals = [np.sum(score["values"]) for score in model.history[:, "train_score"]]
    np.testing.assert_allclose(totals, totals[0])


def test_the_average_is_what_is_looked_at():
    X, y, _ = toy()
    model = net(ScoreDistribution(bins=6), ema_decay=0.95).fit(X, y)
    score = model.predict_proba(X)[:, 1]
    assert_score(model.history[-1, "train_score"], score, y, np.ones(300), 6)


def test_members_count_by_their_mean():
    X, y, _ = toy()
    options = {"module": TabM, "module__n_members": 3, "module__d_block": 8, "n_members": 2}
    model = NetClassifier(
        **options, max_epochs=1, callbacks=[ScoreDistribution()], random_state=0, device="cpu"
    ).fit(X, y)
    score = model.predict_proba(X)[:, 1]
    assert_score(model.history[-1, "train_score"], score, y, np.ones(300), 20)


def test_a_class_of_three():
    X, y, _ = toy(n_classes=3)
    labels = np.array(["W", "Z", "t"])[y]
    model = net(ScoreDistribution(pos_label="Z")).fit(X, labels)
    score = model.predict_proba(X)[:, 1]
    assert_score(model.history[-1, "train_score"], score, y, np.ones(300), 20)
    for wrong in (None, "H"):
        with pytest.raises(ValueError, match=r"one of the classes \['W', 'Z', 't'\]"):
            net(ScoreDistribution(pos_label=wrong)).fit(X, labels)


class Numbers(Callback):
    """Expects numbers, as skorch's loggers do."""

    def initialize(self):
        self.keys_ignored_ = {"batches"}
        return self

    def on_epoch_end(self, net, **kwargs):
        for key in net.history[-1].keys() - self.keys_ignored_:
            float(net.history[-1, key])


def test_printing_and_logging_leave_it_out(capsys, tmp_path):
    X, y, _ = toy()
    model = net(ScoreDistribution(), Numbers(), verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3
    assert "train_loss" in lines[0]
    assert not any("score" in line or "edges" in line for line in lines)
    model.history.to_file(tmp_path / "history.json")
    read = json.loads((tmp_path / "history.json").read_text())
    assert read[-1]["train_score"] == model.history[-1, "train_score"]


def test_a_checkpoint_keeps_the_epochs_before_it(tmp_path):
    X, y, _ = toy()
    options = {"checkpoint": tmp_path / "net.ckpt"}
    first = net(ScoreDistribution(), **options).fit(X, y)
    again = net(ScoreDistribution(), **options).fit(X, y)
    assert len(again.history) == 3
    assert again.history[:, "train_score"][:2] == first.history[:, "train_score"][:2]


def test_where_it_has_no_meaning():
    X, y, _ = toy()
    with pytest.raises(ValueError, match="needs a classifier"):
        net(ScoreDistribution(), cls=NetRegressor).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X as arrays"):
        net(ScoreDistribution(), module__n_features=3, module__n_outputs=2).fit(
            Dataset(X, y.astype(np.int64))
        )
    for name, value in (("bins", 0), ("bins", 2.5), ("max_events", -1)):
        with pytest.raises(ValueError, match=f"{name}={value} of ScoreDistribution"):
            net(ScoreDistribution(**{name: value})).fit(X, y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_memory_of_a_gpu():
    X, y, _ = toy()
    model = net(ScoreDistribution(), device="cuda").fit(X, y)
    assert all(value > 0 for value in model.history[:, "gpu_memory"])
    score = model.predict_proba(X)[:, 1]
    values = np.sum(model.history[-1, "train_score"]["values"])
    assert values == pytest.approx(len(score))


def test_throughput():
    X, y, _ = toy()
    model = net().fit(X, y)
    assert all(rate > 0 for rate in model.history[:, "events_per_s"])
    assert "gpu_memory" not in model.history[-1]
