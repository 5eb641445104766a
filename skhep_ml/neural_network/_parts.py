"""What skorch asks a net for: its module, loss, optimizer and callbacks."""

from __future__ import annotations

import copy
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring, PrintLog

from skhep_ml.neural_network._callbacks import (
    BatchSchedule,
    Checkpoint,
    DivergenceGuard,
    EarlyStopping,
    Schedule,
    Throughput,
    WeightAverage,
)
from skhep_ml.neural_network._inputs import n_features
from skhep_ml.neural_network._losses import EventLoss, UnreducedLoss, make_loss
from skhep_ml.neural_network._members import Members
from skhep_ml.neural_network._parameters import OPTIMIZERS
from skhep_ml.neural_network._penalties import visible_shapes

# arguments of a module's constructor that are filled in where it has them
_INFERRED = ("n_features", "n_outputs", "image_shape", "input_shapes")
# losses of torch whose number of outputs is known
_KNOWN_LOSSES = (
    torch.nn.BCEWithLogitsLoss,
    torch.nn.CrossEntropyLoss,
    torch.nn.NLLLoss,
    torch.nn.MSELoss,
    torch.nn.L1Loss,
    torch.nn.SmoothL1Loss,
    torch.nn.HuberLoss,
)


class Parts(NeuralNet):
    """Makes module, loss, optimizer and callbacks from the parameters of a net."""

    _losses: ClassVar[dict[str, type[EventLoss]]] = {}

    def initialize_module(self) -> Any:
        """Make the module, with the shapes that its constructor asks for by name."""
        kwargs = self.get_params_for("module")
        if not isinstance(self.module, torch.nn.Module):
            kwargs = self._with_shapes(kwargs)
        if self.n_members > 1:
            members = (
                self.initialized_instance(self.module, kwargs) for _ in range(self.n_members)
            )
            self.module_ = Members(list(members))
            return self
        module = self.initialized_instance(self.module, kwargs)
        # a parameter is not trained: another fit must begin where this one does
        self.module_ = copy.deepcopy(module) if module is self.module else module
        return self

    def _with_shapes(self, given: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the module, those that follow from the data among them."""
        asked = signature(self.module).parameters
        known = self._inferred()
        kwargs = {**{name: known[name] for name in known if name in asked}, **given}
        for name in _INFERRED:
            if name in asked and asked[name].default is Parameter.empty and name not in kwargs:
                msg = f"the module {_name(self.module)} needs {name}, {self._why_unknown(name)}"
                raise ValueError(msg)
        return kwargs

    def _why_unknown(self, name: str) -> str:
        shapes = visible_shapes(self)
        if name != "n_outputs" and shapes is not None:
            return f"which does not follow from inputs of shapes {shapes}: give module__{name}"
        labels = " or from y" if name == "n_outputs" else ""
        return f"which fit learns from arrays{labels}; otherwise give module__{name}"

    def _inferred(self) -> dict[str, Any]:
        """What is known of the data, by the names of `_INFERRED`."""
        known: dict[str, Any] = {}
        n_targets, shapes = self._n_targets(), visible_shapes(self)
        if n_targets is not None:
            known["n_outputs"] = self._n_loss_outputs(self._make_criterion(), n_targets)
        if shapes is not None:
            known["input_shapes"] = shapes
            if not isinstance(shapes, dict):
                known |= {"n_features": n_features(shapes), "image_shape": shapes}
        return known

    def _n_loss_outputs(self, loss: Any, n_targets: int) -> int:
        """Outputs of the module that a loss takes for so many classes or targets."""
        return loss.n_outputs(n_targets) if isinstance(loss, EventLoss) else n_targets

    def _make_criterion(self) -> Any:
        return make_loss(self.criterion, self._losses, self.get_params_for("criterion"))

    def initialize_criterion(self) -> Any:
        """Make the loss from its name or class."""
        self.criterion_ = loss = self._make_criterion()
        of_torch = isinstance(loss, UnreducedLoss)
        known = (
            isinstance(loss.criterion, _KNOWN_LOSSES) if of_torch else isinstance(loss, EventLoss)
        )
        self._n_outputs_ = self._inferred().get("n_outputs") if known else None
        return self

    def _check_n_outputs(self, output: Any) -> None:
        """Refuse a module that gives another number of outputs than the loss takes."""
        if self._n_outputs_ is None:
            return
        n_outputs = output.shape[-1] if output.ndim > 1 else 1
        if n_outputs != self._n_outputs_:
            criterion = self.criterion
            msg = (
                f"the module {_name(self.module)} gives {n_outputs} outputs for each event, but "
                f"criterion={criterion if isinstance(criterion, str) else _name(criterion)} needs "
                f"{self._n_outputs_} for {self._n_targets()} {self._target_words}"
            )
            raise ValueError(msg)

    def torch_compile(self, module: Any, name: str) -> Any:
        """Compile the module on request, not the loss, whose kind the net looks at."""
        return module if name == "criterion" else super().torch_compile(module, name=name)

    def initialize_optimizer(self, triggered_directly: Any = None) -> Any:
        """Make the optimizer, fused where torch can."""
        groups, kwargs = self.get_params_for_optimizer("optimizer", self.get_all_learnable_params())
        optimizer = self.optimizer
        options: dict[str, Any] = {}
        if isinstance(optimizer, str):
            optimizer, options = OPTIMIZERS[optimizer]
        if self.weight_decay and "weight_decay" not in kwargs:
            options = {**options, "weight_decay": self.weight_decay}
        elif optimizer is torch.optim.AdamW:
            options = {**options, "weight_decay": 0.0}
        self.optimizer_ = optimizer(*groups, **{**options, **kwargs})
        return self

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
            ("throughput", Throughput()),
            ("divergence", DivergenceGuard()),
            ("print_log", PrintLog()),
        ]

    def get_default_callbacks(self) -> list[tuple[str, Callback]]:
        """Callbacks of every net, and those that the parameters ask for."""
        asked: list[tuple[str, Callback]] = []
        if self.ema_decay is not None:
            asked.append(("average", WeightAverage(self.ema_decay)))
        if self.schedule != "constant":
            kind = BatchSchedule if self.schedule == "one_cycle" else Schedule
            asked.append(("schedule", kind(self.schedule)))
        if self.early_stopping and (self._run is None or self._run.valid is not None):
            metric = "valid_loss" if self.eval_metric is None else "valid_metric"
            greater = self.eval_metric is not None
            asked.append(("early_stopping", EarlyStopping(self.patience, metric, greater)))
        if self.checkpoint is not None:
            asked.append(("checkpoint", Checkpoint(self.checkpoint_every)))
        *always, print_log = self._default_callbacks
        return [*always, *asked, print_log]


def _name(module: Any) -> str:
    return getattr(module, "__name__", type(module).__name__)
