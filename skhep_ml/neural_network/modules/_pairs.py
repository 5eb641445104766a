"""What architectures for clouds share: rows of present particles, neighbours, pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# where the logarithms of pair features end
FLOOR = 1e-8
# up to so many coordinates distances come from differences, which lose no digits
_FEW_COORDINATES = 4
# pseudorapidity differences beyond this are no physics, and their cosh would overflow
_LARGEST_DELTA_ETA = 50.0


class Packing:
    """Moves values between padded clouds and rows that hold the present particles only.

    Layers that treat particles one by one then do no work for padding, and batch norm sees no
    absent particle.

    Parameters
    ----------
    present : Tensor of bool, shape (n_events, n_particles)
        Which particles are present.
    """

    def __init__(self, present: Tensor) -> None:
        self.present = present
        self.rows = present.flatten().nonzero().squeeze(1)
        self.full = len(self.rows) == present.numel()

    def pack(self, dense: Tensor) -> Tensor:
        """Rows (n_present, ...) of an array (n_events, n_particles, ...)."""
        flat = dense.flatten(0, 1)
        return flat if self.full else flat.index_select(0, self.rows)

    def unpack(self, values: Tensor) -> Tensor:
        """Array (n_events, n_particles, ...) of rows (n_present, ...); 0 where absent."""
        if not self.full:
            zeros = values.new_zeros(self.present.numel(), *values.shape[1:])
            values = zeros.index_copy(0, self.rows, values)
        return values.unflatten(0, self.present.shape)

    def positions(self) -> Tensor:
        """Row of each particle, shape (n_events, n_particles); arbitrary where absent."""
        flat = self.present.flatten()
        return (flat.cumsum(0) - 1).clamp(min=0).view(self.present.shape)


def particle_outputs(packing: Packing, rows: Tensor) -> Tensor:
    """Outputs of single particles from rows (n_present, n_outputs); 0 where absent.

    Returns
    -------
    Tensor of shape (n_events, n_particles, n_outputs)
        Without the last axis for one output.
    """
    output = packing.unpack(rows)
    return output.squeeze(2) if output.shape[2] == 1 else output


class RowNorm(nn.BatchNorm1d):
    """Batch norm over rows; fewer than two, which have no variance, take the running one."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise rows (n_rows, n_features)."""
        if self.training and len(input) < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)


def take_columns(x: Tensor, columns: Sequence[int]) -> Tensor:
    """Columns of the last axis, without an index that must travel to the device."""
    return torch.stack([x[..., column] for column in columns], dim=-1)


@torch.no_grad()
def nearest_neighbours(
    points: Tensor, present: Tensor, k: int, *, period: float | None = None
) -> tuple[Tensor, Tensor]:
    """Nearest other present particles of each particle.

    Parameters
    ----------
    points : Tensor of shape (n_events, n_particles, n_coordinates)
        Where particles are.
    present : Tensor of bool, shape (n_events, n_particles)
        Which particles are present.
    k : int
        Neighbours of a particle.
    period : float, default=None
        Period of the last coordinate, for example 2 pi for an azimuth.

    Returns
    -------
    index : Tensor of int, shape (n_events, n_particles, min(k, n_particles - 1))
        Neighbours in no particular order.
    valid : Tensor of bool, of that shape
        False where an event has fewer other particles.
    """
    with torch.autocast(points.device.type, enabled=False):
        distance = _squared_distances(points.float(), period)
    distance.masked_fill_(~present[:, None, :], torch.inf)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    k = min(k, points.shape[1] - 1)
    nearest, index = distance.topk(k, dim=2, largest=False, sorted=False)
    return index, nearest.isfinite() & present[..., None]


