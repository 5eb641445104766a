"""Terms that training adds to the loss: decorrelation and input gradients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from skhep_ml._frames import column_positions
from skhep_ml.metrics._correlation import centred_product
from skhep_ml.neural_network._dataset import NUISANCE, WEIGHT
from skhep_ml.neural_network._losses import EventLoss, weighted_mean

# events compared with each other at once: distances take memory of the square of that
_LARGEST_GROUP = 2048


@dataclass(frozen=True)
class Nuisance:
    """Where in X the quantities are that the output must not know.

    Attributes
    ----------
    columns : tuple of int or of str
        Columns of a table, or names among several inputs.
    hidden : bool
        Whether the module does not see them.
    """

    columns: tuple[Any, ...]
    hidden: bool

    def values(self, arrays: Any) -> NDArray[np.float32]:
        """The quantities, (n_events, n_quantities), each of mean 0 and standard deviation 1."""
        if isinstance(arrays, dict):
            table = np.hstack([arrays[name] for name in self.columns])
        else:
            table = arrays[:, list(self.columns)]
        # masses in MeV would lose digits in float32
        exact = table.astype(np.float64)
        deviation = exact.std(axis=0)
        exact = (exact - exact.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        return exact.astype(np.float32)

    def without(self, arrays: Any) -> Any:
        """Inputs that the module sees; one that is left under the name "X" stands alone."""
        if not self.hidden:
            return arrays
        if isinstance(arrays, dict):
            left = {name: part for name, part in arrays.items() if name not in self.columns}
            return left["X"] if left.keys() == {"X"} else left
        return np.delete(arrays, self.columns, axis=1)


def find_nuisance(net: Any, arrays: Any) -> Nuisance | None:
    """Look ``net.decorrelate`` up among the columns, or among several named inputs.

    Raises
    ------
    ValueError
        Unknown columns, or nothing left that the module could see.
    """
    asked = net.decorrelate
    if asked is None:
        return None
    single = isinstance(asked, str) or not isinstance(asked, Iterable)
    columns: list[Any] = [asked] if single else list(asked)
    if not columns:
        msg = f"decorrelate={asked!r} names no column: use None to decorrelate from nothing"
        raise ValueError(msg)
    if isinstance(arrays, dict):
        tables = [name for name, array in arrays.items() if array.ndim == 2]
        for name in columns:
            if name not in tables:
                msg = f"decorrelate names {name!r}, but the inputs that are tables are {tables}"
                raise ValueError(msg)
        n_columns = len(arrays)
    else:
        if arrays.ndim != 2:
            msg = (
                f"decorrelate={columns} names a column of a table, but X has shape {arrays.shape}: "
                'pass several inputs, such as {"X": clouds, "mass": mass}, and decorrelate="mass"'
            )
            raise ValueError(msg)
        columns = _table_columns(net, arrays, columns)
        n_columns = arrays.shape[1]
    if not net.decorrelate_visible and len(set(columns)) == n_columns:
        msg = f"decorrelate={columns} leaves the module nothing to see in X"
        raise ValueError(msg)
    return Nuisance(tuple(columns), not net.decorrelate_visible)


def _table_columns(net: Any, table: NDArray[Any], columns: list[Any]) -> list[int]:
    names = getattr(net, "feature_names_in_", None)
    if names is None and any(isinstance(column, str) for column in columns):
        msg = (
            f"decorrelate={columns!r}, but the columns of X have no names: pass a DataFrame (in a "
            'Pipeline: pipeline.set_output(transform="pandas")), or give positions'
        )
        raise ValueError(msg)
    known = None if names is None else list(names)
    return column_positions(table, columns, names=known, argument="decorrelate")


def visible_inputs(net: Any, arrays: Any) -> Any:
    """Checked inputs, less the quantities that the module must not see."""
    nuisance = getattr(net, "_nuisance_", None)
    return arrays if nuisance is None else nuisance.without(arrays)


def visible_shapes(net: Any) -> Any:
    """Shapes of the inputs that the module sees; None before they are known."""
    shapes, nuisance = getattr(net, "input_shapes_", None), getattr(net, "_nuisance_", None)
    if shapes is None or nuisance is None or not nuisance.hidden:
        return shapes
    if isinstance(shapes, dict):
        left = {name: shape for name, shape in shapes.items() if name not in nuisance.columns}
        return left["X"] if left.keys() == {"X"} else left
    return (shapes[0] - len(nuisance.columns),)


def squared_distance_correlation(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """Differentiable `skhep_ml.metrics.distance_correlation` squared; 0 for a constant.

    Many events are compared in groups, whose values are averaged by their weight.

    Parameters
    ----------
    a, b : Tensor of shape (n_events,)
        Two quantities.
    weight : Tensor of shape (n_events,), default=None
        Weights >= 0; None counts events.

    Returns
    -------
    Tensor
        A scalar in [0, 1].
    """
    weight = torch.ones_like(a) if weight is None else weight
    if weight.device.type == "cpu":  # elsewhere the selection would wait for the device
        used = weight > 0
        a, b, weight = a[used], b[used], weight[used]
    groups = zip(*(t.split(_LARGEST_GROUP) for t in (a, b, weight)), strict=True)
    total = sum(_group_correlation(*group) * group[2].sum() for group in groups)
    return total / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def _group_correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    p = weight / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
    distances = [(values[:, None] - values[None]).abs() for values in (a, b)]
    rows = [distance @ p for distance in distances]

    def product(i: int, j: int) -> Tensor:
        mean = p @ (distances[i] * distances[j]) @ p
        return centred_product(p, mean, rows[i], rows[j])

    size = (product(0, 0) * product(1, 1)).clamp(min=0)
    known = size > 0
    return torch.where(known, product(0, 1) / torch.where(known, size, 1.0).sqrt(), 0.0)


def decorrelation(net: Any, output: Tensor, target: Tensor, X: dict[str, Tensor]) -> Tensor:
    """Sum of dCorr^2 of each output with each nuisance, on the events of one class."""
    nuisance = X[NUISANCE].to(output.device)
    weight = _positive_weight(X, output)
    code = net._nuisance_code()
    if code is not None:
        weight = weight * (target == code)
    scores = net._decorrelated(output)
    pairs = [(score, column) for score in scores.unbind(1) for column in nuisance.unbind(1)]
    return torch.stack(
        [squared_distance_correlation(score, column, weight) for score, column in pairs]
    ).sum()


def _positive_weight(X: Any, output: Tensor) -> Tensor:
    weight = X.get(WEIGHT) if isinstance(X, dict) else None
    if weight is None:
        return output.new_ones(len(output))
    return weight.to(output.device).abs()


def watch_inputs(X: Any) -> None:
    """Ask torch for the gradients with respect to the inputs of a batch."""
    for tensor in _input_tensors(X):
        tensor.requires_grad_()


def _input_tensors(X: Any) -> list[Tensor]:
    named = X if isinstance(X, dict) else {"X": X}
    return [
        part
        for name, part in named.items()
        if name not in (WEIGHT, NUISANCE) and isinstance(part, Tensor) and part.is_floating_point()
    ]


def input_gradient_penalty(net: Any, output: Tensor, target: Tensor, X: Any) -> Tensor:
    """Mean over events, weighted by abs(w), of the squared input gradient of the loss."""
    inputs = _input_tensors(X)
    # without its weight, an event's own loss depends on nothing but its own inputs
    loss = net.criterion_(output, target) * len(output)
    gradients = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    squares = [g.flatten(1).square().sum(dim=1) for g in gradients if g is not None]
    return weighted_mean(torch.stack(squares).sum(dim=0), _positive_weight(X, output))


class DoubleDisCoLoss(EventLoss):
    """Two classifiers of the same events, independent of each other on background.

    The module's two outputs are the log odds of the second class according to two classifiers.
    Each has its cross entropy; dCorr^2 of the two on background, times ``strength``, makes cuts on
    them independent, so that the background in the signal region is estimated from the three
    regions beside it (ABCD method). ``net.forward(X)`` gives both outputs; the net's probability is
    the mean of theirs.

    Parameters
    ----------
    strength : float, default=10.0
        Factor of dCorr^2.
    label : int, default=0
        Background, as the position in ``classes_``.

    References
    ----------
    G. Kasieczka, B. Nachman, M. D. Schwartz, D. Shih, ABCDisCo: Automating the ABCD method with
    machine learning, arXiv:2007.14400.
    """

    def __init__(self, strength: float = 10.0, label: int = 0) -> None:
        super().__init__()
        self.strength = strength
        self.label = label

    def n_outputs(self, n: int) -> int:
        """One for each classifier."""
        if n != 2:
            msg = f"criterion='double_disco' needs two classes, there are {n}"
            raise ValueError(msg)
        return 2

    def events(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of both classifiers, (n_events, 2)."""
        signal = target.to(prediction.dtype)[:, None].expand_as(prediction)
        return functional.binary_cross_entropy_with_logits(prediction, signal, reduction="none")

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean cross entropy, and the distance correlation of the two outputs."""
        if prediction.ndim == 3:
            members = [self(member, target, weight) for member in prediction.unbind(dim=1)]
            return torch.stack(members).mean()
        loss = weighted_mean(self.events(prediction, target), weight)
        size = torch.ones_like(loss).expand(len(target)) if weight is None else weight.abs()
        first, second = torch.sigmoid(prediction).unbind(dim=1)
        background = size * (target == self.label)
        return loss + self.strength * squared_distance_correlation(first, second, background)

    def probability(self, prediction: Tensor) -> Tensor:
        """Probabilities of the two classes, the mean of both classifiers."""
        signal = torch.sigmoid(prediction).flatten(1).mean(dim=1)
        return torch.stack([1 - signal, signal], dim=1)
