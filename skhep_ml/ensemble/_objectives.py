"""Boosting objectives and losses for signed weights."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from skhep_ml.exceptions import WeightWarning

# events of a leaf under signed weights, in units of 1 / r^2
_LEAF_EVENTS = 64

Objective = Callable[[NDArray[np.float32], Any], tuple[NDArray[np.float32], NDArray[np.float32]]]


def signed_leaf_events(weight: NDArray[np.float64], *, stacklevel: int) -> float:
    """Events that a leaf needs for a mean sign well away from zero; warns where two need too many.

    64 / r^2 with r = sum w / sum abs(w): the mean sign of n events is r on average, with error
    1 / sqrt(n).
    """
    share = weight.sum() / np.abs(weight).sum()
    events, n_events = _LEAF_EVENTS / share**2, np.count_nonzero(weight)
    if events > n_events / 2:
        msg = (
            f"negative_weights='keep': the weights sum to {share:.1%} of the sum of abs(w), so a "
            f"meaningful leaf needs {np.ceil(events):.0f} events and {n_events} do not fill two: "
            "the model is almost constant; 'refine' may do better"
        )
        warnings.warn(msg, WeightWarning, stacklevel=stacklevel + 1)
    return float(events)


def signed_logistic(y: NDArray[Any], weight: NDArray[np.float64]) -> Objective:
    """Logistic loss with g = w(p - y) and h = abs(w) p(1 - p).

    The signed second derivative would make Newton steps explode or point uphill; with abs(w) the
    fixed point is still sum g = 0, only the step is shorter.
    """
    w = weight.astype(np.float32)
    size = np.abs(w)
    target = np.asarray(y, dtype=np.float32)

    def objective(margin: NDArray[np.float32], _: Any) -> tuple[Any, Any]:
        p = expit(np.asarray(margin, dtype=np.float32))
        gradient = p - target
        gradient *= w
        np.subtract(1, p, out=p, where=p > 0.5)  # min(p, 1 - p): no cancellation near 1
        hessian = p * (1 - p)
        hessian *= size
        return gradient, hessian

    return objective


def signed_softmax(y: NDArray[Any], weight: NDArray[np.float64], n_classes: int) -> Objective:
    """Softmax loss, signed in the gradient, with the engine's factor 2 in the hessian."""
    w = weight.astype(np.float32)[:, None]
    size = 2 * np.abs(w)
    target = np.zeros((len(y), n_classes), dtype=np.float32)
    target[np.arange(len(y)), y] = 1

    def objective(margin: NDArray[np.float32], _: Any) -> tuple[Any, Any]:
        margin = margin.reshape(len(target), n_classes)
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return (p - target) * w, np.maximum(p * (1 - p), 1e-16) * size

    return objective


def signed_squared_error(y: NDArray[Any], weight: NDArray[np.float64]) -> Objective:
    """Squared error with g = w(f - y) and h = abs(w)."""
    w = weight.astype(np.float32)
    size = np.abs(w)
    target = np.asarray(y, dtype=np.float32)

    def objective(margin: NDArray[np.float32], _: Any) -> tuple[Any, Any]:
        return (margin - target) * w, size

    return objective


def log_loss_from_margin(
    margin: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64]
) -> float:
    """Signed mean log loss of margins (n,) for two classes or (n, n_classes) for more."""
    margin = np.asarray(margin, dtype=np.float64)
    if margin.ndim == 1:
        # log(1 + exp(m)) - y m, stable for large margins
        loss = np.logaddexp(0, margin) - y * margin
    else:
        loss = logsumexp(margin, axis=1) - margin[np.arange(len(y)), y]
    return float(np.dot(weight, loss) / weight.sum())


def root_mean_squared_error(
    prediction: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64]
) -> float:
    """Signed root mean squared error; 0 where chance makes the signed mean negative."""
    square = (np.asarray(prediction, dtype=np.float64) - y) ** 2
    return float(np.sqrt(max(np.dot(weight, square) / weight.sum(), 0.0)))
