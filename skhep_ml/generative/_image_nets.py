"""Networks for images: small convolutional ones that know where a pixel is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skhep_ml.neural_network.modules._mlp import dense_layers, plain_linear

# channels that a normalisation shares
_GROUP = 8


def with_position(X: Tensor) -> Tensor:
    """Images with two more channels, the position from -1 to 1 along height and width.

    A calorimeter is no photograph: its layers differ.
    """
    n_events, _, height, width = X.shape
    rows = torch.linspace(-1, 1, height, dtype=X.dtype, device=X.device)
    columns = torch.linspace(-1, 1, width, dtype=X.dtype, device=X.device)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return torch.cat([X, grid.expand(n_events, -1, -1, -1)], dim=1)


def _norm(n_channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(n_channels, max(n_channels // _GROUP, 1)), n_channels)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, between which the numbers of the event scale and shift.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    n_condition : int
        Numbers of the event.
    """

    def __init__(self, n_in: int, n_out: int, n_condition: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(n_in), nn.SiLU(), nn.Conv2d(n_in, n_out, 3, padding=1))
        self.condition = nn.Linear(n_condition, 2 * n_out)
        self.norm = _norm(n_out)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(n_out, n_out, 3, padding=1))
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Images of ``n_out`` channels."""
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.first(X)) * (1 + scale) + shift
        return self.shortcut(X) + self.second(hidden)


class ImageField(nn.Module):
    """Vector at each pixel that depends on all pixels: velocity, noise, or generated values.

    Parameters
    ----------
    n_channels : int
        Channels.
    n_condition : int
        Numbers of the event that condition: time, context, latent variables.
    hidden : sequence of int, default=(32, 64)
        Channels at each resolution, which halves between them.

    Notes
    -----
    A U-net: down by convolutions of stride 2, the mean over the image mixed in at the lowest
    resolution, and up again beside what was there on the way down.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, U-Net: convolutional networks for biomedical image
    segmentation, arXiv:1505.04597. R. Liu et al., An intriguing failing of convolutional neural
    networks and the CoordConv solution, arXiv:1807.03247.
    """

    def __init__(self, n_channels: int, n_condition: int, hidden: Sequence[int] = (32, 64)) -> None:
        super().__init__()
        n_seen = 4 * hidden[0]
        self.condition = dense_layers(n_condition, (n_seen, n_seen), activation="silu")
        self.stem = nn.Conv2d(n_channels + 2, hidden[0], 3, padding=1)
        self.down = nn.ModuleList(Residual(n, n, n_seen) for n in hidden)
        pairs = list(itertools.pairwise(hidden))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.all_pixels = nn.Linear(hidden[-1], hidden[-1])
        self.middle = Residual(hidden[-1], hidden[-1], n_seen)
        self.up = nn.ModuleList(Residual(a + b, a, n_seen) for a, b in reversed(pairs))
        last: Any = nn.Conv2d(hidden[0], n_channels, 3, padding=1)
        nn.init.normal_(last.weight, std=1e-2)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(_norm(hidden[0]), nn.SiLU(), last)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Vectors of the shape of ``X``."""
        seen = self.condition(condition)
        hidden = self.stem(with_position(X))
        skipped = []
        for level, block in enumerate(self.down):
            hidden = block(hidden, seen)
            if level < len(self.shrink):
                skipped.append(hidden)
                hidden = self.shrink[level](hidden)
        hidden = hidden + self.all_pixels(hidden.mean(dim=(2, 3)))[:, :, None, None]
        hidden = self.middle(hidden, seen)
        for block in self.up:
            before = skipped.pop()
            hidden = F.interpolate(hidden, size=before.shape[2:], mode="nearest")
            hidden = block(torch.cat([hidden, before], dim=1), seen)
        return self.head(hidden)


class ImageEncoder(nn.Module):
    """Numbers of an event from its image.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width.
    n_condition : int
        Other numbers of the event.
    n_outputs : int
        Outputs.
    hidden : sequence of int, default=(32, 64)
        Channels of the convolutions; the resolution halves after each.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        n_condition: int,
        n_outputs: int,
        hidden: Sequence[int] = (32, 64),
    ) -> None:
        super().__init__()
        n_channels, height, width = image_shape
        layers: list[nn.Module] = []
        n_in = n_channels + 2
        for n_out in hidden:
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.SiLU()]
            layers += [nn.Conv2d(n_out, n_out, 3, stride=2, padding=1), nn.SiLU()]
            n_in = n_out
            height, width = (height + 1) // 2, (width + 1) // 2
        self.body = nn.Sequential(*layers)
        n_flat = n_in * height * width + n_condition
        self.event = dense_layers(n_flat, (128,), activation="silu")
        self.head = plain_linear(128, n_outputs)

    def forward(self, X: Tensor, condition: Tensor) -> Tensor:
        """Outputs (n_events, n_outputs)."""
        flat = self.body(with_position(X)).flatten(1)
        return self.head(self.event(torch.cat([flat, condition], dim=1)))


class ImageDecoder(nn.Module):
    """Image from the numbers of an event.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width.
    n_condition : int
        Numbers of the event: latent variables, context.
    hidden : sequence of int, default=(32, 64)
        Channels at each resolution, from the full one down.
    """

    def __init__(
        self, image_shape: Sequence[int], n_condition: int, hidden: Sequence[int] = (32, 64)
    ) -> None:
        super().__init__()
        n_channels, height, width = image_shape
        self.sizes = [(height, width)]
        for _ in hidden[1:]:
            height, width = (height + 1) // 2, (width + 1) // 2
            self.sizes.append((height, width))
        self.smallest = (hidden[-1], height, width)
        n_flat = math.prod(self.smallest)
        self.event = dense_layers(n_condition, (128, n_flat), activation="silu")
        levels = [*reversed(hidden)]
        inputs = [levels[0], *levels[:-1]]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a + 2, b, 3, padding=1), nn.SiLU())
            for a, b in zip(inputs, levels, strict=True)
        )
        self.head = nn.Conv2d(hidden[0], n_channels, 3, padding=1)

    def forward(self, condition: Tensor) -> Tensor:
        """Images (n_events, n_channels, height, width)."""
        hidden = self.event(condition).unflatten(1, self.smallest)
        for size, block in zip(reversed(self.sizes), self.blocks, strict=True):
            hidden = F.interpolate(hidden, size=size, mode="nearest")
            hidden = block(with_position(hidden))
        return self.head(hidden)
