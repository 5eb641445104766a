"""Densely connected network for tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import check_input, check_widths
from skhep_ml.neural_network.modules._mlp import dense_layers, plain_linear


class DenseNet(nn.Module):
    """Densely connected network for tables: each layer sees the features and all earlier layers.

    Parameters
    ----------
    n_features : int
        Columns; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    hidden : sequence of int, default=(33, 33, 33, 33, 33, 33)
        Nodes that each layer adds.
    activation : str, default="silu"
        Any that `MLP` knows.
    dropout : float, default=0.0
        Fraction of the nodes of each layer that is dropped in training.
    batch_norm : bool, default=False
        Whether to normalise before each activation.

    Notes
    -----
    Layer l computes h_l = activation(Linear([x, h_1, ..., h_{l-1}])); the output is linear in
    [x, h_1, ..., h_L], which `embed` gives. Paths of every length let the net stay shallow where
    that is enough, and narrow layers suffice.

    References
    ----------
    G. Huang et al., Densely connected convolutional networks, arXiv:1608.06993. For tables of
    event variables, with these defaults: G. C. Strong, On the impact of selected modern
    deep-learning techniques to the performance and celerity of classification models in an
    experimental high-energy physics use case, arXiv:2002.01427.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import DenseNet
    >>> DenseNet(n_features=4, n_outputs=2)(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden: Sequence[int] = (33, 33, 33, 33, 33, 33),
        activation: str = "silu",
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_widths(self, hidden=hidden)
        self.n_features = n_features
        self.layers = nn.ModuleList()
        n_seen = n_features
        for n_nodes in hidden:
            self.layers.append(
                dense_layers(
                    n_seen,
                    (n_nodes,),
                    activation=activation,
                    dropout=dropout,
                    batch_norm=batch_norm,
                )
            )
            n_seen += n_nodes
        self.head = plain_linear(n_seen, n_outputs)

    def embed(self, X: Tensor) -> Tensor:
        """Features and values of all hidden layers, (n_events, n_features + sum of hidden)."""
        check_input(self, X, 2, self.n_features)
        for layer in self.layers:
            X = torch.cat([X, layer(X)], dim=1)
        return X

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs)."""
        return self.head(self.embed(X))
