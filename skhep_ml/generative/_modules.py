"""Networks by kind of data: encoders, decoders, fields, for tables, clouds and images alike.

A kind is "table", "cloud" or "image"; shapes are those of one event. Conditions are always a tensor
(n_events, n_condition), of width 0 where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skhep_ml.generative._cloud_nets import CloudEncoder, CloudField
from skhep_ml.generative._image_nets import ImageDecoder, ImageEncoder, ImageField
from skhep_ml.neural_network.modules._checks import check_widths
from skhep_ml.neural_network.modules._mlp import dense_layers, plain_linear

#: Widths of the hidden layers where none are asked for.
HIDDEN = {"table": (128, 128), "cloud": (64, 64), "image": (16, 32)}
# logarithms of widths stay in here, in units of a standardised feature
_LOG_WIDTHS = (-5.0, 3.0)


def hidden_widths(estimator: Any, kind: str) -> tuple[int, ...]:
    """Widths of the hidden layers that an estimator asks for, or those of its kind of data.

    Raises
    ------
    ValueError
        No sequence of positive integers, or an empty one where convolutions or sets need one.
    """
    hidden = HIDDEN[kind] if estimator.hidden is None else estimator.hidden
    check_widths(estimator, hidden=hidden, empty=kind == "table")
    return tuple(int(width) for width in hidden)


class TableNet(nn.Module):
    """Perceptron of a table and its condition.

    Parameters
    ----------
    n_features, n_condition, n_outputs : int
        Columns, numbers that condition, outputs.
    hidden : sequence of int
        Nodes of each layer.
    """

    def __init__(
        self, n_features: int, n_condition: int, n_outputs: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        n_in = n_features + n_condition
        self.body = dense_layers(n_in, hidden, activation="silu")
        self.head = plain_linear(hidden[-1] if len(hidden) else n_in, n_outputs)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Outputs (n_events, n_outputs)."""
        return self.head(self.body(torch.cat([X, condition], dim=1)))


class TableDecoder(TableNet):
    """Perceptron of conditions alone."""

    def __init__(self, n_condition: int, n_outputs: int, hidden: Sequence[int]) -> None:
        super().__init__(0, n_condition, n_outputs, hidden)

    def forward(self, condition: Tensor) -> Tensor:  # type: ignore[override]
        """Outputs (n_events, n_outputs)."""
        return self.head(self.body(condition))


def make_encoder(
    kind: str, shape: Sequence[int], n_condition: int, n_outputs: int, hidden: Sequence[int]
) -> nn.Module:
    """Module (X, condition) -> (n_events, n_outputs)."""
    if kind == "table":
        return TableNet(shape[0], n_condition, n_outputs, hidden)
    if kind == "cloud":
        return CloudEncoder(shape[1], n_condition, n_outputs, hidden)
    return ImageEncoder(shape, n_condition, n_outputs, hidden)


def make_decoder(
    kind: str, shape: Sequence[int], n_condition: int, hidden: Sequence[int], n_values: int = 1
) -> nn.Module:
    """Module condition -> (n_events, *shape), of a table or an image.

    With ``n_values`` each column or channel has several outputs, one block after the other.
    """
    if kind == "table":
        return TableDecoder(n_condition, n_values * shape[0], hidden[::-1])
    return ImageDecoder((n_values * shape[0], *shape[1:]), n_condition, hidden)


def make_field(
    kind: str, shape: Sequence[int], n_condition: int, hidden: Sequence[int]
) -> nn.Module:
    """Module (X, condition) -> array of the shape of a cloud or image, 0 for absent particles."""
    if kind == "cloud":
        return CloudField(shape[1], n_condition, hidden)
    return ImageField(shape[0], n_condition, hidden)


class GaussianDecoder(nn.Module):
    r"""Density of a table or image whose values are independent Gaussians given the condition.

    Parameters
    ----------
    kind : {"table", "image"}
        Kind of data.
    shape : sequence of int
        Shape of an event.
    n_condition : int
        Numbers of the event: latent variables, context.
    hidden : sequence of int
        Widths.
    """

    def __init__(
        self, kind: str, shape: Sequence[int], n_condition: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.net = make_decoder(kind, shape, n_condition, hidden, n_values=2)

    def _parameters_of(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_width = self.net(condition).chunk(2, dim=1)
        return mean, log_width.clamp(*_LOG_WIDTHS)

    def log_prob(self, X: Tensor, condition: Tensor) -> Tensor:
        """Log density of each event, (n_events,)."""
        mean, log_width = self._parameters_of(condition)
        pull = (X - mean) * torch.exp(-log_width)
        parts = -0.5 * pull.square() - log_width - 0.5 * math.log(2 * math.pi)
        return parts.flatten(1).sum(dim=1)

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Draw events."""
        mean, log_width = self._parameters_of(condition)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        return mean + noise * log_width.exp()
