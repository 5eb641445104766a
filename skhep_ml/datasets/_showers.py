"""Particle showers in a small calorimeter, from parametrised profiles."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from skhep_ml.datasets import _shower_profiles as profiles

Array = NDArray[np.float64]

PARTICLES = ("electron", "photon", "pi0", "pion")
#: Events at a time: the cells of all of them fit into the cache of a core.
_BLOCK = 256
#: The parametrisation of single showers holds from about here on, in GeV.
_LEAST_ENERGY = 0.5


def make_showers(
    n_samples: int = 1000,
    *,
    particle: str | Sequence[str] = "electron",
    energy: float | tuple[float, float] = (1.0, 100.0),
    shape: tuple[int, int, int] = (10, 9, 9),
    depth: float = 25.0,
    cell_size: float = 0.5,
    sampling: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Make showers of particles in a small calorimeter of lead with thin active layers.

    Energies of cells as images, whose channels are the layers, with the incident energy: to train
    a surrogate of the simulation, to reconstruct the energy, or to tell particles apart.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of showers.
    particle : {"electron", "photon", "pi0", "pion"} or a sequence of them, default="electron"
        What enters; ``"pi0"`` decays to two photons, ``"pion"`` is a charged one. Of several,
        equal numbers are made, in random order.
    energy : float or (float, float), default=(1.0, 100.0)
        Incident energy in GeV, at least 0.5, or limits between which its logarithm is uniform.
    shape : (int, int, int), default=(10, 9, 9)
        Layers, rows and columns of cells.
    depth : float, default=25.0
        Depth of all layers together, in radiation lengths.
    cell_size : float, default=0.5
        Width of the square cells, in Moliere radii.
    sampling : float, default=0.1
        Stochastic term a of the resolution :math:`\sigma/E = a/\sqrt{E/\mathrm{GeV}}`; 0 leaves
        the sampling fluctuations out.
    random_state : int, RandomState instance or None, default=None
        Makes the sample reproducible.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_samples, n_layers, n_rows, n_columns)
            Energies of cells in GeV, on the scale of electromagnetic showers.
        energy : float64 array of shape (n_samples,)
            Incident energy in GeV.
        target : int array of shape (n_samples,)
            Position of the particle in ``particle``; 0 when there is only one.
        weight : float64 array of shape (n_samples,)
            Ones.
        event_number : int64 array of shape (n_samples,)
            1 to n_samples.
        process : str array of shape (n_samples,)
            The particle.
        layer_edges, row_edges, column_edges : float64 arrays
            Depths in radiation lengths, and positions in Moliere radii from the centre.
        truth : Bunch
            ``impact`` (n_samples, 2), where the particle enters, along columns and rows, in Moliere
            radii from the centre; ``longitudinal`` (n_samples, n_layers), what the cells of a layer
            hold before sampling fluctuations; ``response`` (n_samples,), their sum over the
            incident energy; ``maximum`` (n_samples,), depth in radiation lengths of the maximum of
            the shower, or of its most energetic electromagnetic part.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        An unknown particle, energies that are too small or not ordered, or sizes that are not
        positive.

    Notes
    -----
    *Along the axis*, at the depth t in radiation lengths,

    .. math:: \frac{1}{E}\frac{dE}{dt} = b\,\frac{(bt)^{a-1} e^{-bt}}{\Gamma(a)}, \qquad
              t_{max} = \frac{a - 1}{b} = \ln\frac{E}{E_c} + C, \qquad b = 0.5,

    with C = -0.5 for electrons and 0.5 for photons [1]_ and :math:`E_c = 7.43` MeV of lead. Both
    :math:`\ln t_{max}` and :math:`\ln a` of a shower are gaussian around these values, with
    :math:`y = E/E_c`, widths of :math:`1/(1.26 \ln y - 1.4)` and :math:`1/(0.86 \ln y - 0.58)` and
    a correlation of :math:`0.705 - 0.023 \ln y` [2]_; a is at least 1.1.

    *Across the axis*, at the distance r in Moliere radii,

    .. math:: \frac{1}{E}\frac{dE}{dA} = (1 - h)\,\frac{e^{-r/0.15}}{2\pi\,0.15^2}
              + h\,\frac{e^{-r/0.8}}{2\pi\,0.8^2}, \qquad h = 0.06\,(1 + t/t_{max}),

    a core and a halo whose share grows with the depth (that of the middle of the layer). The
    numbers are chosen such that on average about 90% of the energy lie within one Moliere radius
    and 99% within 3.5 [1]_. Cells are integrals of these densities; what leaves the grid is lost.
    The particle enters uniformly over one cell around the centre.

    *Sampling*: a cell with the mean energy m holds N deposits of exponential size and mean
    :math:`\theta = a^2/2` GeV, N from a Poisson distribution of mean :math:`m/\theta`. Its mean is
    m and its variance :math:`a^2 m`, and so it is for any sum of cells; many cells are empty.

    A *neutral pion* decays isotropically 80 Moliere radii before the calorimeter. A *charged pion*
    loses 7.15 MeV a radiation length until it interacts, after 31.3 of them on average. A share of
    its energy, from a beta distribution of mean :math:`1 - (E/\mathrm{GeV})^{-0.18}` [1]_ and
    concentration 8, becomes an electromagnetic shower; of the rest 60% are visible, along a gamma
    profile (a = 2, maximum after 0.3 interaction lengths) and an exponential of 2 Moliere radii
    across. This part has plausible sizes and is no fit to any detector.

    References
    ----------
    .. [1] Particle Data Group, Review of Particle Physics, Passage of particles through matter,
       and Particle detectors at accelerators, PTEP 2022, 083C01.
    .. [2] G. Grindhammer, S. Peters, The parameterized simulation of electromagnetic showers in
       homogeneous and sampling calorimeters, hep-ex/0001020: fluctuations of homogeneous media.
    .. [3] G. A. Akopdjanov et al., Determination of photon coordinates in a hodoscope Cherenkov
       spectrometer, Nucl. Instrum. Meth. 140 (1977) 441: two exponentials across the shower.

    Examples
    --------
    >>> from skhep_ml.datasets import make_showers
    >>> showers = make_showers(500, energy=50.0, random_state=0)
    >>> showers.data.shape
    (500, 10, 9, 9)
    >>> visible = showers.data.sum(axis=(1, 2, 3)) / showers.energy
    >>> bool(abs(visible.mean() - showers.truth.response.mean()) < 0.01)
    True
    """
    particles = _check_particles(particle)
    low, high = _check_energy(energy)
    grid = _check_grid(shape, depth, cell_size)
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
        msg = f"n_samples must be an integer of at least 1, got {n_samples!r}"
        raise ValueError(msg)
    if not _is_number(sampling) or sampling < 0:
        msg = f"sampling must be a number of at least 0, got {sampling!r}"
        raise ValueError(msg)
    # Poisson and gamma variates of a Generator come several times faster
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1, size=4))
    n = int(n_samples)
    target = rng.permutation(np.arange(n) % len(particles))
    incident = low * (high / low) ** rng.uniform(size=n)
    impact = rng.uniform(-0.5, 0.5, (n, 2)) * cell_size
    n_layers, n_rows, n_columns = shape
    data = np.empty((n, n_layers, n_rows, n_columns), dtype=np.float32)
    longitudinal, maximum = np.empty((n, n_layers)), np.empty(n)
    order = np.argsort(target, kind="stable")
    for kind, name in enumerate(particles):
        of_kind = order[target[order] == kind]
        for begin in range(0, len(of_kind), _BLOCK):
            rows = of_kind[begin : begin + _BLOCK]
            parts, maximum[rows] = _PARTS[name](incident[rows], rng)
            mean = _mean_energies(parts, impact[rows], grid)
            longitudinal[rows] = mean.sum(axis=(2, 3), dtype=np.float64)
            data[rows] = _sample(mean, sampling, rng)
    return Bunch(
        data=data,
        energy=incident,
        target=target,
        weight=np.ones(n),
        event_number=np.arange(1, n + 1),
        process=np.array(particles)[target],
        layer_edges=grid.depth,
        row_edges=grid.y,
        column_edges=grid.x,
        truth=Bunch(
            impact=impact,
            longitudinal=longitudinal,
            response=longitudinal.sum(axis=1) / incident,
            maximum=maximum,
        ),
        DESCR=(
            f"{n} showers of {', '.join(particles)} of {low:g} to {high:g} GeV in {n_layers} x "
            f"{n_rows} x {n_columns} cells; formulas: skhep_ml.datasets.make_showers"
        ),
    )


