"""What goes wrong in practice: shapes, missing values, diverging losses, devices, memory."""

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback
from torch.utils.data import DataLoader

from skhep_ml._device import cuda_device_count
from skhep_ml.exceptions import DivergenceWarning, NetWarning
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import MLP
from skhep_ml.neural_network.modules._mlp import split_mask


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(8,)):
        super().__init__(n_features, n_outputs, hidden)


class MeanOfParticles(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.head = torch.nn.Linear(n_features, n_outputs)

    def forward(self, X):
        cloud, mask = split_mask(X)
        return self.head(cloud.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))


class Greedy(Small):
    """Takes more memory than there is for batches above ``limit`` events.

    ``calls`` holds the size of each training batch, and the head's bias before it.
    """

    def __init__(self, n_features, n_outputs, limit=40, limit_after=0, evaluation_limit=10**9):
        super().__init__(n_features, n_outputs)
        self.limit = limit
        self.limit_after = limit_after
        self.evaluation_limit = evaluation_limit
        self.calls = []

    def forward(self, X):
        limit = self.evaluation_limit
        if self.training:
            self.calls.append((len(X), self.head.bias.detach().clone()))
            limit = self.limit if len(self.calls) > self.limit_after else limit
        if len(X) > limit:
            msg = "Tried to allocate 20.00 GiB"
            raise torch.OutOfMemoryError(msg)
        return super().forward(X)


def toy(n=256, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 1.5 * y
    return X, y


def net(cls=NetClassifier, **options):
    defaults = {"module": Small, "max_epochs": 3, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return cls(**(defaults | options))


# --- shapes and values ----------------------------------------------------------------------------


def test_another_shape_than_in_fit():
    X, y = toy(60)
    cloud = np.zeros((60, 4, 3), np.float32)
    image = np.zeros((60, 3, 4, 4), np.float32)
    table = net().fit(X, y)
    for wrong in (X[:, :2], np.c_[X, X]):
        with pytest.raises(ValueError, match="features, but NetClassifier is expecting 3"):
            table.predict(wrong)
    for wrong in (cloud, image):
        with pytest.raises(ValueError, match="the net was fitted on"):
            table.predict(wrong)
    with pytest.raises(ValueError, match="1D array"):
        table.predict(X[0])
    clouds = net(module=MeanOfParticles).fit(cloud, y)
    assert clouds.predict(cloud[:, :2]).shape == (60,)  # fewer particles are no other shape
    with pytest.raises(ValueError, match="the net was fitted on"):
        clouds.predict(cloud[:, :, :2])
    with pytest.raises(ValueError, match="no axis beyond the first may be empty"):
        clouds.predict(cloud[:, :0])
    with pytest.raises(ValueError, match="known"):
        clouds.predict(np.zeros((60, 1, 1, 1, 1), np.float32))


def test_columns_that_are_missing_or_new():
    X, y = toy(60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = net().fit(frame, y)
    with pytest.raises(ValueError, match="missing"):
        model.predict(frame.rename(columns={"c": "d"}))
    with pytest.raises(ValueError, match="features"):
        net(early_stopping=True).fit(X, y, eval_set=(X[:, :2], y))


def test_events_without_values():
    X, y = toy(60)
    missing = X.copy()
    missing[7] = np.nan
    for call in (net().fit, net().partial_fit):
        with pytest.raises(ValueError, match="NaN"):
            call(missing, y)
    with pytest.raises(ValueError, match="NaN"):
        net().fit(X, y).predict(missing)
    infinite = X.copy()
    infinite[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        net().fit(infinite, y)


def test_an_event_without_particles_is_an_event():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(80, 5, 3)).astype(np.float32)
    cloud[:, 3:] = np.nan
    cloud[10:20] = np.nan
    y = rng.integers(0, 2, 80)
    for cls in (NetClassifier, NetRegressor):
        model = net(cls, module=MeanOfParticles).fit(cloud, y)
        assert np.isfinite(model.history[:, "train_loss"]).all()
        assert np.isfinite(model.predict(cloud)).all()
    nothing = np.full((80, 5, 3), np.nan, np.float32)
    assert np.isfinite(net(module=MeanOfParticles).fit(nothing, y).predict_proba(nothing)).all()


def test_one_class_only():
    X, y = toy(60)
    with pytest.raises(ValueError, match="only one class in y: \\['signal'\\]"):
        net().fit(X, np.full(60, "signal"))
    with pytest.raises(ValueError, match="class 1 sum to 0"):
        net().fit(X, y, np.where(y == 1, 0.0, 1.0))
    with pytest.raises(ValueError, match="class 1 sum to -"):
        net().fit(X, y, np.where(y == 1, -1.0, 1.0))
    with pytest.raises(ValueError, match="label 2 was not seen in fit"):
        net().fit(X, y, eval_set=(X, y + 1))
    model = net().partial_fit(X, y)
    with pytest.raises(ValueError, match="label 5 was not seen in fit"):
        model.partial_fit(X, np.full(60, 5))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(59), "59 entries, but there are 60 events"),
        (np.r_[np.nan, np.ones(59)], "first in event 0"),
        (np.zeros(60), "zero for every event"),
    ],
)
def test_weights_that_are_none(weight, message):
    X, y = toy(60)
    for cls in (NetClassifier, NetRegressor):
        with pytest.raises(ValueError, match=message):
            net(cls).fit(X, y, weight)


def test_nothing_is_trained_on_bad_arguments():
    X, y = toy(60)
    model = net()
    with pytest.raises(ValueError, match="must be integers"):
        model.fit(X, y, groups=np.arange(60.0))
    with pytest.raises(ValueError, match="NetClassifier requires y"):
        model.fit(X)
    assert not model.initialized_


