"""The engine: skorch's behaviour, scikit-learn's contract, weights and stopping."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from skorch.dataset import Dataset, ValidSplit
from torch.utils.data import DataLoader

from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network._dataset import EventDataset
from skhep_ml.neural_network._prepare import automatic_batch_size
from skhep_ml.neural_network.modules import MLP


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(16,), dropout=0.0):
        super().__init__(n_features, n_outputs, hidden, dropout=dropout)


def toy(n=600, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 1.5 * y
    return X, y


def small(**options):
    defaults = {"max_epochs": 4, "batch_size": 64, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return NetClassifier(**({"module": Small} | defaults | options))


def test_it_is_a_skorch_net_that_learns():
    X, y = toy()
    net = small(max_epochs=20).fit(X, y)
    assert isinstance(net, NeuralNet)
    assert roc_auc_score(y, net.predict_proba(X)[:, 1]) > 0.8
    assert len(net.history[:, "train_loss"]) == 20
    assert net.history[-1]["train_loss"] < net.history[0]["train_loss"]
    assert set(net.history[-1]) >= {"train_loss", "dur", "events_per_s"}
    assert len(net.history[-1]["batches"]) == 1


def test_one_epoch_is_the_plain_loop():
    """Parameters after training equal those of a bare torch loop over the same batches."""
    X, y = toy(256)
    net = small(max_epochs=2, optimizer="sgd", iterator_train__shuffle=False).fit(X, y)
    start = small(max_epochs=1, optimizer="sgd", lr=1e-30).fit(X, y)
    module = start.module_.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(2):
        for rows in np.split(np.arange(256), 4):
            optimizer.zero_grad()
            output = module(torch.from_numpy(X[rows]))
            torch.nn.functional.cross_entropy(output, torch.from_numpy(y[rows])).backward()
            optimizer.step()
    for ours, plain in zip(net.module_.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, plain)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_one_alone():
    X, y = toy()
    state = torch.get_rng_state()
    first = small(module__dropout=0.3).fit(X, y).predict_proba(X)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(123)
    np.testing.assert_array_equal(first, small(module__dropout=0.3).fit(X, y).predict_proba(X))
    other = small(module__dropout=0.3, random_state=1).fit(X, y).predict_proba(X)
    assert not np.array_equal(first, other)


def test_labels_of_any_kind():
    X, y = toy()
    names = np.array(["background", "signal"])[y]
    net = small(max_epochs=10).fit(X, names)
    np.testing.assert_array_equal(net.classes_, ["background", "signal"])
    assert set(net.predict(X)) == {"background", "signal"}
    three = y + (X[:, 1] > 1)
    assert small().fit(X, three).predict_proba(X).shape == (600, 3)


def test_the_unit_of_weights_does_not_matter():
    X, y = toy()
    w = np.random.default_rng(1).exponential(size=600)
    plain = small().fit(X, y, w).predict_proba(X)
    np.testing.assert_allclose(small().fit(X, y, 1e-4 * w).predict_proba(X), plain, atol=1e-5)
    np.testing.assert_array_equal(
        small().fit(X, y, np.full(600, 7.0)).predict_proba(X).shape, (600, 2)
    )


def test_weights_are_densities():
    """Doubling the signal's weights moves the probabilities to the new mixture."""
    X, y = toy(4000)
    net = small(max_epochs=15).fit(X, y, np.where(y == 1, 3.0, 1.0))
    p = net.predict_proba(X)[:, 1]
    w = np.where(y == 1, 3.0, 1.0)
    assert np.average(p, weights=w) == pytest.approx(np.average(y, weights=w), abs=0.02)


@pytest.mark.parametrize("policy", ["refine", "keep"])
def test_signed_weights_train(policy):
    X, y = toy(2000)
    w = np.where(np.random.default_rng(2).random(2000) < 0.2, -1.0, 1.0)
    net = small(negative_weights=policy).fit(X, y, w)
    assert roc_auc_score(y, net.predict_proba(X)[:, 1]) > 0.8
    with pytest.raises(ValueError, match="negative_weights='raise'"):
        small(negative_weights="raise").fit(X, y, w)


def test_early_stopping_restores_the_best_epoch():
    X, y = toy()
    groups = np.arange(600)
    net = small(max_epochs=60, lr=0.05, early_stopping=True, patience=3).fit(X, y, groups=groups)
    losses = net.history[:, "valid_loss"]
    assert net.best_epoch_ == int(np.argmin(losses)) + 1
    assert net.best_score_ == min(losses)
    assert len(losses) == net.best_epoch_ + 3
    shorter = small(max_epochs=net.best_epoch_, lr=0.05, early_stopping=True, patience=60)
    shorter.fit(X, y, groups=groups)
    np.testing.assert_array_equal(shorter.predict_proba(X), net.predict_proba(X))


