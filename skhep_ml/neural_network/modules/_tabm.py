"""TabM: many multilayer perceptrons in one, sharing their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhep_ml.neural_network.modules._checks import check_counts, check_input
from skhep_ml.neural_network.modules._embeddings import make_embedding
from skhep_ml.neural_network.modules._mlp import make_activation, make_linear


class AdaptedLinear(nn.Module):
    """Linear layer whose weights members share, with scales and biases of their own.

    Member i computes S_i * (W (R_i * x_i)) + B_i, products by element where there is a star.

    References
    ----------
    Y. Wen, D. Tran and J. Ba, BatchEnsemble, arXiv:2002.06715.
    """

    def __init__(self, n_in: int, n_out: int, n_members: int, activation: str) -> None:
        super().__init__()
        self.weight = make_linear(n_in, n_out, activation, bias=False).weight
        n_out = len(self.weight)  # maxout doubles it
        self.scale_in = nn.Parameter(torch.ones(n_members, n_in))
        self.scale_out = nn.Parameter(torch.ones(n_members, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """From (n_events, n_members or 1, n_in) to (n_events, n_members, n_out)."""
        shared = functional.linear(x * self.scale_in, self.weight)
        return torch.addcmul(self.bias, shared, self.scale_out)


class MemberLinear(nn.Module):
    """Linear layer with all its weights for each member (Glorot, biases 0)."""

    def __init__(self, n_in: int, n_out: int, n_members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, n_out))
        for weight in self.weight:
            nn.init.xavier_normal_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """From (n_events, n_members, n_in) to (n_events, n_members, n_out)."""
        return torch.einsum("nki,kio->nko", x, self.weight) + self.bias


class TabM(nn.Module):
    """An ensemble of multilayer perceptrons that share their weights, for tables.

    Each member scales the inputs and outputs of every layer and has its own head; that is enough
    for members that differ and together beat a single net. The loss is the mean over members, the
    prediction the mean of their probabilities.

    Parameters
    ----------
    n_features : int
        Columns; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    n_members : int, default=32
        Members.
    n_blocks : int, default=3
        Hidden layers.
    d_block : int, default=512
        Nodes of each.
    dropout : float, default=0.1
        Fraction of hidden nodes dropped in training.
    activation : str, default="relu"
        Any that `MLP` knows.
    embedding : {None, "periodic"}, default=None
        "periodic" gives the first layer learned waves of each feature beside it.
    embedding_sigma : float, default=0.1
        Spread of their initial frequencies.

    Notes
    -----
    The scales begin at 1, except those of the features: random signs, or normal numbers with an
    embedding (one for each feature and member). The authors train with
    ``NetClassifier(TabM, optimizer="adamw", lr=2e-3, weight_decay=3e-4)``. A pass costs
    about ``n_members`` times that of one net of this size: take a GPU, or a smaller ``d_block``.

    References
    ----------
    Y. Gorishniy, A. Kotelnikov and A. Babenko, TabM: advancing tabular deep learning with
    parameter-efficient ensembling, arXiv:2410.24210.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import TabM
    >>> TabM(n_features=4, n_outputs=2)(torch.zeros(3, 4)).shape
    torch.Size([3, 32, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        n_members: int = 32,
        n_blocks: int = 3,
        d_block: int = 512,
        dropout: float = 0.1,
        activation: str = "relu",
        embedding: str | None = None,
        embedding_sigma: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(self, n_members=n_members, n_blocks=n_blocks, d_block=d_block)
        self.n_features = n_features
        self.n_members = n_members
        self.embedding, n_in = make_embedding(embedding, n_features, embedding_sigma)
        layers = [
            AdaptedLinear(width, d_block, n_members, activation)
            for width in [n_in, *[d_block] * (n_blocks - 1)]
        ]
        self.body = nn.Sequential(
            *(
                part
                for layer in layers
                for part in (layer, make_activation(activation), nn.Dropout(dropout))
            )
        )
        self.head = MemberLinear(d_block, n_outputs, n_members)
        first = torch.randn(n_members, n_features)
        if embedding is None:
            first = torch.where(first < 0, -1.0, 1.0)
        with torch.no_grad():
            layers[0].scale_in.copy_(first.repeat_interleave(n_in // n_features, dim=1))

    def _hidden(self, X: Tensor) -> Tensor:
        check_input(self, X, 2, self.n_features)
        x = X if self.embedding is None else self.embedding(X)
        return self.body(x.unsqueeze(1))

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer, the mean of the members: (n_events, d_block)."""
        return self._hidden(X).mean(dim=1)

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_members, n_outputs)."""
        return self.head(self._hidden(X))
