"""Particle Transformer: attention between particles, biased by the kinematics of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skhep_ml.neural_network.modules._checks import (
    check_columns,
    check_counts,
    check_input,
    check_widths,
)
from skhep_ml.neural_network.modules._mlp import make_linear, plain_linear, split_mask
from skhep_ml.neural_network.modules._pairs import (
    Packing,
    RowNorm,
    pairwise_features,
    particle_outputs,
    take_columns,
)

# bias of an absent partner: its share of attention underflows to 0, and no row is without weight
_ABSENT = -1e9


class PairBias(nn.Module):
    """Bias of each attention head for each pair of particles, learned from their kinematics.

    Parameters
    ----------
    hidden : sequence of int
        Widths of the embedding.
    n_heads : int
        Heads of attention.
    """

    def __init__(self, hidden: Sequence[int], n_heads: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [RowNorm(4)]
        n_in = 4
        for width in hidden:
            layers += [make_linear(n_in, width, "gelu"), RowNorm(width), nn.GELU()]
            n_in = width
        self.layers = nn.Sequential(*layers, plain_linear(n_in, n_heads), RowNorm(n_heads))

    def forward(self, momenta: Tensor, present: Tensor) -> Tensor:
        """Bias of shape (n_events, n_heads, n_particles, n_particles).

        Parameters
        ----------
        momenta : Tensor of shape (n_events, n_particles, 3 or 4)
            pT, eta, phi and mass.
        present : Tensor of bool, shape (n_events, n_particles)
            Which particles are present.

        Returns
        -------
        Tensor
            Symmetric in the particles; strongly negative where one of them is absent.
        """
        n_events, n_particles = present.shape
        # pairs are unordered: half of the work
        i, j = torch.triu_indices(n_particles, n_particles, device=present.device)
        both = present[:, i] & present[:, j]
        event, pair = both.nonzero(as_tuple=True)
        flat = momenta.flatten(0, 1)
        first = flat.index_select(0, event * n_particles + i[pair])
        second = flat.index_select(0, event * n_particles + j[pair])
        values = self.layers(pairwise_features(first.unbind(1), second.unbind(1)))
        values = torch.cat([values, values.new_full((1, values.shape[1]), _ABSENT)])
        row = torch.where(both, both.flatten().cumsum(0).view_as(both) - 1, len(values) - 1)
        place = torch.empty(n_particles, n_particles, dtype=torch.long, device=present.device)
        place[i, j] = place[j, i] = torch.arange(len(i), device=present.device)
        bias = values.index_select(0, row[:, place.flatten()].flatten())
        return bias.view(n_events, n_particles, n_particles, -1).permute(0, 3, 1, 2).contiguous()


class Attention(nn.Module):
    """Multi-head attention whose heads are scaled, on rows of present particles.

    Parameters
    ----------
    width : int
        Features of a particle.
    n_heads : int
        Heads.
    dropout : float
        Fraction of attention dropped in training.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.qkv = plain_linear(width, 3 * width)
        self.scale = nn.Parameter(torch.ones(n_heads))
        self.out = plain_linear(width, width)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention of (n_events, length, width) arrays, before the output layer."""
        q, k, v = (part.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for part in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return out.transpose(1, 2).flatten(2)

    def _project(self, out: Tensor) -> Tensor:
        """Output layer, with the scales of the heads in its matrix."""
        scale = self.scale.repeat_interleave(self.out.in_features // self.n_heads)
        return F.linear(out, self.out.weight * scale, self.out.bias)

    def forward(
        self, x: Tensor, packing: Packing, mask: Tensor, token: Tensor | None = None
    ) -> Tensor:
        """Attention among particles, or of a token to itself and to the particles.

        Parameters
        ----------
        x : Tensor of shape (n_rows, width)
            Features of all present particles.
        packing : Packing
            Where these rows belong.
        mask : Tensor
            Bias, or bool with True for what may be seen, of a shape that broadcasts to
            (n_events, n_heads, n_queries, n_keys); the token is the first key.
        token : Tensor of shape (n_events, width), default=None
            The one that looks, instead of the particles.

        Returns
        -------
        Tensor of shape (n_rows, width) or (n_events, width)
            What particles, or the token, have read.
        """
        if token is None:
            q, k, v = packing.unpack(self.qkv(x)).chunk(3, dim=2)
            return self._project(packing.pack(self._attend(q, k, v, mask)))
        width = token.shape[1]
        q, own = self.qkv(token)[:, None].split([width, 2 * width], dim=2)
        others = F.linear(x, self.qkv.weight[width:], self.qkv.bias[width:])
        k, v = torch.cat([own, packing.unpack(others)], dim=1).chunk(2, dim=2)
        return self._project(self._attend(q, k, v, mask).squeeze(1))


class Block(nn.Module):
    """Attention and a perceptron, each after a norm, with NormFormer's further norms and scales.

    Parameters
    ----------
    width : int
        Features of a particle.
    n_heads : int
        Heads of attention.
    dropout : float
        Fraction dropped in training.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            make_linear(width, 4 * width, "gelu"),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.LayerNorm(4 * width),
            plain_linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.residual = nn.Parameter(torch.ones(width))

    def forward(
        self, x: Tensor, packing: Packing, mask: Tensor, token: Tensor | None = None
    ) -> Tensor:
        """Next features of the particles, or of the token; arguments as of `Attention`."""
        start = x if token is None else token
        normed = None if token is None else self.norm(token)
        attended = self.attention(self.norm(x), packing, mask, normed)
        start = start + self.dropout(self.attention_norm(attended))
        return start * self.residual + self.perceptron(start)


