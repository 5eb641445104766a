"""The module of an autoencoder: from events to latent variables and back, and what is lost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhep_ml.generative._cloud_nets import CloudDecoder, chamfer, occupancy
from skhep_ml.generative._modules import TableDecoder, make_decoder, make_encoder
from skhep_ml.neural_network.modules._mlp import split_mask


class AutoencoderNet(nn.Module):
    """Encoder and decoder; `forward` gives the reconstruction error of each event.

    Parameters
    ----------
    kind : {"table", "cloud", "image"}
        Kind of data.
    shape : sequence of int
        Shape of an event.
    n_latent : int
        Latent variables.
    hidden : sequence of int
        Widths of the encoder; the decoder has them in reverse.
    """

    def __init__(self, kind: str, shape: Sequence[int], n_latent: int, hidden: Sequence[int]):
        super().__init__()
        self.encoder = make_encoder(kind, shape, 0, n_latent, hidden)
        self.count: nn.Module | None = None
        self.n_places = shape[0]
        if kind == "cloud":
            self.decoder: nn.Module = CloudDecoder(shape[0], shape[1], n_latent, hidden)
            self.count = TableDecoder(n_latent, 1, hidden)
        else:
            self.decoder = make_decoder(kind, shape, n_latent, hidden)

    def encode(self, X: Tensor) -> Tensor:
        """Latent variables (n_events, n_latent)."""
        return self.encoder(X, X.new_zeros(len(X), 0))

    def decode(self, latent: Tensor) -> Tensor:
        """Events; a cloud has as many particles as the latent variables say."""
        if self.count is None:
            return self.decoder(latent)
        taken = (self.count(latent) * self.n_places).round()
        present = torch.arange(self.n_places, device=latent.device) < taken
        return self.decoder(latent, present)

    def forward(self, X: Tensor) -> Tensor:
        """Reconstruction error of each event, (n_events,).

        The mean squared difference of all values; for clouds the distance of `chamfer`, with as
        many particles as there are, and the squared error of the fraction of places taken.
        """
        latent = self.encode(X)
        if self.count is None:
            return (self.decoder(latent) - X).square().flatten(1).mean(dim=1)
        present = split_mask(X)[1]
        missed = self.count(latent) - occupancy(present)
        return chamfer(X, self.decoder(latent, present)) + missed.square().squeeze(1)
