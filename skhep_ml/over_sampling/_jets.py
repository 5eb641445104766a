"""Augmentation of jets, as clouds of particles in coordinates relative to the jet axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from skhep_ml._clouds import find_feature, is_cloud, present_particles
from skhep_ml.impute._masks import mask_missing, missing_sentinels
from skhep_ml.over_sampling._augmentation import Augmenter, BoolArray
from skhep_ml.preprocessing._kinematics import delta_phi
from skhep_ml.preprocessing._statistics import FloatArray

# distance to the axis beyond which no centred jet has all its particles
_FAR_FROM_AXIS = 1.0


class _JetAugmenter(Augmenter):
    """Base of samplers of clouds."""

    def _check_table(self, X: Any) -> Any:
        if not is_cloud(X):
            shape = getattr(X, "shape", None)
            what = f"of shape {shape}" if shape is not None else f"a {type(X).__name__}"
            msg = (
                f"{type(self).__name__} needs clouds, an array of shape (n_jets, n_particles, "
                f"n_features); X is {what}"
            )
            raise ValueError(msg)
        return super()._check_table(X)

    def _columns(self, X: Any) -> list[int]:
        return self._positions(X, [self.eta, self.phi], "(eta, phi)")

    def _positions(self, X: Any, columns: Sequence[Any], argument: str) -> list[int]:
        if not isinstance(columns, (str, Integral)):
            names = self._names(X) or []
            found = [
                find_feature(names, column, argument) if isinstance(column, str) else None
                for column in columns
            ]
            columns = [
                column if position is None else position
                for column, position in zip(columns, found, strict=True)
            ]
        return super()._positions(X, columns, argument)

    def _untouched(self, missing: BoolArray) -> BoolArray:
        return np.logical_or.reduce(missing, axis=-1, keepdims=True)

    def __sklearn_tags__(self) -> Any:
        """Clouds alone."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class JetRotation(_JetAugmenter):
    r"""Append copies of every jet, rotated around its axis by a random angle.

    One angle a jet, uniform in 2 :math:`\pi`, in the plane of :math:`\eta` and :math:`\phi`.

    Parameters
    ----------
    n_copies : int, default=1
        Copies of each jet.
    keep_original : bool, default=True
        Whether the jets themselves come first; False returns the copies alone.
    eta, phi : str or int, default="eta", "phi"
        Features that hold the coordinates relative to the jet axis, by name or position. "eta"
        and "phi" also stand for names such as "delta_eta", where only one fits.
    features : sequence of str, default=None
        Names of the last axis; None stands for pt, eta, phi, mass, x4, ...
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing"; a particle without eta or phi stays as it is. NaN always
        does.
    recompute : callable, default=None
        Function that takes the copies, an array, and returns them with derived features
        recomputed, in the same shape.
    random_state : int, RandomState instance or None, default=None
        Seed of the angles.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The jet that each output row comes from.
    n_features_in_ : int
        Number of features of a particle.

    See Also
    --------
    PhiRotation : Says how weights and event numbers go with the copies.

    Notes
    -----
    Distances :math:`\Delta R` between particles stay as they are; the mass of the jet does up to
    :math:`O(\Delta R^4)`. Jets that are not centred are refused.

    References
    ----------
    B. M. Dillon et al., Symmetries, safety, and self-supervision, SciPost Phys. 12 (2022) 188,
    arXiv:2108.04253.

    Examples
    --------
    >>> from skhep_ml.datasets import load_jets
    >>> from skhep_ml.over_sampling import JetRotation
    >>> jets = load_jets(max_particles=20)
    >>> rotation = JetRotation(features=jets.feature_names, random_state=0)
    >>> X, y, event = rotation.fit_resample(jets.data, jets.target, groups=jets.event_number)
    >>> len(X) == len(event) == 2 * len(jets.data)
    True
    """

    def __init__(
        self,
        n_copies: int = 1,
        *,
        keep_original: bool = True,
        eta: str | int = "eta",
        phi: str | int = "phi",
        features: Sequence[str] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.eta = eta
        self.phi = phi
        self.features = features
        self.missing_values = missing_values
        self.recompute = recompute
        self.random_state = random_state

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        eta, phi = values[..., 0], values[..., 1]
        distance = np.where(untouched[..., 0], np.inf, np.hypot(eta, phi)).min(axis=1)
        jets = np.isfinite(distance)
        n_jets, n_far = np.count_nonzero(jets), np.count_nonzero(distance[jets] > _FAR_FROM_AXIS)
        if n_far > n_jets / 2:
            msg = (
                f"{n_far} of {n_jets} jets have no particle within {_FAR_FROM_AXIS:g} of "
                "(eta, phi) = (0, 0): the coordinates must be relative to the jet axis, subtract it"
            )
            raise ValueError(msg)
        angle = rng.uniform(0, 2 * np.pi, (len(values), 1)).astype(values.dtype)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos * eta - sin * phi, sin * eta + cos * phi], axis=-1)


