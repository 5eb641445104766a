"""Multilayer perceptron, and what other architectures share with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import check_input, check_widths
from skhep_ml.neural_network.modules._embeddings import make_embedding


class Maxout(nn.Module):
    """Largest of each two neighbouring features: halves their number.

    References
    ----------
    I. Goodfellow et al., Maxout networks, arXiv:1302.4389.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Pairwise maximum over the last axis."""
        return x.unflatten(-1, (-1, 2)).amax(dim=-1)


# activation, and the initialisation that keeps its variance
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "relu": (nn.ReLU, "he"),
    "leaky_relu": (nn.LeakyReLU, "he"),
    "selu": (nn.SELU, "lecun"),
    "silu": (nn.SiLU, "he"),
    "gelu": (nn.GELU, "he"),
    "tanh": (nn.Tanh, "glorot"),
    "sigmoid": (nn.Sigmoid, "glorot"),
    "maxout": (Maxout, "glorot"),
}


def make_activation(name: str) -> nn.Module:
    """Activation by name.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if name not in ACTIVATIONS:
        msg = f"activation={name!r} must be one of {sorted(ACTIVATIONS)}"
        raise ValueError(msg)
    return ACTIVATIONS[name][0]()


def make_elementwise(name: str) -> nn.Module:
    """Activation by name, of those that keep the number of features.

    Raises
    ------
    ValueError
        Unknown name, or "maxout".
    """
    if name == "maxout":
        msg = "activation='maxout' halves the number of features, which does not work here"
        raise ValueError(msg)
    return make_activation(name)


def initialise(layer: Any, activation: str) -> Any:
    """Layer with weights initialised for the activation that follows it, and biases 0.

    He: variance 2 / n_in; Glorot: 2 / (n_in + n_out); LeCun: 1 / n_in.
    """
    make_activation(activation)
    kind = ACTIVATIONS[activation][1]
    if kind == "he":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif kind == "lecun":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    else:
        nn.init.xavier_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def make_linear(n_in: int, n_out: int, activation: str, *, bias: bool = True) -> nn.Linear:
    """Linear layer initialised for the activation that follows it; maxout doubles its width."""
    width = 2 * n_out if activation == "maxout" else n_out
    return initialise(nn.Linear(n_in, width, bias=bias), activation)


def plain_linear(n_in: int, n_out: int) -> nn.Linear:
    """Linear layer that no activation follows (Glorot, biases 0)."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def dense_layers(
    n_in: int,
    hidden: Sequence[int],
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """Linear layers, each with batch norm (on request), activation and dropout (on request)."""
    layers: list[nn.Module] = []
    for n_out in hidden:
        layers.append(make_linear(n_in, n_out, activation, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(2 * n_out if activation == "maxout" else n_out))
        layers.append(make_activation(activation))
        if dropout:
            layers.append(nn.AlphaDropout(dropout) if activation == "selu" else nn.Dropout(dropout))
        n_in = n_out
    return nn.Sequential(*layers)


class MLP(nn.Module):
    """Multilayer perceptron for tables.

    Parameters
    ----------
    n_features : int
        Columns; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    hidden : sequence of int, default=(256, 256, 256)
        Nodes of each hidden layer.
    activation : str, default="relu"
        "relu", "leaky_relu", "selu", "silu", "gelu", "tanh", "sigmoid" or "maxout"; weights are
        initialised to match (He, LeCun, Glorot).
    dropout : float, default=0.0
        Fraction of hidden nodes dropped in training.
    input_dropout : float, default=0.0
        Fraction of features dropped in training.
    batch_norm : bool, default=False
        Whether to normalise before each activation.
    embedding : {None, "periodic"}, default=None
        "periodic" gives the first layer learned waves of each feature beside it.
    embedding_sigma : float, default=0.1
        Spread of their initial frequencies.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import MLP
    >>> MLP(n_features=4, n_outputs=2)(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden: Sequence[int] = (256, 256, 256),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        embedding: str | None = None,
        embedding_sigma: float = 0.1,
    ) -> None:
        super().__init__()
        check_widths(self, hidden=hidden)
        self.n_features = n_features
        self.input_dropout = nn.Dropout(input_dropout) if input_dropout else None
        self.embedding, n_in = make_embedding(embedding, n_features, embedding_sigma)
        self.body = dense_layers(
            n_in, hidden, activation=activation, dropout=dropout, batch_norm=batch_norm
        )
        n_last = hidden[-1] if len(hidden) else n_in
        self.head = plain_linear(n_last, n_outputs)

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer."""
        check_input(self, X, 2, self.n_features)
        if self.input_dropout is not None:
            X = self.input_dropout(X)
        if self.embedding is not None:
            X = self.embedding(X)
        return self.body(X)

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs)."""
        return self.head(self.embed(X))


def split_mask(cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Cloud with 0 for NaN, and which particles are present: (n_events, n_particles).

    A particle is absent when all its features are NaN; single missing features become 0.
    """
    missing = torch.isnan(cloud)
    return torch.where(missing, 0.0, cloud), ~missing.all(dim=-1)
