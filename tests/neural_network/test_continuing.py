"""A second fit, more epochs, changed parameters: what stays, what changes, what is refused."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import MLP

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3)).astype(np.float32)
y = (X[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)


def small(cls=NetClassifier, **options):
    defaults = {
        "module__hidden": (8,),
        "max_epochs": 3,
        "lr": 0.01,
        "random_state": 0,
        "device": "cpu",
    }
    return cls(**(defaults | options))


# --- warm_start and partial_fit -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_other_columns_or_classes(method):
    frame = pd.DataFrame(X, columns=list("abc"))
    with pytest.raises(ValueError, match="features, but NetClassifier is expecting 3"):
        getattr(small(warm_start=True).fit(X, y), method)(X[:, :2], y)
    net = small(warm_start=True).fit(frame, y)
    again = getattr(net, method)
    with pytest.raises(ValueError, match="missing"):
        again(frame.rename(columns={"c": "d"}), y)
    with pytest.raises(ValueError, match="label 2 was not seen in fit"):
        again(frame, y + 1)
    with pytest.raises(ValueError, match="was fitted on"):
        again(np.zeros((300, 4, 3), np.float32), y)
    np.testing.assert_array_equal(net.classes_, [0, 1])
    assert len(again(frame[list("cab")], np.zeros(300, int)).history) == 6


def test_other_classes_than_in_the_first_call():
    net = small().partial_fit(X, y, classes=[0, 1])
    assert len(net.partial_fit(X, y, classes=[1, 0]).history) == 6
    with pytest.raises(ValueError, match=r"of the first call, \[0, 1\]: they differ by 2"):
        net.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="NetRegressor has no classes"):
        small(NetRegressor).partial_fit(X, X[:, 0], classes=[0, 1])


def test_a_warm_regressor_keeps_its_scale():
    net = small(NetRegressor, warm_start=True, max_epochs=40).fit(X, 100 + 7 * X[:, 0])
    before = net.predict(X)
    net.set_params(max_epochs=1, lr=1e-30).fit(X, 5 * X[:, 0])
    np.testing.assert_allclose(net.predict(X), before, rtol=1e-6)
    with pytest.raises(ValueError, match="2 targets, but fit had 1"):
        net.fit(X, X[:, :2])
    with pytest.raises(ValueError, match="2 targets, but fit had 1"):
        net.fit(X, X[:, 0], eval_set=(X, X[:, :2]))


def test_refit_of_a_warm_net():
    """The refit of a warm fit begins where this fit began, not where its first part ended."""
    options = {"warm_start": True, "lr": 0.05, "optimizer": "momentum"}
    net = small(early_stopping=True, refit=True, patience=2, max_epochs=20, **options).fit(X, y)
    first_best = net.best_epoch_
    assert len(net.history) == first_best
    start = copy.deepcopy(net)
    net.fit(X, y)
    n_new = len(net.history) - first_best
    assert net.best_epoch_ == first_best + n_new
    start.set_params(early_stopping=False, refit=False, max_epochs=n_new).fit(X, y)
    np.testing.assert_array_equal(start.predict_proba(X), net.predict_proba(X))
    assert start.history[:, "train_loss"] == net.history[:, "train_loss"]


def test_parameters_of_training_may_change_between_calls():
    net = small().fit(X, y)
    net.set_params(early_stopping=True, schedule="exponential", ema_decay=0.9).partial_fit(X, y)
    assert "valid_loss" in net.history[-1]
    assert net.best_epoch_ in (4, 5, 6)
    assert net.history[-1, "lr"] < 0.01
    net.set_params(early_stopping=False, schedule="constant").partial_fit(X, y)
    assert "valid_loss" not in net.history[-1]
    assert len(net.history) == 9


# --- what a fit learns beside the weights ---------------------------------------------------------


def test_the_class_mixture_is_that_of_the_last_training():
    """Early stopping trains on a part, refit on everything."""
    weight = np.where(np.arange(300) < 150, 1.0, 3.0)
    share = np.bincount(y, weight) / weight.sum()
    net = small(early_stopping=True, refit=True).fit(X, y, weight)
    np.testing.assert_allclose(net.class_prior_, share)
    part = small(early_stopping=True).fit(X, y, weight)
    assert not np.allclose(part.class_prior_, share, atol=1e-4)
    net.set_params(early_stopping=False).partial_fit(X[y == 0], y[y == 0])
    assert net.class_prior_[0] > share[0]


def test_a_temperature_goes_with_its_parameter():
    net = small(early_stopping=True, calibrate="temperature", refit=True).fit(X, y)
    assert net.temperature_ != 1
    raw = clone(net).set_params(calibrate=None).fit(X, y)
    assert not hasattr(raw, "temperature_")
    net.set_params(calibrate=None)
    np.testing.assert_array_equal(net.predict_proba(X), raw.predict_proba(X))
    np.testing.assert_array_equal(net.decision_function(X), raw.decision_function(X))
    assert not hasattr(net.partial_fit(X, y), "temperature_")
    raw.set_params(calibrate="temperature")
    with pytest.raises(ValueError, match="needs temperature_, which the last fit did not learn"):
        raw.predict_proba(X)


# --- set_params after fit -------------------------------------------------------------------------


def test_a_new_optimizer_takes_effect_at_once():
    net = small(optimizer="adam").fit(X, y)
    assert net.optimizer_.state
    net.set_params(optimizer="momentum", weight_decay=0.3)
    assert isinstance(net.optimizer_, torch.optim.SGD)
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.3
    assert not net.optimizer_.state
    before = net.predict_proba(X)
    net.partial_fit(X, y)
    assert not np.allclose(net.predict_proba(X), before)
    with pytest.raises(ValueError, match="optimizer must be one of"):
        net.set_params(optimizer="newton")
    with pytest.raises(ValueError, match="weight_decay must be"):
        net.set_params(weight_decay=-1)
    assert net.weight_decay == 0.3


def test_more_epochs_follow_the_new_weight_decay():
    def size(weight_decay):
        net = small(optimizer="sgd").fit(X, y).set_params(weight_decay=weight_decay)
        net.partial_fit(X, y)
        return sum(float(p.detach().square().sum()) for p in net.module_.parameters())

    assert size(5.0) < 0.5 * size(0.0)


def test_options_of_the_optimizer_survive_another_fit():
    net = small(optimizer="sgd").fit(X, y)
    net.set_params(optimizer__momentum=0.5, lr=0.02)
    assert net.optimizer_.param_groups[0]["momentum"] == 0.5
    assert net.get_params()["optimizer__momentum"] == 0.5
    assert net.fit(X, y).optimizer_.param_groups[0]["momentum"] == 0.5
    assert clone(net).fit(X, y).optimizer_.param_groups[0]["lr"] == 0.02


def test_another_module_is_made_where_the_net_is():
    net = small(device="auto").fit(X, y).set_params(module__hidden=(5,))
    assert net.module_.head.in_features == 5
    assert net.device == "auto"
    assert net.partial_fit(X, y).predict(X).shape == (300,)


# --- initialize -----------------------------------------------------------------------------------


def test_initialize_needs_shapes():
    with pytest.raises(
        ValueError, match=r"needs n_features, which fit learns .* module__n_features"
    ):
        small().initialize()
    with pytest.raises(ValueError, match="needs n_outputs"):
        small(module__n_features=3).initialize()
    with pytest.raises(ValueError, match="lr must be"):
        small(lr=-1).initialize()


def test_initialize_with_given_shapes():
    given = {"module__n_features": 3, "module__n_outputs": 2}
    net = small(device="auto", **given).initialize()
    again = small(device="auto", **given).initialize()
    for first, second in zip(net.module_.parameters(), again.module_.parameters(), strict=True):
        assert torch.equal(first, second)
    with pytest.raises(ValueError, match="learnt in fit"):
        net.predict(X)
    with pytest.raises(ValueError, match="learnt in fit"):
        net.embed(X)
    before = net.module_
    assert net.partial_fit(X, y).predict(X).shape == (300,)
    assert net.module_ is before
    assert small(**given, warm_start=True).initialize().fit(X, y).score(X, y) > 0


def test_nothing_is_said_about_making_parts_anew(capsys):
    small(verbose=1, early_stopping=True, refit=True).fit(X, y)
    printed = capsys.readouterr().out
    assert "Re-initializing" not in printed
    assert printed.count("train_loss") == 2


# --- divergence -----------------------------------------------------------------------------------


class Counting(MLP):
    """Breaks down at a given batch; ``starts`` holds the biases before each one."""

    def __init__(self, n_features, n_outputs, breaks_at):
        super().__init__(n_features, n_outputs, (4,))
        self.breaks_at = breaks_at
        self.starts = []

    def forward(self, X):
        output = super().forward(X)
        if not self.training:
            return output
        self.starts.append(self.head.bias.detach().clone())
        return output * float("nan") if len(self.starts) > self.breaks_at else output


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("ema_decay", [None, 0.5])
@pytest.mark.parametrize("n_good", [0, 1, 2, 3])
def test_the_last_weights_with_a_finite_loss(n_good, ema_decay, validated):
    """With 2 batches an epoch: those of the last epoch that something finite was computed with."""
    options = {"module": Counting, "batch_size": 150, "max_epochs": 6, "ema_decay": ema_decay}
    net = NetClassifier(
        module__breaks_at=2 * n_good, random_state=0, device="cpu", lr=0.01, **options
    )
    held = {"eval_set": (X, y)} if validated else {}
    with pytest.warns(DivergenceWarning, match=f"in epoch {n_good + 1}"):
        net.fit(X, y, **held)
    # after n epochs: the weights at their end where held-out events saw them, else at their start
    n_epochs = n_good if validated or n_good == 0 else n_good - 1
    if n_epochs == 0:
        assert torch.equal(net.module_.head.bias, net.module_.starts[0])
        return
    plain = NetClassifier(
        module__breaks_at=99,
        random_state=0,
        device="cpu",
        lr=0.01,
        **(options | {"max_epochs": n_epochs}),
    ).fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))


def test_the_weights_are_copied_once_an_epoch(monkeypatch):
    from skhep_ml.neural_network import _memory

    copies = []
    copy_state = _memory.copy_state
    monkeypatch.setattr(_memory, "copy_state", lambda net: copies.append(1) or copy_state(net))
    small(max_epochs=5).fit(X, y)
    assert len(copies) == 5
