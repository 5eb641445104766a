"""Recurrent networks for ordered clouds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import (
    check_choice,
    check_counts,
    check_input,
    check_widths,
)
from skhep_ml.neural_network.modules._mlp import dense_layers, split_mask
from skhep_ml.neural_network.modules._pairs import Packing, particle_outputs

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


def make_recurrent(cell: str, n_in: int, n_hidden: int) -> nn.LSTM | nn.GRU:
    """One recurrent layer in one direction, initialised."""
    layer = CELLS[cell](n_in, n_hidden, batch_first=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if cell == "lstm" and name == "bias_ih_l0":
                nn.init.ones_(parameter[n_hidden : 2 * n_hidden])  # the forget gate
            continue
        for gate in parameter.split(n_hidden):
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(gate)
            else:
                nn.init.xavier_uniform_(gate)
    return layer


def take_places(values: Tensor, place: Tensor) -> Tensor:
    """Entries of axis 1 at the places (n_events, n_places) of each event."""
    return values.gather(1, place.unsqueeze(2).expand(-1, -1, values.shape[2]))


class RNN(nn.Module):
    """Recurrent network (LSTM or GRU) that reads the particles of an event one after the other.

    Parameters
    ----------
    n_features : int
        Features of a particle; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    n_hidden : int, default=100
        Size of the recurrent state, in each direction.
    hidden : sequence of int, default=(100,)
        Nodes of the layers between the last state and the output.
    cell : {"lstm", "gru"}, default="lstm"
        Long short-term memory or gated recurrent unit.
    n_layers : int, default=1
        Recurrent layers on top of each other.
    bidirectional : bool, default=False
        Whether to read backwards as well.
    activation : str, default="relu"
        Activation of the layers ``hidden``, see `MLP`.
    dropout : float, default=0.0
        Fraction of nodes dropped in training, between recurrent layers and in ``hidden``.
    per_particle : bool, default=False
        Give outputs for each particle instead of the event (take ``bidirectional``): shape
        (n_events, n_particles, n_outputs), or (n_events, n_particles) for one output; 0 for absent
        particles. `InteractionNetwork` says how to train them.

    Notes
    -----
    Particles are read in the order in which they stand, absent ones are left out wherever they
    are; put the most important ones last if all cannot be remembered. An event without particles
    has the state 0. Recurrent weights start orthogonal, others by Glorot, biases at 0 but the
    forget gate's, which starts at 1.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997) 1735.

    K. Cho et al., Learning phrase representations using RNN encoder-decoder, arXiv:1406.1078.

    D. Guest et al., Jet flavor classification in high-energy physics with deep neural networks,
    arXiv:1607.08633: recurrent networks on tracks ordered by their impact parameter.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import RNN
    >>> clouds = torch.rand(5, 30, 3)
    >>> clouds[:, 20:] = torch.nan
    >>> RNN(n_features=3, n_outputs=2, cell="gru", bidirectional=True)(clouds).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        n_hidden: int = 100,
        hidden: Sequence[int] = (100,),
        *,
        cell: str = "lstm",
        n_layers: int = 1,
        bidirectional: bool = False,
        activation: str = "relu",
        dropout: float = 0.0,
        per_particle: bool = False,
    ) -> None:
        super().__init__()
        check_counts(self, n_hidden=n_hidden, n_layers=n_layers)
        check_widths(self, hidden=hidden)
        self.n_features = n_features
        self.per_particle = per_particle
        check_choice("cell", cell, list(CELLS))
        n_hidden = int(n_hidden)  # searches give numpy's integers, which torch refuses here
        n_directions = 2 if bidirectional else 1
        sizes = [n_features, *[n_hidden * n_directions] * (n_layers - 1)]
        self.recurrent = nn.ModuleList(
            nn.ModuleList(make_recurrent(cell, n_in, n_hidden) for _ in range(n_directions))
            for n_in in sizes
        )
        self.between = nn.Dropout(dropout)
        n_state = n_hidden * n_directions
        self.body = dense_layers(n_state, hidden, activation=activation, dropout=dropout)
        self.head = nn.Linear(hidden[-1] if len(hidden) else n_state, n_outputs)
        nn.init.xavier_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _hidden(self, X: Tensor) -> tuple[Tensor, Packing | None]:
        """Last hidden layer of the events, or of the particles that are present."""
        check_input(self, X, 3, self.n_features)
        values, present = split_mask(X)
        length = present.sum(dim=1, keepdim=True)
        order = torch.argsort((~present).byte(), dim=1, stable=True)
        # what stands behind the last particle is read too, but never looked at
        place = torch.arange(X.shape[1], device=X.device)
        reverse = (length - 1 - place).clamp(min=0)
        end = (length - 1).clamp(min=0)
        values = take_places(values, order)
        for number, directions in enumerate(self.recurrent):
            if number:
                values = self.between(values)
            outputs, last = [], []
            for backward, recurrent in enumerate(cast("nn.ModuleList", directions)):
                output, _ = recurrent(take_places(values, reverse) if backward else values)
                last.append(take_places(output, end).squeeze(1))
                outputs.append(take_places(output, reverse) if backward else output)
            values = torch.cat(outputs, dim=2)
        if self.per_particle:
            packing = Packing(present)
            values = take_places(values, torch.argsort(order, dim=1))
            return self.body(packing.pack(values)), packing
        return self.body(torch.where(length > 0, torch.cat(last, dim=1), 0.0)), None

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer, of events or particles."""
        hidden, packing = self._hidden(X)
        return hidden if packing is None else packing.unpack(hidden)

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs), or for each particle."""
        hidden, packing = self._hidden(X)
        output = self.head(hidden)
        return output if packing is None else particle_outputs(packing, output)
