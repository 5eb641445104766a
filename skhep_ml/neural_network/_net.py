"""The engine: a skorch net that is a scikit-learn estimator and does not wait for Python."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback, EpochTimer, PassthroughScoring, PrintLog
from skorch.dataset import unpack_data
from skorch.utils import is_dataset, to_tensor
from torch import Tensor
from torch.utils.data import DataLoader

from skhep_ml._device import resolve_device
from skhep_ml.neural_network._callbacks import (
    SCHEDULES,
    BatchSchedule,
    Checkpoint,
    DivergenceGuard,
    EarlyStopping,
    Schedule,
    Throughput,
    WeightAverage,
)
from skhep_ml.neural_network._checkpoint import Resumable
from skhep_ml.neural_network._dataset import (
    NUISANCE,
    WEIGHT,
    BatchIterator,
    EventDataset,
    first_output,
    unwrap,
)
from skhep_ml.neural_network._inputs import check_inputs, to_tensors
from skhep_ml.neural_network._loop import LeanLoop
from skhep_ml.neural_network._losses import EventLoss, make_loss
from skhep_ml.neural_network._members import Members
from skhep_ml.neural_network._memory import evaluate
from skhep_ml.neural_network._outputs import check_held_out
from skhep_ml.neural_network._penalties import (
    decorrelation,
    input_gradient_penalty,
    visible_inputs,
    visible_shapes,
    watch_inputs,
)
from skhep_ml.neural_network._prepare import (
    Run,
    automatic_batch_size,
    check_arguments,
    make_run,
)
from skhep_ml.neural_network._rate_range import RateRange, lr_range_test
from skhep_ml.weights._policies import check_policy

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"fused": True}),
    "momentum": (torch.optim.SGD, {"fused": True, "momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {"fused": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "nadam": (torch.optim.NAdam, {}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}
_SLOTS = ("_params_to_validate", "_run", "history_", "initialized_", "virtual_params_")
# in evaluation no gradients are kept, and larger batches of a table cost less overhead
_EVALUATION_BATCH = {"cpu": 4096, "cuda": 65536}


class EventNet(LeanLoop, Resumable):
    """What the classifier and the regressor share; `NetClassifier` documents the parameters."""

    __metadata_request__fit: ClassVar = {
        "sample_weight": True,
        "groups": True,
        "eval_set": True,
        "sample_weight_eval_set": True,
    }
    __metadata_request__partial_fit: ClassVar = {"classes": True, "sample_weight": True}
    __metadata_request__score: ClassVar = {"sample_weight": True}

    # what skorch sets in __init__, and what lives for one fit, stays out of vars(self), where
    # scikit-learn expects parameters and fitted attributes only
    __slots__ = _SLOTS

    _losses: ClassVar[dict[str, type[EventLoss]]] = {}

    device: Any
    batch_size: Any
    device_: str
    best_epoch_: int
    best_score_: float

    def __init__(
        self,
        module: Any,
        *,
        n_members: int = 1,
        criterion: Any,
        optimizer: Any = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        l1: float = 0.0,
        schedule: str = "constant",
        max_epochs: int = 30,
        batch_size: int | str = "auto",
        sampling: str = "shuffle",
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 10,
        eval_metric: Any = None,
        refit: bool = False,
        negative_weights: str = "refine",
        weight_scale: str | None = "mean",
        weight_cap: float | None = None,
        max_grad_norm: float | None = None,
        gradient_penalty: float = 0.0,
        decorrelate: Any = None,
        decorrelation_strength: float = 1.0,
        decorrelate_visible: bool = False,
        ema_decay: float | None = None,
        precision: str = "float32",
        compile: bool = False,
        checkpoint: Any = None,
        checkpoint_every: int = 1,
        salt: int = 0,
        iterator_train: Any = BatchIterator,
        iterator_valid: Any = BatchIterator,
        train_split: Any = None,
        callbacks: Any = None,
        warm_start: bool = False,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            train_split=train_split,
            callbacks=callbacks,
            warm_start=warm_start,
            verbose=verbose,
            device=device,
            compile=compile,
            **kwargs,
        )
        self.n_members = n_members
        self.weight_decay = weight_decay
        self.l1 = l1
        self.schedule = schedule
        self.sampling = sampling
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.eval_metric = eval_metric
        self.refit = refit
        self.negative_weights = negative_weights
        self.weight_scale = weight_scale
        self.weight_cap = weight_cap
        self.max_grad_norm = max_grad_norm
        self.gradient_penalty = gradient_penalty
        self.decorrelate = decorrelate
        self.decorrelation_strength = decorrelation_strength
        self.decorrelate_visible = decorrelate_visible
        self.ema_decay = ema_decay
        self.precision = precision
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.salt = salt
        self.random_state = random_state
        self._run: Run | None = None

    # --- what the classifier and the regressor say ------------------------------------------------

    def _learn_target(self, y: Any) -> Any:
        """Check the target of fit, remember its classes or scale, and encode it."""
        raise NotImplementedError

    def _encode(self, y: Any) -> Any:
        """Encode the target of other events."""
        raise NotImplementedError

    def _codes(self, target: Any) -> tuple[Any, Any]:
        """Class of every event from 0, and the classes; a single one in regression."""
        raise NotImplementedError

    def _n_targets(self) -> int:
        """Classes, or columns of the target."""
        raise NotImplementedError

    def _metric(self, output: Tensor, dataset: EventDataset) -> float:
        """Value of ``eval_metric`` on held-out events; larger is better."""
        raise NotImplementedError

    def _decorrelated(self, output: Tensor) -> Tensor:
        """What must not depend on the columns ``decorrelate``: (n_events, n_scores)."""
        raise NotImplementedError

    def _nuisance_code(self) -> int | None:
        """Number of the class in which it must not; None for all events."""
        return None

    def _learn_outputs(self, run: Run) -> None:
        """Learn from a finished training what predictions need beside the weights."""

    # --- fit --------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        eval_set: Any = None,
        sample_weight_eval_set: Any = None,
        **fit_params: Any,
    ) -> Any:
        """Train the net.

        Parameters
        ----------
        X : array-like, Events, mapping of arrays, or torch Dataset
            A table (n_events, n_features), clouds (n_events, n_particles, n_features) padded with
            NaN, images (n_events, n_channels, height, width), or several named inputs, which the
            module takes as keyword arguments. A Dataset goes to skorch as it is.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign and unit.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers: early stopping and refinement then split by event.
        eval_set : (X, y) or list of such pairs, default=None
            Held-out events; early stopping looks at the last pair instead of splitting.
        sample_weight_eval_set : list of array-like, default=None
            Weights of each pair.
        **fit_params : dict
            Handed to the module's ``forward`` by skorch.

        Returns
        -------
        self : object
            The trained net.

        Raises
        ------
        ValueError
            Wrong shapes, weights, identifiers or parameters.
        torch.OutOfMemoryError
            The device's memory does not suffice for half of ``batch_size`` either.

        Warns
        -----
        NetWarning
            The device's memory ended, and the epoch began again with half of ``batch_size``.
        DivergenceWarning
            The loss became infinite or NaN; the last finite weights are kept.
        """
        if is_dataset(X):
            given_too = {
                "sample_weight": sample_weight,
                "groups": groups,
                "eval_set": eval_set,
                "sample_weight_eval_set": sample_weight_eval_set,
            }
            refused = [name for name, value in given_too.items() if value is not None]
            if refused:
                msg = f"{refused} need X as arrays: a torch Dataset goes to skorch as it is"
                raise ValueError(msg)
            return self._with_skorch(super().fit, X, y, **fit_params)
        self._check_params()
        device = resolve_device(self.device)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        given = check_arguments(
            self, X, y, sample_weight, groups, eval_set, sample_weight_eval_set, seed=seed
        )
        hold_out = bool(self.early_stopping or eval_set)
        check_held_out(self, hold_out)
        run = make_run(self, given, device, hold_out=hold_out)
        self._load_checkpoint(run, device)
        with self._running(run, device, seed):
            super().fit(run.train, None, **fit_params)
            self._learn_outputs(run)
        if self.refit and hasattr(self, "best_epoch_"):
            best, first = (self.best_epoch_, self.best_score_), run
            run = make_run(self, given, device, hold_out=False)
            run.epochs = self.best_epoch_
            run.batch_size, run.halved = first.batch_size, first.halved
            with self._running(run, device, seed):
                super().fit(run.train, None, **fit_params)
            self.best_epoch_, self.best_score_ = best
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: Any = None,
        sample_weight: Any = None,
        **fit_params: Any,
    ) -> Any:
        """Train ``max_epochs`` more epochs, on the same or on other events.

        Parameters
        ----------
        X : array-like
            As in `fit`.
        y : array-like of shape (n_events,)
            Target.
        classes : array-like, default=None
            All labels, where the first call does not see every class.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        **fit_params : dict
            Handed to the module's ``forward`` by skorch.

        Returns
        -------
        self : object
            The net.
        """
        if is_dataset(X):
            if self._run is not None:  # called by fit
                return super().partial_fit(X, y, **fit_params)
            return self._with_skorch(super().partial_fit, X, y, **fit_params)
        self._check_params()
        device = resolve_device(self.device)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        check_held_out(self, self.early_stopping)
        first = not self.initialized_
        if first and classes is not None:
            self._learn_target(classes)
        given = check_arguments(
            self,
            X,
            y,
            sample_weight,
            seed=seed,
            learn_shapes=first,
            learn_target=first and classes is None,
        )
        run = make_run(self, given, device, hold_out=self.early_stopping)
        with self._running(run, device, seed + len(self.history_ or ())):
            super().partial_fit(run.train, None, **fit_params)
            self._learn_outputs(run)
        return self

    def _with_skorch(self, method: Any, X: Any, y: Any, **fit_params: Any) -> Any:
        """Fit on a Dataset the way skorch does."""
        for name in ("decorrelate", "calibrate", "prior"):
            if getattr(self, name, None) is not None:
                msg = f"{name}={getattr(self, name)!r} needs X as arrays, not as a torch Dataset"
                raise ValueError(msg)
        self._check_params()
        self.device_ = resolve_device(self.device)
        self._learn_from_dataset(X, y)
        with self._on_device():
            return method(X, y, **fit_params)

    def _learn_from_dataset(self, X: Any, y: Any) -> None:
        """Learn classes or scale from a Dataset, if it shows its target."""
        raise NotImplementedError

    @contextmanager
    def _running(self, run: Run, device: str, seed: int) -> Iterator[None]:
        """Set up one fit: its random numbers, its device, its data."""
        cuda = [torch.device(device)] if device.startswith("cuda") else []
        self.device_ = device
        self.__dict__.pop("best_epoch_", None)
        self._run = run
        asked, self.batch_size = self.batch_size, run.batch_size  # callbacks read it
        try:
            with torch.random.fork_rng(devices=cuda), self._on_device():
                torch.manual_seed(seed)
                yield
        finally:
            self._run = None
            self.batch_size = asked

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Show skorch the device in use instead of "auto"."""
        asked, self.device = self.device, self.device_
        try:
            yield
        finally:
            self.device = asked

    def _check_params(self) -> None:
        check_policy(self.negative_weights)
        choices = {
            "schedule": SCHEDULES,
            "sampling": ("shuffle", "weight"),
            "precision": ("float32", "bf16"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                msg = f"{name}={getattr(self, name)!r} must be one of {known}"
                raise ValueError(msg)
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            msg = f"optimizer={self.optimizer!r} must be one of {sorted(OPTIMIZERS)}, or a class"
            raise ValueError(msg)
        for name in ("max_epochs", "patience", "checkpoint_every", "batch_size", "n_members"):
            value = getattr(self, name)
            if name == "batch_size" and (value == "auto" or value == -1):
                continue
            if not isinstance(value, numbers.Integral) or value < 1:
                msg = f"{name} must be a positive integer, got {value!r}"
                raise ValueError(msg)
        for name in ("l1", "weight_decay", "gradient_penalty", "decorrelation_strength"):
            value = getattr(self, name)
            if not isinstance(value, (int, float, np.number)) or not value >= 0:
                msg = f"{name} must not be negative, got {value!r}"
                raise ValueError(msg)
        limit, decay = self.max_grad_norm, self.ema_decay
        if limit is not None and not limit > 0:
            msg = f"max_grad_norm must be None or positive, got {limit!r}"
            raise ValueError(msg)
        if decay is not None and not 0 <= decay < 1:
            msg = f"ema_decay must be None, or at least 0 and below 1, got {decay!r}"
            raise ValueError(msg)
        metric = self.eval_metric
        function = callable(metric) and not hasattr(metric, "_score_func")
        if metric is not None and not (function or hasattr(metric, "score_predictions")):
            msg = (
                f"eval_metric={metric!r} must be a scorer of skhep_ml.metrics or a function "
                "(y_true, y_score, sample_weight)"
            )
            raise ValueError(msg)
        if self.gradient_penalty and self.compile:
            msg = "gradient_penalty needs second derivatives, which compile=True does not have"
            raise ValueError(msg)
        if not 0 < self.validation_fraction < 1:
            msg = f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}"
            raise ValueError(msg)

    # --- skorch's parts ---------------------------------------------------------------------------

    def initialize_module(self) -> Any:
        """Make the module, with the shapes that its constructor asks for by name."""
        kwargs = {**self._inferred_shapes(), **self.get_params_for("module")}
        if isinstance(self.module, torch.nn.Module):
            kwargs = self.get_params_for("module")
        if self.n_members == 1:
            module = self.initialized_instance(self.module, kwargs)
            # a parameter is not trained: another fit must begin where this one does
            self.module_ = copy.deepcopy(module) if module is self.module else module
            return self
        if isinstance(self.module, torch.nn.Module):
            msg = (
                f"n_members={self.n_members} makes every member anew, so module must be a class "
                f"(module={type(self.module).__name__}, with its arguments as module__*), "
                "not an instance"
            )
            raise ValueError(msg)
        modules = (self.initialized_instance(self.module, kwargs) for _ in range(self.n_members))
        self.module_ = Members(list(modules))
        return self

    def _inferred_shapes(self) -> dict[str, Any]:
        """Values for ``n_features``, ``n_outputs`` and ``input_shapes``, where they are taken."""
        shapes = visible_shapes(self)
        if shapes is None or isinstance(self.module, torch.nn.Module):
            return {}
        known = {"n_outputs": self._n_outputs(), "input_shapes": shapes}
        if not isinstance(shapes, dict):
            # channels of an image come first, features of tables and clouds last
            known["n_features"] = shapes[0] if len(shapes) == 3 else shapes[-1]
            known["image_shape"] = shapes
        taken = signature(self.module).parameters
        return {name: value for name, value in known.items() if name in taken}

    def _n_outputs(self) -> int:
        loss = self._make_criterion()
        n_targets = self._n_targets()
        return loss.n_outputs(n_targets) if isinstance(loss, EventLoss) else n_targets

    def _make_criterion(self) -> Any:
        return make_loss(self.criterion, self._losses, self.get_params_for("criterion"))

    def initialize_criterion(self) -> Any:
        """Make the loss from its name or class."""
        self.criterion_ = self._make_criterion()
        return self

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

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Events for training and validation."""
        if self._run is not None:
            if self._run.valid is not None or not self.train_split:
                return self._run.train, self._run.valid
            y = self._run.train.y.cpu().numpy()
        return super().get_split_datasets(X, y, **fit_params)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of a dataset: slices of tensors, or skorch's way for anything else."""
        iterator = self.iterator_train if training else self.iterator_valid
        if iterator is not BatchIterator:
            if self.batch_size != "auto":
                return super().get_iterator(dataset, training)
            with self._batch_size_set(dataset):
                return super().get_iterator(dataset, training)
        prefix = "iterator_train" if training else "iterator_valid"
        options = self.get_params_for(prefix)
        size = options.pop("batch_size", None) or self._batch_size(dataset, training)
        if not isinstance(unwrap(dataset)[0], EventDataset):
            return DataLoader(dataset, size, **{"shuffle": training, **options})
        if training:
            options = {"shuffle": True, "by_weight": self.sampling == "weight", **options}
            if self._run is not None:
                options.setdefault("generator", self._run.generator)
            if size > 1 and len(dataset) % size == 1:
                # batch norm knows no variance of one event
                options.setdefault("drop_last", True)
        return BatchIterator(dataset, size, device=self.device_, **options)

    @contextmanager
    def _batch_size_set(self, dataset: Any) -> Iterator[None]:
        self.batch_size = self._batch_size(dataset, True)
        try:
            yield
        finally:
            self.batch_size = "auto"

    def _batch_size(self, dataset: Any, training: bool) -> int:
        if training and self._run is not None:
            size = self._run.batch_size
        elif self.batch_size == "auto":
            size = automatic_batch_size(dataset, self.device_)
        else:
            size = self.batch_size
        if size == -1:
            return len(dataset)
        inputs = getattr(unwrap(dataset)[0], "inputs", None)
        if not training and isinstance(inputs, Tensor) and inputs.ndim == 2:
            # members multiply what the hidden layers hold
            n_members = getattr(self.module_, "n_members", 1)
            size = max(size, _EVALUATION_BATCH[self.device_.partition(":")[0]] // n_members)
        return size

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Output of the module for a batch."""
        if self.gradient_penalty and self.module_.training and torch.is_grad_enabled():
            watch_inputs(x)
        if isinstance(x, dict):
            x = {name: part for name, part in x.items() if name not in (WEIGHT, NUISANCE)}
            if x.keys() == {"X"}:
                x = x["X"]
        device = torch.device(self.device_)
        if not isinstance(x, Tensor) or x.device.type != device.type:
            x = to_tensor(x, device=self.device_)
        if self.precision == "bf16":
            with torch.autocast(device.type, dtype=torch.bfloat16):
                output = self._forward(x, fit_params)
            return _as_float(output)
        return self._forward(x, fit_params)

    def _forward(self, x: Any, fit_params: dict[str, Any]) -> Any:
        return (
            self.module_(**x, **fit_params)
            if isinstance(x, dict)
            else self.module_(x, **fit_params)
        )

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Weighted loss of a batch, with the penalties in training."""
        y_true = to_tensor(y_true, device=self.device_)
        if not isinstance(self.criterion_, EventLoss):
            loss = self.criterion_(y_pred, y_true)
        else:
            weight = X.get(WEIGHT) if isinstance(X, dict) else None
            if weight is not None:
                weight = to_tensor(weight, device=self.device_)
            loss = self.criterion_(first_output(y_pred), y_true, weight)
        if training and self.l1:
            loss = loss + self.l1 * sum(
                p.abs().sum()
                for p in self.module_.parameters()
                if p.requires_grad and p.ndim > 1 + (self.n_members > 1)
            )
        if training and self.gradient_penalty:
            penalty = input_gradient_penalty(self, first_output(y_pred), y_true, X)
            loss = loss + self.gradient_penalty * penalty
        if isinstance(X, dict) and NUISANCE in X:
            # on held-out events too: stopping early must not undo it
            penalty = decorrelation(self, first_output(y_pred), y_true, X)
            loss = loss + self.decorrelation_strength * penalty
        return loss

    # --- the loop ---------------------------------------------------------------------------------

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **kwargs: Any) -> Any:
        """Epochs until the end, less those that a checkpoint already has."""
        run = self._run
        if run is not None:
            epochs = run.epochs or (self.max_epochs if epochs is None else epochs)
            if run.resumed:
                self._restore(run)
                epochs -= len(self.history)
        return super().fit_loop(X, y, epochs=epochs, **kwargs)

    # --- prediction -------------------------------------------------------------------------------

    def forward_iter(self, X: Any, training: bool = False, device: str = "cpu") -> Iterator[Any]:
        """Yield the module's output for each batch.

        Parameters
        ----------
        X : array-like, Events, mapping of arrays, or torch Dataset
            Events.
        training : bool, default=False
            Whether dropout and the like stay on, and gradients are kept.
        device : str, default="cpu"
            Where the outputs go.

        Yields
        ------
        Tensor or tuple of Tensor
            Output of a batch.
        """
        if not is_dataset(X):
            X = self._events(X)
        self._set_training(training)
        batches = (unpack_data(batch)[0] for batch in self.get_iterator(X, training=False))
        with torch.set_grad_enabled(training):
            for output in evaluate(self, self.infer, batches):
                if isinstance(output, tuple):
                    yield tuple(part.to(device) for part in output)
                else:
                    yield output.to(device)

    def _events(self, X: Any) -> EventDataset:
        """Events to predict, without what the module must not see."""
        arrays = check_inputs(self, X, reset=False)
        return EventDataset(to_tensors(visible_inputs(self, arrays)), None)

    def _outputs(self, X: Any) -> Tensor:
        """First output of the module for all events, on the CPU."""
        check_is_fitted(self, "module_")
        return torch.cat([first_output(output).detach() for output in self.forward_iter(X)])

    def embed(self, X: Any) -> np.ndarray[Any, Any]:
        """Values of the last hidden layer.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_hidden)
            Features that the net has learned.

        Raises
        ------
        AttributeError
            The module has no method ``embed``.
        """
        check_is_fitted(self, "module_")
        if not hasattr(self.module_, "embed"):
            msg = f"{type(self.module_).__name__} has no method embed, which this needs"
            raise AttributeError(msg)
        embed = self.module_.embed
        batches = (Xi for Xi, _ in self.get_iterator(self._events(X)))
        self._set_training(False)
        with torch.no_grad():
            parts = list(
                evaluate(
                    self, lambda Xi: embed(**Xi) if isinstance(Xi, dict) else embed(Xi), batches
                )
            )
        return torch.cat(parts).float().cpu().numpy()

    def find_lr(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        min_lr: float = 1e-6,
        max_lr: float = 1.0,
        n_steps: int = 150,
    ) -> RateRange:
        """Train a copy with a rising learning rate; see `lr_range_test`.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.
        y : array-like of shape (n_events,)
            Target.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights.
        min_lr, max_lr : float, default=1e-6, 1.0
            First and last rate.
        n_steps : int, default=150
            Training steps.

        Returns
        -------
        RateRange
            Named tuple (rates, losses, suggestion). The net itself is not changed.
        """
        return lr_range_test(
            self, X, y, sample_weight, min_lr=min_lr, max_lr=max_lr, n_steps=n_steps
        )

    # --- scikit-learn -----------------------------------------------------------------------------

    def set_params(self, **kwargs: Any) -> Any:
        """Set parameters; those of torch parts take effect at once if the net is initialised.

        Parameters
        ----------
        **kwargs : dict
            Parameters by name.

        Returns
        -------
        self : object
            The net.
        """
        if "callbacks" in kwargs:  # made when training begins
            self.callbacks = kwargs.pop("callbacks")
        for name in [name for name in kwargs if name.startswith("iterator_")]:
            # skorch refuses these on an initialised net, though they take effect at the next batch
            self._params_to_validate.add(name)
            setattr(self, name, kwargs.pop(name))
        return super().set_params(**kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: skorch's, and what is in slots."""
        with self._pickled_device():
            state = super().__getstate__()
        hidden = {name: getattr(self, name) for name in _SLOTS if name != "_run"}
        state["__skhep_ml__"] = {"device": self.device, **hidden}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; a net from a GPU comes to the CPU where there is none."""
        hidden = dict(state.pop("__skhep_ml__"))
        device = hidden.pop("device")
        for name, value in hidden.items():
            setattr(self, name, value)
        self._run = None
        super().__setstate__(state)
        if hasattr(self, "device_"):
            self.device_ = str(self.device)
        self.device = device

    @contextmanager
    def _pickled_device(self) -> Iterator[None]:
        asked, self.device = self.device, getattr(self, "device_", "cpu")
        try:
            yield
        finally:
            self.device = asked

    def __sklearn_tags__(self) -> Tags:
        """Tables and clouds; a target is needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags


def _as_float(output: Any) -> Any:
    return tuple(part.float() for part in output) if isinstance(output, tuple) else output.float()
