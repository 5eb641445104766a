"""Convolutional network for images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import check_counts, check_input, check_widths
from skhep_ml.neural_network.modules._mlp import (
    dense_layers,
    initialise,
    make_elementwise,
    plain_linear,
)


class CNN(nn.Module):
    """Convolutional network for images of any size, such as jet images or calorimeter cells.

    Parameters
    ----------
    n_features : int
        Channels of the images; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    channels : sequence of int, default=(32, 64, 128)
        Channels of each block; the resolution halves between blocks.
    n_convolutions : int, default=2
        Convolutions in a block, of 3 x 3 pixels each.
    hidden : sequence of int, default=(128,)
        Nodes of the dense layers after the mean over all pixels.
    activation : str, default="relu"
        Any that `MLP` knows but "maxout".
    dropout : float, default=0.0
        Fraction of the nodes of the dense layers that is dropped in training.

    Notes
    -----
    Blocks of Conv3x3 - BatchNorm - ReLU as in VGG, the largest of 2 x 2 pixels between them (odd
    edges keep their last row and column), the mean over the pixels that are left, dense layers.

    References
    ----------
    K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale image
    recognition, arXiv:1409.1556; S. Ioffe and C. Szegedy, Batch normalization, arXiv:1502.03167;
    jet images: L. de Oliveira et al., Jet-images - deep learning edition, arXiv:1511.05190.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import CNN
    >>> CNN(n_features=1, n_outputs=2)(torch.zeros(3, 1, 33, 33)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        channels: Sequence[int] = (32, 64, 128),
        n_convolutions: int = 2,
        hidden: Sequence[int] = (128,),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths(self, channels=channels, empty=False)
        check_widths(self, hidden=hidden)
        check_counts(self, n_convolutions=n_convolutions)
        self.n_features = n_features
        layers: list[nn.Module] = []
        n_in = n_features
        for block, n_out in enumerate(channels):
            if block:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(n_convolutions):
                convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
                layers.append(initialise(convolution, activation))
                layers.append(nn.BatchNorm2d(n_out))
                layers.append(make_elementwise(activation))
                n_in = n_out
        self.body = nn.Sequential(*layers)
        self.dense = dense_layers(n_in, hidden, activation=activation, dropout=dropout)
        self.head = plain_linear(hidden[-1] if len(hidden) else n_in, n_outputs)

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer."""
        check_input(self, X, 4, self.n_features)
        return self.dense(self.body(X).mean(dim=(2, 3)))

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs)."""
        return self.head(self.embed(X))
