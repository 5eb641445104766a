"""Interaction networks: messages between the particles of an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhep_ml.neural_network.modules._checks import (
    check_choice,
    check_columns,
    check_counts,
    check_input,
    check_widths,
)
from skhep_ml.neural_network.modules._deep_sets import POOLINGS, event_of_rows, pool_rows
from skhep_ml.neural_network.modules._mlp import dense_layers, split_mask
from skhep_ml.neural_network.modules._pairs import (
    Packing,
    nearest_neighbours,
    particle_outputs,
    take_columns,
    wrapped,
)

# distances below this are 0
_NO_DISTANCE = 1e-6

Edges = tuple[Tensor, Tensor]


def all_pairs(packing: Packing) -> Edges:
    """Receiver and sender of all pairs of different particles of an event, as rows."""
    event = event_of_rows(packing)
    count = packing.present.sum(dim=1)
    others = (count - 1).index_select(0, event)
    row = torch.arange(len(event), device=event.device)
    receiver = row.repeat_interleave(others)
    # each receiver has a run of edges; the n-th one comes from the n-th other particle
    first_row, first_edge = count.cumsum(0) - count, others.cumsum(0) - others
    shift = first_row.index_select(0, event) - first_edge
    sender = torch.arange(len(receiver), device=event.device) + shift.index_select(0, receiver)
    return receiver, sender + (sender >= receiver)


def listed_pairs(packing: Packing, sender: Tensor, valid: Tensor) -> Edges:
    """Receiver and sender, as rows, from the senders (n_events, n_particles, k) to each particle.

    Senders are positions in the cloud; those that are not ``valid`` do not count.
    """
    event, receiver, place = valid.nonzero(as_tuple=True)
    row = packing.positions()
    return row[event, receiver], row[event, sender[event, receiver, place]]


def given_pairs(packing: Packing, neighbors: Tensor) -> Edges:
    """Receiver and sender, as rows, from a list of neighbours padded with NaN.

    Raises
    ------
    ValueError
        Another shape than the cloud's, or a position that the cloud does not have.
    """
    present = packing.present
    if neighbors.ndim != 3 or neighbors.shape[:2] != present.shape:
        msg = (
            f"neighbors has shape {tuple(neighbors.shape)}, but these clouds need "
            f"{(*present.shape, 'k')}: a list for each particle"
        )
        raise ValueError(msg)
    listed = ~neighbors.isnan()
    sender = torch.where(listed, neighbors, 0.0).long()
    outside = (sender < 0) | (sender >= present.shape[1])
    if outside.any():
        msg = (
            f"neighbors holds {sender[outside][0].item()}: positions of particles lie between 0 "
            f"and {present.shape[1] - 1}, NaN fills up the rest"
        )
        raise ValueError(msg)
    sender_present = present.gather(1, sender.flatten(1)).view_as(sender)
    return listed_pairs(packing, sender, listed & present.unsqueeze(2) & sender_present)


class InteractionNetwork(nn.Module):
    r"""Interaction network for clouds: each particle hears from others before they are pooled.

    Edge layers :math:`f_R` make a message for each pair of particles, node layers :math:`f_O` turn
    a particle and the messages it receives into hidden features, and event layers see their pool
    over the event. The order of the particles does not matter.

    Parameters
    ----------
    n_features : int
        Features of a particle; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    message : {"concat", "edge"}, default="concat"
        What :math:`f_R` sees: "concat" the features of receiver and sender, :math:`(x_i, x_j)`;
        "edge" the receiver and the difference, with their distance :math:`d_{ij}` in
        ``coordinates``, :math:`(x_i, x_j - x_i, d_{ij})`.
    n_neighbors : int, default=None
        Messages come from so many nearest particles; None: from all others of the event.
    coordinates : sequence of int, default=(1, 2)
        Columns that distances are taken in, for ``n_neighbors`` and "edge": eta and phi, in equal
        units.
    period : float, default=None
        Period of the last of the ``coordinates``: ``2 * numpy.pi`` if that is an azimuth in
        radian; None if it is relative to a jet's axis.
    edge_hidden : sequence of int, default=(30, 15, 10)
        Nodes of each layer of :math:`f_R`; the last ones are the message.
    node_hidden : sequence of int, default=(30, 15, 10)
        Nodes of each layer of :math:`f_O`; the last ones are pooled.
    hidden : sequence of int, default=(30, 15)
        Nodes of the layers between the pooled values and the output.
    aggregation : {"sum", "mean", "max"}, default="sum"
        How the messages to a particle are combined.
    pooling : {"sum", "mean", "max"}, default="sum"
        How particles are pooled.
    activation : str, default="relu"
        Activation, see `MLP`.
    dropout : float, default=0.0
        Fraction of the nodes of ``hidden`` dropped in training.
    per_particle : bool, default=False
        Give outputs for each particle instead of the event, without pooling: shape
        (n_events, n_particles, n_outputs), or (n_events, n_particles) for one output; 0 for absent
        particles. See Notes.

    Notes
    -----
    .. math:: e_{ij} = f_R(x_i, x_j), \qquad h_i = f_O\Big(x_i, \sum_{j \neq i} e_{ij}\Big),
        \qquad y = f_C\Big(\sum_i h_i\Big)

    The default widths are those of JEDI-net for 100 particles, with the sum over particles that
    the paper proposes instead of their concatenation. Its network with the sum, for 150 particles,
    has ``edge_hidden=(50, 25, 14)``, ``node_hidden=(50, 25, 12)``, ``hidden=(50, 25)`` and
    ``activation="selu"``.

    ``forward`` takes given edges as a second input: ``neighbors`` of shape (n_events, n_particles,
    k), the positions of the particles that each particle hears from, padded with NaN. A net takes
    them in a mapping ``{"X": clouds, "neighbors": neighbors}`` and is told ``module__n_features``.

    Targets of single particles: ``NetRegressor(InteractionNetwork, module__per_particle=True,
    module__n_outputs=1, scale_target=False)`` takes a target of shape (n_events, n_particles), 0
    for absent particles, from which nothing is learned. For labels 0 and 1 add
    ``criterion=torch.nn.BCEWithLogitsLoss``; predictions are then log odds.

    Time and memory are proportional to the number of edges between particles that are present;
    nearest neighbours also need n_particles^2 distances an event. Particles at equal distances are
    chosen among by their order.

    References
    ----------
    P. W. Battaglia et al., Interaction networks for learning about objects, relations and physics,
    arXiv:1612.00222.

    E. A. Moreno et al., JEDI-net: a jet identification algorithm based on interaction networks,
    Eur. Phys. J. C 80 (2020) 58, arXiv:1908.05318.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import InteractionNetwork
    >>> clouds = torch.rand(5, 30, 3)
    >>> clouds[:, 20:] = torch.nan
    >>> InteractionNetwork(n_features=3, n_outputs=2)(clouds).shape
    torch.Size([5, 2])
    >>> InteractionNetwork(3, 2, message="edge", n_neighbors=8, per_particle=True)(clouds).shape
    torch.Size([5, 30, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        message: str = "concat",
        n_neighbors: int | None = None,
        coordinates: Sequence[int] = (1, 2),
        period: float | None = None,
        edge_hidden: Sequence[int] = (30, 15, 10),
        node_hidden: Sequence[int] = (30, 15, 10),
        hidden: Sequence[int] = (30, 15),
        aggregation: str = "sum",
        pooling: str = "sum",
        activation: str = "relu",
        dropout: float = 0.0,
        per_particle: bool = False,
    ) -> None:
        super().__init__()
        check_choice("message", message, ("concat", "edge"))
        check_choice("aggregation", aggregation, POOLINGS)
        check_choice("pooling", pooling, POOLINGS)
        if n_neighbors is not None:
            check_counts(self, n_neighbors=n_neighbors)
        check_widths(self, edge_hidden=edge_hidden, node_hidden=node_hidden, empty=False)
        check_widths(self, hidden=hidden)
        if message == "edge" or n_neighbors is not None:
            coordinates = check_columns(
                "coordinates", coordinates, n_features, "name the columns of eta and phi"
            )
        self.n_features = n_features
        self.message = message
        self.n_neighbors = n_neighbors
        self.coordinates = list(coordinates)
        self.period = period
        self.aggregation = aggregation
        self.pooling = pooling
        self.per_particle = per_particle
        n_edge = 2 * n_features + (message == "edge")
        edge = dense_layers(n_edge, edge_hidden, activation=activation)
        self.edge_input, self.edge = cast("nn.Linear", edge[0]), edge[1:]
        self.node = dense_layers(n_features + edge_hidden[-1], node_hidden, activation=activation)
        self.body = dense_layers(node_hidden[-1], hidden, activation=activation, dropout=dropout)
        self.head = nn.Linear(hidden[-1] if len(hidden) else node_hidden[-1], n_outputs)
        nn.init.xavier_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _edges(self, cloud: Tensor, packing: Packing, neighbors: Tensor | None) -> Edges:
        if neighbors is not None:
            return given_pairs(packing, neighbors)
        if self.n_neighbors is None:
            return all_pairs(packing)
        points = take_columns(cloud, self.coordinates)
        nearest = nearest_neighbours(points, packing.present, self.n_neighbors, period=self.period)
        return listed_pairs(packing, *nearest)

    def _messages(self, x: Tensor, receiver: Tensor, sender: Tensor) -> Tensor:
        """Message of each edge.

        The first layer is linear in receiver and sender: it is taken once a particle, not once an
        edge.
        """
        n, weight = self.n_features, self.edge_input.weight
        sent = functional.linear(x, weight[:, n : 2 * n])
        received = functional.linear(x, weight[:, :n], self.edge_input.bias)
        if self.message == "edge":
            received = received - sent
        edge = received.index_select(0, receiver) + sent.index_select(0, sender)
        if self.message == "edge":
            edge = edge + self._distance(x, receiver, sender) * weight[:, 2 * n]
        return self.edge(edge)

    def _distance(self, x: Tensor, receiver: Tensor, sender: Tensor) -> Tensor:
        """Distance of receiver and sender, of shape (n_edges, 1)."""
        place = take_columns(x, self.coordinates)
        delta = place.index_select(0, receiver) - place.index_select(0, sender)
        if self.period is not None:
            last = wrapped(delta[:, -1:], self.period)
            delta = torch.cat([delta[:, :-1], last], dim=1)
        # the slope of the root is infinite at 0
        return delta.square().sum(dim=1, keepdim=True).clamp(min=_NO_DISTANCE**2).sqrt()

    def _hidden(self, X: Tensor, neighbors: Tensor | None) -> tuple[Tensor, Packing]:
        """Last hidden layer of the events, or of the particles that are present."""
        check_input(self, X, 3, self.n_features)
        cloud, present = split_mask(X)
        packing = Packing(present)
        receiver, sender = self._edges(cloud, packing, neighbors)
        x = packing.pack(cloud)
        message = self._messages(x, receiver, sender)
        heard = pool_rows(message, receiver, len(x), self.aggregation)
        nodes = self.node(torch.cat([x, heard], dim=1))
        if not self.per_particle:
            nodes = pool_rows(nodes, event_of_rows(packing), len(X), self.pooling)
        return self.body(nodes), packing

    def embed(self, X: Tensor, neighbors: Tensor | None = None) -> Tensor:
        """Values of the last hidden layer, of events or particles."""
        hidden, packing = self._hidden(X, neighbors)
        return packing.unpack(hidden) if self.per_particle else hidden

    def forward(self, X: Tensor, neighbors: Tensor | None = None) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs), or for each particle."""
        hidden, packing = self._hidden(X, neighbors)
        output = self.head(hidden)
        return particle_outputs(packing, output) if self.per_particle else output
