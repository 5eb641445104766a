"""Networks for clouds: fields that move particles, encoders of sets, decoders into sets.

Clouds are (n_events, n_particles, n_features), absent particles all NaN. Nothing here depends on
the order of the particles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhep_ml.neural_network.modules._deep_sets import event_of_rows, pool_rows
from skhep_ml.neural_network.modules._mlp import dense_layers, plain_linear, split_mask
from skhep_ml.neural_network.modules._pairs import Packing
from skhep_ml.neural_network.modules._particle_transformer import Block

# bias of an absent partner: its share of attention underflows to 0, and no row is without weight
_ABSENT = -1e9
# logarithms of widths end here, in units of a standardised feature
_LOG_WIDTHS = (-4.0, 3.0)
# probability of a multiplicity that does not occur
_RAREST = 1e-12


def occupancy(present: Tensor) -> Tensor:
    """Fraction of the places that particles take, (n_events, 1)."""
    return present.float().mean(dim=1, keepdim=True)


class CloudField(nn.Module):
    """Vector at each particle that depends on all particles: velocity, noise, or generated values.

    Parameters
    ----------
    n_features : int
        Features of a particle.
    n_condition : int
        Numbers of the event that condition: time, context, latent variables.
    hidden : sequence of int, default=(64, 64, 64)
        Width of the attention, the same for each block.
    n_heads : int, default=4
        Heads of attention.
    """

    def __init__(
        self,
        n_features: int,
        n_condition: int,
        hidden: Sequence[int] = (64, 64, 64),
        *,
        n_heads: int = 4,
    ) -> None:
        super().__init__()
        width = hidden[0]
        if len(set(hidden)) > 1 or width % n_heads:
            msg = (
                f"hidden={tuple(hidden)}: the blocks of attention of a cloud have one width, a "
                f"multiple of {n_heads}, such as (64, 64)"
            )
            raise ValueError(msg)
        self.embedding = nn.Linear(n_features, width)
        self.condition = dense_layers(n_condition + 1, (width, width), activation="silu")
        self.shifts = nn.ModuleList(nn.Linear(width, width) for _ in hidden)
        self.blocks = nn.ModuleList(Block(width, n_heads, 0.0) for _ in hidden)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_features)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Vectors of the shape of ``X``, 0 for absent particles."""
        x, present = split_mask(X)
        packing = Packing(present)
        mask = torch.where(present[:, None, None, :], 0.0, _ABSENT)
        event = event_of_rows(packing)
        seen = self.condition(torch.cat([condition, occupancy(present)], dim=1))
        rows = self.embedding(packing.pack(x))
        for shift, block in zip(self.shifts, self.blocks, strict=True):
            rows = block(rows + shift(seen).index_select(0, event), packing, mask)
        return packing.unpack(self.head(self.norm(rows)))


