"""Residual network for tables."""

from __future__ import annotations

from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import check_counts, check_input
from skhep_ml.neural_network.modules._embeddings import make_embedding
from skhep_ml.neural_network.modules._mlp import make_elementwise, make_linear, plain_linear


class ResNet(nn.Module):
    """Residual network for tables: each block adds a correction to what it gets.

    Parameters
    ----------
    n_features : int
        Columns; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    n_blocks : int, default=2
        Residual blocks.
    d_block : int, default=192
        Nodes between the blocks.
    d_hidden : int, default=None
        Nodes inside a block; None for twice ``d_block``.
    dropout : float, default=0.15
        Fraction of the nodes inside a block that is dropped in training.
    residual_dropout : float, default=0.0
        Fraction of the nodes of a correction that is dropped in training.
    activation : str, default="relu"
        Any that `MLP` knows but "maxout".
    embedding : {None, "periodic"}, default=None
        "periodic" gives the first layer learned waves of each feature beside it.
    embedding_sigma : float, default=0.1
        Spread of their initial frequencies.

    Notes
    -----
    A first linear layer, blocks x + Dropout(Linear(Dropout(ReLU(Linear(BatchNorm(x)))))), and
    Linear(ReLU(BatchNorm(x))) at the end.

    References
    ----------
    Y. Gorishniy et al., Revisiting deep learning models for tabular data, arXiv:2106.11959; the
    defaults are those of its authors' package.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import ResNet
    >>> ResNet(n_features=4, n_outputs=2)(torch.zeros(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        n_blocks: int = 2,
        d_block: int = 192,
        d_hidden: int | None = None,
        dropout: float = 0.15,
        residual_dropout: float = 0.0,
        activation: str = "relu",
        embedding: str | None = None,
        embedding_sigma: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(self, n_blocks=n_blocks, d_block=d_block)
        d_hidden = 2 * d_block if d_hidden is None else d_hidden
        check_counts(self, d_hidden=d_hidden)
        self.n_features = n_features
        self.embedding, n_in = make_embedding(embedding, n_features, embedding_sigma)
        self.first = plain_linear(n_in, d_block)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(d_block),
                make_linear(d_block, d_hidden, activation),
                make_elementwise(activation),
                nn.Dropout(dropout),
                plain_linear(d_hidden, d_block),
                nn.Dropout(residual_dropout),
            )
            for _ in range(n_blocks)
        )
        self.last = nn.Sequential(nn.BatchNorm1d(d_block), make_elementwise(activation))
        self.head = plain_linear(d_block, n_outputs)

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer, (n_events, d_block)."""
        check_input(self, X, 2, self.n_features)
        x = self.first(X if self.embedding is None else self.embedding(X))
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs)."""
        return self.head(self.embed(X))
