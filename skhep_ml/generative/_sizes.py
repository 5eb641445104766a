"""Clouds of any size: how many particles there are belongs to what a model learns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skhep_ml._clouds import present_particles
from skhep_ml.generative._cloud_nets import Multiplicity

# rows of a block are a multiple of it
_MULTIPLE = 64


class SizedModule(nn.Module):
    r"""A module that learns particles given their number, and the number given the context.

    Parameters
    ----------
    particles : nn.Module
        Loss of the particles of each event, ``(X, context)``.
    multiplicity : Multiplicity
        Their number.

    Notes
    -----
    .. math:: p(n, x_1, ..., x_n | c) = p(n | c) \; p(x_1, ..., x_n | n, c)
    """

    def __init__(self, particles: nn.Module, multiplicity: Multiplicity) -> None:
        super().__init__()
        self.particles = particles
        self.multiplicity = multiplicity

    def count_loss(self, X: Tensor, context: Tensor | None) -> Tensor:
        """Minus log probability of the number of particles, for each of the values of an event."""
        return -self.multiplicity.log_prob(X, columns_of(X, context)) / math.prod(X.shape[1:])

    def forward(self, X: Tensor, context: Tensor | None = None) -> Tensor:
        """Loss of each event."""
        return self.particles(X, context) + self.count_loss(X, context)


def make_sized(
    particles: nn.Module,
    clouds: NDArray[Any],
    weight: NDArray[np.float64] | None,
    n_context: int,
) -> SizedModule:
    """Module with the multiplicities of training events, under their signed weights."""
    count = present_particles(clouds).sum(axis=1)
    frequency = np.bincount(count, weight, minlength=clouds.shape[1] + 1).clip(0)
    # weights that cancel in every bin leave nothing but the sizes
    if weight is not None and not frequency.any():
        frequency = np.bincount(count, np.abs(weight), minlength=clouds.shape[1] + 1)
    return SizedModule(particles, Multiplicity(torch.from_numpy(frequency), n_context))


def blocks(n: int, size: int) -> Iterator[Any]:
    """Rows of blocks, the last one filled up with its last row to a multiple of 64.

    Sums in single precision depend on how many rows are multiplied at once: so a few events get
    the same values alone as among others.
    """
    for start in range(0, n, size):
        stop = min(start + size, n)
        if (stop - start) % _MULTIPLE == 0:
            yield slice(start, stop)
        else:
            whole = start - (start - stop) // _MULTIPLE * _MULTIPLE
            yield np.minimum(np.arange(start, whole), n - 1)


def columns_of(X: Tensor, context: Tensor | None) -> Tensor:
    """Context, of no columns where there is none."""
    return X.new_zeros(len(X), 0) if context is None else context
