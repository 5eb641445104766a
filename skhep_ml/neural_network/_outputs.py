"""What is made from a net's outputs: calibrated probabilities, other mixtures, input gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted
from skorch.dataset import unpack_data
from skorch.utils import is_dataset
from torch import Tensor

from skhep_ml.exceptions import NetWarning
from skhep_ml.neural_network._dataset import EventDataset, first_output, module_inputs
from skhep_ml.neural_network._inputs import check_inputs, to_tensors
from skhep_ml.neural_network._memory import evaluate
from skhep_ml.neural_network._penalties import visible_inputs

# temperatures looked at, as natural logarithms
_LOG_TEMPERATURES = np.linspace(-4, 4, 41)


def check_held_out(net: Any, hold_out: bool) -> None:
    """Refuse parameters that need events that are not trained on, where there are none.

    Raises
    ------
    ValueError
        Nothing is held out.
    """
    for name in ("calibrate", "eval_metric"):
        if getattr(net, name, None) is not None and not hold_out:
            msg = (
                f"{name} needs events that are not trained on: set early_stopping=True, "
                "or give an eval_set"
            )
            raise ValueError(msg)


def fit_temperature(
    log_probability: NDArray[np.float64],
    codes: NDArray[np.intp],
    weight: NDArray[np.float64] | None = None,
) -> float:
    r"""Temperature T for which softmax(log p / T) describes the classes best.

    Parameters
    ----------
    log_probability : ndarray of shape (n_events, n_classes)
        Logarithms of predicted probabilities.
    codes : ndarray of shape (n_events,)
        True class, counted from 0.
    weight : ndarray of shape (n_events,), default=None
        Signed event weights.

    Returns
    -------
    float
        The temperature; 1 where the events do not determine any.

    Warns
    -----
    NetWarning
        The likelihood rises without end: all events are classified perfectly, or the weights are
        too signed.

    Notes
    -----
    Minimises the signed sum of :math:`-w \ln p`. With negative weights it may have several minima:
    the lowest within exp(-4) to exp(4) is taken.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks,
    arXiv:1706.04599.
    """
    rows = np.arange(len(codes))
    weight = np.ones(len(codes)) if weight is None else weight

    def loss(log_temperature: float) -> float:
        scaled = log_probability * np.exp(-log_temperature)
        return float(weight @ (logsumexp(scaled, axis=1) - scaled[rows, codes]))

    values = [loss(t) for t in _LOG_TEMPERATURES]
    best = int(np.argmin(values))
    if best in (0, len(values) - 1):
        msg = (
            f"the {len(codes)} held-out events determine no temperature: probabilities stay as "
            "they are; hold out more events"
        )
        warnings.warn(msg, NetWarning, stacklevel=2)
        return 1.0
    bounds = (_LOG_TEMPERATURES[best - 1], _LOG_TEMPERATURES[best + 1])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def check_prior(prior: Any, classes: NDArray[Any]) -> NDArray[np.float64] | None:
    """Share of each class, of sum 1, in the order of ``classes``.

    Raises
    ------
    ValueError
        Classes that are missing or unknown, or shares that are not positive.
    """
    if prior is None:
        return None
    labels = classes.tolist()
    if isinstance(prior, Mapping):
        given = set(prior)
        if given != set(labels):
            odd = sorted(given ^ set(labels), key=str)[0]
            word = "lacks" if odd in labels else "names"
            msg = f"prior {word} {odd!r}, but needs one number for each of the classes {labels}"
            raise ValueError(msg)
        shares = np.array([prior[label] for label in labels], dtype=np.float64)
    else:
        shares = np.asarray(prior, dtype=np.float64)
        if shares.shape != (len(labels),):
            msg = f"prior has shape {shares.shape}: one number for each of the classes {labels}"
            raise ValueError(msg)
    if not (np.isfinite(shares).all() and (shares > 0).all()):
        msg = f"prior must be positive and finite for every class, got {prior!r}"
        raise ValueError(msg)
    return shares / shares.sum()


def log_odds(log_probability: Tensor, code: int | None) -> Tensor:
    """Log odds of one class against all others; None takes each event's most probable class."""
    if code is None:
        picked = log_probability.argmax(dim=1, keepdim=True)
    else:
        picked = torch.full_like(log_probability[:, :1], code, dtype=torch.int64)
    own = log_probability.gather(1, picked)[:, 0]
    others = log_probability.scatter(1, picked, -torch.inf)
    return own - torch.logsumexp(others, dim=1)


def input_gradients(net: Any, X: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Gradient of a function of the net's output with respect to every input value.

    Parameters
    ----------
    net : EventNet
        A fitted net.
    X : array-like or torch Dataset
        Events.
    function : callable
        From the output of a batch to one number an event.

    Returns
    -------
    ndarray or dict of ndarray
        Shapes of X; 0 where a value is missing, or hidden from the module.
    """
    check_is_fitted(net, "module_")
    arrays = None if is_dataset(X) else check_inputs(net, X, reset=False)
    events = X if arrays is None else EventDataset(to_tensors(visible_inputs(net, arrays)), None)
    net._set_training(False)

    def gradient(inputs: Any) -> dict[str, Tensor]:
        inputs = module_inputs(inputs)
        named = inputs if isinstance(inputs, dict) else {"X": inputs}
        named = {name: part.detach().clone().requires_grad_() for name, part in named.items()}
        output = net.infer(named)
        value = function(first_output(output))
        parts = torch.autograd.grad(value.sum(), list(named.values()), allow_unused=True)
        return {
            name: torch.zeros_like(part) if slope is None else torch.where(part.isnan(), 0.0, slope)
            for (name, part), slope in zip(named.items(), parts, strict=True)
        }

    recurrent = any(isinstance(part, torch.nn.RNNBase) for part in net.module_.modules())
    # cuDNN has no gradients of recurrent layers outside training
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    batches = (unpack_data(batch)[0] for batch in net.get_iterator(events))
    with torch.enable_grad(), without_cudnn:
        found = [
            {name: part.float().cpu() for name, part in slopes.items()}
            for slopes in evaluate(net, gradient, batches)
        ]
    gradients = {name: torch.cat([part[name] for part in found]).numpy() for name in found[0]}
    if arrays is None:
        return gradients["X"] if gradients.keys() == {"X"} else gradients
    return _filled(net, arrays, gradients)


def _filled(net: Any, arrays: Any, gradients: dict[str, NDArray[Any]]) -> Any:
    """Gradients in the shapes of all inputs, with zeros for what is hidden."""
    if isinstance(arrays, dict):
        zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
        return {**zeros, **gradients}
    nuisance = getattr(net, "_nuisance_", None)
    if nuisance is None or not nuisance.hidden:
        return gradients["X"]
    filled = np.zeros_like(arrays)
    filled[:, np.setdiff1d(np.arange(arrays.shape[1]), nuisance.columns)] = gradients["X"]
    return filled
