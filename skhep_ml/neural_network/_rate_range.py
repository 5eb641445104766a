"""Which learning rates train a net: a short training with a rising rate."""

from __future__ import annotations

import math
import numbers
import warnings
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone
from sklearn.utils import check_random_state
from skorch.utils import is_dataset

from skhep_ml._device import resolve_device
from skhep_ml.exceptions import NetWarning
from skhep_ml.neural_network._parameters import check_parameters
from skhep_ml.neural_network._prepare import check_arguments, make_run

# training is over when the loss is this many times above where it began
_EXPLODED = 10.0
# standard deviation of the smoothing, as a part of all steps
_SMOOTHING = 0.04
# the loss is lowest shortly before training breaks down
_MARGIN = 10.0


class RateRange(NamedTuple):
    """Outcome of a learning-rate range test.

    Attributes
    ----------
    rates : ndarray of shape (n_steps,)
        Learning rate of every step; fewer where the loss exploded.
    losses : ndarray of shape (n_steps,)
        Loss of the batch at every step, before the step.
    suggestion : float
        A tenth of the rate at which the smoothed loss is lowest: a learning rate to start from.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    suggestion: float


def lr_range_test(
    net: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    *,
    min_lr: float = 1e-6,
    max_lr: float = 1.0,
    n_steps: int = 150,
) -> RateRange:
    """Train a copy of a net with a learning rate that rises at every step.

    Parameters
    ----------
    net : NetClassifier or NetRegressor
        The net; it is not changed.
    X : array-like
        Events, as in `NetClassifier.fit`.
    y : array-like of shape (n_events,)
        Target.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights.
    min_lr, max_lr : float, default=1e-6, 1.0
        First and last rate; between them it rises by a constant factor.
    n_steps : int, default=150
        Training steps.

    Returns
    -------
    RateRange
        Named tuple (rates, losses, suggestion).

    Raises
    ------
    ValueError
        Rates or steps out of range, or events that `fit` would refuse.

    Warns
    -----
    NetWarning
        The loss does not fall at any rate.

    References
    ----------
    L. N. Smith, Cyclical learning rates for training neural networks, arXiv:1506.01186.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.neural_network import NetClassifier
    >>> events = make_signed_events(2000, negative_fraction=0.0, random_state=0)
    >>> net = NetClassifier(module__hidden=(32, 32), random_state=0, device="cpu")
    >>> test = net.find_lr(events.data, events.target)
    >>> bool(1e-5 < test.suggestion < 0.1)
    True
    """
    if not 0 < min_lr < max_lr:
        msg = f"0 < min_lr < max_lr is needed, got min_lr={min_lr!r}, max_lr={max_lr!r}"
        raise ValueError(msg)
    if not isinstance(n_steps, numbers.Integral) or n_steps < 10:
        msg = f"n_steps must be an integer of at least 10, got {n_steps!r}"
        raise ValueError(msg)
    if is_dataset(X):
        msg = "the learning-rate range test needs X as arrays, not as a torch Dataset"
        raise ValueError(msg)
    check_parameters(net)
    copy = clone(net).set_params(callbacks=None, checkpoint=None, schedule="constant", lr=min_lr)
    device = resolve_device(copy.device)
    seed = int(check_random_state(copy.random_state).randint(2**31 - 1))
    given = check_arguments(copy, X, y, sample_weight, seed=seed)
    run = make_run(copy, given, device, hold_out=False)
    rates = np.geomspace(min_lr, max_lr, n_steps)
    with copy._running(run, device, seed):
        losses = _losses(copy, run, rates)
    rates = rates[: len(losses)]
    return RateRange(rates, losses, _suggestion(rates, losses))


def _losses(net: Any, run: Any, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss at every step; ends where it explodes."""
    net.initialize()
    net._set_training(True)
    batches = chain.from_iterable(repeat(net.get_iterator(run.train, training=True)))
    losses: list[float] = []
    for rate, (X, target) in zip(rates, batches, strict=False):
        for group in net.optimizer_.param_groups:
            group["lr"] = rate
        net.optimizer_.zero_grad()
        loss = net.get_loss(net.infer(X), target, X=X, training=True)
        value = float(loss.detach())
        if not math.isfinite(value) or (losses and value > _EXPLODED * (1 + abs(losses[0]))):
            break
        losses.append(value)
        loss.backward()
        net.optimizer_.step()
    return np.array(losses)


def _suggestion(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    if not len(losses):
        msg = "the loss is not finite before any training: check inputs, targets and weights"
        raise ValueError(msg)
    smooth = gaussian_filter1d(losses, max(1.0, _SMOOTHING * len(losses)), mode="nearest")
    lowest = int(np.argmin(smooth))
    if lowest == 0:
        msg = (
            f"the loss does not fall at any rate from {rates[0]:.3g} to {rates[-1]:.3g}: take a "
            "smaller min_lr, or check inputs and module"
        )
        warnings.warn(msg, NetWarning, stacklevel=4)
    # the steepest fall would be nearer to the best rate, but moves with the noise of the batches
    return float(max(rates[lowest] / _MARGIN, rates[0]))
