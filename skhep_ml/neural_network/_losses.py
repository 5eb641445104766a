"""Losses with event weights: one scalar from predictions, targets and weights."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_2PI = math.log(2 * math.pi)


def weighted_mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over the events of weight times loss; weights of mean 1 leave the scale alone.

    The sum of weights in a batch is not divided by: with signed weights it may be anything.
    """
    loss = loss.flatten(1).mean(dim=1) if loss.ndim > 1 else loss
    return loss.mean() if weight is None else torch.dot(loss, weight) / len(loss)


class EventLoss(nn.Module):
    """Base of the losses: `events` gives one loss an event.

    A prediction with one more axis than usual, (n_events, n_members, n_outputs), holds several
    predictors that share the events: their losses are averaged.
    """

    def n_outputs(self, n: int) -> int:
        """Outputs that a module needs for ``n`` classes or targets."""
        return n

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of each event, of shape (n_events,) or (n_events, n_targets)."""
        raise NotImplementedError

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Weighted mean loss, a scalar."""
        if prediction.ndim == 3 and target.ndim < 3:
            n_members = prediction.shape[1]
            prediction = prediction.flatten(0, 1)
            target = target.repeat_interleave(n_members, dim=0)
            weight = None if weight is None else weight.repeat_interleave(n_members)
        return weighted_mean(self.events(prediction, target), weight)


class CrossEntropyLoss(EventLoss):
    """Cross entropy of logits (n_events, n_classes) against class numbers.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Probability taken from the true class and shared among all.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Minus log probability of the true class."""
        return functional.cross_entropy(
            prediction,
            target,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )


class FocalLoss(EventLoss):
    """Cross entropy times (1 - p)^gamma, p the probability of the true class.

    Events that are classified well count less.

    Parameters
    ----------
    gamma : float, default=2.0
        Power; 0 is the cross entropy.

    References
    ----------
    T.-Y. Lin et al., Focal loss for dense object detection, arXiv:1708.02002.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Focal loss of each event."""
        loss = functional.cross_entropy(prediction, target, reduction="none")
        return (-torch.expm1(-loss)).clamp(min=0) ** self.gamma * loss


class SquaredLoss(EventLoss):
    """Squared error; its optimum is the mean."""

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Squared difference."""
        return (prediction - target.reshape(prediction.shape)) ** 2


class AbsoluteLoss(EventLoss):
    """Absolute error; its optimum is the median."""

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Absolute difference."""
        return (prediction - target.reshape(prediction.shape)).abs()


class HuberLoss(EventLoss):
    """Squared error near the target, absolute error beyond ``delta``.

    Parameters
    ----------
    delta : float, default=1.0
        Where the two meet, in units of the (scaled) target.
    """

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Huber's function of the difference."""
        return functional.huber_loss(
            prediction, target.reshape(prediction.shape), reduction="none", delta=self.delta
        )