class JetTranslation(_JetAugmenter):
    r"""Append copies of every jet, shifted in :math:`\eta` and :math:`\phi`.

    Parameters
    ----------
    max_shift : float, default=1.0
        Largest shift in units of the extent of the jet in that direction: the shift in
        :math:`\eta` is uniform within ``max_shift`` times (largest minus smallest
        :math:`\eta`) to both sides, the one in :math:`\phi` likewise.
    n_copies : int, default=1
        Copies of each jet.
    keep_original : bool, default=True
        Whether the jets themselves come first; False returns the copies alone.
    eta, phi : str or int, default="eta", "phi"
        Features that hold the coordinates, by name or position. The defaults also stand for
        names such as "delta_eta", where only one fits.
    features : sequence of str, default=None
        Names of the last axis; None stands for pt, eta, phi, mass, x4, ...
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing"; a particle without eta or phi stays as it is. NaN always
        does.
    recompute : callable, default=None
        Function that takes the copies, an array, and returns them with derived features
        recomputed, in the same shape.
    random_state : int, RandomState instance or None, default=None
        Seed of the shifts.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The jet that each output row comes from.
    n_features_in_ : int
        Number of features of a particle.

    See Also
    --------
    PhiRotation : Says how weights and event numbers go with the copies.

    Notes
    -----
    The rule of JetCLR, with the extent taken over the particles that are present. The range of
    the shift in :math:`\phi` is cut where a particle would cross :math:`\pm\pi`.

    References
    ----------
    B. M. Dillon et al., Symmetries, safety, and self-supervision, SciPost Phys. 12 (2022) 188,
    arXiv:2108.04253.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.over_sampling import JetTranslation
    >>> jet = np.array([[[60.0, 0.1, 0.0], [40.0, -0.1, 0.0]]])  # pt, eta, phi
    >>> X, y = JetTranslation(random_state=0).fit_resample(jet, [1])
    >>> bool(abs(X[1, 0, 1] - 0.1) < 0.2), (X[1, 0] - X[1, 1]).round(6).tolist()
    (True, [20.0, 0.2, 0.0])
    """

    def __init__(
        self,
        max_shift: float = 1.0,
        *,
        n_copies: int = 1,
        keep_original: bool = True,
        eta: str | int = "eta",
        phi: str | int = "phi",
        features: Sequence[str] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.max_shift = max_shift
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.eta = eta
        self.phi = phi
        self.features = features
        self.missing_values = missing_values
        self.recompute = recompute
        self.random_state = random_state

    def _check_parameters(self, X: Any) -> None:
        _check_number("max_shift", self.max_shift)
        super()._check_parameters(X)

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        largest = np.where(untouched, -np.inf, values).max(axis=1, keepdims=True)
        smallest = np.where(untouched, np.inf, values).min(axis=1, keepdims=True)
        empty = largest < smallest
        largest[empty] = smallest[empty] = 0
        high = self.max_shift * (largest - smallest).astype(np.float64)
        low = -high
        # zero is always allowed, also for azimuths that are not wrapped
        high[..., 1] = np.minimum(high[..., 1], np.maximum(np.pi - largest[..., 1], 0))
        low[..., 1] = np.maximum(low[..., 1], np.minimum(-np.pi - smallest[..., 1], 0))
        return values + rng.uniform(low, high).astype(values.dtype)


class SoftSmearing(_JetAugmenter):
    r"""Append copies of every jet, with the directions of soft particles smeared.

    :math:`\eta` and :math:`\phi` of each particle are shifted by normal numbers of width
    ``scale`` / :math:`p_T`, as soft radiation would.

    Parameters
    ----------
    scale : float, default=0.1
        Width of the shifts times :math:`p_T`, in GeV.
    min_pt : float, default=0.1
        Below this transverse momentum, in GeV, the width does not grow further.
    n_copies : int, default=1
        Copies of each jet.
    keep_original : bool, default=True
        Whether the jets themselves come first; False returns the copies alone.
    pt, eta, phi : str or int, default="pt", "eta", "phi"
        Features that hold the transverse momentum in GeV and the coordinates, by name or
        position. The defaults also stand for names such as "delta_eta", where only one fits.
    features : sequence of str, default=None
        Names of the last axis; None stands for pt, eta, phi, mass, x4, ...
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing"; a particle without pt, eta or phi stays as it is. NaN
        always does.
    recompute : callable, default=None
        Function that takes the copies, an array, and returns them with derived features
        recomputed, in the same shape.
    random_state : int, RandomState instance or None, default=None
        Seed of the shifts.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The jet that each output row comes from.
    n_features_in_ : int
        Number of features of a particle.

    See Also
    --------
    CollinearSplit : The other limit in which a jet should stay the same jet.
    PhiRotation : Says how weights and event numbers go with the copies.

    Notes
    -----
    Azimuths of the copies are in [-pi, pi].

    References
    ----------
    B. M. Dillon et al., Symmetries, safety, and self-supervision, SciPost Phys. 12 (2022) 188,
    arXiv:2108.04253.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.over_sampling import SoftSmearing
    >>> jet = np.array([[[1000.0, 0.1, 0.0], [1.0, -0.1, 0.0]]])  # pt, eta, phi
    >>> X, y = SoftSmearing(random_state=0).fit_resample(jet, [1])
    >>> (np.abs(X[1] - X[0]) > 0.002).tolist()
    [[False, False, False], [False, True, True]]
    """

    def __init__(
        self,
        scale: float = 0.1,
        *,
        min_pt: float = 0.1,
        n_copies: int = 1,
        keep_original: bool = True,
        pt: str | int = "pt",
        eta: str | int = "eta",
        phi: str | int = "phi",
        features: Sequence[str] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.scale = scale
        self.min_pt = min_pt
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.pt = pt
        self.eta = eta
        self.phi = phi
        self.features = features
        self.missing_values = missing_values
        self.recompute = recompute
        self.random_state = random_state

    def _check_parameters(self, X: Any) -> None:
        _check_number("scale", self.scale)
        _check_number("min_pt", self.min_pt)
        super()._check_parameters(X)

    def _columns(self, X: Any) -> list[int]:
        return self._positions(X, [self.eta, self.phi, self.pt], "(eta, phi, pt)")

    def _changed(
        self, values: FloatArray, untouched: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        pt = values[..., 2:]
        _refuse_negative(pt, untouched)
        normal = rng.standard_normal((*pt.shape[:2], 2), dtype=pt.dtype)
        shift = normal * (self.scale / np.maximum(pt, pt.dtype.type(self.min_pt)))
        changed = values.copy()
        changed[..., 0] += shift[..., 0]
        changed[..., 1] = delta_phi(changed[..., 1] + shift[..., 1], 0.0)
        return changed


class CollinearSplit(_JetAugmenter):
    r"""Append copies of every jet, with some of its particles split in two of one direction.

    A particle becomes two with :math:`r p_T` and :math:`(1 - r) p_T`, r uniform, which an
    observable that is safe against collinear radiation does not notice.

    Parameters
    ----------
    probability : float, default=0.1
        Probability of each particle to split, at most once; 1 fills the free slots as JetCLR
        does.
    n_copies : int, default=1
        Copies of each jet.
    keep_original : bool, default=True
        Whether the jets themselves come first; False returns the copies alone.
    pt : str or int, default="pt"
        Feature that holds the transverse momentum, by name or position.
    shared_features : sequence of str or int, default=()
        Further features that are shared in the proportion of :math:`p_T`: the energy, momentum
        components, and the mass if the four-momentum shall be conserved exactly. All others are
        the same for both parts.
    features : sequence of str, default=None
        Names of the last axis; None stands for pt, eta, phi, mass, x4, ...
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing"; a particle without pt does not split, and a missing
        feature is missing in both parts. NaN always does.
    recompute : callable, default=None
        Function that takes the copies, an array, and returns them with derived features
        recomputed, in the same shape.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of particles and of r.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_output,)
        The jet that each output row comes from.
    n_features_in_ : int
        Number of features of a particle.

    Raises
    ------
    ValueError
        No jet has a free slot.

    See Also
    --------
    SoftSmearing : The other limit in which a jet should stay the same jet.
    PhiRotation : Says how weights and event numbers go with the copies.

    Notes
    -----
    The number of slots stays, because a model that is trained on the copies has to take the
    jets as they are: the second part goes to the first free slot (a particle that is all NaN).
    Where more particles are chosen than slots are free, some of them at random stay whole, so
    that nothing is lost; a jet without a free slot is copied as it is. Pad the jets beforehand
    to give them room. Jets in which particles are sorted by falling transverse momentum are
    sorted again.

    The two parts add up to the parent exactly, also in float32. Sums over massless particles,
    the jet's four-momentum first, stay to rounding.

    References
    ----------
    B. M. Dillon et al., Symmetries, safety, and self-supervision, SciPost Phys. 12 (2022) 188,
    arXiv:2108.04253.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.over_sampling import CollinearSplit
    >>> jet = np.full((1, 3, 3), np.nan)
    >>> jet[0, 0] = [60.0, 0.1, -0.1]  # pt, eta, phi
    >>> X, y = CollinearSplit(probability=1.0, random_state=0).fit_resample(jet, [1])
    >>> X[1].round(2).tolist(), float(np.nansum(X[1, :, 0]))
    ([[..., 0.1, -0.1], [..., 0.1, -0.1], [nan, nan, nan]], 60.0)
    """

    def __init__(
        self,
        probability: float = 0.1,
        *,
        n_copies: int = 1,
        keep_original: bool = True,
        pt: str | int = "pt",
        shared_features: Sequence[str | int] = (),
        features: Sequence[str] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        recompute: Callable[[Any], Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.probability = probability
        self.n_copies = n_copies
        self.keep_original = keep_original
        self.pt = pt
        self.shared_features = shared_features
        self.features = features
        self.missing_values = missing_values
        self.recompute = recompute
        self.random_state = random_state

    def _check_parameters(self, X: Any) -> None:
        _check_number("probability", self.probability, largest=1.0)
        super()._check_parameters(X)

    def _columns(self, X: Any) -> list[int]:
        # a single feature alone is refused with its own message
        self._positions(X, self.shared_features, "shared_features")
        return self._positions(X, [self.pt, *self.shared_features], "(pt, *shared_features)")

    def _transform(self, X: FloatArray, copies: slice, rng: np.random.Generator) -> FloatArray:
        positions = self._columns(X)
        jets = X[copies]  # a view: these rows are copies already
        self._values(jets, positions)
        present = present_particles(jets)
        if present.all():
            msg = (
                f"no jet has a free slot among its {X.shape[1]} particles to split into: pad the "
                "clouds with particles that are all NaN"
            )
            raise ValueError(msg)
        sentinels = missing_sentinels(self.missing_values)
        pt = jets[..., positions[0]]
        missing = mask_missing(pt, sentinels)
        _refuse_negative(pt, missing)
        falling = np.where(missing, -np.inf, pt)
        was_sorted = np.all(falling[:, 1:] <= falling[:, :-1], axis=1)

        # the smallest draws below the probability split, as many as there are free slots
        draw = np.where(missing | (pt == 0), np.inf, rng.random(pt.shape))
        rank = np.argsort(np.argsort(draw, axis=1), axis=1)
        n_free = np.count_nonzero(~present, axis=1)
        split = (draw < self.probability) & (rank < n_free[:, None])
        jet, slot = np.nonzero(split)
        order = np.cumsum(split, axis=1)[jet, slot] - 1
        free_slots = np.argsort(present, axis=1, kind="stable")
        target = free_slots[jet, order]

        jets[jet, target] = jets[jet, slot]
        parent = pt[jet, slot].copy()
        # the difference to a part of at least one half is exact in floating point
        larger = (rng.uniform(0.5, 1.0, len(jet)) * parent).astype(parent.dtype)
        larger = np.where(larger < parent, larger, parent / 2)
        for position in positions:
            value = jets[jet, slot, position]
            keep = mask_missing(value, sentinels)
            part = larger if position == positions[0] else value * (larger / parent)
            jets[jet, slot, position] = np.where(keep, value, part)
            jets[jet, target, position] = np.where(keep, value, value - part)

        again = np.flatnonzero(was_sorted & split.any(axis=1))
        falling = np.where(mask_missing(pt[again], sentinels), -np.inf, pt[again])
        by_pt = np.argsort(-falling, axis=1, kind="stable")
        jets[again] = np.take_along_axis(jets[again], by_pt[..., None], axis=1)
        return X


def _check_number(name: str, value: Any, *, largest: float = np.inf) -> None:
    good = isinstance(value, Real) and not isinstance(value, bool)
    if not good or not 0 < float(value) <= largest or not np.isfinite(float(value)):
        limit = "" if np.isinf(largest) else f" of at most {largest:g}"
        msg = f"{name}={value!r} must be a positive number{limit}"
        raise ValueError(msg)


def _refuse_negative(pt: FloatArray, missing: BoolArray) -> None:
    negative = (pt < 0) & ~missing
    if negative.any():
        msg = (
            f"pt is negative in {np.count_nonzero(negative)} particles, for example "
            f"{pt[negative].flat[0]:g}: a transverse momentum cannot be; what is missing must be "
            "NaN or named in missing_values"
        )
        raise ValueError(msg)
