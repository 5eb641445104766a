"""ParticleNet: convolutions over the neighbours of each particle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import (
    check_columns,
    check_counts,
    check_input,
    check_widths,
)
from skhep_ml.neural_network.modules._mlp import (
    dense_layers,
    make_linear,
    plain_linear,
    split_mask,
)
from skhep_ml.neural_network.modules._pairs import (
    Packing,
    RowNorm,
    nearest_neighbours,
    particle_outputs,
    take_columns,
)


class EdgeConv(nn.Module):
    """Mean over neighbours of a perceptron of (x_i, x_j - x_i), and a shortcut.

    Parameters
    ----------
    n_in : int
        Features of a particle.
    channels : sequence of int
        Widths of the perceptron's layers.
    """

    def __init__(self, n_in: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = make_linear(2 * n_in, channels[0], "relu", bias=False)
        self.linears = nn.ModuleList(
            make_linear(a, b, "relu", bias=False) for a, b in pairwise(channels)
        )
        self.norms = nn.ModuleList(RowNorm(width) for width in channels)
        self.shortcut = nn.Sequential(
            make_linear(n_in, channels[-1], "relu", bias=False), RowNorm(channels[-1])
        )

    def forward(self, x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """New features of the particles.

        Parameters
        ----------
        x : Tensor of shape (n_rows, n_in)
            Features of all present particles.
        index : Tensor of int, shape (n_rows, k)
            Rows of their neighbours.
        valid : Tensor of bool, shape (n_rows, k)
            Which neighbours exist.

        Returns
        -------
        Tensor of shape (n_rows, channels[-1])
            Features.
        """
        n_rows, k = index.shape
        kept = valid.flatten().nonzero().squeeze(1)
        full = len(kept) == valid.numel()
        # W (x_i, x_j - x_i) = (A - B) x_i + B x_j: k times fewer products than edge by edge
        A, B = self.first.weight.chunk(2, dim=1)
        centre, neighbour = F.linear(x, A - B), F.linear(x, B)
        if full:
            edges = neighbour.index_select(0, index.flatten())
            edges = edges.unflatten(0, (n_rows, k)).add_(centre[:, None]).flatten(0, 1)
        else:
            edges = neighbour.index_select(0, index.flatten()[kept])
            edges = edges.add_(centre.index_select(0, kept // k))
        edges = self.norms[0](edges)
        for linear, norm in zip(self.linears, self.norms[1:], strict=True):
            edges = norm(linear(F.relu(edges, inplace=True)))
        if not full:
            edges = edges.new_zeros(valid.numel(), edges.shape[1]).index_copy(0, kept, edges)
        total = F.relu(edges.unflatten(0, (n_rows, k)), inplace=True).sum(dim=1)
        return F.relu(total / valid.sum(dim=1, keepdim=True).clamp(min=1) + self.shortcut(x))


class ParticleNet(nn.Module):
    """ParticleNet: dynamic graph convolutions over a cloud of particles.

    Each particle exchanges edges with its nearest neighbours, first in the plane of two of its
    features, then in the space that the convolutions have learned. The result depends neither on
    the order of particles nor on padding, and batch norm sees present particles only.

    Parameters
    ----------
    n_features : int
        Features of a particle; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    coordinates : sequence of int, default=(1, 2)
        Columns in which the first convolution looks for neighbours: eta and phi, in equal units.
    n_neighbors : int, default=16
        Neighbours of a particle; where an event has fewer other particles, all of them.
    channels : sequence of sequences of int, default=((64,) * 3, (128,) * 3, (256,) * 3)
        Widths of the layers of each convolution.
    hidden : int, default=256
        Nodes of the hidden layer after the mean over particles.
    dropout : float, default=0.1
        Fraction of these nodes dropped in training.
    period : float, default=None
        Period of the last of the ``coordinates``: ``2 * numpy.pi`` if that is an azimuth in
        radian; None if it is relative to a jet's axis.
    per_particle : bool, default=False
        Give outputs for each particle instead of the event, without the mean over particles: shape
        (n_events, n_particles, n_outputs), or (n_events, n_particles) for one output; 0 for absent
        particles. `InteractionNetwork` says how to train them.

    Notes
    -----
    Defaults are the published ones, with 366,160 parameters for 7 features and 2 classes; `lite`
    gives ParticleNet-Lite, with 26,416. The first layer of a convolution acts on particles
    before its result is gathered on edges, which gives the published map with k times fewer
    products. A training step keeps about 30 MB for an event of 128 particles (`lite`: 4 MB): mind
    ``batch_size``.

    References
    ----------
    H. Qu, L. Gouskos, ParticleNet: jet tagging via particle clouds, arXiv:1902.08570.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import ParticleNet
    >>> cloud = torch.randn(8, 30, 4)
    >>> cloud[0, 10:] = torch.nan
    >>> ParticleNet.lite(n_features=4, n_outputs=2)(cloud).shape
    torch.Size([8, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        coordinates: Sequence[int] = (1, 2),
        n_neighbors: int = 16,
        channels: Sequence[Sequence[int]] = ((64,) * 3, (128,) * 3, (256,) * 3),
        hidden: int = 256,
        dropout: float = 0.1,
        period: float | None = None,
        per_particle: bool = False,
    ) -> None:
        super().__init__()
        check_counts(self, n_neighbors=n_neighbors, n_convolutions=len(channels), hidden=hidden)
        for block in channels:
            check_widths(self, channels=block, empty=False)
        self.coordinates = check_columns(
            "coordinates", coordinates, n_features, "name the columns of eta and phi"
        )
        self.n_features = n_features
        self.n_neighbors = n_neighbors
        self.per_particle = per_particle
        self.period = period
        self.input_norm = RowNorm(n_features)
        widths = [n_features, *(block[-1] for block in channels)]
        self.blocks = nn.ModuleList(
            EdgeConv(n_in, block) for n_in, block in zip(widths, channels, strict=False)
        )
        self.body = dense_layers(widths[-1], [hidden], dropout=dropout)
        self.head = plain_linear(hidden, n_outputs)

    @classmethod
    def lite(cls, n_features: int, n_outputs: int, **options: Any) -> Self:
        """ParticleNet-Lite: 7 neighbours, two convolutions of widths 32 and 64, 128 nodes.

        Parameters
        ----------
        n_features : int
            Features of a particle; inferred in ``fit`` with ``module=ParticleNet.lite``.
        n_outputs : int
            Classes or targets; inferred in ``fit``.
        **options : dict
            Other parameters, which win over the preset.

        Returns
        -------
        ParticleNet
            The module.
        """
        preset = {"n_neighbors": 7, "channels": ((32,) * 3, (64,) * 3), "hidden": 128}
        return cls(n_features, n_outputs, **{**preset, **options})

    def _hidden(self, X: Tensor) -> tuple[Tensor, Packing]:
        """Last hidden layer of the events, or of the particles that are present."""
        check_input(self, X, 3, self.n_features)
        x, present = split_mask(X)
        packing = Packing(present)
        position = packing.positions()
        points, period = take_columns(x, self.coordinates), self.period
        rows = self.input_norm(packing.pack(x))
        dense = x
        for block in self.blocks:
            index, valid = nearest_neighbours(points, present, self.n_neighbors, period=period)
            index = position.gather(1, index.flatten(1)).view_as(index)
            rows = block(rows, packing.pack(index), packing.pack(valid))
            dense = packing.unpack(rows)
            points, period = dense, None
        if self.per_particle:
            return self.body(rows), packing
        n_present = present.sum(dim=1, keepdim=True).clamp(min=1)
        return self.body(dense.sum(dim=1, dtype=torch.float32) / n_present), packing

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer, of events or particles."""
        hidden, packing = self._hidden(X)
        return packing.unpack(hidden) if self.per_particle else hidden

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs), or for each particle."""
        hidden, packing = self._hidden(X)
        output = self.head(hidden)
        return particle_outputs(packing, output) if self.per_particle else output
