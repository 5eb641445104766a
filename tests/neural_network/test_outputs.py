"""Calibration, other class mixtures, input gradients, the learning-rate range test."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss

from skhep_ml.exceptions import NetWarning
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network._outputs import fit_temperature
from skhep_ml.neural_network.modules import MLP


class Small(MLP):
    def __init__(self, n_features, n_outputs, hidden=(16,), activation="tanh", dropout=0.0):
        super().__init__(n_features, n_outputs, hidden, activation=activation, dropout=dropout)


class Recurrent(torch.nn.Module):
    """A user's own module: the last state over the particles that are there."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.cell = torch.nn.GRU(n_features, 8, batch_first=True)
        self.head = torch.nn.Linear(8, n_outputs)

    def forward(self, X):
        present = ~torch.isnan(X).all(dim=-1)
        states, _ = self.cell(torch.where(torch.isnan(X), 0.0, X))
        return self.head((states * present[..., None]).sum(dim=1))


def toy(n=600, seed=0, n_classes=2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    X[:, 0] += 1.5 * y
    return X, y


def net(cls=NetClassifier, **options):
    defaults = {"module": Small, "max_epochs": 5, "lr": 0.01, "random_state": 0, "device": "cpu"}
    return cls(**(defaults | options))


# --- temperature ----------------------------------------------------------------------------------


def known_temperature(n=10000, temperature=2.5, seed=0):
    """Classes drawn with probability softmax(z), predictions softmax(T z)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (rng.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1)
    sharp = temperature * logits
    return sharp - np.log(np.exp(sharp).sum(axis=1, keepdims=True)), codes.clip(max=2)


def test_the_temperature_is_found():
    log_probability, codes = known_temperature()
    assert fit_temperature(log_probability, codes) == pytest.approx(2.5, rel=0.1)
    flat, codes = known_temperature(temperature=0.3)
    assert fit_temperature(flat, codes) == pytest.approx(0.3, rel=0.1)


def test_signed_weights_find_the_temperature_of_their_density():
    """Events of another class cancel against others with weight -1."""
    log_probability, codes = known_temperature()
    rng = np.random.default_rng(1)
    extra = rng.integers(0, len(codes), 5000)
    wrong = rng.integers(0, 3, 5000)
    rows = np.concatenate([np.arange(len(codes)), extra, extra])
    classes = np.concatenate([codes, wrong, wrong])
    weight = np.concatenate([np.ones(len(codes)), np.ones(5000), -np.ones(5000)])
    signed = fit_temperature(log_probability[rows], classes, weight)
    assert signed == pytest.approx(fit_temperature(log_probability, codes), rel=1e-4)
    absolute = fit_temperature(log_probability[rows], classes, np.abs(weight))
    assert absolute > 1.2 * signed


def test_no_temperature_without_mistakes():
    log_probability = np.log([[0.9, 0.1], [0.2, 0.8]])
    with pytest.warns(NetWarning, match="determine no temperature"):
        assert fit_temperature(log_probability, np.array([0, 1])) == 1


def test_a_calibrated_net_is_more_honest():
    X, y = toy(400)
    X_valid, y_valid = toy(2000, seed=1)
    X_test, y_test = toy(4000, seed=2)
    options = {"max_epochs": 30, "lr": 0.03, "batch_size": 32, "module__hidden": (64,)}
    raw = net(**options).fit(X, y)
    calibrated = net(calibrate="temperature", **options).fit(X, y, eval_set=(X_valid, y_valid))
    assert calibrated.temperature_ > 1.1
    assert log_loss(y_test, calibrated.predict_proba(X_test)) < log_loss(
        y_test, raw.predict_proba(X_test)
    )
    np.testing.assert_array_equal(calibrated.predict(X_test), raw.predict(X_test))
    np.testing.assert_allclose(
        calibrated.decision_function(X_test),
        raw.decision_function(X_test) / calibrated.temperature_,
        rtol=1e-4,
        atol=1e-4,
    )
    odds = calibrated.predict_proba(X_test[:50])
    np.testing.assert_allclose(
        calibrated.decision_function(X_test[:50]), np.log(odds[:, 1] / odds[:, 0]), atol=1e-3
    )


def test_calibration_with_early_stopping_refit_and_members():
    X, y = toy(1000, n_classes=3)
    weight = np.where(np.random.default_rng(0).random(1000) < 0.1, -1.0, 1.0)
    model = net(calibrate="temperature", early_stopping=True, refit=True, n_members=2)
    model.fit(X, y, weight, groups=np.arange(1000))
    assert 0.2 < model.temperature_ < 5
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    model.partial_fit(X, y, sample_weight=weight)
    assert model.predict_proba(X).shape == (1000, 3)


def test_calibration_needs_held_out_events():
    X, y = toy(100)
    with pytest.raises(ValueError, match="early_stopping=True, or give an eval_set"):
        net(calibrate="temperature").fit(X, y)
    with pytest.raises(ValueError, match="early_stopping=True"):
        net(calibrate="temperature").partial_fit(X, y)
    with pytest.raises(ValueError, match="calibrate must be"):
        net(calibrate="isotonic", early_stopping=True).fit(X, y)


# --- another mixture ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_prior_is_bayes_theorem(n_classes):
    X, y = toy(900, n_classes=n_classes)
    labels = np.array(["bkg", "sig", "other"])[y]
    weight = np.array([1.0, 3.0, 0.5])[y]
    model = net().fit(X, labels, weight)
    sums = [weight[labels == label].sum() for label in model.classes_]
    np.testing.assert_allclose(model.class_prior_, sums / np.sum(sums), rtol=1e-5)
    prior = dict(zip(model.classes_.tolist(), [0.2, 0.7, 0.1], strict=False))
    p = model.predict_proba(X) * np.array(list(prior.values())) / model.class_prior_
    expected = p / p.sum(axis=1, keepdims=True)
    model.set_params(prior=prior)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), model.classes_[expected.argmax(axis=1)])
    model.set_params(prior=5 * np.array(list(prior.values())))
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    model.set_params(prior=dict(zip(model.classes_.tolist(), model.class_prior_, strict=True)))
    unmoved = model.predict_proba(X)
    np.testing.assert_allclose(
        unmoved, model.set_params(prior=None).predict_proba(X), rtol=1e-4, atol=1e-6
    )


def test_a_balanced_net_gives_the_probabilities_of_nature():
    X, y = toy(6000)
    weight = np.where(y == 1, 0.05, 1.0)
    model = net(class_weight="balanced", prior=[1 / 1.05, 0.05 / 1.05], max_epochs=10)
    mean = np.average(model.fit(X, y, weight).predict_proba(X)[:, 1], weights=weight)
    np.testing.assert_allclose(model.class_prior_, 0.5, rtol=1e-5)
    assert mean == pytest.approx(np.average(y, weights=weight), rel=0.3)
    assert np.average(model.set_params(prior=None).predict_proba(X)[:, 1], weights=weight) > 0.15


def test_the_mixture_of_several_calls_of_partial_fit():
    X, y = toy(400)
    model = net(max_epochs=1).partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    model.partial_fit(X, y)
    share = np.sum(y == 1) / (np.sum(y == 0) + 400)
    assert model.class_prior_[1] == pytest.approx(share)
    model.fit(X, y)
    assert model.class_prior_[1] == pytest.approx(np.mean(y == 1))


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({0: 0.5}, "prior lacks 1"),
        ({0: 0.5, 1: 0.5, 2: 0.1}, "prior names 2"),
        ([0.5], r"prior has shape \(1,\)"),
        ([0.5, 0.0], "must be positive and finite"),
        ({0: np.nan, 1: 1.0}, "must be positive and finite"),
    ],
)
def test_bad_priors(prior, message):
    X, y = toy(60)
    with pytest.raises(ValueError, match=message):
        net(prior=prior).fit(X, y)
    model = net(max_epochs=1).fit(X, y).set_params(prior=prior)
    with pytest.raises(ValueError, match=message):
        model.predict_proba(X)


# --- saliency -------------------------------------------------------------------------------------


def numerical_gradient(function, X, step=1e-2):
    gradient = np.zeros_like(X)
    for index in np.ndindex(X.shape[1:]):
        up, down = X.copy(), X.copy()
        up[(slice(None), *index)] += step
        down[(slice(None), *index)] -= step
        gradient[(slice(None), *index)] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("options", [{}, {"n_members": 2}, {"prior": [0.9, 0.1]}])
def test_saliency_is_the_gradient_of_the_log_odds(options):
    X, y = toy()
    model = net(**options).fit(X, y)
    X = X[:40]
    numerical = numerical_gradient(lambda x: model.decision_function(x).astype(np.float64), X)
    saliency = model.saliency(X)
    assert saliency.dtype == np.float32
    np.testing.assert_allclose(saliency, numerical, atol=5e-3)
    np.testing.assert_allclose(model.saliency(X, label=0), -saliency, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="label 7 was not seen in fit"):
        model.saliency(X, label=7)


def test_saliency_of_three_classes():
    X, y = toy(n_classes=3)
    names = np.array(["a", "b", "c"])[y]
    model = net().fit(X, names)
    X = X[:40]

    def log_odds(x):
        p = model.predict_proba(x)[:, 1].astype(np.float64)
        return np.log(p / (1 - p))

    np.testing.assert_allclose(
        model.saliency(X, label="b"), numerical_gradient(log_odds, X), atol=5e-3
    )
    winner = model.predict(X)
    expected = np.select(
        [winner[:, None] == name for name in "abc"], [model.saliency(X, label=c) for c in "abc"]
    )
    np.testing.assert_array_equal(model.saliency(X), expected)


def test_saliency_of_clouds_named_inputs_and_recurrent_layers():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(60, 4, 2)).astype(np.float32)
    cloud[:, 3] = np.nan
    y = (cloud[:, 0, 0] > 0).astype(int)
    model = net(module=Recurrent).fit(cloud, y)
    saliency = model.saliency(cloud)
    assert saliency.shape == cloud.shape
    assert (saliency[:, 3] == 0).all()
    numerical = numerical_gradient(
        lambda x: model.decision_function(x).astype(np.float64), cloud[:, :3]
    )
    np.testing.assert_allclose(model.saliency(cloud[:, :3]), numerical, atol=5e-3)
    events = {"X": cloud, "mass": rng.normal(size=60).astype(np.float32)}
    named = net(module=Recurrent, decorrelate="mass").fit(events, y).saliency(events)
    assert named["X"].shape == (60, 4, 2)
    assert not named["mass"].any()


def test_saliency_of_hidden_columns_is_0():
    X, y = toy()
    frame = pd.DataFrame(X, columns=["a", "mass", "c"])
    saliency = net(decorrelate="mass").fit(frame, y).saliency(frame)
    assert saliency.shape == (600, 3)
    assert not saliency[:, 1].any()
    assert (saliency[:, [0, 2]] != 0).all()


@pytest.mark.parametrize("criterion", ["squared", "gaussian"])
def test_saliency_of_regression_is_in_units_of_the_target(criterion):
    X, _ = toy(500)
    y = np.column_stack([100 * X[:, 0], 50 + X[:, 1]])
    model = net(NetRegressor, criterion=criterion, max_epochs=10).fit(X, y)
    X = X[:30]
    for target in (0, 1):
        numerical = numerical_gradient(
            lambda x, k=target: model.predict(x)[:, k].astype(np.float64), X
        )
        np.testing.assert_allclose(
            model.saliency(X, target=target), numerical, atol=0.02 * np.abs(numerical).max()
        )
    with pytest.raises(ValueError, match="numbered 0 to 1"):
        model.saliency(X, target=2)


def test_outputs_do_not_depend_on_batches():
    X, y = toy()
    model = net(module__dropout=0.5).fit(X, y)
    whole = model.saliency(X), model.embed(X), model.predict_proba(X)
    model.set_params(iterator_valid__batch_size=7)
    parts = model.saliency(X), model.embed(X), model.predict_proba(X)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# --- learning-rate range --------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_range_test_finds_a_rate_that_trains(optimizer):
    X, y = toy(1000)
    model = net(optimizer=optimizer, max_epochs=2)
    test = model.find_lr(X, y, np.ones(1000), max_lr=10.0)
    assert len(test.rates) == len(test.losses)
    np.testing.assert_allclose(np.diff(np.log(test.rates)), np.log(1e7) / 149)
    assert np.isfinite(test.losses).all()

    def loss(rate):
        return clone(model).set_params(lr=rate).fit(X, y).history[-1, "train_loss"]

    suggested = loss(test.suggestion)
    assert suggested < loss(test.suggestion / 100)
    assert suggested < loss(test.suggestion * 1000)


def test_the_range_test_leaves_the_net_alone():
    X, y = toy()
    model = net().fit(X, y)
    before = pickle.dumps(model)
    state = torch.get_rng_state()
    first = model.find_lr(X, y, n_steps=20)
    assert pickle.dumps(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    again = model.find_lr(X, y, n_steps=20)
    np.testing.assert_array_equal(first.losses, again.losses)
    regression = net(NetRegressor, criterion="gaussian").find_lr(X, X[:, 0], n_steps=30)
    assert 1e-6 <= regression.suggestion <= 1


def test_the_range_test_says_when_no_rate_works():
    X, y = toy()
    with pytest.warns(NetWarning, match="does not fall at any rate from 100"):
        net(optimizer="sgd").find_lr(X, y, min_lr=100.0, max_lr=1e6)
    with pytest.raises(ValueError, match="0 < min_lr < max_lr"):
        net().find_lr(X, y, min_lr=1.0, max_lr=0.1)
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 10"):
        net().find_lr(X, y, n_steps=3)
