"""Where a device's memory ends: smaller batches, with the same result but for their size."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from skhep_ml.exceptions import NetWarning
from skhep_ml.neural_network._callbacks import (
    BatchSchedule,
    DivergenceGuard,
    WeightAverage,
    copy_state,
    load_state,
)
from skhep_ml.neural_network._dataset import BatchIterator


class Weights:
    """Copy of the weights, and of their moving average where there is one.

    Parameters
    ----------
    net : EventNet
        A net that is initialised.
    """

    def __init__(self, net: Any) -> None:
        self.state = copy_state(net)
        self.averages = [
            (average, [part.clone() for part in average.average_], average.steps_)
            for average in _callbacks(net, WeightAverage)
            if getattr(average, "average_", None) is not None
        ]

    def load(self, net: Any) -> None:
        """Put the copies back; they can be used again."""
        load_state(net, self.state)
        for average, parts, steps in self.averages:
            average.average_, average.steps_ = [part.clone() for part in parts], steps


class TrainingStart:
    """Weights and optimizer, copied so that a training can begin again from there, once.

    Parameters
    ----------
    net : EventNet
        A net that is initialised.
    weights : Weights, default=None
        Copy of its present weights, if there is one.
    """

    def __init__(self, net: Any, weights: Weights | None = None) -> None:
        self.weights = Weights(net) if weights is None else weights
        self.optimizer = _copied(net.optimizer_.state_dict())

    def restore(self, net: Any) -> None:
        """Go back."""
        self.weights.load(net)
        net.optimizer_.load_state_dict(self.optimizer)
        net.optimizer_.zero_grad()


class EpochStart(TrainingStart):
    """Everything that an epoch changes, so that it can begin again.

    What callbacks of the user keep is not part of it.

    Parameters
    ----------
    net : EventNet
        A net in training.
    weights : Weights
        Copy of its present weights.
    """

    def __init__(self, net: Any, weights: Weights) -> None:
        super().__init__(net, weights)
        self.generator = net._run.generator.get_state()
        self.rng = torch.get_rng_state()
        self.schedules = [
            (schedule, copy.deepcopy(schedule.scheduler_.state_dict()))
            for schedule in _callbacks(net, BatchSchedule)
        ]

    def restore(self, net: Any) -> None:
        """Go back to the start of the epoch."""
        super().restore(net)
        net._run.generator.set_state(self.generator)
        torch.set_rng_state(self.rng)
        for schedule, state in self.schedules:
            schedule.scheduler_.load_state_dict(state)
            schedule.batches_ = 0


def _copied(value: Any) -> Any:
    # copy.deepcopy takes five times as long for tensors
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(part) for name, part in value.items()}
    return copy.deepcopy(value)


def _callbacks(net: Any, kind: type) -> list[Any]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, kind)]


def begin_epoch(net: Any, iterator: Any) -> EpochStart | None:
    """Copy the weights once, for the guard against divergence and for a second try.

    Returns
    -------
    EpochStart or None
        Where the epoch can begin again; None if its batches cannot be halved.
    """
    weights = Weights(net)
    for guard in _callbacks(net, DivergenceGuard):
        guard.remember(weights)
    can_restart = isinstance(iterator, BatchIterator) and net._run is not None
    return EpochStart(net, weights) if can_restart and not net._run.halved else None


def halve_batches(net: Any, iterator: Any, training: bool, reason: str) -> None:
    """Halve the batches of an iterator, in training once in a fit.

    Raises
    ------
    torch.OutOfMemoryError
        They were halved before, or cannot be.
    """
    size = getattr(iterator, "batch_size", None)
    if isinstance(iterator, BatchIterator):
        size = min(iterator.batch_size, iterator.n_events)
    run = net._run
    again = training and (run is None or run.halved)
    if again or not isinstance(iterator, BatchIterator) or size is None or size < 2:
        halved = ", even after halving it" if run is not None and run.halved else ""
        msg = (
            f"the memory of {net.device_!r} does not suffice for batches of {size} events{halved}: "
            f"set a smaller batch_size, or a smaller module ({reason})"
        )
        raise torch.OutOfMemoryError(msg)
    iterator.batch_size = size // 2
    if training:
        run.halved = True
        run.batch_size = size // 2
        msg = (
            f"the memory of {net.device_!r} does not suffice for batch_size={size}: the epoch "
            f"begins again with {size // 2}; batch_size={size // 2} avoids this warning"
        )
        warnings.warn(msg, NetWarning, stacklevel=2)
    else:
        _warn_smaller(net, size // 2)
    _release(net.device_)


def _warn_smaller(net: Any, size: int) -> None:
    msg = f"the memory of {net.device_!r} ended: going on with batches of {size} events"
    warnings.warn(msg, NetWarning, stacklevel=3)


def evaluate(net: Any, function: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
    """Function of the inputs of each batch, in as many parts as the device's memory asks for.

    Yields
    ------
    Tensor or tuple or dict of Tensor
        What the function returns for a batch.
    """
    limit = None
    for X in batches:
        n_events = _n_events(X)
        while True:
            reason = ""
            try:
                size = n_events if limit is None else limit
                result = _joined([function(part) for part in _parts(X, n_events, size)])
            except torch.OutOfMemoryError as error:
                # nothing else of it: its frames hold the tensors
                reason = str(error) or "out of memory"
            if not reason:
                break
            limit = min(size, n_events) // 2
            if limit < 1:
                msg = f"the memory of {net.device_!r} does not suffice for one event: {reason}"
                raise torch.OutOfMemoryError(msg)
            _warn_smaller(net, limit)
            _release(net.device_)
        yield result


def _n_events(X: Any) -> int:
    return len(next(iter(X.values()))) if isinstance(X, dict) else len(X)


def _parts(X: Any, n_events: int, size: int) -> Iterator[Any]:
    if size >= n_events:
        yield X
        return
    for start in range(0, n_events, size):
        rows = slice(start, start + size)
        yield {k: v[rows] for k, v in X.items()} if isinstance(X, dict) else X[rows]


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, dict):
        return {name: torch.cat([part[name] for part in parts]) for name in first}
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _release(device: str) -> None:
    if str(device).startswith("cuda"):
        torch.cuda.empty_cache()
