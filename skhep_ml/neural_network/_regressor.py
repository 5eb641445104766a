"""Networks for regression."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d
from torch import Tensor

from skhep_ml.neural_network._dataset import WEIGHT, BatchIterator, EventDataset
from skhep_ml.neural_network._losses import REGRESSION_LOSSES, EventLoss
from skhep_ml.neural_network._net import EventNet
from skhep_ml.neural_network._outputs import input_gradients
from skhep_ml.neural_network.modules import MLP


class NetRegressor(RegressorMixin, EventNet):
    """Neural network regressor: a skorch net with physics weights, without waiting for Python.

    The default is a multilayer perceptron of 3 layers with 256 nodes and ReLU.

    Parameters
    ----------
    module : torch.nn.Module class or instance, default=MLP
        The architecture, as in `NetClassifier`; it returns one number for each target, or what
        the loss asks for.
    n_members : int, default=1
        Nets with initial weights of their own that are trained at once, as one batched module, on
        the same batches; predictions are averaged, as in `NetClassifier`.
    criterion : str or torch criterion, default="squared"
        "squared", "absolute", "huber", "quantile" or "gaussian" (mean and width are both
        predicted), with ``criterion__delta``, ``criterion__quantiles``; or a torch class, made
        with ``reduction="none"``.
    optimizer : str or torch optimizer class, default="adamw"
        "sgd", "momentum", "adagrad", "rmsprop", "adam", "nadam", "adamw"; ``optimizer__<name>`` for
        its arguments.
    lr : float, default=1e-3
        Learning rate, the largest one where a schedule changes it.
    weight_decay : float, default=0.0
        Weight decay of the optimizer (decoupled for "adamw").
    l1 : float, default=0.0
        Penalty on the sum of the absolute weights, biases left out.
    schedule : str, default="constant"
        "constant", "step" (a tenth after each third), "exponential" (down to a hundredth),
        "cosine", "one_cycle" or "plateau" (0.3 after 3 epochs without a better loss).
    max_epochs : int, default=30
        Passes over the events; an upper limit under early stopping.
    batch_size : int or "auto", default="auto"
        Events in a training step; "auto" takes a power of two near n / 128, from 32 to 1024 (4096
        on a GPU), and less for clouds and images of many particles or pixels; -1 takes all.
    sampling : {"shuffle", "weight"}, default="shuffle"
        "weight" draws events in proportion to abs(w), with replacement: for weights that span
        orders of magnitude.
    early_stopping : bool, default=False
        Stop when held-out events no longer improve, and restore the best weights.
    validation_fraction : float, default=0.2
        Fraction of events held out for it, by ``groups`` where given.
    patience : int, default=10
        Epochs without improvement before the end.
    eval_metric : scorer or callable, default=None
        What early stopping looks at: None for the loss, a scorer of `skhep_ml.metrics`, or a
        function (y_true, y_score, sample_weight) whose larger values are better. Needs
        ``early_stopping`` or an ``eval_set``.
    refit : bool, default=False
        After early stopping, train again on all events for the best number of epochs.
    negative_weights : {"refine", "keep", "pair", "cell", "drop", "abs", "raise"}, default="refine"
        What training does with negative weights, see `skhep_ml.weights.apply_negative_weights`.
    weight_scale : {"mean", None}, default="mean"
        Divide weights by their mean abs(w), so that their unit does not matter; None passes them.
    weight_cap : float, default=None
        Quantile of abs(w) at which training limits abs(w); a warning says what that takes away.
    scale_target : bool, default=True
        Train on (y - mean) / standard deviation, weighted by abs(w); predictions are scaled back.
    max_grad_norm : float, default=None
        Length to which longer gradients are cut.
    gradient_penalty : float, default=0.0
        Factor of the mean squared gradient of an event's loss with respect to its inputs, which
        makes the output change less under small shifts of the inputs. Takes about twice as long,
        and modules that can be differentiated twice.
    decorrelate : str, int or array-like of them, default=None
        Columns of X, by name or position, that the prediction must be independent of (DisCo), as in
        `NetClassifier`; here on all events.
    decorrelation_strength : float, default=1.0
        What multiplies the squared distance correlation in the loss.
    decorrelate_visible : bool, default=False
        Whether the module sees these columns as well.
    ema_decay : float, default=None
        Use an exponential moving average of the weights over batches, with this decay, for
        validation and prediction.
    precision : {"float32", "bf16"}, default="float32"
        "bf16" runs the module under `torch.autocast`.
    compile : bool, default=False
        Whether to use `torch.compile`.
    checkpoint : path, default=None
        File that holds the state of training, in a folder that exists; a fit that finds it there
        continues, with the result of an uninterrupted one. Needs an integer ``random_state``.
    checkpoint_every : int, default=1
        Epochs between two checkpoints.
    salt : int, default=0
        Salt of the splits by event identifiers (early stopping, refinement).
    iterator_train, iterator_valid : class, default=BatchIterator
        Source of batches; a `torch.utils.data.DataLoader` works too, slowly.
    train_split : callable, default=None
        skorch's way of holding events out.
    callbacks : list, default=None
        skorch callbacks. One that reads the history of single batches costs speed.
    warm_start : bool, default=False
        Whether a second ``fit`` continues with the present weights; columns and targets must be
        those of the first one, and targets are scaled as there.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where one is.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order of events, dropout, splits and refinement.
    verbose : int, default=0
        Above 0: a line an epoch.
    **kwargs : dict
        ``module__*``, ``criterion__*``, ``optimizer__*``, ``callbacks__*``, ``iterator_train__*``
        and skorch's other parameters.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network.
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        What is subtracted from the target and what it is divided by.
    history_ : skorch.history.History
        Losses, rates, durations, events per second of every epoch.
    best_epoch_, best_score_ : int, float
        With early stopping: the best epoch, counted from 1, and its loss or metric.
    n_features_in_ : int
        Features of a table or of a particle, channels of an image, or number of named inputs.
    feature_names_in_ : ndarray of str
        Columns, if fitted on a DataFrame; later DataFrames are read by these names.

    See Also
    --------
    NetClassifier : The classifier, with the notes on training.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.neural_network import NetRegressor
    >>> X = np.linspace(-1, 1, 500).reshape(-1, 1)
    >>> net = NetRegressor(max_epochs=20, module__hidden=(32,), random_state=0, device="cpu")
    >>> net.fit(X, 100 + 5 * X[:, 0]).predict([[0.0]]).round(0)
    array([100.], dtype=float32)
    """

    _losses: ClassVar[dict[str, type[EventLoss]]] = REGRESSION_LOSSES

    def __init__(
        self,
        module: Any = MLP,
        *,
        n_members: int = 1,
        criterion: Any = "squared",
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
        scale_target: bool = True,
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
            n_members=n_members,
            criterion=criterion,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            l1=l1,
            schedule=schedule,
            max_epochs=max_epochs,
            batch_size=batch_size,
            sampling=sampling,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            eval_metric=eval_metric,
            refit=refit,
            negative_weights=negative_weights,
            weight_scale=weight_scale,
            weight_cap=weight_cap,
            max_grad_norm=max_grad_norm,
            gradient_penalty=gradient_penalty,
            decorrelate=decorrelate,
            decorrelation_strength=decorrelation_strength,
            decorrelate_visible=decorrelate_visible,
            ema_decay=ema_decay,
            precision=precision,
            compile=compile,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            salt=salt,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            train_split=train_split,
            callbacks=callbacks,
            warm_start=warm_start,
            device=device,
            random_state=random_state,
            verbose=verbose,
            **kwargs,
        )
        self.scale_target = scale_target

    def _learn_target(self, y: Any) -> NDArray[np.float32]:
        target = self._check_target(y)
        self._single_target_ = target.ndim == 1
        table = target.reshape(len(target), -1)
        self.target_mean_ = np.zeros(table.shape[1])
        self.target_scale_ = np.ones(table.shape[1])
        if self.scale_target:
            self.target_mean_ = table.mean(axis=0)
            deviation = table.std(axis=0)
            self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        return self._scaled(table)

    def _learn_from_dataset(self, target: Any, item_shape: tuple[int, ...], *, learn: bool) -> None:
        if len(item_shape) > 1:
            msg = f"the targets of the Dataset have shape {item_shape}: one number each is needed"
            raise ValueError(msg)
        n_targets = item_shape[0] if item_shape else 1
        if learn:
            self._single_target_ = n_targets == 1
            self.target_mean_, self.target_scale_ = np.zeros(n_targets), np.ones(n_targets)
            return
        self._check_n_targets(n_targets)
        if (self.target_mean_ != 0).any() or (self.target_scale_ != 1).any():
            msg = (
                "a Dataset gives its targets to the loss as they are, but the net was fitted on "
                "scaled ones: fit it with scale_target=False first"
            )
            raise ValueError(msg)

    def _encode(self, y: Any) -> NDArray[np.float32]:
        target = self._check_target(y)
        table = target.reshape(len(target), -1)
        self._check_n_targets(table.shape[1])
        return self._scaled(table)

    def _check_n_targets(self, n_targets: int) -> None:
        if n_targets != self._n_targets():
            msg = f"y has {n_targets} targets, but fit had {self._n_targets()}"
            raise ValueError(msg)

    def _check_target(self, y: Any) -> NDArray[np.float64]:
        target = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        if target.ndim > 2:
            msg = f"y has shape {target.shape}: one column for each target is needed"
            raise ValueError(msg)
        return column_or_1d(target, warn=True) if target.shape[1:] == (1,) else target

    def _scaled(self, table: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((table - self.target_mean_) / self.target_scale_).astype(np.float32)

    def _codes(self, target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return np.zeros(len(target), dtype=np.intp), np.array(["all"])

    def _n_targets(self) -> int | None:
        return len(self.target_mean_) if hasattr(self, "target_mean_") else None

    def _located(self, output: Tensor) -> Tensor:
        """Predictions (n_events, n_targets) in the scale of training."""
        locate = getattr(self.criterion_, "location", None)
        if output.ndim == 3:
            members = [self._located(member) for member in output.unbind(dim=1)]
            return torch.stack(members).mean(dim=0)
        return output if locate is None else locate(output)

    def _deviation(self, output: Tensor) -> Tensor:
        """Standard deviations (n_events, n_targets) in the scale of training."""
        if output.ndim < 3:
            return self.criterion_.deviation(output)
        # an even mixture of the members: its variance is their mean variance and their spread
        members = output.unbind(dim=1)
        widths = torch.stack([self.criterion_.deviation(member) for member in members])
        means = torch.stack([self._located(member) for member in members])
        return (widths.square().mean(dim=0) + means.var(dim=0, correction=0)).sqrt()

    def _decorrelated(self, output: Tensor) -> Tensor:
        return self._located(output).reshape(len(output), -1)

    def _unscaled(self, located: Tensor) -> NDArray[np.float32]:
        table = located.reshape(len(located), -1).double().cpu().numpy()
        table = (table * self.target_scale_ + self.target_mean_).astype(np.float32)
        return table[:, 0] if self._single_target_ else table

    def _metric(self, output: Tensor, dataset: EventDataset) -> float:
        target, weight = dataset.y, dataset.extras.get(WEIGHT)
        return float(
            self.eval_metric(
                self._unscaled(target),
                self._unscaled(self._located(output)),
                None if weight is None else weight.cpu().numpy().astype(np.float64),
            )
        )

    @property
    def predict_proba(self) -> Any:
        """Hidden: a regressor has no probabilities, though skorch's base class names it so."""
        msg = f"{type(self).__name__!r} object has no attribute 'predict_proba'"
        raise AttributeError(msg)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.
        return_std : bool, default=False
            Whether to return the predicted standard deviation too; for the losses "gaussian" and
            "quantile".

        Returns
        -------
        prediction : ndarray of shape (n_events,) or (n_events, n_targets)
            Predictions, in the unit of the target.
        std : ndarray of the same shape
            Standard deviations; only with ``return_std``.

        Raises
        ------
        ValueError
            The loss predicts no width.
        """
        check_is_fitted(self, "module_")
        if return_std and not hasattr(self.criterion_, "deviation"):
            msg = f"criterion={self.criterion!r} predicts no width: use 'gaussian' or 'quantile'"
            raise ValueError(msg)
        output = self._outputs(X)
        prediction = self._unscaled(self._located(output))
        if not return_std:
            return prediction
        width = self._deviation(output).double().cpu().numpy() * self.target_scale_
        width = width.astype(np.float32)
        return prediction, width[:, 0] if self._single_target_ else width

    def saliency(self, X: Any, target: int = 0) -> Any:
        """Gradient of a prediction with respect to the inputs.

        Parameters
        ----------
        X : array-like
            Events, as in `fit`.
        target : int, default=0
            Which of several targets.

        Returns
        -------
        ndarray or dict of ndarray
            For each input value, in the shapes of X and in units of the target; 0 for absent
            particles and hidden columns.

        Raises
        ------
        ValueError
            There is no such target.
        """
        check_is_fitted(self, "module_")
        n_targets = len(self.target_mean_)
        if not 0 <= target < n_targets:
            msg = f"target={target!r}, but the targets are numbered 0 to {n_targets - 1}"
            raise ValueError(msg)
        scale = float(self.target_scale_[target])
        return input_gradients(
            self, X, lambda output: scale * self._decorrelated(output)[:, target]
        )