class _Grid(NamedTuple):
    """Edges of layers in radiation lengths, of columns and of rows in Moliere radii."""

    depth: Array
    x: Array
    y: Array


class _Part(NamedTuple):
    """Energies with a profile along and exponentials across an axis, one an event."""

    energy: Array
    along: profiles.Longitudinal | Array
    lengths: tuple[float, ...]
    place: Array | float = 0.0


def _electron(energy: Array, rng: np.random.Generator) -> tuple[list[_Part], Array]:
    along = profiles.electromagnetic(energy, "electron", rng)
    return [_Part(energy, along, (profiles.CORE, profiles.HALO))], along.maximum


def _photon(energy: Array, rng: np.random.Generator) -> tuple[list[_Part], Array]:
    along = profiles.electromagnetic(energy, "photon", rng)
    return [_Part(energy, along, (profiles.CORE, profiles.HALO))], along.maximum


def _neutral_pion(energy: Array, rng: np.random.Generator) -> tuple[list[_Part], Array]:
    energies, places = profiles.photon_pair(energy, rng)
    parts, maxima = [], []
    for photon_energy, place in zip(energies, places, strict=True):
        (part,), maximum = _photon(photon_energy, rng)
        parts.append(part._replace(place=place))
        maxima.append(maximum)
    return parts, np.where(energies[0] > energies[1], *maxima)


