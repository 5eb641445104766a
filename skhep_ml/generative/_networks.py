"""Networks of flow matching and diffusion: from a noisy event and its time to one of its kind.

They are called with (x, t, context): times of shape (n,), or (1,) for all events, and None for no
context. Absent particles are NaN in x, and 0 in the output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhep_ml.generative._layout import Spec
from skhep_ml.generative._modules import make_field

#: Widths of the hidden layers where none are asked for.
HIDDEN = {"table": (128, 128, 128), "cloud": (64, 64, 64), "image": (16, 32)}


class TimeEmbedding(nn.Module):
    """A time between 0 and 1, with cosines and sines of it.

    Parameters
    ----------
    n_frequencies : int, default=16
        Frequencies, from half a turn to 32 turns in geometric steps.
    """

    def __init__(self, n_frequencies: int = 16) -> None:
        super().__init__()
        turns = 0.5 * 64 ** (torch.arange(n_frequencies) / max(n_frequencies - 1, 1))
        self.frequencies: Tensor
        self.register_buffer("frequencies", 2 * math.pi * turns)
        self.n_outputs = 2 * n_frequencies + 1

    def forward(self, t: Tensor) -> Tensor:
        """Embedding (n, n_outputs) of times (n,)."""
        phase = t[:, None] * self.frequencies
        return torch.cat([t[:, None], phase.cos(), phase.sin()], dim=1)


class ResidualMLP(nn.Module):
    """Perceptron with residual blocks that all see the time and the context.

    Parameters
    ----------
    n_features : int
        Columns of the table.
    n_context : int
        Columns of the context.
    n_nodes : int
        Nodes of every layer.
    n_blocks : int
        Blocks of two layers.
    """

    def __init__(self, n_features: int, n_context: int, n_nodes: int, n_blocks: int) -> None:
        super().__init__()
        self.time = TimeEmbedding()
        n_given = self.time.n_outputs + n_context
        self.enter = nn.Linear(n_features, n_nodes)
        self.condition = nn.Sequential(nn.Linear(n_given, n_nodes), nn.SiLU())
        self.shifts = nn.ModuleList(nn.Linear(n_nodes, n_nodes) for _ in range(n_blocks))
        self.first = nn.ModuleList(nn.Linear(n_nodes, n_nodes) for _ in range(n_blocks))
        self.second = nn.ModuleList(nn.Linear(n_nodes, n_nodes) for _ in range(n_blocks))
        self.leave = nn.Linear(n_nodes, n_features)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Output (n, n_features)."""
        given = self.time(t)
        if context is not None:
            given = torch.cat([given.expand(len(context), -1), context], dim=1)
        given = self.condition(given)
        hidden = self.enter(x)
        for shift, first, second in zip(self.shifts, self.first, self.second, strict=True):
            inner = functional.silu(first(functional.silu(hidden)) + shift(given))
            hidden = hidden + second(inner)
        return self.leave(functional.silu(hidden))


class TimedField(nn.Module):
    """Field of a cloud or image whose condition is the time beside the context.

    Parameters
    ----------
    spec : Spec
        What is generated.
    hidden : sequence of int
        Widths, as in `make_field`.
    """

    def __init__(self, spec: Spec, hidden: Sequence[int]) -> None:
        super().__init__()
        self.time = TimeEmbedding()
        self.field = make_field(spec.kind, spec.shape, self.time.n_outputs + spec.n_context, hidden)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Output of the shape of x."""
        given = self.time(t).expand(len(x), -1)
        if context is not None:
            given = torch.cat([given, context], dim=1)
        return self.field(x, given)


def make_network(spec: Spec, hidden: Sequence[int] | None) -> nn.Module:
    """Network (x, t, context) for a kind of events, with a block for each width."""
    widths = HIDDEN[spec.kind] if hidden is None else tuple(hidden)
    if spec.kind != "table":
        return TimedField(spec, widths)
    if len(set(widths)) > 1:
        msg = f"hidden={widths}: residual blocks of a table have one width, such as (128, 128)"
        raise ValueError(msg)
    return ResidualMLP(spec.n_features, spec.n_context, widths[0], len(widths))


def squared_distance(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference for each event, over what is present: target is not NaN."""
    if target.ndim < 3:
        return (output - target).square().mean(dim=1)
    present = ~target.isnan()
    # NaN in a branch that is not taken would still reach the gradient
    distance = (output - torch.where(present, target, 0.0)).square() * present
    return distance.flatten(1).sum(dim=1) / present.flatten(1).sum(dim=1).clamp(min=1)


def draw(like: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Noise of the shape of events, and times that cover 0 to 1 evenly.

    In validation they are the same in every epoch, so that losses can be compared.
    """
    options: dict[str, Any] = {"device": like.device}
    if not training:
        options["generator"] = torch.Generator(like.device).manual_seed(0)
    noise = torch.randn(like.shape, **options)
    start = torch.rand(1, **options)
    steps = torch.arange(len(like), device=like.device) / len(like)
    return noise, (steps + start) % 1.0


def per_event(t: Tensor, like: Tensor) -> Tensor:
    """Times (n,) with the axes of events, so that they multiply each."""
    return t.reshape(-1, *[1] * (like.ndim - 1))
