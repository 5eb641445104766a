"""Augmentation of events: symmetries of the detector, and its resolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skhep_ml.over_sampling._augmentation import Augmenter, BoolArray
from skhep_ml.preprocessing._kinematics import delta_phi
from skhep_ml.preprocessing._statistics import FloatArray


class _AzimuthAugmenter(Augmenter):
    """Base of what changes azimuths together with transverse components."""

    def _columns(self, X: Any) -> list[int]:
        for pair in self.vector_columns:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                msg = f"vector_columns must hold pairs of columns (px, py), got {pair!r}"
                raise ValueError(msg)
        # a single column alone is refused with its own message
        phi = self._positions(X, self.phi_columns, "phi_columns")
        components = [column for pair in self.vector_columns for column in pair]
        if not phi and not components:
            msg = (
                f"{type(self).__name__} has no columns to change: name the azimuths in "
                "phi_columns, and pairs (px, py) in vector_columns"
            )
            raise ValueError(msg)
        if not components:
            return phi
        both = [*self.phi_columns, *components]
        return self._positions(X, both, "phi_columns with vector_columns")

    def _untouched(self, missing: BoolArray) -> BoolArray:
        n_phi = len(self.phi_columns)
        missing = missing.copy()
        # a vector is missing as a whole
        missing[..., n_phi::2] |= missing[..., n_phi + 1 :: 2]
        missing[..., n_phi + 1 :: 2] = missing[..., n_phi::2]
        return missing


class PhiRotation(_AzimuthAugmenter):
    r"""Append copies of every event, turned around the beam by a random angle.

    One angle an event, uniform in 2 :math:`\pi`, is added to all its azimuths: everything that
    physics depends on stays, such as invariant masses, :math:`\Delta\phi` and
    :math:`\Delta R` between objects, and transverse masses.

    Parameters
    ----------
    phi_columns : sequence of str or int
        Azimuths in radians, by name or position: those of **all** objects and of the missing
        momentum. A column that is left out keeps the direction that it had.
    vector_columns : sequence of pairs of str or int, default=()
        Pairs (px, py) of transverse components, turned by the same angle.
    n_copies : int, default=1
        Copies of each event.
    keep_original : bool, default=True
        Whether the events themselves come first; False returns the copies alone.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing" and stay as they are. NaN always does.
    features : sequence of str, default=None
        Names of the last axis of an array. None names those of a cloud pt, eta, phi, mass, x4,
        ..., and those of a table not at all.
    recompute : callable, default=None
        Function that takes the copies (in the type of X) and returns them with derived columns
        recomputed: same shape, same columns, same order. Of a DataFrame the columns of numpy's
        number types are taken over.
    random_state : int, RandomState instance or None, default=None
        Seed of the angles.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The event that each output row comes from.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    PhiReflection, EtaReflection : The other symmetries of a collider detector.

    Notes
    -----
    The events come first, then all first copies, then all second ones. A copy has the label and
    the event number of its parent, and of an event of weight w it and its parent have
    w / (n_copies + 1) each, so that the sums of weights stay. A split by event number after the
    augmentation keeps copies beside their parents; a split by rows does not.

    Azimuths of the copies are in (-pi, pi]. float32 columns stay float32, and integer columns
    that turn become float64.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.over_sampling import PhiRotation
    >>> events = np.array([[40.0, 0.5, 1.0], [60.0, -3.0, 3.0]])  # pt, phi1, phi2
    >>> rotation = PhiRotation([1, 2], random_state=0)
    >>> X, y, w = rotation.fit_resample(events, [0, 1], sample_weight=[1.0, -2.0])
    >>> X.round(2)
    array([[40.  ,  0.5 ,  1.  ],
           [60.  , -3.  ,  3.  ],
           [40.  , ..., ...],
           [60.  , ..., ...]])
    >>> y, w
    ([0, 1, 0, 1], array([ 0.5, -1. ,  0.5, -1. ]))
    """

    def __init__(
        self,
        phi_columns: Sequence[Any],
        *,
        vector_columns: Sequence[tuple[Any, Any]] = (),
        n_copies: int = 1,
        keep_original: bool = True,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        features: Sequence[str] | None = None,
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.phi_columns = phi_columns
        self.vector_columns = vector_columns
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.missing_values = missing_values
        self.features = features
        self.recompute = recompute
        self.random_state = random_state

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        n_phi = len(self.phi_columns)
        angle = rng.uniform(-np.pi, np.pi, (len(values), *[1] * (values.ndim - 1)))
        changed = np.empty_like(values)
        changed[..., :n_phi] = _wrapped(values[..., :n_phi], angle)
        px, py = values[..., n_phi::2], values[..., n_phi + 1 :: 2]
        changed[..., n_phi::2] = np.cos(angle) * px - np.sin(angle) * py
        changed[..., n_phi + 1 :: 2] = np.sin(angle) * px + np.cos(angle) * py
        return changed


class PhiReflection(_AzimuthAugmenter):
    r"""Append the mirror image of every event, :math:`\phi \to -\phi`.

    Parameters
    ----------
    phi_columns : sequence of str or int
        Azimuths in radians, by name or position: those of **all** objects and of the missing
        momentum.
    vector_columns : sequence of pairs of str or int, default=()
        Pairs (px, py) of transverse components; py changes its sign.
    keep_original : bool, default=True
        Whether the events themselves come first; False returns the mirror images alone.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing" and stay as they are. NaN always does.
    features : sequence of str, default=None
        Names of the last axis of an array. None names those of a cloud pt, eta, phi, mass, x4,
        ..., and those of a table not at all.
    recompute : callable, default=None
        Function that takes the copies (in the type of X) and returns them with derived columns
        recomputed: same shape, same columns, same order. Of a DataFrame the columns of numpy's
        number types are taken over.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The event that each output row comes from.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    PhiRotation : Random angles; says how weights and event numbers go with the copies.

    Notes
    -----
    Where parity is violated, as in the decays of polarised taus, mirror images of angles
    between three momenta are other physics: signed triple products change their sign.

    Examples
    --------
    >>> from skhep_ml.over_sampling import PhiReflection
    >>> X, y = PhiReflection([1]).fit_resample([[40.0, 0.5], [60.0, -999.0]], [0, 1])
    >>> X
    [[40.0, 0.5], [60.0, -999.0], [40.0, -0.5], [60.0, -999.0]]
    """

    def __init__(
        self,
        phi_columns: Sequence[Any],
        *,
        vector_columns: Sequence[tuple[Any, Any]] = (),
        keep_original: bool = True,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        features: Sequence[str] | None = None,
        recompute: Callable[[Any], Any] | None = None,
    ) -> None:
        self.phi_columns = phi_columns
        self.vector_columns = vector_columns
        self.keep_original = keep_original
        self.missing_values = missing_values
        self.features = features
        self.recompute = recompute

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        n_phi = len(self.phi_columns)
        changed = values.copy()
        changed[..., :n_phi] = _wrapped(-values[..., :n_phi], 0.0)
        changed[..., n_phi + 1 :: 2] *= -1
        return changed


class EtaReflection(Augmenter):
    r"""Append the mirror image of every event along the beam, :math:`\eta \to -\eta`.

    Parameters
    ----------
    eta_columns : sequence of str or int
        Columns that change their sign, by name or position: pseudorapidities, rapidities and
        z components of **all** objects.
    keep_original : bool, default=True
        Whether the events themselves come first; False returns the mirror images alone.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing" and stay as they are. NaN always does.
    features : sequence of str, default=None
        Names of the last axis of an array. None names those of a cloud pt, eta, phi, mass, x4,
        ..., and those of a table not at all.
    recompute : callable, default=None
        Function that takes the copies (in the type of X) and returns them with derived columns
        recomputed: same shape, same columns, same order. Of a DataFrame the columns of numpy's
        number types are taken over.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The event that each output row comes from.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    PhiRotation : Random angles; says how weights and event numbers go with the copies.

    Notes
    -----
    A symmetry of beams that are alike (proton on proton) and of detectors with equal ends.

    Examples
    --------
    >>> from skhep_ml.over_sampling import EtaReflection
    >>> X, y = EtaReflection([0, 1]).fit_resample([[0.5, -1.5], [2.0, -999.0]], [0, 1])
    >>> X
    [[0.5, -1.5], [2.0, -999.0], [-0.5, 1.5], [-2.0, -999.0]]
    """

    def __init__(
        self,
        eta_columns: Sequence[Any],
        *,
        keep_original: bool = True,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        features: Sequence[str] | None = None,
        recompute: Callable[[Any], Any] | None = None,
    ) -> None:
        self.eta_columns = eta_columns
        self.keep_original = keep_original
        self.missing_values = missing_values
        self.features = features
        self.recompute = recompute

    def _columns(self, X: Any) -> list[int]:
        positions = self._positions(X, self.eta_columns, "eta_columns")
        if not positions:
            msg = "EtaReflection has no columns to change: name them in eta_columns"
            raise ValueError(msg)
        return positions

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        return -values


class Smearing(Augmenter):
    r"""Append copies of every event, smeared by the resolution of its measurement.

    Parameters
    ----------
    resolution : mapping of str or int to float or callable
        For each column to smear, by name or position, its resolution :math:`\sigma`: a number,
        or a function that takes the column's values that are present (one-dimensional) and
        returns one for each.
    relative : bool, default=True
        Whether :math:`\sigma` is a fraction of the value: :math:`x(1 + \sigma z)` with z normal,
        for energies and momenta. False adds :math:`\sigma z`, for angles and positions.
    n_copies : int, default=1
        Copies of each event.
    keep_original : bool, default=True
        Whether the events themselves come first; False returns the copies alone.
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing" and stay as they are. NaN always does.
    features : sequence of str, default=None
        Names of the last axis of an array. None names those of a cloud pt, eta, phi, mass, x4,
        ..., and those of a table not at all.
    recompute : callable, default=None
        Function that takes the copies (in the type of X) and returns them with derived columns
        recomputed: same shape, same columns, same order. Of a DataFrame the columns of numpy's
        number types are taken over.
    random_state : int, RandomState instance or None, default=None
        Seed of the normal numbers.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The event that each output row comes from.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    PhiRotation : Says how weights and event numbers go with the copies.

    Notes
    -----
    Every value has a number z of its own. A relative smearing never changes a sign: z is drawn
    again where :math:`1 + \sigma z \le 0`. That cuts the normal distribution below
    :math:`-1/\sigma` and matters from about :math:`\sigma = 0.3` on, where it touches 0.04 % of
    the values. Smeared azimuths are not wrapped: do that in ``recompute``.

    Examples
    --------
    A calorimeter, :math:`\sigma / p_T = 0.8 / \sqrt{p_T} \oplus 0.03`:

    >>> import numpy as np
    >>> from skhep_ml.over_sampling import Smearing
    >>> smearing = Smearing({0: lambda pt: np.hypot(0.8 / np.sqrt(pt), 0.03)}, random_state=0)
    >>> X, y = smearing.fit_resample(np.full((10_000, 1), 64.0), np.zeros(10_000))
    >>> X[10_000:].std().round(1)  # 64 * 0.104
    np.float64(6.7)
    """

    def __init__(
        self,
        resolution: Mapping[Any, Any],
        *,
        relative: bool = True,
        n_copies: int = 1,
        keep_original: bool = True,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        features: Sequence[str] | None = None,
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.resolution = resolution
        self.relative = relative
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.missing_values = missing_values
        self.features = features
        self.recompute = recompute
        self.random_state = random_state

    def _check_parameters(self, X: Any) -> None:
        if not isinstance(self.resolution, Mapping) or not self.resolution:
            msg = (
                f"resolution={self.resolution!r} must map each column to smear to its resolution, "
                "as in {'jet_pt': 0.1}"
            )
            raise ValueError(msg)
        super()._check_parameters(X)
        for column, sigma in self.resolution.items():
            if not callable(sigma):
                self._check_sigma(column, sigma, ())

    def _columns(self, X: Any) -> list[int]:
        return self._positions(X, list(self.resolution), "resolution")

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        changed = values.copy()
        for index, (column, resolution) in enumerate(self.resolution.items()):
            present = ~untouched[..., index]
            part = values[..., index][present]
            sigma = resolution(part) if callable(resolution) else resolution
            shift = self._check_sigma(column, sigma, part.shape) * rng.standard_normal(len(part))
            if self.relative:
                sigma = np.broadcast_to(sigma, part.shape)
                lost = np.flatnonzero(shift <= -1)
                while len(lost):
                    shift[lost] = sigma[lost] * rng.standard_normal(len(lost))
                    lost = lost[shift[lost] <= -1]
                shift *= part
            changed[..., index][present] = part + shift
        return changed

    def _check_sigma(self, column: Any, sigma: Any, shape: tuple[int, ...]) -> FloatArray:
        try:
            found = np.asarray(sigma, dtype=np.float64)
        except (TypeError, ValueError) as error:
            msg = f"resolution[{column!r}]={sigma!r} must be a number or a function"
            raise ValueError(msg) from error
        if found.shape not in ((), shape):
            msg = (
                f"resolution[{column!r}] has shape {found.shape}, but there are {shape} values: "
                "give one number for all, or a function that returns one for each"
            )
            raise ValueError(msg)
        bad = ~(np.isfinite(found) & (found >= 0))
        if bad.any():
            msg = (
                f"resolution[{column!r}] is {found[bad].flat[0]:g}: a resolution must be finite "
                "and not negative"
            )
            raise ValueError(msg)
        return found


def _wrapped(phi: FloatArray, angle: Any) -> FloatArray:
    """Return phi + angle in (-pi, pi], also after rounding to float32."""
    wrapped = delta_phi(phi, -angle).astype(phi.dtype, copy=False)
    wrapped[wrapped <= -np.pi] = np.pi
    return wrapped