# --- training that breaks down --------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True}, {"ema_decay": 0.9}, {"batch_size": -1}]
)
def test_a_diverging_loss_stops_and_keeps_finite_weights(options):
    X, y = toy()
    for cls in (NetClassifier, NetRegressor):
        model = net(cls, optimizer="sgd", lr=1e30, max_epochs=6, **options)
        with pytest.warns(DivergenceWarning, match="smaller lr"):
            model.fit(X, y)
        assert len(model.history) < 6
        assert all(torch.isfinite(p).all() for p in model.module_.parameters())
        assert np.isfinite(model.predict(X)).all()


def test_devices_that_are_not_there():
    X, y = toy(60)
    model = net(device=f"cuda:{cuda_device_count()}")
    with pytest.raises(ValueError, match='use "auto" or "cpu"'):
        model.fit(X, y)
    with pytest.raises(ValueError, match="device must be"):
        net(device="gpu").fit(X, y)
    with pytest.raises(ValueError, match='use "auto" or "cpu"'):
        model.find_lr(X, y)


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "momentum", "schedule": "cosine", "ema_decay": 0.9},
        {"early_stopping": True, "refit": True},
    ],
)
def test_the_result_is_that_of_half_the_batch_size(options):
    X, y = toy()
    weight = np.linspace(0.5, 2, 256)
    model = net(module=Greedy, batch_size=64, **options)
    with pytest.warns(NetWarning, match="begins again with 32; batch_size=32 avoids") as caught:
        model.fit(X, y, weight)
    assert sum(w.category is NetWarning for w in caught) == 1
    plain = net(module=Greedy, batch_size=32, **options).fit(X, y, weight)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.history[:, "train_loss"] == plain.history[:, "train_loss"]
    assert model.batch_size == 64


class Listener(Callback):
    """Reads single batches, which makes the net take skorch's loop."""

    def on_batch_end(self, net, training=None, **kwargs):
        net.history[-1, "batches", -1]


@pytest.mark.parametrize("callbacks", [None, [Listener()]])
def test_a_later_epoch_begins_again_where_it_began(callbacks):
    X, y = toy()
    model = net(
        module=Greedy, module__limit_after=6, batch_size=64, ema_decay=0.9, callbacks=callbacks
    )
    with pytest.warns(NetWarning, match="begins again"):
        model.fit(X, y)
    sizes = [size for size, _ in model.module_.calls]
    # 4 batches in the first epoch; in the second two pass and the third fails
    assert sizes == [64] * 7 + [32] * 16
    biases = [bias for _, bias in model.module_.calls]
    assert torch.equal(biases[7], biases[4])
    assert not torch.equal(biases[6], biases[4])
    steps = {int(state["step"]) for state in model.optimizer_.state.values()}
    assert steps == {4 + 8 + 8}
    assert len(model.history) == 3
    if callbacks is not None:
        assert [len(epoch["batches"]) for epoch in model.history] == [4, 8, 8]


def test_a_cycle_of_the_rate_stays_one_cycle():
    X, y = toy()
    model = net(module=Greedy, batch_size=64, schedule="one_cycle", max_epochs=5)
    with pytest.warns(NetWarning, match="begins again"):
        model.fit(X, y)
    plain = net(batch_size=64, schedule="one_cycle", max_epochs=5).fit(X, y)
    np.testing.assert_allclose(model.history[:, "lr"], plain.history[:, "lr"])


def test_memory_that_does_not_suffice_for_half():
    X, y = toy()
    model = net(module=Greedy, module__limit=20, batch_size=64)
    with (
        pytest.warns(NetWarning, match="begins again"),
        pytest.raises(torch.OutOfMemoryError, match="even after halving it: set a smaller batch_s"),
    ):
        model.fit(X, y)
    with pytest.raises(torch.OutOfMemoryError, match="set a smaller batch_size"):
        net(module=Greedy, batch_size=64, iterator_train=DataLoader).fit(X, y)
    with pytest.raises(torch.OutOfMemoryError, match=r"batches of 1 events.*20.00 GiB"):
        net(module=Greedy, module__limit=0, batch_size=1).fit(X, y)


def test_validation_and_prediction_go_on_in_parts():
    X, y = toy()
    options = {"early_stopping": True, "batch_size": 16, "calibrate": "temperature"}
    plain = net(module=Greedy, **options).fit(X, y)
    model = net(module=Greedy, module__evaluation_limit=20, **options)
    with pytest.warns(NetWarning, match="ended: going on with batches of") as caught:
        model.fit(X, y)
    # 52 held-out events go to 26 and 13, in validation and in calibration
    assert [str(w.message).split()[-2] for w in caught] == ["26", "13"] * 2
    np.testing.assert_allclose(
        model.history[:, "valid_loss"], plain.history[:, "valid_loss"], rtol=1e-5
    )
    with pytest.warns(NetWarning, match="ended: going on with batches of") as caught:
        parts = model.predict_proba(X)
    assert [str(w.message).split()[-2] for w in caught] == ["128", "64", "32", "16"]
    np.testing.assert_allclose(parts, plain.predict_proba(X), rtol=1e-5)
    with pytest.warns(NetWarning, match="going on with"):
        saliency = model.saliency(X)
    np.testing.assert_allclose(saliency, plain.saliency(X), rtol=1e-4, atol=1e-6)


def test_prediction_that_does_not_suffice_for_one_event():
    X, y = toy()
    model = net(module=Greedy, module__evaluation_limit=0, batch_size=16).fit(X, y)
    with (
        pytest.warns(NetWarning, match="going on with"),
        pytest.raises(torch.OutOfMemoryError, match="for one event"),
    ):
        model.predict(X)