class CloudEncoder(nn.Module):
    """Numbers of an event from its particles: deep sets, pooled by mean and maximum.

    Parameters
    ----------
    n_features : int
        Features of a particle.
    n_condition : int
        Other numbers of the event.
    n_outputs : int
        Outputs.
    hidden : sequence of int, default=(128, 128)
        Nodes of the layers before and, again, after the pooling.
    """

    def __init__(
        self,
        n_features: int,
        n_condition: int,
        n_outputs: int,
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        super().__init__()
        self.particle = dense_layers(n_features + n_condition, hidden, activation="silu")
        n_pooled = hidden[-1] if len(hidden) else n_features + n_condition
        n_event = 2 * n_pooled + n_condition + 1
        self.event = dense_layers(n_event, hidden, activation="silu")
        self.head = plain_linear(hidden[-1] if len(hidden) else n_event, n_outputs)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Outputs (n_events, n_outputs)."""
        x, present = split_mask(X)
        packing = Packing(present)
        event = event_of_rows(packing)
        rows = torch.cat([packing.pack(x), condition.index_select(0, event)], dim=1)
        rows = self.particle(rows)
        pooled = [pool_rows(rows, event, len(X), kind) for kind in ("mean", "max")]
        return self.head(self.event(torch.cat([*pooled, condition, occupancy(present)], dim=1)))


class CloudDecoder(nn.Module):
    """Particles from the numbers of an event: one place after the other, each with learned values.

    Parameters
    ----------
    n_particles, n_features : int
        Shape of a cloud.
    n_condition : int
        Numbers of the event: latent variables, context.
    hidden : sequence of int, default=(128, 128)
        Nodes of the layers that make a particle.
    """

    def __init__(
        self,
        n_particles: int,
        n_features: int,
        n_condition: int,
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        super().__init__()
        width = 16
        self.place = nn.Parameter(torch.randn(n_particles, width))
        n_in = n_condition + width + 1
        self.body = dense_layers(n_in, hidden, activation="silu")
        self.head = plain_linear(hidden[-1] if len(hidden) else n_in, n_features)

    def forward(self, condition: Tensor, present: Tensor) -> Tensor:
        """Particles (n_events, n_particles, n_features), NaN where absent."""
        n_events, n_particles = present.shape
        seen = torch.cat([condition, occupancy(present)], dim=1)
        rows = torch.cat(
            [
                seen[:, None].expand(-1, n_particles, -1),
                self.place.expand(n_events, -1, -1),
            ],
            dim=2,
        )
        packing = Packing(present)
        values = packing.unpack(self.head(self.body(packing.pack(rows))))
        return values.masked_fill(~present[..., None], torch.nan)


class CloudMixture(nn.Module):
    r"""Density of particles that are independent given the numbers of their event.

    Parameters
    ----------
    n_features : int
        Features of a particle.
    n_condition : int
        Numbers of the event: latent variables, context.
    hidden : sequence of int, default=(128, 128)
        Nodes of the layers.
    n_components : int, default=8
        Gaussians of the mixture.

    Notes
    -----
    .. math:: p(x | z) = \prod_i \sum_k \pi_k(z) \prod_f N(x_{if}; \mu_{kf}(z), \sigma_{kf}(z))

    An exchangeable set is such a mixture over z (de Finetti), so the latent variables carry
    whatever particles have to do with each other.
    """

    def __init__(
        self,
        n_features: int,
        n_condition: int,
        hidden: Sequence[int] = (128, 128),
        n_components: int = 8,
    ) -> None:
        super().__init__()
        self.shape = (n_components, 2 * n_features + 1)
        n_in = n_condition + 1
        self.body = dense_layers(n_in, hidden, activation="silu")
        self.head = plain_linear(hidden[-1] if len(hidden) else n_in, math.prod(self.shape))

    def _parameters_of(self, condition: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = torch.cat([condition, occupancy(present)], dim=1)
        values = self.head(self.body(seen)).unflatten(1, self.shape)
        share, mean, log_width = values.split([1, *[(self.shape[1] - 1) // 2] * 2], dim=2)
        return share.squeeze(2).log_softmax(dim=1), mean, log_width.clamp(*_LOG_WIDTHS)

    def log_prob(self, X: Tensor, condition: Tensor) -> Tensor:
        """Log density of the features of the present particles, (n_events,)."""
        x, present = split_mask(X)
        log_share, mean, log_width = self._parameters_of(condition, present)
        packing = Packing(present)
        event = event_of_rows(packing)
        mean, log_width = mean.index_select(0, event), log_width.index_select(0, event)
        pull = (packing.pack(x)[:, None] - mean) * torch.exp(-log_width)
        parts = -0.5 * pull.square() - log_width - 0.5 * math.log(2 * math.pi)
        density = torch.logsumexp(parts.sum(dim=2) + log_share.index_select(0, event), dim=1)
        return density.new_zeros(len(X)).index_add(0, event, density)

    def sample(self, condition: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        """Draw particles (n_events, n_particles, n_features), NaN where absent."""
        log_share, mean, log_width = self._parameters_of(condition, present)
        n_particles = present.shape[1]
        # drawn where the generator lives, the same on every device
        chosen = torch.multinomial(
            log_share.exp().cpu(), n_particles, replacement=True, generator=generator
        )
        index = chosen[:, :, None].expand(-1, -1, mean.shape[2]).to(mean.device)
        mean, log_width = mean.gather(1, index), log_width.gather(1, index)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        values = mean + noise * log_width.exp()
        return values.masked_fill(~present[..., None], torch.nan)


class Multiplicity(nn.Module):
    """Number of present particles given the numbers of an event.

    Parameters
    ----------
    frequency : Tensor of shape (n_particles + 1,)
        How often each number occurs, of any scale and never negative.
    n_condition : int, default=0
        Numbers of the event; without any the frequencies are the answer.
    hidden : sequence of int, default=(64, 64)
        Nodes of the layers that change the frequencies with them.
    """

    log_frequency: Tensor

    def __init__(
        self, frequency: Tensor, n_condition: int = 0, hidden: Sequence[int] = (64, 64)
    ) -> None:
        super().__init__()
        share = frequency.float() / frequency.sum()
        # a number that never occurs is never drawn, and yet no loss becomes infinite
        self.register_buffer("log_frequency", share.clamp(min=_RAREST).log())
        self.layers: nn.Module | None = None
        if n_condition:
            n_last = hidden[-1] if len(hidden) else n_condition
            head = nn.Linear(n_last, len(frequency))
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
            body = dense_layers(n_condition, hidden, activation="silu")
            self.layers = nn.Sequential(body, head)

    def _log_share(self, condition: Tensor) -> Tensor:
        if self.layers is None:
            return self.log_frequency.expand(len(condition), -1)
        return (self.log_frequency + self.layers(condition)).log_softmax(dim=1)

    def log_prob(self, X: Tensor, condition: Tensor) -> Tensor:
        """Log probability of the number of particles in clouds, (n_events,)."""
        count = split_mask(X)[1].sum(dim=1, keepdim=True)
        return self._log_share(condition).gather(1, count).squeeze(1)

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """Draw which places are taken, the first ones: bool, (n_events, n_particles)."""
        share = self._log_share(condition).exp().cpu()
        count = torch.multinomial(share, 1, generator=generator)
        return (torch.arange(share.shape[1] - 1) < count).to(condition.device)


def chamfer(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of each particle to the nearest one of the other cloud, both ways.

    Parameters
    ----------
    first, second : Tensor of shape (n_events, n_particles, n_features)
        Clouds; absent particles are NaN.

    Returns
    -------
    Tensor of shape (n_events,)
        Sum of both ways, divided by the number of features; 0 where a cloud is empty.

    References
    ----------
    H. Fan, H. Su, L. Guibas, A point set generation network for 3D object reconstruction from a
    single image, arXiv:1612.00603.
    """
    (a, in_a), (b, in_b) = split_mask(first), split_mask(second)
    distance = (a[:, :, None] - b[:, None, :]).square().mean(dim=3)
    both = in_a[:, :, None] & in_b[:, None, :]
    far = distance.masked_fill(~both, torch.inf)
    total = first.new_zeros(len(first))
    for axis, present in ((2, in_a), (1, in_b)):
        nearest = far.amin(dim=axis)
        # an empty partner leaves no distance at all
        nearest = torch.where(nearest.isfinite(), nearest, 0.0)
        total = total + nearest.sum(dim=1) / present.sum(dim=1).clamp(min=1)
    return total
