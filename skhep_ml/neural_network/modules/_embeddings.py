"""Periodic embeddings: a number becomes several before the first layer sees it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    r"""Each feature of a table with learned waves of it.

    Parameters
    ----------
    n_features : int
        Columns.
    n_outputs : int, default=4
        Numbers for each feature: the feature itself and combinations of its waves.
    n_frequencies : int, default=16
        Waves of each feature.
    sigma : float, default=0.1
        Spread of the initial frequencies, in waves per unit of a scaled feature; the one number
        that is worth tuning.

    Notes
    -----
    With trained frequencies f, phases p, weights W and shifts b of its own, a feature x becomes

    .. math:: e(x) = (x, \; W \cos(2 \pi f x + p) + b)

    with f from a normal distribution of width ``sigma``, p uniform between -pi and pi.

    References
    ----------
    Y. Gorishniy, I. Rubachev and A. Babenko, On embeddings for numerical features in tabular deep
    learning, arXiv:2203.05556; this form and its defaults: D. Holzmueller et al., Better by
    default, arXiv:2407.04491.
    """

    def __init__(
        self, n_features: int, n_outputs: int = 4, *, n_frequencies: int = 16, sigma: float = 0.1
    ) -> None:
        super().__init__()
        self.width = n_features * n_outputs
        self.frequency = nn.Parameter(sigma * torch.randn(n_features, n_frequencies))
        self.phase = nn.Parameter(math.pi * (2 * torch.rand(n_features, n_frequencies) - 1))
        self.weight = nn.Parameter(torch.empty(n_features, n_frequencies, n_outputs - 1))
        self.bias = nn.Parameter(torch.zeros(n_features, n_outputs - 1))
        # LeCun: variance 1 / n_frequencies for each feature
        nn.init.normal_(self.weight, std=n_frequencies**-0.5)

    def forward(self, X: Tensor) -> Tensor:
        """Embedded table (n_events, n_features * n_outputs), a feature's numbers side by side."""
        x = X.unsqueeze(-1)
        waves = torch.cos(2 * math.pi * self.frequency * x + self.phase)
        mixed = torch.einsum("nfk,fko->nfo", waves, self.weight) + self.bias
        return torch.cat([x, mixed], dim=-1).flatten(1)


def make_embedding(
    embedding: str | None, n_features: int, sigma: float
) -> tuple[nn.Module | None, int]:
    """Embedding by name, and the number of columns that the first layer gets.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if embedding is None:
        return None, n_features
    if embedding != "periodic":
        msg = f"embedding={embedding!r} must be None or 'periodic'"
        raise ValueError(msg)
    module = PeriodicEmbedding(n_features, sigma=sigma)
    return module, module.width
