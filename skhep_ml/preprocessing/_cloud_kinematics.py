"""Clouds in other coordinates, and what all transformers that read clouds share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skhep_ml._clouds import (
    ArrayOutputMixin,
    cloud_feature_names,
    feature_position,
    find_feature,
    is_cloud,
    present_particles,
    validate_floats,
)
from skhep_ml.preprocessing._kinematics import (
    CartesianMomentum,
    delta_phi,
    from_cartesian,
    to_cartesian,
)
from skhep_ml.preprocessing._statistics import FloatArray, refuse_infinity

# numbers in one block of events: enough to hide what each call of vector costs
_BLOCK = 1 << 20

# particles looked at to tell a mass from other features, and too few to tell
_SAMPLE = 1 << 14
_FEW = 20
_NEGATIVE_SHARE = 0.1

CYLINDRICAL = ("pt", "eta", "phi", "mass")
CARTESIAN = ("px", "py", "pz", "energy")
RELATIVE = (
    "log_pt",
    "log_energy",
    "log_pt_rel",
    "log_energy_rel",
    "delta_r",
    "delta_eta",
    "delta_phi",
)


def feature_list(names: Any, parameter: str) -> list[str]:
    """Check a parameter that lists features."""
    if isinstance(names, str) or not isinstance(names, (Sequence, np.ndarray)):
        msg = f"{parameter}={names!r} must be a list of feature names"
        raise ValueError(msg)
    return list(names)


def has_kinematics(names: Sequence[str]) -> bool:
    """Tell whether the features fix the momenta of particles."""
    known = [find_feature(names, name, "a four-momentum") for name in ("pt", "eta", "phi")]
    return None not in known


def particle_momenta(particles: FloatArray, names: Sequence[str]) -> CartesianMomentum:
    """Four-momenta from the last axis, by its names, in float64.

    Without a mass the energy is taken, and without either the particles are massless.
    """

    def column(name: str) -> NDArray[np.float64]:
        position = feature_position(names, name, "a four-momentum")
        return particles[..., position].astype(np.float64)

    given = mass_or_energy(names)
    mass = column("mass") if given == "mass" else 0.0
    momenta = to_cartesian(column("pt"), column("eta"), column("phi"), mass)
    if given == "energy":
        momenta = momenta._replace(energy=column("energy"))
    return momenta


def mass_or_energy(names: Sequence[str]) -> str | None:
    """Which of the two completes the momenta; None for massless particles."""
    for name in ("mass", "energy"):
        if find_feature(names, name, "a four-momentum") is not None:
            return name
    return None


def sum_momenta(
    momenta: CartesianMomentum, event: NDArray[np.intp], n_events: int
) -> CartesianMomentum:
    """Sum the momenta of the particles of each event."""
    return CartesianMomentum(*(sum_by_event(part, event, n_events) for part in momenta))


def sum_by_event(values: FloatArray, event: NDArray[np.intp], n_events: int) -> FloatArray:
    """Sum the values of the particles of each event in float64; 0 for an event without any."""
    total: Any = np.bincount(event, values, n_events)
    return total


class CloudTransformer(TransformerMixin, BaseEstimator):
    """Base of the transformers that read clouds by the names of their features.

    They learn nothing from values: `fit` checks parameters and fixes names.
    """

    features: Sequence[str] | None
    features_: list[str]

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check the parameters against the features; no value is learned.

        Parameters
        ----------
        X : array of shape (n_events, n_particles, n_features)
            Clouds; an absent particle is NaN in all features.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            X is no cloud, has infinite values, or lacks a feature that a parameter needs; a
            parameter makes no sense.
        """
        cloud = self._validate_cloud(X, reset=True)
        names = self._input_names(cloud.shape[2])
        self._prepare(names)
        _refuse_infinite_particles(cloud, names)
        if self.features is None and "mass" in names and has_kinematics(names):
            _refuse_other_than_mass(cloud)
        self.features_ = names
        return self

    def _input_names(self, n_features: int) -> list[str]:
        return cloud_feature_names(self.features, n_features)

    def _prepare(self, names: list[str]) -> None:
        """Check the parameters and set the fitted attributes."""
        raise NotImplementedError

    def _fitted_cloud(self, X: ArrayLike) -> FloatArray:
        """Validate the cloud that a fitted transformer is to transform."""
        check_is_fitted(self)
        cloud = self._validate_cloud(X, reset=False)
        _refuse_infinite_particles(cloud, self.features_)
        return cloud

    def _validate_cloud(self, X: ArrayLike, *, reset: bool) -> FloatArray:
        if not is_cloud(X):
            msg = (
                f"{type(self).__name__} needs clouds, an array of shape (n_events, n_particles, "
                f"n_features), got {_describe(X)}: JaggedToPadded makes clouds of jagged arrays"
            )
            raise ValueError(msg)
        return validate_floats(self, X, reset=reset)

    def __sklearn_tags__(self) -> Tags:
        """Clouds only; absent particles are NaN; the floating-point type is kept."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class KinematicsTransformer(ArrayOutputMixin, CloudTransformer):
    r"""Bring the momenta of clouds into other coordinates; other features follow unchanged.

    Parameters
    ----------
    to : {"cartesian", "cylindrical", "relative"}, default="cartesian"
        What leads the last axis of the output:

        - "cartesian": px, py, pz, energy;
        - "cylindrical": pt, eta, phi, mass, from px, py, pz, energy;
        - "relative": log_pt, log_energy, log_pt_rel, log_energy_rel, delta_r, delta_eta,
          delta_phi, the usual inputs of networks on jets; "rel" and "delta" compare with the
          summed four-momentum of the event's particles.
    features : sequence of str, default=None
        Names of the features on the last axis, found by name in any order: "pt", "eta", "phi" and
        "mass" (or "energy"; without either, particles are massless), or "px", "py", "pz",
        "energy" for "cylindrical". None stands for these four in this order and x4, x5, ...
        The names are known in any case, also behind a prefix, as in "jet_pt" or "delta_eta", and
        "m" and "e" for "mass" and "energy"; exact names go first.

    Attributes
    ----------
    features_ : list of str
        Names of the features of the input.
    output_features_ : list of str
        Names of the features of the output.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    CloudToTable : Masses, angles and sums as columns of a table.

    Notes
    -----
    Absent particles stay absent, in their place. The computation is in float64, the output in the
    type of the input. The inverse of "cartesian" and "cylindrical" is exact to rounding; after
    float32 components a mass is known to about 4e-4 of the energy (see `from_cartesian`).

    "relative" follows the inputs of H. Qu, L. Gouskos, ParticleNet: jet tagging via particle
    clouds, Phys. Rev. D 101 (2020) 056019, arXiv:1902.08570: logarithms are natural,
    ``log_pt_rel`` is :math:`\ln(p_T / p_T^\mathrm{jet})`, and :math:`\Delta\eta`,
    :math:`\Delta\phi` (wrapped to :math:`(-\pi, \pi]`) point from the jet to the particle. Units
    of momentum shift the first two features.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import KinematicsTransformer
    >>> jet = [[3.0, 0.0, 0.0, 4.0], [1.0, 0.0, np.pi / 2, 0.0], [np.nan] * 4]
    >>> jets = np.array([jet])
    >>> cartesian = KinematicsTransformer().fit(jets)
    >>> cartesian.transform(jets).round(3)
    array([[[ 3.,  0.,  0.,  5.],
            [ 0.,  1.,  0.,  1.],
            [nan, nan, nan, nan]]])
    >>> relative = KinematicsTransformer(to="relative").fit(jets)
    >>> relative.output_features_[3]
    'log_energy_rel'
    >>> np.exp(relative.transform(jets)[0, :, 3]).round(3)
    array([0.833, 0.167,   nan])
    """

    def __init__(self, to: str = "cartesian", *, features: Sequence[str] | None = None) -> None:
        self.to = to
        self.features = features

    def _input_names(self, n_features: int) -> list[str]:
        if self.features is None and self.to == "cylindrical":
            names = super()._input_names(n_features)
            return [*CARTESIAN[:n_features], *names[len(CARTESIAN) :]]
        return super()._input_names(n_features)

    def _prepare(self, names: list[str]) -> None:
        outputs = {"cartesian": CARTESIAN, "cylindrical": CYLINDRICAL, "relative": RELATIVE}
        if self.to not in outputs:
            msg = f"to={self.to!r} must be one of {list(outputs)}"
            raise ValueError(msg)
        if self.to == "cylindrical":
            used = list(CARTESIAN)
        else:
            completing = mass_or_energy(names)
            used = ["pt", "eta", "phi", *([completing] if completing else [])]
        purpose = f"KinematicsTransformer(to={self.to!r})"
        given = {name: names[feature_position(names, name, purpose)] for name in used}
        rest = [name for name in names if name not in given.values()]
        output = [*outputs[self.to], *rest]
        if len(set(output)) < len(output):
            msg = f"to={self.to!r} would give two features of one name: {output}"
            raise ValueError(msg)
        self.output_features_ = output
        # the input's name of each component
        self._used = given

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Bring the momenta into the new coordinates.

        Parameters
        ----------
        X : array of shape (n_events, n_particles, n_features)
            Clouds with the features of `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_particles, n_output_features)
            Clouds with the features ``output_features_``.

        Raises
        ------
        ValueError
            X is no cloud, has infinite values, a negative pt, an eta or phi beyond 50 (sentinels)
            or another number of features; with "relative", also a pt of zero.
        """
        cloud = self._fitted_cloud(X)
        forward = {
            "cartesian": self._to_cartesian,
            "cylindrical": self._to_cylindrical,
            "relative": self._to_relative,
        }
        names_out = self.output_features_
        targets = {name: index for index, name in enumerate(names_out) if name not in self._kept}
        return self._convert(cloud, self.features_, names_out, targets, forward[self.to])

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the features on the last axis.

        Parameters
        ----------
        input_features : None
            Ignored: the features of clouds are named by ``features``.

        Returns
        -------
        ndarray of str
            ``output_features_``.
        """
        check_is_fitted(self)
        return np.array(self.output_features_, dtype=object)

    @available_if(lambda self: self.to != "relative")
    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Bring the momenta back; "relative" has no inverse, for it forgets the jet.

        Parameters
        ----------
        X : array of shape (n_events, n_particles, n_output_features)
            Clouds with the features ``output_features_``.

        Returns
        -------
        ndarray of shape (n_events, n_particles, n_features)
            Clouds with the features of `fit`.

        Raises
        ------
        ValueError
            X is no cloud, has infinite values or another number of features.
        """
        check_is_fitted(self)
        names = self.output_features_
        if not is_cloud(X) or np.shape(X)[2] != len(names):
            msg = f"X must be clouds with the features {names}, got {_describe(X)}"
            raise ValueError(msg)
        # only the type and the shape are new to the estimator, not the number of features
        cloud = validate_floats(BaseEstimator(), X, reset=True)
        _refuse_infinite_particles(cloud, names)
        back = self._to_cartesian if self.to == "cylindrical" else self._to_cylindrical
        targets = {name: self.features_.index(given) for name, given in self._used.items()}
        return self._convert(cloud, names, self.features_, targets, back)

    def _convert(
        self,
        cloud: FloatArray,
        names: list[str],
        names_out: list[str],
        targets: dict[str, int],
        function: Any,
    ) -> FloatArray:
        """Fill the new features block by block, for present particles only.

        ``targets`` are the positions of what the function returns.
        """
        n_events, n_particles, _ = cloud.shape
        out = np.full((n_events, n_particles, len(names_out)), np.nan, dtype=cloud.dtype)
        kept = [(names.index(n), i) for i, n in enumerate(names_out) if n in self._kept]
        for rows in event_blocks(cloud):
            block = cloud[rows]
            present = present_particles(block)
            particles = block[present]
            new = function(particles, names, np.nonzero(present)[0], len(block))
            found = np.empty((len(particles), len(names_out)), dtype=cloud.dtype)
            for source, target in kept:
                found[:, target] = particles[:, source]
            for name, values in new.items():
                if name in targets:
                    found[:, targets[name]] = values
            out[rows][present] = found
        return out

    @property
    def _kept(self) -> list[str]:
        return [name for name in self.features_ if name not in self._used.values()]

    @staticmethod
    def _to_cartesian(particles: FloatArray, names: list[str], *_: Any) -> dict[str, Any]:
        return particle_momenta(particles, names)._asdict()

    @staticmethod
    def _to_cylindrical(particles: FloatArray, names: list[str], *_: Any) -> dict[str, Any]:
        places = (feature_position(names, name, "a four-momentum") for name in CARTESIAN)
        columns = (particles[:, place].astype(np.float64) for place in places)
        momenta = CartesianMomentum(*columns)
        # a cloud that came with energies gets them back
        return {**from_cartesian(*momenta)._asdict(), "energy": momenta.energy}

    @staticmethod
    def _to_relative(
        particles: FloatArray, names: list[str], event: NDArray[np.intp], n_events: int
    ) -> dict[str, Any]:
        momenta = particle_momenta(particles, names)
        total = sum_momenta(momenta, event, n_events)
        jet = from_cartesian(*total)
        pt, eta, phi = (
            particles[:, feature_position(names, name, "a direction")].astype(np.float64)
            for name in ("pt", "eta", "phi")
        )
        if (pt == 0).any():
            msg = (
                "to='relative' takes logarithms, but a particle has pt 0: remove it, or if it "
                "stands for an absent particle make all its features NaN"
            )
            raise ValueError(msg)
        from_axis = eta - jet.eta[event], delta_phi(phi, jet.phi[event])
        return dict(
            zip(
                RELATIVE,
                (
                    np.log(pt),
                    np.log(momenta.energy),
                    np.log(pt / jet.pt[event]),
                    np.log(momenta.energy / total.energy[event]),
                    np.hypot(*from_axis),
                    *from_axis,
                ),
                strict=True,
            )
        )