def test_early_stopping_follows_the_identifiers():
    X, y = toy()
    groups = np.arange(600)
    order = np.random.default_rng(0).permutation(600)
    net = small(early_stopping=True, max_epochs=1, optimizer="sgd", lr=1e-30)
    loss = net.fit(X, y, groups=groups).history[0]["valid_loss"]
    permuted = net.fit(X[order], y[order], groups=groups[order]).history[0]["valid_loss"]
    assert permuted == pytest.approx(loss, rel=1e-5)


def test_early_stopping_by_a_metric_on_given_events():
    X, y = toy()
    X_valid, y_valid = toy(400, seed=1)
    net = small(early_stopping=True, eval_metric=roc_auc_scorer(), max_epochs=6, patience=6)
    net.fit(X, y, eval_set=(X_valid, y_valid))
    auc = roc_auc_score(y_valid, net.predict_proba(X_valid)[:, 1])
    assert net.best_score_ == pytest.approx(auc, abs=1e-6)
    assert net.best_score_ == max(net.history[:, "valid_metric"])


def test_refit_uses_all_events_for_the_best_number_of_epochs():
    X, y = toy()
    net = small(early_stopping=True, refit=True, max_epochs=30, patience=2).fit(X, y)
    assert len(net.history) == net.best_epoch_
    plain = small(max_epochs=net.best_epoch_).fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))


def test_a_moving_average_is_the_result():
    X, y = toy()
    raw = small(max_epochs=3).fit(X, y)
    averaged = small(max_epochs=3, ema_decay=0.9).fit(X, y)
    frozen = small(max_epochs=3, ema_decay=0.0).fit(X, y)
    assert not np.allclose(raw.predict_proba(X), averaged.predict_proba(X))
    np.testing.assert_allclose(raw.predict_proba(X), frozen.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        ("constant", None),
        ("exponential", 0.01 * 0.01 ** (5 / 6)),
        ("step", 0.0001),
        ("cosine", None),
    ],
)
def test_schedules_set_the_rate(schedule, last):
    X, y = toy()
    net = small(schedule=schedule, max_epochs=6, lr=0.01).fit(X, y)
    if schedule == "constant":
        assert net.optimizer_.param_groups[0]["lr"] == 0.01
        return
    rates = net.history[:, "lr"]
    assert rates[0] == 0.01
    if schedule == "cosine":
        np.testing.assert_allclose(rates, 0.005 * (1 + np.cos(np.pi * np.arange(6) / 6)))
    else:
        assert rates[-1] == pytest.approx(last)


def test_one_cycle_goes_up_and_down_by_batch():
    X, y = toy()
    net = small(schedule="one_cycle", max_epochs=6).fit(X, y)
    rates = net.history[:, "lr"]
    assert np.argmax(rates) not in (0, 5)
    assert net.optimizer_.param_groups[0]["lr"] < 1e-4


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "momentum", "adagrad", "rmsprop", "adam", "nadam", "adamw", torch.optim.Adam],
)
def test_optimizers(optimizer):
    X, y = toy()
    net = small(optimizer=optimizer, lr=0.02, max_epochs=8).fit(X, y)
    assert net.history[-1]["train_loss"] < net.history[0]["train_loss"]


def test_penalties_shrink_the_weights():
    X, y = toy()

    def size(**options):
        return sum(
            float(p.detach().abs().sum()) for p in small(**options).fit(X, y).module_.parameters()
        )

    assert size(l1=0.01) < size()
    assert size(weight_decay=1.0) < size()


def test_divergence_stops_with_finite_weights():
    X, y = toy()
    net = small(optimizer="sgd", lr=1e30, max_epochs=5)
    with pytest.warns(DivergenceWarning, match="max_grad_norm"):
        net.fit(X, y)
    assert len(net.history) < 5
    assert np.isfinite(net.predict_proba(X)).all()


