"""Relativistic kinematics of arrays; the coordinates are those of the vector library."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._extras import import_extra
from skhep_ml._masks import unmasked
from skhep_ml.events import is_awkward

FloatArray = NDArray[np.floating[Any]]

# beyond it a pseudorapidity or an azimuth in radians is none: a sentinel, or degrees
_LARGEST_ANGLE = 50.0


class CartesianMomentum(NamedTuple):
    """Four-momentum in Cartesian coordinates."""

    px: FloatArray
    py: FloatArray
    pz: FloatArray
    energy: FloatArray


class CylindricalMomentum(NamedTuple):
    """Four-momentum around the beam axis."""

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    mass: FloatArray


def to_cartesian(
    pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike = 0.0
) -> CartesianMomentum:
    r"""Cartesian components of four-momenta.

    Parameters
    ----------
    pt : array-like
        Transverse momentum, not negative, in any unit of energy; NaN passes through, here and in
        all arguments, which are broadcast against each other.
    eta : array-like
        Pseudorapidity.
    phi : array-like
        Azimuth in radians.
    mass : array-like, default=0.0
        Mass in the unit of pt.

    Returns
    -------
    CartesianMomentum
        ``px``, ``py``, ``pz``, ``energy``: arrays of the common shape, float32 when all arrays
        are float32 and float64 otherwise; the computation is in float64.

    Raises
    ------
    ValueError
        A negative pt, or eta or phi beyond 50 but finite, as a sentinel for missing values would
        be; shapes that do not fit.
    ModuleNotFoundError
        vector is not installed.

    See Also
    --------
    from_cartesian : The inverse.

    Notes
    -----
    :math:`p_x = p_T \cos\phi`, :math:`p_y = p_T \sin\phi`, :math:`p_z = p_T \sinh\eta`,
    :math:`E = \sqrt{p_T^2 \cosh^2\eta + m^2}`. A negative mass stands for a negative square, as
    in ROOT.

    Examples
    --------
    >>> from skhep_ml.preprocessing import to_cartesian
    >>> px, py, pz, energy = to_cartesian([30.0, 40.0], [0.0, 0.0], [0.0, 0.0], mass=40.0)
    >>> energy.round(3)
    array([50.   , 56.569])
    """
    pt, eta, phi, mass = _arrays(pt=pt, eta=eta, phi=phi, mass=mass)
    dtype = _output_type(pt, eta, phi, mass)
    return CartesianMomentum(*_cast(_cartesian(pt, eta, phi, mass), dtype))


def from_cartesian(
    px: ArrayLike, py: ArrayLike, pz: ArrayLike, energy: ArrayLike
) -> CylindricalMomentum:
    r"""Transverse momentum, pseudorapidity, azimuth and mass of four-momenta.

    Parameters
    ----------
    px, py, pz, energy : array-like
        Components in one unit, broadcast against each other; NaN passes through.

    Returns
    -------
    CylindricalMomentum
        ``pt``, ``eta``, ``phi`` in [-pi, pi], ``mass``: arrays of the common shape, float32 when
        all arrays are float32 and float64 otherwise; the computation is in float64.

    Raises
    ------
    ValueError
        Shapes that do not fit, jagged arrays.
    ModuleNotFoundError
        vector is not installed.

    See Also
    --------
    to_cartesian : The inverse.

    Notes
    -----
    A momentum along the beam has infinite eta, one at rest eta 0. Where
    :math:`E^2 < \mathbf{p}^2`, the mass is :math:`-\sqrt{\mathbf{p}^2 - E^2}`, as in ROOT. The
    mass of a light particle drowns in the rounding of its energy: it is known to about
    :math:`E \sqrt{2\epsilon}`, with :math:`\epsilon` 6e-8 for components that came as float32
    and 1e-16 for float64.

    Examples
    --------
    >>> from skhep_ml.preprocessing import from_cartesian
    >>> from_cartesian([3.0], [4.0], [0.0], [13.0]).mass
    array([12.])
    """
    px, py, pz, energy = _arrays(px=px, py=py, pz=pz, energy=energy)
    dtype = _output_type(px, py, pz, energy)
    return CylindricalMomentum(*_cast(_cylindrical(px, py, pz, energy), dtype))


def delta_phi(phi1: ArrayLike, phi2: ArrayLike) -> FloatArray:
    """Difference of two azimuths, ``phi1 - phi2`` wrapped to (-pi, pi].

    Parameters
    ----------
    phi1, phi2 : array-like
        Azimuths in radians, of any range, broadcast against each other; NaN passes through, and
        infinity gives NaN. Series and awkward arrays of numbers are taken as plain arrays.

    Returns
    -------
    ndarray
        Signed differences; float32 when all arrays are float32.

    Raises
    ------
    ValueError
        Shapes that do not fit, jagged arrays.

    Notes
    -----
    Small differences keep their relative precision: whole turns are subtracted, instead of
    taking a remainder of the difference plus pi.

    Examples
    --------
    >>> from skhep_ml.preprocessing import delta_phi
    >>> delta_phi([3.1, 0.5], [-3.1, 0.25]).round(4)
    array([-0.0832,  0.25  ])
    """
    phi1, phi2 = _arrays(phi1=phi1, phi2=phi2)
    return _wrapped(phi1, phi2).astype(_output_type(phi1, phi2), copy=False)


def delta_r(eta1: ArrayLike, phi1: ArrayLike, eta2: ArrayLike, phi2: ArrayLike) -> FloatArray:
    r"""Distance :math:`\Delta R = \sqrt{\Delta\eta^2 + \Delta\phi^2}` of two directions.

    Parameters
    ----------
    eta1, phi1 : array-like
        Pseudorapidity and azimuth in radians of the first objects.
    eta2, phi2 : array-like
        Those of the second objects; all four are broadcast against each other, NaN passes
        through.

    Returns
    -------
    ndarray
        Distances; float32 when all arrays are float32.

    Raises
    ------
    ValueError
        Shapes that do not fit, jagged arrays.

    See Also
    --------
    pairwise_delta_r : All pairs of a cloud.

    Examples
    --------
    >>> from skhep_ml.preprocessing import delta_r
    >>> delta_r([1.0], [3.0], [0.7], [3.4])
    array([0.5])
    """
    eta1, phi1, eta2, phi2 = _arrays(eta1=eta1, phi1=phi1, eta2=eta2, phi2=phi2)
    dtype = _output_type(eta1, phi1, eta2, phi2)
    with np.errstate(invalid="ignore"):
        difference = np.subtract(eta1, eta2, dtype=np.float64)
    return np.hypot(difference, _wrapped(phi1, phi2)).astype(dtype, copy=False)


def pairwise_delta_r(eta: ArrayLike, phi: ArrayLike) -> FloatArray:
    """Distances between all particles of each event.

    Parameters
    ----------
    eta : array-like of shape (..., n_particles)
        Pseudorapidities; NaN where a particle is absent.
    phi : array-like of shape (..., n_particles)
        Azimuths in radians.

    Returns
    -------
    ndarray of shape (..., n_particles, n_particles)
        Symmetric, zero between a particle and itself, NaN where one of the two is absent; float32
        when both arrays are float32.

    Raises
    ------
    ValueError
        Shapes that do not fit, jagged arrays.

    See Also
    --------
    delta_r : Distances of given pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import pairwise_delta_r
    >>> pairwise_delta_r([[0.0, 0.3, np.nan]], [[0.0, 0.4, np.nan]])
    array([[[0. , 0.5, nan],
            [0.5, 0. , nan],
            [nan, nan, nan]]])
    """
    eta, phi = (np.asarray(value) for value in _arrays(eta=eta, phi=phi))
    return delta_r(eta[..., :, None], phi[..., :, None], eta[..., None, :], phi[..., None, :])


def invariant_mass(
    pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike = 0.0, *, axis: int = -1
) -> FloatArray:
    r"""Invariant mass of all particles along an axis.

    Parameters
    ----------
    pt : array-like of shape (..., n_particles)
        Transverse momenta, not negative. A particle whose arguments are all NaN is absent and
        skipped; one that is only partly NaN makes the mass NaN.
    eta : array-like of shape (..., n_particles)
        Pseudorapidities.
    phi : array-like of shape (..., n_particles)
        Azimuths in radians.
    mass : array-like, default=0.0
        Masses in the unit of pt; a scalar is the mass of every particle.
    axis : int, default=-1
        Axis of the particles, which is summed over.

    Returns
    -------
    ndarray of shape (...)
        Masses in the unit of pt, at least 0, NaN where there is no particle; float32 when all
        arrays are float32. The computation is in float64.

    Raises
    ------
    ValueError
        A negative pt, or eta or phi beyond 50 but finite, as a sentinel for missing values would
        be; numbers instead of arrays; shapes that do not fit.
    ModuleNotFoundError
        vector is not installed.

    Notes
    -----
    :math:`m^2 = (\sum E)^2 - (\sum \mathbf{p})^2`. The mass of collinear light particles is a
    small difference of large numbers: a square that rounding makes negative counts as 0, and
    masses below :math:`10^{-8} E` are rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import invariant_mass
    >>> muon_pt = np.array([[45.6, 45.6, np.nan]])
    >>> muon_phi = np.array([[0.0, np.pi, np.nan]])
    >>> invariant_mass(muon_pt, 0 * muon_pt, muon_phi, mass=0.10566).round(3)
    array([91.2])
    """
    arguments = _arrays(pt=pt, eta=eta, phi=phi, mass=mass)
    given = [np.asarray(value) for value in arguments]
    # a scalar mass says nothing about presence
    presence = [~np.isnan(value) for value in given if value.ndim]
    if not presence:
        msg = "invariant_mass sums over an axis of particles: pt, eta and phi must be arrays"
        raise ValueError(msg)
    present = np.logical_or.reduce(np.broadcast_arrays(*presence))
    sums = [np.where(present, part, 0.0).sum(axis=axis) for part in _cartesian(*arguments)]
    found = np.where(present.any(axis=axis), mass_of(*sums), np.nan)
    return found.astype(_output_type(*arguments), copy=False)


def transverse_mass(
    pt: ArrayLike, phi: ArrayLike, met: ArrayLike, met_phi: ArrayLike
) -> FloatArray:
    r"""Transverse mass of a light particle and the missing transverse momentum.

    Parameters
    ----------
    pt : array-like
        Transverse momentum of the particle, whose mass is neglected; not negative.
    phi : array-like
        Its azimuth in radians.
    met : array-like
        Missing transverse momentum in the unit of pt, not negative.
    met_phi : array-like
        Its azimuth in radians; all four are broadcast against each other, NaN passes through.

    Returns
    -------
    ndarray
        Transverse masses in the unit of pt; float32 when all arrays are float32.

    Raises
    ------
    ValueError
        A negative pt or met, as a sentinel for missing values would be; shapes that do not fit.

    Notes
    -----
    :math:`m_T = \sqrt{2 p_T p_T^\mathrm{miss} (1 - \cos\Delta\phi)}`, computed as
    :math:`2 \sqrt{p_T p_T^\mathrm{miss}} \, |\sin(\Delta\phi / 2)|`, which is exact at small
    angles too. For a W boson it ends at the mass of the W.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import transverse_mass
    >>> transverse_mass([40.2], [0.0], [40.2], [np.pi])
    array([80.4])
    """
    pt, phi, met, met_phi = _arrays(pt=pt, phi=phi, met=met, met_phi=met_phi)
    dtype = _output_type(pt, phi, met, met_phi)
    _refuse_negative(pt, "pt")
    _refuse_negative(met, "met")
    product = np.multiply(pt, met, dtype=np.float64)
    found = 2.0 * np.sqrt(product) * np.abs(np.sin(_wrapped(phi, met_phi) / 2))
    return found.astype(dtype, copy=False)


def mass_of(px: ArrayLike, py: ArrayLike, pz: ArrayLike, energy: ArrayLike) -> FloatArray:
    """Mass of a sum of particles in float64: 0 where rounding makes its square negative."""
    momentum, shape = _vectors(px=px, py=py, pz=pz, E=energy)
    return np.maximum(_plain(momentum.mass, shape), 0.0)


def _cartesian(pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike) -> list[FloatArray]:
    _refuse_negative(pt, "pt")
    refuse_unphysical(eta, "eta")
    refuse_unphysical(phi, "phi")
    momentum, shape = _vectors(pt=pt, eta=eta, phi=phi, mass=mass)
    return [_plain(part, shape) for part in (momentum.px, momentum.py, momentum.pz, momentum.E)]


def _cylindrical(px: ArrayLike, py: ArrayLike, pz: ArrayLike, E: ArrayLike) -> list[FloatArray]:
    momentum, shape = _vectors(px=px, py=py, pz=pz, E=E)
    parts = (momentum.pt, momentum.eta, momentum.phi, momentum.mass)
    return [_plain(part, shape) for part in parts]


def _vectors(**coordinates: ArrayLike) -> tuple[Any, tuple[int, ...]]:
    """Float64 vectors of the vector library in one dimension, and the common shape."""
    vector = import_extra("vector", "root")
    arrays = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in coordinates.values())
    )
    columns = dict(zip(coordinates, (array.ravel() for array in arrays), strict=True))
    return vector.array(columns), arrays[0].shape


def _plain(part: Any, shape: tuple[int, ...]) -> FloatArray:
    return np.asarray(part).reshape(shape)


def _wrapped(phi1: ArrayLike, phi2: ArrayLike) -> FloatArray:
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        difference = np.subtract(phi1, phi2, dtype=np.float64)
        return difference - 2 * np.pi * np.ceil(difference / (2 * np.pi) - 0.5)


def _arrays(**values: ArrayLike) -> list[Any]:
    """Plain arrays of the arguments that fit each other; numbers stay numbers."""
    arrays = [_plain_array(value, name) for name, value in values.items()]
    shapes = dict(zip(values, map(np.shape, arrays), strict=True))
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        msg = f"the arguments must have one shape, or shapes that broadcast: got {text}"
        raise ValueError(msg) from error
    return arrays


def _plain_array(value: Any, name: str) -> Any:
    if isinstance(value, (int, float)):
        return value
    if is_awkward(value):
        try:
            value = import_extra("awkward", "root").to_numpy(value)
        except ValueError as error:
            msg = f"{name} is jagged ({value.type}): pad it with JaggedToPadded, or use ak.flatten"
            raise ValueError(msg) from error
    return np.asarray(unmasked(value))


def refuse_unphysical(values: ArrayLike, name: str) -> None:
    """Raise a ValueError for a finite angle or pseudorapidity that can be none."""
    size = np.abs(np.asarray(values))
    beyond = (size > _LARGEST_ANGLE) & (size < np.inf)
    if beyond.any():
        example = np.asarray(values)[beyond].flat[0]
        unit = " in radians" if name == "phi" else ""
        msg = (
            f"{name} is beyond {_LARGEST_ANGLE:g}{unit} in {np.count_nonzero(beyond)} places, for "
            f"example {example:g}: a sentinel for missing values must be made NaN first, as "
            "JaggedToPadded does"
        )
        raise ValueError(msg)


def _refuse_negative(values: ArrayLike, name: str) -> None:
    values = np.asarray(values)
    negative = values < 0
    if negative.any():
        msg = (
            f"{name} is negative in {np.count_nonzero(negative)} places, for example "
            f"{values[negative].flat[0]:g}: a transverse momentum cannot be, and what is missing "
            "must be NaN"
        )
        raise ValueError(msg)


def _output_type(*values: ArrayLike) -> np.dtype[Any]:
    """float32 when all arrays are float32, else float64; numbers do not count."""
    types = {np.asarray(value).dtype for value in values if not isinstance(value, (int, float))}
    return np.dtype(np.float32 if types == {np.dtype(np.float32)} else np.float64)


def _cast(parts: list[FloatArray], dtype: np.dtype[Any]) -> list[FloatArray]:
    return [part.astype(dtype, copy=False) for part in parts]