def event_blocks(cloud: FloatArray) -> Iterator[slice]:
    """Slices of events that hold about `_BLOCK` numbers."""
    n_events, n_particles, n_features = cloud.shape
    rows = max(1, _BLOCK // max(1, n_particles * n_features))
    for start in range(0, n_events, rows):
        yield slice(start, start + rows)


def _refuse_infinite_particles(cloud: FloatArray, names: list[str]) -> None:
    for rows in event_blocks(cloud):
        refuse_infinity(cloud[rows].reshape(-1, cloud.shape[2]), np.array(names))


def _refuse_other_than_mass(cloud: FloatArray) -> None:
    """Raise a ValueError where the fourth feature is an energy or has both signs."""
    first = cloud[: _SAMPLE // max(1, cloud.shape[1]) + 1]
    pt, eta, _, mass = first[~np.isnan(first[..., :4]).any(axis=-1)][:, :4].T.astype(np.float64)
    if len(mass) < _FEW or not (pt > 0).any():
        return
    with np.errstate(over="ignore", invalid="ignore"):
        momentum = pt * np.cosh(eta)
    # hardly a particle is at rest, but none has less energy than momentum
    if (mass >= momentum * (1 - 1e-5)).all():
        msg = (
            "without features= the fourth feature is the mass, but it is nowhere below the "
            "momentum: if it is the energy, give features=['pt', 'eta', 'phi', 'energy']"
        )
        raise ValueError(msg)
    # rounding makes masses negative by less
    negative = np.mean(mass < -1e-3 * momentum)
    if negative > _NEGATIVE_SHARE:
        msg = (
            f"without features= the fourth feature is the mass, but {negative:.0%} of its values "
            "are negative: name the features, for example ['pt', 'eta', 'phi', 'charge']"
        )
        raise ValueError(msg)


def _describe(X: Any) -> str:
    shape = getattr(X, "shape", None)
    return type(X).__name__ if shape is None else f"{type(X).__name__} of shape {tuple(shape)}"