class ParticleTransformer(nn.Module):
    r"""Particle Transformer: attention among particles, biased by pairwise kinematics.

    The result depends neither on the order of particles nor on padding.

    Parameters
    ----------
    n_features : int
        Features of a particle; inferred in ``fit``.
    n_outputs : int
        Classes or targets; inferred in ``fit``.
    kinematics : sequence of 3 or 4 int, default=(0, 1, 2)
        Columns of pT, eta, phi (in radian) and, if particles have one, mass, from which the bias
        of each pair comes: ln kT, ln z, :math:`\ln\Delta` and :math:`\ln m^2`. They must be the
        physical values, not scaled ones; without mass, eta and phi may be relative to the axis of
        a jet. None leaves the bias out.
    embedding : sequence of int, default=(128, 512, 128)
        Widths of the embedding of a particle; the last one is that of the attention.
    pair_embedding : sequence of int, default=(64, 64, 64)
        Widths of the embedding of a pair.
    n_heads : int, default=8
        Heads of attention.
    n_blocks : int, default=8
        Blocks of attention among the particles.
    n_class_blocks : int, default=2
        Blocks in which the class token looks at the particles.
    dropout : float, default=0.1
        Fraction dropped in training, in attention and perceptrons of the particle blocks.
    per_particle : bool, default=False
        Give outputs for each particle instead of the event, without the class token: shape
        (n_events, n_particles, n_outputs), or (n_events, n_particles) for one output; 0 for absent
        particles. `InteractionNetwork` says how to train them.

    Raises
    ------
    ValueError
        Columns that do not exist; in `forward`, a negative pT.

    Notes
    -----
    Defaults are the published ones, with 2,143,486 parameters for 17 features and 10 classes;
    `lite` is smaller, for CPUs. All columns enter the embedding, those of ``kinematics`` as well;
    a cloud may hold the physical pT for the pairs next to ln pT. A training step keeps about 54 MB
    for an event of 128 particles (`lite`: 9 MB): mind ``batch_size``.

    References
    ----------
    H. Qu, C. Li, S. Qian, Particle Transformer for jet tagging, arXiv:2202.03772. S. Shleifer,
    J. Weston, M. Ott, NormFormer, arXiv:2110.09456. H. Touvron et al., Going deeper with image
    transformers, arXiv:2103.17239.

    Examples
    --------
    >>> import torch
    >>> from skhep_ml.neural_network.modules import ParticleTransformer
    >>> cloud = torch.rand(8, 30, 4)
    >>> cloud[0, 10:] = torch.nan
    >>> ParticleTransformer.lite(n_features=4, n_outputs=2)(cloud).shape
    torch.Size([8, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        kinematics: Sequence[int] | None = (0, 1, 2),
        embedding: Sequence[int] = (128, 512, 128),
        pair_embedding: Sequence[int] = (64, 64, 64),
        n_heads: int = 8,
        n_blocks: int = 8,
        n_class_blocks: int = 2,
        dropout: float = 0.1,
        per_particle: bool = False,
    ) -> None:
        super().__init__()
        check_widths(self, embedding=embedding, empty=False)
        check_widths(self, pair_embedding=pair_embedding)
        check_counts(self, n_heads=n_heads, n_blocks=n_blocks, n_class_blocks=n_class_blocks)
        self.n_features = n_features
        self.per_particle = per_particle
        width = embedding[-1]
        if width % n_heads:
            msg = (
                f"ParticleTransformer: embedding={tuple(embedding)} must end in a multiple of "
                f"n_heads={n_heads}"
            )
            raise ValueError(msg)
        self.kinematics: list[int] | None = None
        if kinematics is not None:
            if len(kinematics) not in (3, 4):
                msg = f"kinematics={tuple(kinematics)} must name pT, eta, phi and perhaps mass"
                raise ValueError(msg)
            self.kinematics = check_columns(
                "kinematics", kinematics, n_features, "kinematics=None does without them"
            )
            self.pair_bias = PairBias(pair_embedding, n_heads)
        layers: list[nn.Module] = [RowNorm(n_features)]
        n_in = n_features
        for n_out in embedding:
            layers += [nn.LayerNorm(n_in), make_linear(n_in, n_out, "gelu"), nn.GELU()]
            n_in = n_out
        self.embedding = nn.Sequential(*layers)
        self.blocks = nn.ModuleList(Block(width, n_heads, dropout) for _ in range(n_blocks))
        if not per_particle:
            self.class_blocks = nn.ModuleList(
                Block(width, n_heads, 0.0) for _ in range(n_class_blocks)
            )
            self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_outputs)
        nn.init.trunc_normal_(self.head.weight, std=0.02)  # inputs are normalised: start at 0
        nn.init.zeros_(self.head.bias)

    @classmethod
    def lite(cls, n_features: int, n_outputs: int, **options: Any) -> Self:
        """Smaller Particle Transformer for CPUs: 2 + 1 blocks of width 64, 4 heads.

        Parameters
        ----------
        n_features : int
            Features of a particle; inferred in ``fit`` with ``module=ParticleTransformer.lite``.
        n_outputs : int
            Classes or targets; inferred in ``fit``.
        **options : dict
            Other parameters, which win over the preset.

        Returns
        -------
        ParticleTransformer
            The module.
        """
        preset = {
            "embedding": (64, 128, 64),
            "pair_embedding": (16, 16),
            "n_heads": 4,
            "n_blocks": 2,
            "n_class_blocks": 1,
        }
        return cls(n_features, n_outputs, **{**preset, **options})

    def _hidden(self, X: Tensor) -> tuple[Tensor, Packing]:
        """Last hidden layer of the events, or of the particles that are present."""
        check_input(self, X, 3, self.n_features)
        x, present = split_mask(X)
        packing = Packing(present)
        mask = present[:, None, None, :]
        if self.kinematics is None:
            bias = torch.where(mask, 0.0, _ABSENT)
        else:
            momenta = take_columns(x, self.kinematics)
            _check_pt(momenta[..., 0], self.kinematics[0])
            bias = self.pair_bias(momenta, present)
        rows = self.embedding(packing.pack(x))
        for block in self.blocks:
            rows = block(rows, packing, bias)
        if self.per_particle:
            return self.norm(rows), packing
        token = self.token.expand(len(X), -1)
        mask = F.pad(mask, (1, 0), value=True)
        for block in self.class_blocks:
            token = block(rows, packing, mask, token)
        return self.norm(token), packing

    def embed(self, X: Tensor) -> Tensor:
        """Values of the last hidden layer: of the class token, or of particles."""
        hidden, packing = self._hidden(X)
        return packing.unpack(hidden) if self.per_particle else hidden

    def forward(self, X: Tensor) -> Tensor:
        """Logits or predictions of shape (n_events, n_outputs), or for each particle."""
        hidden, packing = self._hidden(X)
        output = self.head(hidden)
        return particle_outputs(packing, output) if self.per_particle else output


def _check_pt(pt: Tensor, column: int) -> None:
    if bool((pt < 0).any()):
        msg = (
            f"pT, column {column}, is negative ({float(pt.min()):.4g}): the pair bias needs pT, "
            "eta and phi as they are, not scaled; name such columns in kinematics, or set "
            "kinematics=None"
        )
        raise ValueError(msg)