def _charged_pion(energy: Array, rng: np.random.Generator) -> tuple[list[_Part], Array]:
    start = rng.exponential(profiles.INTERACTION_LENGTH, len(energy))
    fraction = profiles.electromagnetic_fraction(energy, rng)
    shower = profiles.electromagnetic(fraction * energy, "electron", rng, start=start)
    hadrons = (1 - fraction) * energy * profiles.HADRON_RESPONSE
    return [
        _Part(np.full(len(energy), profiles.IONISATION), start, (profiles.CORE,)),
        _Part(fraction * energy, shower, (profiles.CORE, profiles.HALO)),
        _Part(hadrons, profiles.hadronic(start), (profiles.HADRON_WIDTH,)),
    ], start + shower.maximum


_PARTS = {
    "electron": _electron,
    "photon": _photon,
    "pi0": _neutral_pion,
    "pion": _charged_pion,
}


def _mean_energies(parts: list[_Part], impact: Array, grid: _Grid) -> NDArray[np.float32]:
    """Energies of cells before sampling fluctuations."""
    total: Any = 0.0
    for part in parts:
        if isinstance(part.along, profiles.Longitudinal):
            layers = part.energy[:, None] * part.along.layer_share(grid.depth)
        else:  # a track that ends at this depth
            path = np.minimum(grid.depth, part.along[:, None])
            layers = part.energy[:, None] * np.diff(path, axis=1)
        shares = [layers]
        if len(part.lengths) == 2:
            halo = part.along.halo_share(grid.depth)  # type: ignore[union-attr]
            shares = [layers * (1 - halo), layers * halo]
        for share, length in zip(shares, part.lengths, strict=True):
            cells = profiles.cell_share(impact + part.place, length, grid.x, grid.y)
            total = total + share.astype(np.float32)[:, :, None, None] * cells[:, None]
    return np.maximum(total, np.float32(0))


def _sample(
    mean: NDArray[np.float32], sampling: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Replace energies by sums of a Poisson number of exponential deposits."""
    if sampling == 0:
        return mean
    size = sampling**2 / 2
    count = rng.poisson(mean / np.float32(size))
    hit = np.flatnonzero(count)
    energies = np.zeros(mean.shape, dtype=np.float32)
    energies.ravel()[hit] = size * rng.standard_gamma(count.ravel()[hit])
    return energies


def _check_particles(particle: str | Sequence[str]) -> list[str]:
    names = [particle] if isinstance(particle, str) else list(particle)
    unknown = [name for name in names if name not in PARTICLES]
    if unknown or not names or len(set(names)) < len(names):
        msg = f"particle={particle!r}: choose one of {PARTICLES}, or several different ones"
        raise ValueError(msg)
    return names


def _check_energy(energy: Any) -> tuple[float, float]:
    limits = np.ravel(energy).tolist() * (2 if np.ndim(energy) == 0 else 1)
    if (
        len(limits) != 2
        or not all(_is_number(limit) for limit in limits)
        or not _LEAST_ENERGY <= limits[0] <= limits[1]
    ):
        msg = (
            f"energy={energy!r}: give a number of GeV or two rising ones, of at least "
            f"{_LEAST_ENERGY}"
        )
        raise ValueError(msg)
    return float(limits[0]), float(limits[1])


def _check_grid(shape: Any, depth: Any, cell_size: Any) -> _Grid:
    sizes = np.ravel(shape)
    if len(sizes) != 3 or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        msg = f"shape={shape!r}: give the numbers of layers, rows and columns, at least 1 each"
        raise ValueError(msg)
    for name, value in (("depth", depth), ("cell_size", cell_size)):
        if not _is_number(value) or value <= 0:
            msg = f"{name} must be a positive number, got {value!r}"
            raise ValueError(msg)
    n_layers, n_rows, n_columns = shape
    return _Grid(
        np.linspace(0.0, depth, n_layers + 1),
        (np.arange(n_columns + 1) - n_columns / 2) * cell_size,
        (np.arange(n_rows + 1) - n_rows / 2) * cell_size,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