class QuantileLoss(EventLoss):
    """Pinball loss; its optimum are quantiles of the target.

    Parameters
    ----------
    quantiles : sequence of float, default=(0.16, 0.5, 0.84)
        An odd number of rising values, one output for each; the prediction is the middle one, the
        standard deviation half the distance of the outer ones.
    """

    def __init__(self, quantiles: Sequence[float] = (0.16, 0.5, 0.84)) -> None:
        super().__init__()
        self.quantiles = tuple(quantiles)
        ordered = sorted(set(self.quantiles)) == list(self.quantiles)
        inside = all(0 < quantile < 1 for quantile in self.quantiles)
        if not (ordered and inside and len(self.quantiles) % 2):
            msg = (
                f"quantiles={self.quantiles} must be an odd number of rising values between 0 and "
                "1: the middle one is the prediction"
            )
            raise ValueError(msg)

    def n_outputs(self, n: int) -> int:
        """One for each quantile."""
        return n * len(self.quantiles)

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Sum of the pinball losses."""
        shape = (len(prediction), -1, len(self.quantiles))
        q = prediction.new_tensor(self.quantiles)
        distance = target.reshape(len(prediction), -1, 1) - prediction.reshape(shape)
        return torch.maximum(q * distance, (q - 1) * distance).sum(dim=2)

    def location(self, prediction: Tensor) -> Tensor:
        """Middle quantile."""
        shaped = prediction.reshape(len(prediction), -1, len(self.quantiles))
        return shaped[:, :, len(self.quantiles) // 2]

    def deviation(self, prediction: Tensor) -> Tensor:
        """Half the distance of the outer quantiles."""
        shaped = prediction.reshape(len(prediction), -1, len(self.quantiles))
        return (shaped[:, :, -1] - shaped[:, :, 0]).clamp(min=0) / 2


class GaussianLoss(EventLoss):
    """Minus log density of a Gaussian whose mean and width are both predicted.

    The module has two outputs for each target: mean and log of the standard deviation.
    """

    def n_outputs(self, n: int) -> int:
        """Mean and width."""
        return 2 * n

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Minus log likelihood."""
        mean, log_width = prediction.reshape(len(prediction), -1, 2).unbind(dim=2)
        pull = (target.reshape(mean.shape) - mean) * torch.exp(-log_width)
        return pull**2 / 2 + log_width + LOG_2PI / 2

    def location(self, prediction: Tensor) -> Tensor:
        """Mean."""
        return prediction.reshape(len(prediction), -1, 2)[:, :, 0]

    def deviation(self, prediction: Tensor) -> Tensor:
        """Standard deviation."""
        return prediction.reshape(len(prediction), -1, 2)[:, :, 1].exp()


class UnreducedLoss(EventLoss):
    """Any criterion of torch, with event weights.

    Parameters
    ----------
    criterion : nn.Module
        Made with ``reduction="none"``.
    """

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of each event."""
        if isinstance(self.criterion, nn.NLLLoss):
            # as in skorch: a module with softmax at its end
            prediction = torch.log(prediction + torch.finfo(prediction.dtype).eps)
        elif prediction.shape[1:] != target.shape[1:] and prediction.numel() == target.numel():
            # one output or one target: (n,) and (n, 1) would broadcast to (n, n)
            target = target.reshape(prediction.shape).to(prediction.dtype)
        return self.criterion(prediction, target)


CLASSIFICATION_LOSSES = {"cross_entropy": CrossEntropyLoss, "focal": FocalLoss}
REGRESSION_LOSSES = {
    "squared": SquaredLoss,
    "absolute": AbsoluteLoss,
    "huber": HuberLoss,
    "quantile": QuantileLoss,
    "gaussian": GaussianLoss,
}


def make_loss(criterion: Any, known: dict[str, type[EventLoss]], options: dict[str, Any]) -> Any:
    """Loss from a name, a class or an instance.

    Raises
    ------
    ValueError
        Unknown name, or an imposed reduction.
    """
    if isinstance(criterion, str):
        if criterion not in known:
            msg = f"criterion={criterion!r} must be one of {sorted(known)}, or a torch criterion"
            raise ValueError(msg)
        return known[criterion](**options)
    if isinstance(criterion, nn.Module) and not options:
        if isinstance(criterion, EventLoss) or not hasattr(criterion, "reduction"):
            return criterion
        unreduced: Any = copy.deepcopy(criterion)
        unreduced.reduction = "none"
        return UnreducedLoss(unreduced)
    if isinstance(criterion, nn.Module):
        criterion = type(criterion)
    if "reduction" in options:
        msg = "criterion__reduction cannot be set: the loss of each event is weighted and averaged"
        raise ValueError(msg)
    signature = inspect.signature(criterion).parameters
    if "reduction" in signature:
        return UnreducedLoss(criterion(**options, reduction="none"))
    return criterion(**options)
