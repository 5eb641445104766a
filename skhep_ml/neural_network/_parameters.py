"""What every parameter of a net may be: the one table that is checked before any work.

To add a parameter: store it in the constructors of `EventNet`, `NetClassifier` and `NetRegressor`,
describe it in the docstrings of the latter two, and say in `ALLOWED` what it may be; a test finds
one that was forgotten. What depends on several parameters is checked in `check_parameters`; what
depends on the data, such as names of columns or classes, where the data are.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from skhep_ml.neural_network._callbacks import SCHEDULES
from skhep_ml.weights._policies import NEGATIVE_WEIGHT_POLICIES

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"fused": True}),
    "momentum": (torch.optim.SGD, {"fused": True, "momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {"fused": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "nadam": (torch.optim.NAdam, {}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}


class Rule(NamedTuple):
    """What a parameter may be: a test of its value, and the same in words."""

    allows: Callable[[Any], bool]
    words: str

    def or_(self, other: Any) -> Rule:
        """The same, or one other value."""
        return Rule(
            lambda value: _is(value, other) or self.allows(value), f"{self.words}, or {other!r}"
        )


def _is(value: Any, choice: Any) -> bool:
    # no comparison with arrays, whose result is an array
    comparable = isinstance(value, str) or _is_integer(value)
    return value is choice or (comparable and bool(value == choice))


def _one_of(*choices: Any) -> Rule:
    return Rule(lambda value: any(_is(value, c) for c in choices), f"one of {choices}")


def _is_number(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_class_weight(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_number(factor) and factor >= 0 for factor in value.values())
    return value is None or _is(value, "balanced")


def _is_metric(value: Any) -> bool:
    # scorers of scikit-learn are called with an estimator
    function = callable(value) and not hasattr(value, "_score_func")
    return value is None or function or hasattr(value, "score_predictions")


_YES_OR_NO = Rule(lambda value: isinstance(value, (bool, np.bool_)), "True or False")
_INTEGER = Rule(_is_integer, "an integer")
_COUNT = Rule(lambda value: _is_integer(value) and value >= 1, "a positive integer")
_POSITIVE = Rule(lambda value: _is_number(value) and value > 0, "a positive number")
_SIZE = Rule(lambda value: _is_number(value) and value >= 0, "a number of at least 0")
_SHARE = Rule(lambda value: _is_number(value) and 0 < value < 1, "a number between 0 and 1")
_PART = Rule(lambda value: _is_number(value) and 0 <= value < 1, "at least 0 and below 1")
_FUNCTION = Rule(callable, "a class or function")
_PATH = Rule(lambda value: isinstance(value, (str, os.PathLike)), "a path")

ALLOWED: dict[str, Rule] = {
    "module": Rule(
        callable, "a torch.nn.Module class or instance, such as those of neural_network.modules"
    ),
    "n_members": _COUNT,
    "criterion": Rule(
        lambda value: isinstance(value, str) or callable(value), "a name or a torch criterion"
    ),
    "optimizer": Rule(
        lambda value: value in OPTIMIZERS if isinstance(value, str) else callable(value),
        f"one of {tuple(OPTIMIZERS)}, or a torch optimizer class",
    ),
    "lr": _POSITIVE,
    "weight_decay": _SIZE,
    "l1": _SIZE,
    "schedule": _one_of(*SCHEDULES),
    "max_epochs": _COUNT,
    "batch_size": _COUNT.or_("auto").or_(-1),
    "sampling": _one_of("shuffle", "weight"),
    "early_stopping": _YES_OR_NO,
    "validation_fraction": _SHARE,
    "patience": _COUNT,
    "eval_metric": Rule(
        _is_metric,
        "a scorer of skhep_ml.metrics or a function (y_true, y_score, sample_weight), or None",
    ),
    "refit": _YES_OR_NO,
    "negative_weights": _one_of(*NEGATIVE_WEIGHT_POLICIES),
    "weight_scale": _one_of("mean", None),
    "weight_cap": _SHARE.or_(None),
    "class_weight": Rule(
        _is_class_weight, '"balanced", a dict {label: number of at least 0}, or None'
    ),
    "scale_target": _YES_OR_NO,
    "max_grad_norm": _POSITIVE.or_(None),
    "gradient_penalty": _SIZE,
    "decorrelation_strength": _SIZE,
    "decorrelate_visible": _YES_OR_NO,
    "ema_decay": _PART.or_(None),
    "precision": _one_of("float32", "bf16"),
    "compile": _YES_OR_NO,
    "calibrate": _one_of("temperature", None),
    "checkpoint": _PATH.or_(None),
    "checkpoint_every": _COUNT,
    "salt": _INTEGER,
    "iterator_train": _FUNCTION,
    "iterator_valid": _FUNCTION,
    # skorch takes False too
    "train_split": Rule(lambda value: value is False or callable(value), "a function").or_(None),
    "callbacks": Rule(lambda value: isinstance(value, list), "a list").or_("disable").or_(None),
    "warm_start": _YES_OR_NO,
    "verbose": Rule(lambda value: isinstance(value, numbers.Integral), "an integer"),
}


#: The same for ``criterion__*`` of the losses that have names.
ALLOWED_OF_LOSSES: dict[str, dict[str, Rule]] = {
    "cross_entropy": {"criterion__label_smoothing": _PART},
    "focal": {"criterion__gamma": _SIZE},
    "double_disco": {"criterion__strength": _SIZE, "criterion__label": _one_of(0, 1)},
    "huber": {"criterion__delta": _POSITIVE},
}


def check_parameter(name: str, value: Any, allowed: dict[str, Rule] = ALLOWED) -> None:
    """Check one parameter that the table knows.

    Raises
    ------
    ValueError
        It may not be that.
    """
    if not allowed[name].allows(value):
        msg = f"{name} must be {allowed[name].words}, got {value!r}"
        raise ValueError(msg)


def check_parameters(net: Any) -> None:
    """Check all parameters of a net that can be judged without data.

    Raises
    ------
    ValueError
        A value that is not allowed, or values that do not go together.
    """
    of_loss = ALLOWED_OF_LOSSES.get(net.criterion, {}) if isinstance(net.criterion, str) else {}
    for allowed in (ALLOWED, of_loss):
        for name in allowed:
            if hasattr(net, name):
                check_parameter(name, getattr(net, name), allowed)
    if net.gradient_penalty and net.compile:
        msg = "gradient_penalty needs second derivatives, which compile=True does not have"
        raise ValueError(msg)
    if net.n_members > 1 and isinstance(net.module, torch.nn.Module):
        msg = (
            f"n_members={net.n_members} makes every member anew, so module must be a class "
            f"(module={type(net.module).__name__}, with its arguments as module__*), "
            "not an instance"
        )
        raise ValueError(msg)
    _check_callbacks(net)
    net._check_checkpoint()


def _check_callbacks(net: Any) -> None:
    """Refuse parameters of callbacks that are not there."""
    if net.callbacks == "disable":
        return
    known = [name for name, _ in net._uniquely_named_callbacks()]
    for parameter in vars(net):
        if parameter.startswith("callbacks__") and parameter.split("__")[1] not in known:
            msg = f"{parameter} belongs to no callback: those of this net are {known}"
            raise ValueError(msg)