def test_gradients_are_cut():
    X, y = toy()
    cut = small(optimizer="sgd", lr=1.0, max_grad_norm=1e-6, max_epochs=1).fit(X, y)
    start = small(optimizer="sgd", lr=1e-30, max_epochs=1).fit(X, y)
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(cut.module_.parameters(), start.module_.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 2e-5


# --- skorch ---------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self):
        self.batches = 0
        self.losses = []

    def on_batch_end(self, net, training=None, **kwargs):
        if training:
            self.batches += 1
            self.losses.append(net.history[-1, "batches", -1, "train_loss"])


def test_callbacks_that_read_batches_get_skorchs_loop():
    X, y = toy()
    recorder = Recorder()
    net = small(callbacks=[recorder]).fit(X, y)
    assert recorder.batches == 4 * 10
    assert len(net.history[-1]["batches"]) == 10
    lean = small().fit(X, y)
    np.testing.assert_allclose(
        net.history[:, "train_loss"], lean.history[:, "train_loss"], rtol=1e-6
    )
    np.testing.assert_array_equal(net.predict_proba(X), lean.predict_proba(X))


def test_scoring_callbacks_see_the_validation_events():
    X, y = toy()
    scoring = EpochScoring("roc_auc", lower_is_better=False, name="auc")
    net = small(callbacks=[scoring], train_split=ValidSplit(3, stratified=True)).fit(X, y)
    assert len(net.history[:, "auc"]) == 4
    assert 0.5 < net.history[-1]["auc"] <= 1
    assert len(net.history[:, "valid_loss"]) == 4
    batch = BatchScoring("accuracy", name="accuracy", on_train=True)
    assert len(small(callbacks=[batch]).fit(X, y).history[:, "accuracy"]) == 4


def test_a_data_loader_gives_the_same_net():
    X, y = toy()
    loader = small(iterator_train=DataLoader, iterator_train__shuffle=False).fit(X, y)
    ours = small(iterator_train__shuffle=False).fit(X, y)
    np.testing.assert_allclose(loader.predict_proba(X), ours.predict_proba(X), atol=1e-6)


def test_a_dataset_of_skorch_is_taken_as_it_is():
    X, y = toy()
    net = small(module=Small(3, 2)).fit(Dataset(X, y.astype(np.int64)), None)
    np.testing.assert_array_equal(net.classes_, [0, 1])
    assert net.predict_proba(Dataset(X, None)).shape == (600, 2)


def test_a_net_survives_pickle_and_clone():
    X, y = toy()
    net = small(callbacks=[("auc", EpochScoring("roc_auc", on_train=True))]).fit(X, y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert again.device == net.device
    assert again.history == net.history
    again.partial_fit(X, y)
    assert len(again.history) == 8
    assert clone(net).get_params(deep=False).keys() == net.get_params(deep=False).keys()


def test_partial_fit_and_warm_start_continue():
    X, y = toy()
    net = small().fit(X, y)
    before = net.history[-1]["train_loss"]
    assert net.partial_fit(X, y).history[-1]["train_loss"] < before
    warm = small(warm_start=True).fit(X, y)
    assert len(warm.fit(X, y).history) == 8
    first = small().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    assert first.partial_fit(X, y).predict_proba(X).shape == (600, 2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"module__dropout": 0.2, "schedule": "one_cycle", "ema_decay": 0.9},
        {"early_stopping": True, "patience": 20, "schedule": "cosine"},
    ],
)
def test_a_killed_fit_continues_to_the_same_result(tmp_path, options):
    X, y = toy()

    class Killed(Exception):
        pass

    class Kill(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                raise Killed

    path = tmp_path / "net.ckpt"
    whole = small(max_epochs=6, **options).fit(X, y)
    with pytest.raises(Killed):
        small(max_epochs=6, checkpoint=path, callbacks=[Kill()], **options).fit(X, y)
    resumed = small(max_epochs=6, checkpoint=path, **options).fit(X, y)
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))
    assert resumed.history[:, "train_loss"] == whole.history[:, "train_loss"]
    with pytest.raises(ValueError, match="other parameters or events"):
        small(max_epochs=7, checkpoint=path, **options).fit(X, y)


# --- input ----------------------------------------------------------------------------------------


def test_automatic_batches_shrink_with_particles():
    def size(*shape):
        return automatic_batch_size(EventDataset(torch.zeros(1).expand(shape), None), "cpu")

    assert size(100, 28) == 32
    assert size(20_000, 28) == 128
    assert size(1_000_000, 28) == 1024
    assert size(1_000_000, 128, 7) == 128
    assert size(1_000_000, 3, 64, 64) == 8


def test_columns_are_read_by_name():
    X, y = toy()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    net = small().fit(frame, y)
    np.testing.assert_array_equal(net.feature_names_in_, ["a", "b", "c"])
    np.testing.assert_array_equal(net.predict(frame[["c", "a", "b"]]), net.predict(frame))


