"""Deep sets: particle flow and energy flow networks, and sums over the particles of events."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import (
    check_choice,
    check_columns,
    check_input,
    check_widths,
)
from skhep_ml.neural_network.modules._mlp import dense_layers, split_mask
from skhep_ml.neural_network.modules._pairs import Packing, take_columns

POOLINGS = ("sum", "mean", "max")


def event_of_rows(packing: Packing) -> Tensor:
    """Event of each row of present particles, in rising order."""
    return packing.rows // packing.present.shape[1]


def pool_rows(values: Tensor, group: Tensor, n_groups: int, pooling: str) -> Tensor:
    """Sum, mean or maximum of the rows of each group, of shape (n_groups, n_columns).

    A group without rows gets 0.
    """
    # half precision cannot add up many particles
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    pooled = values.new_zeros(n_groups, values.shape[1])
    if pooling == "max":
        index = group.unsqueeze(1).expand_as(values)
        return pooled.scatter_reduce(0, index, values, "amax", include_self=False)
    pooled = pooled.index_add(0, group, values)
    if pooling == "mean":
        count = values.new_zeros(n_groups).index_add(0, group, torch.ones_like(values[:, 0]))
        pooled = pooled / count.clamp(min=1).unsqueeze(1)
    return pooled


class DeepSets(nn.Module):
    r"""Deep sets for clouds: particle flow network (PFN) or energy flow network (EFN).

    The same layers :math:`\Phi` see every particle, their outputs are pooled over the event, and
    the layers :math:`F` see the pooled values. The order of the particles does not matter.

    Parameters
    ----------
    n_features : int
        Features of a particle; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    particle_hidden : sequence of int, default=(100, 100, 256)
        Nodes of each layer of :math:`\Phi`; the last ones are pooled.
    event_hidden : sequence of int, default=(100, 100, 100)
        Nodes of each layer of :math:`F`.
    variant : {"pfn", "efn"}, default="pfn"
        "pfn" gives all features to :math:`\Phi`; "efn" only those of ``angle_columns``, and weights
        its outputs with the particle's fraction of the transverse momentum, so that soft and
        collinear splittings do not change the result.
    pooling : {"sum", "mean", "max"}, default="sum"
        How particles are pooled; "efn" knows "sum" only.
    pt_column : int, default=0
        Transverse momentum, for "efn": in GeV or any other unit, but neither shifted nor logged.
    angle_columns : sequence of int, default=(1, 2)
        Angles with respect to the jet axis, for "efn".
    activation : str, default="relu"
        Activation, see `MLP`.
    dropout : float, default=0.0
        Fraction of the nodes of :math:`F` dropped in training.

    Notes
    -----
    .. math:: \mathrm{PFN}: F\Big(\sum_i \Phi(p_i)\Big), \qquad
        \mathrm{EFN}: F\Big(\sum_i z_i \Phi(\eta_i, \phi_i)\Big),
        \quad z_i = p_{T,i} / \sum_j p_{T,j}

    The defaults are the paper's largest networks, with 82 thousand parameters. Particles are taken
    as they come: `skhep_ml.preprocessing.KinematicsTransformer` makes momenta and angles relative
    to the jet. Padding costs no time.

    References
    ----------
    P. T. Komiske, E. M. Metodiev, J. Thaler, Energy flow networks: deep sets for particle jets,
    JHEP 01 (2019) 121, arXiv:1810.05165.

    M. Zaheer et al., Deep sets, arXiv:1703.06114.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import DeepSets
    >>> clouds = torch.rand(5, 30, 3)
    >>> clouds[:, 20:] = torch.nan
    >>> DeepSets(n_features=3, n_outputs=2)(clouds).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        particle_hidden: Sequence[int] = (100, 100, 256),
        event_hidden: Sequence[int] = (100, 100, 100),
        *,
        variant: str = "pfn",
        pooling: str = "sum",
        pt_column: int = 0,
        angle_columns: Sequence[int] = (1, 2),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths(self, particle_hidden=particle_hidden, event_hidden=event_hidden)
        check_choice("variant", variant, ("pfn", "efn"))
        check_choice("pooling", pooling, POOLINGS)
        self.n_features = n_features
        self.variant = variant
        self.pooling = pooling
        n_in = n_features
        if variant == "efn":
            if pooling != "sum":
                msg = f"pooling={pooling!r} has no meaning for variant='efn': use 'sum'"
                raise ValueError(msg)
            instead = "name the columns of pT, eta and phi"
            (self.pt_column,) = check_columns("pt_column", [pt_column], n_features, instead)
            self.angle_columns = check_columns("angle_columns", angle_columns, n_features, instead)
            self._pt_checked = False
            n_in = len(self.angle_columns)
        self.particle = dense_layers(n_in, particle_hidden, activation=activation)
        n_pooled = particle_hidden[-1] if len(particle_hidden) else n_in
        self.event = dense_layers(n_pooled, event_hidden, activation=activation, dropout=dropout)
        self.head = nn.Linear(event_hidden[-1] if len(event_hidden) else n_pooled, n_outputs)
        nn.init.xavier_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _pt_fraction(self, particles: Tensor, event: Tensor, n_events: int) -> Tensor:
        """Fraction of its event's transverse momentum that each particle has, (n_present, 1)."""
        pt = take_columns(particles, [self.pt_column])
        if not self._pt_checked:  # once: on a GPU the answer has to be waited for
            if (pt < 0).any():
                msg = (
                    f"variant='efn' takes transverse momenta from column {self.pt_column} "
                    f"(pt_column), which holds {pt.min().item():.4g}: leave this column unscaled"
                )
                raise ValueError(msg)
            self._pt_checked = True
        total = pool_rows(pt, event, n_events, "sum")
        tiny = torch.finfo(total.dtype).tiny
        return pt / total.clamp(min=tiny).index_select(0, event)

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer."""
        check_input(self, X, 3, self.n_features)
        values, present = split_mask(X)
        packing = Packing(present)
        particles, event = packing.pack(values), event_of_rows(packing)
        if self.variant == "pfn":
            seen = self.particle(particles)
        else:
            fraction = self._pt_fraction(particles, event, len(X))
            seen = fraction * self.particle(take_columns(particles, self.angle_columns))
        return self.event(pool_rows(seen, event, len(X), self.pooling))

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs)."""
        return self.head(self.embed(X))
