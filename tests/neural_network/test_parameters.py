"""What every parameter may be: one table, checked before any work."""

import inspect

import numpy as np
import pytest
import torch
from skorch.callbacks import EpochScoring

from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network._parameters import ALLOWED, check_parameter
from skhep_ml.neural_network.modules import MLP

# what depends on the data, and what has a function of its own
ELSEWHERE = {"decorrelate", "decorrelate_label", "device", "kwargs", "prior", "random_state"}

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)


def small(cls=NetClassifier, **options):
    defaults = {"module__hidden": (8,), "max_epochs": 2, "random_state": 0, "device": "cpu"}
    return cls(**(defaults | options))


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_every_parameter_has_a_rule_that_its_default_keeps(cls):
    parameters = dict(inspect.signature(cls).parameters)
    assert set(parameters) - ELSEWHERE <= set(ALLOWED)
    for name in set(parameters) & set(ALLOWED):
        check_parameter(name, parameters[name].default)
    for name in set(parameters) - {"kwargs"}:
        assert (
            f"{name} : " in cls.__doc__ or f"{name}, " in cls.__doc__ or f", {name}" in cls.__doc__
        )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("batch_size", [1, "auto", -1, np.int64(64), np.int64(-1)]),
        ("callbacks", [None, [], "disable"]),
        ("class_weight", [None, "balanced", {"signal": 2, "background": 0.0}]),
        ("early_stopping", [True, np.True_]),
        ("ema_decay", [None, 0, 0.999]),
        ("eval_metric", [None, lambda y, score, weight: 0.0]),
        ("lr", [1e-30, np.float32(0.1), 1]),
        ("max_grad_norm", [None, 1]),
        ("module", [MLP, torch.nn.Linear(3, 2), lambda n_features: None]),
        ("optimizer", ["sgd", torch.optim.LBFGS]),
        ("train_split", [None, False, lambda dataset, y: (dataset, None)]),
        ("verbose", [0, True, 2]),
    ],
)
def test_allowed(name, values):
    for value in values:
        check_parameter(name, value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("batch_size", "big", "a positive integer, or 'auto', or -1"),
        ("batch_size", 0, "a positive integer"),
        ("calibrate", True, r"one of \('temperature', None\)"),
        ("callbacks", EpochScoring("roc_auc"), "a list"),
        ("checkpoint", 3, "a path, or None"),
        ("class_weight", {1: -2.0}, "number of at least 0"),
        ("class_weight", {1: np.nan}, "number of at least 0"),
        ("class_weight", "weighted", '"balanced"'),
        ("compile", "yes", "True or False"),
        ("early_stopping", "yes", "True or False"),
        ("early_stopping", 1, "True or False"),
        ("ema_decay", 1, "below 1"),
        ("gradient_penalty", None, "a number of at least 0"),
        ("iterator_train", None, "a class or function"),
        ("l1", np.array([0.1, 0.2]), "a number of at least 0"),
        ("lr", 0, "a positive number"),
        ("lr", -1e-3, "a positive number"),
        ("lr", np.inf, "a positive number"),
        ("lr", "fast", "a positive number"),
        ("max_epochs", True, "a positive integer"),
        ("max_epochs", 0, "a positive integer"),
        ("max_epochs", -3, "a positive integer"),
        ("max_epochs", 2.0, "a positive integer"),
        ("max_grad_norm", 0, "a positive number, or None"),
        ("module", None, "a torch.nn.Module class or instance"),
        ("module", "MLP", "a torch.nn.Module class or instance"),
        ("n_members", 0, "a positive integer"),
        ("negative_weights", "clip", "one of .*'refine'"),
        ("optimizer", None, "or a torch optimizer class"),
        ("patience", 0, "a positive integer"),
        ("precision", np.array(["bf16"]), "one of"),
        ("refit", None, "True or False"),
        ("salt", "pepper", "an integer"),
        ("validation_fraction", 0, "between 0 and 1"),
        ("validation_fraction", 1.0, "between 0 and 1"),
        ("weight_cap", 1.5, "between 0 and 1, or None"),
        ("weight_scale", "sum", "one of"),
    ],
)
def test_refused_before_any_work(name, value, words):
    net = small(**{name: value})
    with pytest.raises(ValueError, match=f"{name} must be .*{words}.*, got "):
        net.fit(X, y)
    assert not net.initialized_
    assert not hasattr(net, "classes_")
    with pytest.raises(ValueError, match=f"{name} must be"):
        net.partial_fit(X, y)


@pytest.mark.parametrize(
    ("cls", "criterion", "option", "value"),
    [
        (NetClassifier, "focal", "gamma", -0.5),
        (NetClassifier, "cross_entropy", "label_smoothing", 1.0),
        (NetClassifier, "double_disco", "strength", -1),
        (NetClassifier, "double_disco", "label", 2),
        (NetRegressor, "huber", "delta", 0.0),
    ],
)
def test_options_of_losses(cls, criterion, option, value):
    with pytest.raises(ValueError, match=rf"criterion__{option} must be .*, got {value}"):
        small(cls, criterion=criterion, **{f"criterion__{option}": value}).fit(X, y)


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"eval_metric": lambda *a: 0.0}, {}, "eval_metric needs .* early_stopping=True, or give"),
        ({}, {"sample_weight_eval_set": [y]}, "there is none"),
        ({"callbacks__foo__bar": 3}, {}, r"callbacks__foo__bar belongs to no callback: .*'print_l"),
        ({"callbacks__early_stopping__patience": 3}, {}, "belongs to no callback"),
    ],
)
def test_what_has_no_use(cls, options, arguments, message):
    with pytest.raises(ValueError, match=message):
        small(cls, **options).fit(X, y, **arguments)


def test_callbacks_are_reached_by_name():
    score = ("score", EpochScoring("roc_auc", on_train=True))
    options = {"callbacks__print_log": None, "callbacks__early_stopping__patience": 1}
    net = small(callbacks=[score], callbacks__score__name="auc", early_stopping=True, **options)
    assert net.fit(X, y).history[:, "auc"]
    assert dict(net.callbacks_)["early_stopping"].patience == 1
