"""Where particle showers leave their energy: mean profiles and how they fluctuate."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import gammainc

Array = NDArray[np.float64]

#: Lead: critical energy in GeV, interaction length in radiation lengths, loss of a minimum
#: ionising particle in GeV a radiation length, radiation length over Moliere radius.
CRITICAL_ENERGY = 7.43e-3
INTERACTION_LENGTH = 31.3
IONISATION = 7.15e-3
#: Rate 1/b of the longitudinal profile, and depth constants C of its maximum.
RATE = 0.5
DEPTH_CONSTANT = {"electron": -0.5, "photon": 0.5}
#: Lengths of the lateral exponentials in Moliere radii, and the halo's share at the front.
CORE, HALO, HALO_SHARE = 0.15, 0.8, 0.06
#: Hadronic part: visible share, lateral length, shape and length of the longitudinal profile,
#: exponent and scale (GeV) of the electromagnetic fraction, and its concentration.
HADRON_RESPONSE, HADRON_WIDTH = 0.6, 2.0
HADRON_SHAPE, HADRON_LENGTH = 2.0, 0.3 * INTERACTION_LENGTH
EM_EXPONENT, EM_SCALE, EM_CONCENTRATION = 0.82, 1.0, 8.0
#: Mass of the neutral pion in GeV, and its way to the calorimeter in Moliere radii.
PION_MASS, PION_DISTANCE = 0.135, 80.0
#: The spreads below hold from about 100 MeV on.
_LEAST_LOG = 2.5
_LEAST_SHAPE = 1.1
_TABLE_SIZE, _TABLE_SCALE = 257, 2.0


class Longitudinal(NamedTuple):
    """Gamma profiles in depth, one an event.

    Attributes
    ----------
    shape : ndarray of shape (n_events,)
        a of :math:`(bt)^{a-1} e^{-bt}`.
    maximum : ndarray of shape (n_events,)
        Depth of the maximum (a - 1)/b in radiation lengths, from the start.
    start : ndarray of shape (n_events,)
        Depth at which the shower starts.
    """

    shape: Array
    maximum: Array
    start: Array

    def layer_share(self, edges: Array) -> Array:
        """Share of the energy in each layer, shape (n_events, n_layers)."""
        depth = np.maximum(edges - self.start[:, None], 0.0)
        rate = ((self.shape - 1) / self.maximum)[:, None]
        return np.diff(gammainc(self.shape[:, None], rate * depth), axis=1)

    def halo_share(self, edges: Array) -> Array:
        """Share of the halo in each layer, from the depth of its middle."""
        middle = (edges[1:] + edges[:-1]) / 2
        relative = np.maximum(middle - self.start[:, None], 0.0) / self.maximum[:, None]
        return np.minimum(HALO_SHARE * (1 + relative), 1.0)


def electromagnetic(
    energy: Array, particle: str, rng: np.random.Generator, *, start: Array | None = None
) -> Longitudinal:
    """Draw profiles of electromagnetic showers, whose two logarithms fluctuate together."""
    log_y = np.maximum(np.log(energy / CRITICAL_ENERGY), _LEAST_LOG)
    maximum = log_y + DEPTH_CONSTANT[particle]
    spread_maximum = 1 / (-1.4 + 1.26 * log_y)
    spread_shape = 1 / (-0.58 + 0.86 * log_y)
    correlation = 0.705 - 0.023 * log_y
    first, second = rng.standard_normal((2, len(energy)))
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    shape = (1 + RATE * maximum) * np.exp(spread_shape * second)
    return Longitudinal(
        np.maximum(shape, _LEAST_SHAPE),
        maximum * np.exp(spread_maximum * first),
        np.zeros(len(energy)) if start is None else start,
    )


def hadronic(start: Array) -> Longitudinal:
    """Profiles of the hadronic part behind the first interaction."""
    shape = np.full(len(start), HADRON_SHAPE)
    return Longitudinal(shape, (shape - 1) * HADRON_LENGTH, start)


def electromagnetic_fraction(energy: Array, rng: np.random.Generator) -> Array:
    """Draw the share of neutral pions in a hadronic shower."""
    mean = 1 - np.maximum(energy / EM_SCALE, 1.01) ** (EM_EXPONENT - 1)
    return rng.beta(EM_CONCENTRATION * mean, EM_CONCENTRATION * (1 - mean))


def photon_pair(energy: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Decay neutral pions: energies of both photons, and their places around the pion's.

    The energy is shared uniformly (isotropic decay) and the opening angle theta obeys
    sin(theta/2) = m / (2 sqrt(E1 E2)). Shapes (2, n_events) and (2, n_events, 2).
    """
    share = rng.uniform(size=len(energy))
    share = np.stack([share, 1 - share])
    half = PION_MASS / (2 * energy * np.sqrt(share[0] * share[1]))
    distance = PION_DISTANCE * 2 * np.arcsin(np.minimum(half, 1.0))
    azimuth = rng.uniform(0, 2 * np.pi, len(energy))
    direction = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1) * distance[:, None]
    return energy * share, np.stack([share[1][:, None] * direction, -share[0][:, None] * direction])


def cell_share(place: Array, length: float, x_edges: Array, y_edges: Array) -> NDArray[np.float32]:
    """Share of a lateral exponential in every cell, shape (n_events, n_rows, n_columns).

    ``place`` of shape (n_events, 2) holds the axes of the showers (x along the columns).
    """
    x = (x_edges - place[:, :1])[:, None, :] / length
    y = (y_edges - place[:, 1:])[:, :, None] / length
    corner = _quadrant(np.abs(x), np.abs(y)) * np.sign(x) * np.sign(y)
    return np.diff(np.diff(corner, axis=1), axis=2).astype(np.float32)


def _quadrant(x: Array, y: Array) -> Array:
    r"""Content of [0, x] x [0, y] under :math:`e^{-r} / 2\pi`, by interpolation."""
    x, y = np.broadcast_arrays(x, y)
    position = np.stack([x / (x + _TABLE_SCALE), y / (y + _TABLE_SCALE)]) * (_TABLE_SIZE - 1)
    return map_coordinates(_quadrant_table(), position, order=1, mode="nearest")


@lru_cache(maxsize=1)
def _quadrant_table() -> Array:
    r"""Contents of rectangles whose sides s x / (1 - x) have equally spaced x in [0, 1].

    In polar coordinates the disc sector up to radius r holds :math:`1 - (1 + r) e^{-r}`; a
    rectangle is what lies below its right edge and left of its upper edge.
    """
    fraction = np.arange(_TABLE_SIZE) / (_TABLE_SIZE - 1)
    fraction[0], fraction[-1] = 1e-12, 1 - 1e-12
    side = _TABLE_SCALE * fraction / (1 - fraction)
    near, far = side[:, None, None], side[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(32)
    # along the edge at the distance x, y = x sinh(u) spreads the nodes over near and far parts
    range_u = np.arcsinh(far / near)
    cosh = np.cosh(range_u * (nodes + 1) / 2)
    radius = near * cosh
    sector = -np.expm1(-radius) - radius * np.exp(-radius)
    edge = (sector / cosh) @ (weights / 2) * range_u[..., 0]
    return (edge + edge.T) / (2 * np.pi)