class SumOfInputs(torch.nn.Module):
    """A user's own module, with two inputs by name."""

    def __init__(self, input_shapes, n_outputs):
        super().__init__()
        self.jets = torch.nn.Linear(input_shapes["jets"][-1], n_outputs)
        self.event = torch.nn.Linear(input_shapes["event"][0], n_outputs)

    def forward(self, jets, event):
        present = torch.nan_to_num(jets)
        return self.jets(present).sum(dim=1) + self.event(event)


def test_several_named_inputs():
    X, y = toy()
    jets = np.random.default_rng(0).normal(size=(600, 4, 2)).astype(np.float32)
    jets[:, 2:] = np.nan
    events = {"jets": jets, "event": X}
    net = small(module=SumOfInputs, max_epochs=15).fit(events, y, np.ones(600))
    assert roc_auc_score(y, net.predict_proba(events)[:, 1]) > 0.8
    with pytest.raises(ValueError, match="was fitted on"):
        net.predict({"jets": jets[:, :, :1], "event": X})
    with pytest.raises(ValueError, match="one length"):
        net.predict({"jets": jets[:10], "event": X})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "newton"}, "optimizer must be one of .*, got 'newton'"),
        ({"schedule": "sine"}, "schedule must be one of .*, got 'sine'"),
        ({"criterion": "hinge"}, "criterion='hinge' must be one of"),
        ({"max_epochs": 0}, "max_epochs must be a positive integer"),
        ({"device": "cuda:99"}, "GPUs"),
        ({"validation_fraction": 1.5}, "between 0 and 1"),
        ({"module__n_nodes": 3}, "n_nodes"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    X, y = toy(50)
    with pytest.raises((ValueError, TypeError), match=message):
        small(**options).fit(X, y)


def test_wrong_input_is_refused():
    X, y = toy(50)
    net = small().fit(X, y)
    with pytest.raises(ValueError, match="features"):
        net.predict(X[:, :2])
    with pytest.raises(ValueError, match="only one class"):
        small().fit(X, np.zeros(50))
    missing = X.copy()
    missing[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        small().fit(missing, y)
    with pytest.raises(ValueError, match="no axis beyond the first may be empty"):
        small().fit(np.zeros((50, 0, 3), np.float32), y)


# --- regression -----------------------------------------------------------------------------------


def regressor(**options):
    defaults = {"max_epochs": 60, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return NetRegressor(**({"module": Small} | defaults | options))


@pytest.mark.parametrize("criterion", ["squared", "absolute", "huber", torch.nn.SmoothL1Loss])
def test_regression_in_the_units_of_the_target(criterion):
    X, _ = toy(500)
    y = 1e4 + 300 * X[:, 0]
    prediction = regressor(criterion=criterion).fit(X, y).predict(X)
    assert prediction.shape == (500,)
    assert np.abs(prediction - y).mean() < 60


@pytest.mark.parametrize("criterion", ["gaussian", "quantile"])
def test_predicted_widths(criterion):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(3000, 1)).astype(np.float32)
    width = np.where(X[:, 0] > 0, 3.0, 1.0)
    y = 50 + rng.normal(scale=width)
    net = regressor(criterion=criterion, max_epochs=25, batch_size=128).fit(X, y)
    mean, std = net.predict(np.array([[-0.5], [0.5]], np.float32), return_std=True)
    np.testing.assert_allclose(mean, 50, atol=0.5)
    np.testing.assert_allclose(std, [1.0, 3.0], rtol=0.2)
    with pytest.raises(ValueError, match="predicts no width"):
        regressor(max_epochs=1).fit(X, y).predict(X, return_std=True)


def test_several_targets():
    X, _ = toy(500)
    y = np.column_stack([X[:, 0], 100 * X[:, 1]])
    prediction = regressor(max_epochs=60, batch_size=64).fit(X, y).predict(X)
    assert prediction.shape == (500, 2)
    assert np.corrcoef(prediction[:, 1], y[:, 1])[0, 1] > 0.95


def test_validation_sees_the_average_in_both_loops():
    X, y = toy()
    options = {"ema_decay": 0.95, "early_stopping": True, "patience": 10}
    lean = small(**options).fit(X, y)
    watched = small(callbacks=[Recorder()], **options).fit(X, y)
    np.testing.assert_allclose(
        watched.history[:, "valid_loss"], lean.history[:, "valid_loss"], rtol=1e-5
    )
