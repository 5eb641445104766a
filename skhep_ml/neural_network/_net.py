"""The engine: a skorch net that is a scikit-learn estimator and does not wait for Python.

`EventNet` holds what happens in a fit; each of its bases one other theme: `_parts` makes module,
loss, optimizer and callbacks, `_batches` gives the loop its events, `_loop` runs it, `_predict`
applies the module, `_checkpoint` and `_state` keep what lasts. Parameters are checked in
`_parameters`, which says how to add one; arguments of fit in `_prepare` and `_torch_dataset`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sklearn.utils import Tags, check_random_state
from skorch.utils import is_dataset, to_tensor
from torch import Tensor

from skhep_ml._device import resolve_device
from skhep_ml.neural_network._batches import Batches
from skhep_ml.neural_network._checkpoint import Resumable
from skhep_ml.neural_network._dataset import (
    NUISANCE,
    WEIGHT,
    BatchIterator,
    EventDataset,
    first_output,
)
from skhep_ml.neural_network._loop import LeanLoop
from skhep_ml.neural_network._losses import EventLoss
from skhep_ml.neural_network._memory import TrainingStart
from skhep_ml.neural_network._outputs import check_held_out
from skhep_ml.neural_network._parameters import check_parameters
from skhep_ml.neural_network._parts import Parts
from skhep_ml.neural_network._penalties import decorrelation, input_gradient_penalty
from skhep_ml.neural_network._predict import Prediction
from skhep_ml.neural_network._prepare import Run, check_arguments, make_run
from skhep_ml.neural_network._rate_range import RateRange, lr_range_test
from skhep_ml.neural_network._state import SLOTS, State
from skhep_ml.neural_network._torch_dataset import dataset_run, refuse_with_dataset


class EventNet(LeanLoop, Resumable, Parts, Batches, Prediction, State):
    """What the classifier and the regressor share; `NetClassifier` documents the parameters."""

    __metadata_request__fit: ClassVar = {
        "sample_weight": True,
        "groups": True,
        "eval_set": True,
        "sample_weight_eval_set": True,
    }
    __metadata_request__partial_fit: ClassVar = {"classes": True, "sample_weight": True}
    __metadata_request__score: ClassVar = {"sample_weight": True}

    # out of vars(self), where scikit-learn expects parameters and fitted attributes only
    __slots__ = SLOTS

    # what the outputs are for, in messages
    _target_words: ClassVar[str] = "targets"

    device: Any
    batch_size: Any
    device_: str
    best_epoch_: int
    best_score_: float
    initialized_: bool
    history_: Any

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
        self._run = None

    # --- what the classifier and the regressor say ------------------------------------------------

    def _learn_target(self, y: Any) -> Any:
        """Check the target of fit, remember its classes or scale, and encode it."""
        raise NotImplementedError

    def _learn_from_dataset(self, target: Any, item_shape: tuple[int, ...], *, learn: bool) -> None:
        """Learn classes or number of targets from a torch Dataset, or compare with known ones.

        ``target`` is that of all events, or None where the Dataset does not show it.
        """
        raise NotImplementedError

    def _learn_classes(self, classes: Any, *, learn: bool) -> None:
        """Learn the classes, or compare with known ones."""
        msg = f"{type(self).__name__} has no classes"
        raise ValueError(msg)

    def _encode(self, y: Any) -> Any:
        """Encode the target of other events."""
        raise NotImplementedError

    def _codes(self, target: Any) -> tuple[Any, Any]:
        """Class of every event from 0, and the classes; a single one in regression."""
        raise NotImplementedError

    def _n_targets(self) -> int | None:
        """Classes, or columns of the target; None before they are known."""
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

    def _calibrate(self, run: Run) -> None:
        """Learn from held-out events what predictions need beside the weights."""

    def _learn_mixture(self, run: Run) -> None:
        """Learn the class mixture from the events that the final weights are trained on."""

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
            module takes as keyword arguments; a single one that is called "X" is the same as the
            input alone. A Dataset of pairs (inputs, target) goes to skorch as it is: its first item
            gives the shapes, labels must be 0, 1, ..., and ``train_split`` or ``early_stopping``
            hold events out.
        y : array-like of shape (n_events,)
            Target; with a Dataset only needed if it does not show its labels, as those of skorch
            and `torch.utils.data.TensorDataset` do.
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
            Wrong shapes, weights, identifiers or parameters; under ``warm_start``, other columns
            or classes than before.
        torch.OutOfMemoryError
            The device's memory does not suffice for half of ``batch_size`` either.

        Warns
        -----
        NetWarning
            The device's memory ended, and the epoch began again with half of ``batch_size``.
        DivergenceWarning
            The loss became infinite or NaN; the last finite weights are kept.
        """
        device, seed = self._begin()
        goes_on = bool(self.warm_start and self.initialized_)
        learn = not (goes_on and self._knows_data())
        if is_dataset(X):
            refuse_with_dataset(
                sample_weight=sample_weight,
                groups=groups,
                eval_set=eval_set,
                sample_weight_eval_set=sample_weight_eval_set,
            )
            run = dataset_run(self, X, y, device, seed=seed, learn_shapes=learn, learn_target=learn)
            with self._running(run, device, seed):
                self._fit_skorch(X, y, fit_params)
            return self
        hold_out = bool(self.early_stopping or eval_set)
        check_held_out(self, hold_out)
        given = check_arguments(
            self,
            X,
            y,
            sample_weight,
            groups,
            eval_set,
            sample_weight_eval_set,
            seed=seed,
            learn_shapes=learn,
            learn_target=learn,
        )
        run = make_run(self, given, device, hold_out=hold_out)
        if not goes_on:  # a checkpoint continues a fit, not the epochs that come after it
            self._load_checkpoint(run, device)
        start = TrainingStart(self) if goes_on and self.refit else None
        n_before = len(self.history_) if goes_on else 0
        with self._running(run, device, seed):
            self._fit_skorch(run.train, None, fit_params)
            self._calibrate(run)
        if self.refit and hasattr(self, "best_epoch_"):
            best = self.best_epoch_, self.best_score_
            final = make_run(self, given, device, hold_out=False)
            final.epochs = self.best_epoch_ - n_before
            final.batch_size, final.halved = run.batch_size, run.halved
            if start is None:
                self.initialized_ = False  # or skorch says that it makes everything anew
            else:
                start.restore(self)
                del self.history_[n_before:]
            with self._running(final, device, seed):
                self._fit_skorch(final.train, None, fit_params)
            self.best_epoch_, self.best_score_ = best
            run = final
        self._learn_mixture(run)
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
        X : array-like or torch Dataset
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

        Raises
        ------
        ValueError
            As in `fit`; other columns or classes than in the first call.
        """
        if self._run is not None:  # called by fit
            return super().partial_fit(X, y, **fit_params)
        device, seed = self._begin()
        learn = not (self.initialized_ and self._knows_data())
        if classes is not None:
            self._learn_classes(classes, learn=learn)
        learnt = {"learn_shapes": learn, "learn_target": learn and classes is None}
        if is_dataset(X):
            refuse_with_dataset(sample_weight=sample_weight)
            run = dataset_run(self, X, y, device, seed=seed, **learnt)
        else:
            check_held_out(self, self.early_stopping)
            given = check_arguments(self, X, y, sample_weight, seed=seed, **learnt)
            run = make_run(self, given, device, hold_out=self.early_stopping)
            X, y = run.train, None
        with self._running(run, device, seed + len(self.history_ or ())):
            if self.initialized_:
                self._initialize_callbacks()
            super().partial_fit(X, y, **fit_params)
            self._calibrate(run)
        self._learn_mixture(run)
        return self

    def _fit_skorch(self, X: Any, y: Any, fit_params: dict[str, Any]) -> None:
        """Train as skorch does."""
        if self.warm_start and self.initialized_:
            self._initialize_callbacks()  # parameters may ask for others than in the first fit
        super().fit(X, y, **fit_params)

    def initialize(self) -> Any:
        """Make module, loss and optimizer, which `fit` and `partial_fit` do by themselves.

        Returns
        -------
        self : object
            The net.

        Raises
        ------
        ValueError
            The module needs shapes that are learnt in `fit`, and not given as ``module__*``.
        """
        if self._run is not None:  # called by fit
            return super().initialize()
        device, seed = self._begin()
        with self._seeded(device, seed):
            return super().initialize()

    def _begin(self) -> tuple[str, int]:
        """Check the parameters; device and seed of this call."""
        check_parameters(self)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return resolve_device(self.device), seed

    def _knows_data(self) -> bool:
        """Whether an earlier fit has learnt shapes and classes."""
        return hasattr(self, "_nuisance_")

    @contextmanager
    def _running(self, run: Run, device: str, seed: int) -> Iterator[None]:
        """Set up one fit: its random numbers, its device, its data."""
        self.__dict__.pop("best_epoch_", None)
        self._run = run
        asked, self.batch_size = self.batch_size, run.batch_size  # callbacks read it
        try:
            with self._seeded(device, seed):
                yield
        finally:
            self._run = None
            self.batch_size = asked

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **kwargs: Any) -> Any:
        """Epochs until the end, less those that a checkpoint already has."""
        run = self._run
        if run is not None:
            epochs = run.epochs or (self.max_epochs if epochs is None else epochs)
            if run.resumed:
                self._restore(run)
                epochs -= len(self.history)
        return super().fit_loop(X, y, epochs=epochs, **kwargs)

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Weighted loss of a batch, with the penalties in training."""
        y_true = to_tensor(y_true, device=self.device_)
        output = first_output(y_pred)
        self._check_n_outputs(output)
        if not isinstance(self.criterion_, EventLoss):
            loss = self.criterion_(y_pred, y_true)
        else:
            weight = X.get(WEIGHT) if isinstance(X, dict) else None
            if weight is not None:
                weight = to_tensor(weight, device=self.device_)
            loss = self.criterion_(output, y_true, weight)
        if training and self.l1:
            loss = loss + self.l1 * sum(
                p.abs().sum()
                for p in self.module_.parameters()
                if p.requires_grad and p.ndim > 1 + (self.n_members > 1)
            )
        if training and self.gradient_penalty:
            penalty = input_gradient_penalty(self, output, y_true, X)
            loss = loss + self.gradient_penalty * penalty
        if isinstance(X, dict) and NUISANCE in X:
            # on held-out events too: stopping early must not undo it
            penalty = decorrelation(self, output, y_true, X)
            loss = loss + self.decorrelation_strength * penalty
        return loss

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

    def __sklearn_tags__(self) -> Tags:
        """Tables and clouds; a target is needed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags
