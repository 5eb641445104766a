"""Training features as skorch callbacks: schedules, stopping, averages, checkpoints."""

from __future__ import annotations

import math
import time
import warnings
from numbers import Integral
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch.utils.data import Subset

from skhep_ml.exceptions import DivergenceWarning
from skhep_ml.neural_network._dataset import WEIGHT, EventDataset, first_output, unwrap

SCHEDULES = ("constant", "step", "exponential", "cosine", "one_cycle", "plateau")


def copy_state(net: Any) -> dict[str, Any]:
    """Copy of the weights of module and criterion."""
    return {
        part: {name: value.detach().clone() for name, value in module.state_dict().items()}
        for part, module in _parts(net).items()
    }


def load_state(net: Any, state: dict[str, Any]) -> None:
    """Put copied weights back."""
    for part, module in _parts(net).items():
        module.load_state_dict(state[part])


def _parts(net: Any) -> dict[str, torch.nn.Module]:
    parts = {"module": net.module_, "criterion": net.criterion_}
    return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}


class Stop(KeyboardInterrupt):
    """Ends the training, as skorch's own callbacks end it."""


class DivergenceGuard(Callback):
    """Stops when the loss is no longer finite, with the last weights whose loss was."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start without any."""
        self.before_: Any = None
        self.latest_: Any = None

    def remember(self, weights: Any) -> None:
        """Keep the weights with which an epoch begins, and those of the epoch before."""
        self.before_, self.latest_ = self.latest_, weights

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop and restore if the loss is not finite."""
        loss = net.history[-1, "train_loss"]
        if math.isfinite(loss):
            return
        # nothing but held-out events has seen the weights after the last step of the epoch before
        seen = len(net.history) > 1 and math.isfinite(net.history[-2].get("valid_loss", math.nan))
        good = self.latest_ if seen or self.before_ is None else self.before_
        if good is not None:
            good.load(net)
        for _, callback in net.callbacks_:
            if isinstance(callback, WeightAverage):
                callback.swap()
                callback.average_ = None
        msg = (
            f"the training loss is {loss} in epoch {len(net.history)}: stopped with the last "
            "weights whose loss was finite; a smaller lr, max_grad_norm=1.0 or scaled inputs may "
            "help"
        )
        warnings.warn(msg, DivergenceWarning, stacklevel=2)
        raise Stop

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Forget the copies."""
        self.before_ = self.latest_ = None


class Throughput(Callback):
    """Records events per second of training, and the peak of a GPU's memory in bytes."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.start_ = time.perf_counter()
        if str(net.device_).startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(net.device_)

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record."""
        seconds = time.perf_counter() - self.start_
        net.history.record("events_per_s", len(dataset_train) / seconds)
        if str(net.device_).startswith("cuda"):
            net.history.record("gpu_memory", torch.cuda.max_memory_allocated(net.device_))


class ScoreDistribution(Callback):
    """Histograms of a classifier's score after each epoch, in the history.

    Parameters
    ----------
    bins : int, default=20
        Bins of equal width between 0 and 1.
    max_events : int, default=10000
        Training events that are looked at, the same ones in every epoch; held-out events all are.
    pos_label : label, default=None
        Class whose probability is the score; None takes the second of two classes.

    Raises
    ------
    ValueError
        When training begins: no classifier, more than two classes without ``pos_label``, or events
        that came as a torch Dataset.

    Notes
    -----
    The columns ``train_score`` and, with held-out events, ``valid_score`` of the history hold a
    dict of lists for each epoch: ``edges`` of the bins, and for every class in the order of
    ``classes_`` the ``values``, signed sums of weights, and the ``errors``, sqrt(sum w^2). Weights
    are those of the losses: of training after ``negative_weights``, of held-out events with their
    signs. With ``ema_decay`` the score is that of the average. skorch's callbacks that print or
    log numbers leave these columns out. Early stopping and checkpoints act before the callbacks of
    a user: the epoch in which training stops, and the one that a fit continues after, have none.

    Each epoch predicts these events once more; a net without this callback does nothing of it.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.neural_network import NetClassifier, ScoreDistribution
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> net = NetClassifier(
    ...     max_epochs=3, callbacks=[ScoreDistribution(bins=4)], random_state=0, device="cpu")
    >>> scores = net.fit(X, y).history[:, "train_score"]
    >>> len(scores), float(np.sum(scores[-1]["values"]))
    (3, 400.0)

    To see how signal moves away from background:

    >>> def draw(ax, score):
    ...     for label, color in enumerate(["tab:blue", "tab:red"]):
    ...         ax.stairs(score["values"][label], score["edges"], color=color)
    """

    def __init__(self, bins: int = 20, max_events: int = 10_000, pos_label: Any = None) -> None:
        self.bins = bins
        self.max_events = max_events
        self.pos_label = pos_label

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        """Check the parameters, and hide the columns from callbacks that expect numbers."""
        for name in ("bins", "max_events"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or int(value) < 1:
                msg = f"{name}={value!r} of ScoreDistribution must be a positive integer"
                raise ValueError(msg)
        classes = np.asarray(getattr(net, "classes_", ())).tolist()
        if not classes or not isinstance(X, EventDataset):
            what = "X as arrays, not as a torch Dataset" if classes else "a classifier"
            msg = f"ScoreDistribution needs {what}"
            raise ValueError(msg)
        label = classes[1] if self.pos_label is None and len(classes) == 2 else self.pos_label
        if label not in classes:
            msg = f"ScoreDistribution: pos_label={label!r} must be one of the classes {classes}"
            raise ValueError(msg)
        self.column_ = classes.index(label)
        for _, callback in net.callbacks_:
            if hasattr(callback, "keys_ignored_"):
                callback.keys_ignored_.update(("train_score", "valid_score"))

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Fill the histograms."""
        with net._averaged_weights():
            net.history.record("train_score", self._filled(net, self._some_of(dataset_train)))
            if dataset_valid is not None:
                net.history.record("valid_score", self._filled(net, dataset_valid))

    def _some_of(self, dataset: Any) -> Any:
        n_events = len(dataset)
        if n_events <= self.max_events:
            return dataset
        # a generator of its own: training stays what it is without this callback
        order = torch.randperm(n_events, generator=torch.Generator().manual_seed(0))
        return Subset(dataset, order[: self.max_events].tolist())

    def _filled(self, net: Any, dataset: Any) -> dict[str, Any]:
        output = torch.cat([first_output(part) for part in net.forward_iter(dataset)])
        score = net._probability(output)[:, self.column_].double().numpy().clip(0, 1)
        events, rows = unwrap(dataset)
        picked: Any = slice(None) if rows is None else rows
        target = events.y[picked].cpu().numpy()
        weight = np.ones(len(target))
        if WEIGHT in events.extras:
            weight = events.extras[WEIGHT][picked].cpu().double().numpy()
        edges = np.linspace(0, 1, self.bins + 1)
        values, squares = (
            [
                np.histogram(score[target == code], edges, weights=w[target == code])[0]
                for code in range(len(net.classes_))
            ]
            for w in (weight, weight**2)
        )
        return {
            "edges": edges.tolist(),
            "values": np.array(values).tolist(),
            "errors": np.sqrt(squares).tolist(),
        }


class Schedule(Callback):
    """Learning rate by epoch.

    Parameters
    ----------
    kind : str
        One of `SCHEDULES`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start anew."""
        self.scheduler_: Any = None

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Make the scheduler when the number of batches is known, and record the rate."""
        if self.scheduler_ is None:
            n_batches = len(net.get_iterator(dataset_train, training=True))
            given = net.get_params_for("optimizer")
            for group in net.optimizer_.param_groups if "param_groups" not in given else ():
                # a second training begins at the full rate, not where the first one ended
                group["lr"] = given.get("lr", net.lr)
                group.pop("initial_lr", None)
            self.scheduler_ = self._make(net, n_batches)
            state = net._resumed("scheduler")
            if state is not None:
                self.scheduler_.load_state_dict(state)
                # making a scheduler resets the rates of the optimizer
                net.optimizer_.load_state_dict(net._resumed("optimizer"))
        net.history.record("lr", net.optimizer_.param_groups[0]["lr"])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Step."""
        if self.kind == "plateau":
            key = "valid_loss" if "valid_loss" in net.history[-1] else "train_loss"
            self.scheduler_.step(net.history[-1, key])
        elif self.kind != "one_cycle":
            self.scheduler_.step()

    def _make(self, net: Any, n_batches: int) -> Any:
        schedulers, optimizer = torch.optim.lr_scheduler, net.optimizer_
        epochs = max(net.max_epochs, 1)
        if self.kind == "step":
            return schedulers.StepLR(optimizer, max(1, epochs // 3), 0.1)
        if self.kind == "exponential":  # down to a hundredth at the end
            return schedulers.ExponentialLR(optimizer, 0.01 ** (1 / epochs))
        if self.kind == "cosine":
            return schedulers.CosineAnnealingLR(optimizer, epochs)
        if self.kind == "plateau":
            return schedulers.ReduceLROnPlateau(optimizer, factor=0.3, patience=3)
        rates = [group["lr"] for group in optimizer.param_groups]
        return schedulers.OneCycleLR(optimizer, rates, epochs=epochs, steps_per_epoch=n_batches)


class BatchSchedule(Schedule):
    """Learning rate by batch (one cycle)."""

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Count the batches of the epoch."""
        super().on_epoch_begin(net, dataset_train, **kwargs)
        self.batches_ = 0

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Step; a batch that was halved for lack of memory is half a step."""
        if training:
            self.batches_ += 1
            if self.batches_ % (2 if net._run is not None and net._run.halved else 1) == 0:
                self.scheduler_.step()


class EarlyStopping(Callback):
    """Stops when held-out events no longer improve, and restores the best weights.

    Parameters
    ----------
    patience : int
        Epochs without improvement before the end.
    key : str
        Column of the history to look at.
    greater_is_better : bool
        Whether larger values are better.
    """

    def __init__(self, patience: int, key: str, greater_is_better: bool) -> None:
        self.patience = patience
        self.key = key
        self.greater_is_better = greater_is_better

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start anew, or where a checkpoint stood."""
        self.best_: float = -math.inf
        self.epoch_: int = 0
        self.state_: dict[str, Any] | None = None
        state = net._resumed("early_stopping")
        if state is not None:
            self.best_, self.epoch_, self.state_ = state

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare with the best."""
        value = net.history[-1, self.key]
        if self.greater_is_better and math.isnan(value):
            msg = f"eval_metric is NaN on the held-out events of epoch {len(net.history)}"
            raise ValueError(msg)
        score = value if self.greater_is_better else -value
        epoch = len(net.history)
        if score > self.best_:
            with net._averaged_weights():
                self.best_, self.epoch_, self.state_ = score, epoch, copy_state(net)
        net.history.record("best", self.epoch_ == epoch)
        if epoch - self.epoch_ >= self.patience:
            raise Stop

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Restore the best weights."""
        if self.state_ is not None:
            load_state(net, self.state_)
            net.best_epoch_ = self.epoch_
            net.best_score_ = self.best_ if self.greater_is_better else -self.best_
        self.state_ = None


class WeightAverage(Callback):
    """Exponential moving average of the weights over batches, used for everything but training.

    Parameters
    ----------
    decay : float
        Part of the average that each batch keeps; the first batches average evenly.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start from the present weights."""
        state = net._resumed("average")
        self.parameters_: Any = [p for p in net.module_.parameters() if p.requires_grad]
        self.average_: Any = (
            [p.detach().clone() for p in self.parameters_] if state is None else state
        )
        self.steps_ = net._resumed("average_steps") or 0

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        """Move the average."""
        if training:
            self.steps_ += 1
            share = 1 - min(self.decay, self.steps_ / (self.steps_ + 9))
            with torch.no_grad():
                torch._foreach_lerp_(self.average_, [p.data for p in self.parameters_], share)

    def swap(self) -> None:
        """Exchange weights and their average."""
        for parameter, average in zip(self.parameters_, self.average_, strict=True):
            parameter.data, average.data = average.data, parameter.data

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """The average becomes the result."""
        if self.average_ is not None and not net._restores_best():
            self.swap()
        self.average_ = self.parameters_ = None


class Checkpoint(Callback):
    """Writes everything that the rest of the training depends on, every few epochs.

    Parameters
    ----------
    every : int
        Epochs between two checkpoints.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write."""
        if len(net.history) % self.every == 0:
            net._save_checkpoint()