def _squared_distances(points: Tensor, period: float | None) -> Tensor:
    """Squared distances, each row up to a constant, shape (n_events, n_particles, n_particles)."""
    columns = points.unbind(2)
    if len(columns) > _FEW_COORDINATES and period is None:
        square = points.square().sum(2)
        return torch.baddbmm(square[:, None, :], points, points.mT, alpha=-2.0)
    distance = points.new_zeros(points.shape[0], points.shape[1], points.shape[1])
    for index, column in enumerate(columns):
        delta = column[:, :, None] - column[:, None, :]
        if period is not None and index == len(columns) - 1:
            delta = wrapped(delta, period)
        distance.addcmul_(delta, delta)
    return distance


def wrapped(delta: Tensor, period: float = 2.0 * math.pi) -> Tensor:
    """Difference of a periodic coordinate, brought into half a period around 0."""
    return delta - period * torch.round(delta / period)


def pairwise_features(
    first: Sequence[Tensor], second: Sequence[Tensor], eps: float = FLOOR
) -> Tensor:
    r"""Logarithms of kT, z, :math:`\Delta` and :math:`m^2` of pairs of particles.

    Parameters
    ----------
    first, second : sequences of 3 or 4 Tensors of shape (n_pairs,)
        pT, eta, phi and, if it is not 0, mass of both particles.
    eps : float, default=1e-8
        Smallest kT, z, :math:`\Delta`, :math:`m^2`, and pT.

    Returns
    -------
    Tensor of shape (n_pairs, 4)
        ln kT, ln z, ln Delta, ln m^2.

    Notes
    -----
    .. math::
        \Delta^2 = (y_a - y_b)^2 + (\phi_a - \phi_b)^2, \quad
        k_T = \min(p_{Ta}, p_{Tb}) \Delta, \quad
        z = \frac{\min(p_{Ta}, p_{Tb})}{p_{Ta} + p_{Tb}}, \quad
        m^2 = (p_a + p_b)^2

    with the rapidity y, which is eta without mass. The mass comes from
    :math:`2 p_{Ta} p_{Tb} (\cosh\Delta y - \cos\Delta\phi)` through half angles, so that collinear
    particles lose no digits.

    References
    ----------
    H. Qu, C. Li, S. Qian, Particle Transformer for jet tagging, arXiv:2202.03772.
    """
    pt_a, pt_b = (part[0].clamp(min=eps) for part in (first, second))
    log_a, log_b = pt_a.log(), pt_b.log()
    log_soft = torch.minimum(log_a, log_b)
    y_a, y_b, mt_a, mt_b = first[1], second[1], pt_a, pt_b
    if len(first) > 3:
        (y_a, mt_a), (y_b, mt_b) = (
            _rapidity(pt, part[1], part[3]) for pt, part in ((pt_a, first), (pt_b, second))
        )
    delta_y = (y_a - y_b).clamp(-_LARGEST_DELTA_ETA, _LARGEST_DELTA_ETA)
    delta_phi = wrapped(first[2] - second[2])
    # no square root: its slope at 0 is infinite
    log_delta = 0.5 * (delta_y.square() + delta_phi.square()).clamp(min=eps**2).log()
    mass2 = 4.0 * (
        mt_a * mt_b * (0.5 * delta_y).sinh().square()
        + pt_a * pt_b * (0.5 * delta_phi).sin().square()
    )
    if len(first) > 3:
        m2_a, m2_b = first[3].square(), second[3].square()
        cross = m2_a * mt_b.square() + m2_b * pt_a.square()
        mass2 = mass2 + m2_a + m2_b + 2.0 * cross / (mt_a * mt_b + pt_a * pt_b)
    log_eps = math.log(eps)
    return torch.stack(
        [
            (log_soft + log_delta).clamp(min=log_eps),
            (log_soft - (pt_a + pt_b).log()).clamp(min=log_eps),
            log_delta,
            mass2.clamp(min=eps).log(),
        ],
        dim=-1,
    )


def _rapidity(pt: Tensor, eta: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """Rapidity and transverse mass."""
    mt = (pt.square() + mass.square()).sqrt()
    eta = eta.clamp(-_LARGEST_DELTA_ETA, _LARGEST_DELTA_ETA)
    return torch.asinh(pt / mt * eta.sinh()), mt
