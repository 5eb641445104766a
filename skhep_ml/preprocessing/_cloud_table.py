"""Tables from clouds: leading objects, counts, sums, extremes, masses and angles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhep_ml._clouds import feature_position, find_feature, present_particles
from skhep_ml.preprocessing._cloud_kinematics import (
    CloudTransformer,
    event_blocks,
    feature_list,
    has_kinematics,
    particle_momenta,
    sum_momenta,
)
from skhep_ml.preprocessing._kinematics import (
    CartesianMomentum,
    delta_phi,
    mass_of,
)
from skhep_ml.preprocessing._statistics import FloatArray

_KINEMATICS = ("pt", "eta", "phi")


@dataclass
class _Block:
    """Clouds of some events, and their leading particles padded with NaN."""

    cloud: FloatArray
    present: NDArray[np.bool_]
    leading: FloatArray


@dataclass
class _Part:
    """Some columns of the table: their names, and what computes them from a block."""

    names: list[str]
    compute: Callable[[_Block], Any]


class CloudToTable(CloudTransformer):
    r"""Make a table of named columns from clouds, for models that take tables.

    Parameters
    ----------
    features : sequence of str, default=None
        Names of the features on the last axis; None stands for pt, eta, phi, mass, x4, x5, ...
        Clouds forget names: give them wherever they are others or in another order, for example
        ``JaggedToPadded.features_``. Without names, a fourth feature that is clearly an energy, or
        negative for many particles, is refused.
        Momenta need "pt", "eta" and "phi"; "mass" or, without it, "energy" completes them, and
        without either particles are massless. The names are known in any case, also behind a
        prefix, as in "jet_pt" or "delta_eta", and "m" and "e" for "mass" and "energy"; exact
        names go first. Clouds of px, py, pz, energy go through `KinematicsTransformer` first.
    n_leading : int, default=2
        Number of leading particles whose features become columns.
    sort_by : str or None, default="auto"
        Feature by which particles are ordered, largest first; None keeps their order; "auto" is
        "pt" where there is one.
    count : bool or mapping of str to float or sequence of float, default=True
        Count the particles; a mapping also counts those whose feature is above thresholds, for
        example ``{"pt": [30, 50]}``.
    sums : sequence of str, default="auto"
        Features to sum over the particles; "auto" is pt where there is one: its sum is
        :math:`H_T`.
    extrema : sequence of str, default=()
        Features of which the smallest and the largest value become columns.
    system : bool, default="auto"
        Invariant mass and transverse momentum of all particles together; "auto" adds them where
        the features fix momenta.
    pairs : bool, default="auto"
        Invariant mass and angles of each pair of leading particles; "auto" as for ``system``.
    prefix : str, default=""
        Put before every name, for example "jet\_".

    Attributes
    ----------
    features_ : list of str
        Names of the features of the clouds.
    n_features_in_ : int
        Number of features of the clouds.

    See Also
    --------
    JaggedToPadded : Clouds from jagged arrays.
    CloudToImage : Images from clouds.

    Notes
    -----
    The columns, in this order:

    ====================================== =====================================================
    ``pt_1, eta_1, ..., pt_2, ...``        features of the leading particles
    ``n, n_pt_above_30, ...``              counts, strictly above the threshold
    ``sum_pt, ...``                        sums
    ``min_eta, max_eta, ...``              extremes
    ``mass, pt_sys``                       all particles together
    ``mass_12, delta_r_12, ...``           pairs of leading particles: mass, :math:`\Delta R`,
                                           :math:`|\Delta\eta|`, :math:`|\Delta\phi|`; from ten
                                           leading particles on ``mass_1_2``
    ====================================== =====================================================

    What does not exist is NaN: the second particle of an event with one, an extreme or a mass of
    none. Counts and sums of no particle are 0. Counts, sums and extremes skip a missing feature
    of a present particle; a momentum with a missing component is NaN, and so are the masses made
    from it. Of particles of equal pt, the first stays first.

    Momenta are computed in float64 by the vector library; the table has the type of the clouds.
    Work and memory beyond the table itself go by blocks of events.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import CloudToTable
    >>> jets = np.full((2, 3, 3), np.nan)
    >>> jets[0, :2] = [[50.0, 0.5, 0.0], [80.0, -0.5, 3.0]]
    >>> jets[1, 0] = [40.0, 1.0, 1.0]
    >>> table = CloudToTable(count={"pt": 45})
    >>> _ = table.fit(jets)
    >>> for name, column in zip(table.get_feature_names_out(), table.transform(jets).T):
    ...     print(name, column.round(1))
    pt_1 [80. 40.]
    eta_1 [-0.5  1. ]
    phi_1 [3. 1.]
    pt_2 [50. nan]
    eta_2 [0.5 nan]
    phi_2 [ 0. nan]
    n [2. 1.]
    n_pt_above_45 [2. 0.]
    sum_pt [130.  40.]
    mass [142.4   0. ]
    pt_sys [31.3 40. ]
    mass_12 [142.4   nan]
    delta_r_12 [3.2 nan]
    delta_eta_12 [ 1. nan]
    delta_phi_12 [ 3. nan]
    """

    def __init__(
        self,
        features: Sequence[str] | None = None,
        *,
        n_leading: int = 2,
        sort_by: str | None = "auto",
        count: bool | Mapping[str, float | Sequence[float]] = True,
        sums: Sequence[str] = "auto",
        extrema: Sequence[str] = (),
        system: bool | str = "auto",
        pairs: bool | str = "auto",
        prefix: str = "",
    ) -> None:
        self.features = features
        self.n_leading = n_leading
        self.sort_by = sort_by
        self.count = count
        self.sums = sums
        self.extrema = extrema
        self.system = system
        self.pairs = pairs
        self.prefix = prefix

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Make the table.

        Parameters
        ----------
        X : array of shape (n_events, n_particles, n_features)
            Clouds with the features of `fit`.

        Returns
        -------
        ndarray of shape (n_events, n_columns)
            Table with the columns `get_feature_names_out`; NaN is what does not exist.

        Raises
        ------
        ValueError
            X is no cloud, has infinite values or another number of features; a negative pt, or
            an eta or phi beyond 50, where momenta are needed.
        """
        cloud = self._fitted_cloud(X)
        parts = self._parts(self.features_)
        out = np.empty((len(cloud), sum(len(part.names) for part in parts)), dtype=cloud.dtype)
        sort_index = self._sort_index(self.features_)
        for rows in event_blocks(cloud):
            block = _make_block(cloud[rows], self.n_leading, sort_index)
            start = 0
            for part in parts:
                stop = start + len(part.names)
                out[rows, start:stop] = part.compute(block)
                start = stop
        return out

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Names of the columns.

        Parameters
        ----------
        input_features : None
            Ignored: clouds have no columns, their features are named by ``features``.

        Returns
        -------
        ndarray of str
            The names.
        """
        check_is_fitted(self)
        return np.array(self._column_names(self.features_), dtype=object)

    def _column_names(self, names: list[str]) -> list[str]:
        return [f"{self.prefix}{name}" for part in self._parts(names) for name in part.names]

    def _prepare(self, names: list[str]) -> None:
        n_leading = self.n_leading
        if isinstance(n_leading, bool) or not isinstance(n_leading, Integral) or n_leading < 0:
            msg = f"n_leading={n_leading!r} must be an integer of at least 0"
            raise ValueError(msg)
        if not isinstance(self.prefix, str):
            msg = f"prefix={self.prefix!r} must be a string"
            raise ValueError(msg)
        self._sort_index(names)
        columns = self._column_names(names)
        if not columns:
            msg = "no column is asked for: give n_leading, count, sums, extrema, system or pairs"
            raise ValueError(msg)
        double = sorted({name for name in columns if columns.count(name) > 1})
        if double:
            msg = f"two columns would be named {double[0]!r}: rename a feature"
            raise ValueError(msg)

    def _sort_index(self, names: list[str]) -> int | None:
        if self.sort_by is None:
            return None
        if self.sort_by == "auto":
            return find_feature(names, "pt", "sort_by='auto'")
        return feature_position(names, self.sort_by, "sort_by")

    def _parts(self, names: list[str]) -> list[_Part]:
        """Parts of the table in the order of their columns."""
        numbers = range(1, self.n_leading + 1)
        parts = [
            _Part([f"{name}_{number}" for number in numbers for name in names], _leading),
            *self._counts(names),
        ]
        sums = self.sums
        if isinstance(sums, str) and sums == "auto":
            found = find_feature(names, "pt", "sums='auto'")
            sums = [] if found is None else [names[found]]
        for name in feature_list(sums, "sums"):
            index = feature_position(names, name, "sums")
            parts.append(_Part([f"sum_{name}"], partial(_sum, index=index)))
        for name in feature_list(self.extrema, "extrema"):
            index = feature_position(names, name, "extrema")
            parts.append(_Part([f"min_{name}", f"max_{name}"], partial(_extrema, index=index)))
        if self._wants("system", names):
            parts.append(_Part(["mass", "pt_sys"], partial(_system, names=names)))
        if self._wants("pairs", names) and self.n_leading > 1:
            parts.append(_Part(_pair_names(self.n_leading), partial(_pairs, names=names)))
        return parts

    def _counts(self, names: list[str]) -> list[_Part]:
        if isinstance(self.count, (bool, np.bool_)):
            return [_Part(["n"], _multiplicity)] if self.count else []
        if not isinstance(self.count, Mapping):
            msg = f"count={self.count!r} must be a bool or a mapping of features to thresholds"
            raise ValueError(msg)
        parts = [_Part(["n"], _multiplicity)]
        for name, given in self.count.items():
            index = feature_position(names, name, "count")
            thresholds: Any = [given] if np.ndim(given) == 0 else given
            for threshold in thresholds:
                if not isinstance(threshold, Real) or np.isnan(float(threshold)):
                    msg = f"count: the threshold {threshold!r} of {name!r} is no number"
                    raise ValueError(msg)
                above = partial(_above, index=index, threshold=float(threshold))
                parts.append(_Part([f"n_{name}_above_{threshold:g}"], above))
        return parts

    def _wants(self, parameter: str, names: list[str]) -> bool:
        value = getattr(self, parameter)
        if isinstance(value, str) and value == "auto":
            return has_kinematics(names)
        if not isinstance(value, (bool, np.bool_)):
            msg = f"{parameter}={value!r} must be True, False or 'auto'"
            raise ValueError(msg)
        if value:
            for name in _KINEMATICS:
                feature_position(names, name, f"{parameter}=True")
        return bool(value)


def _make_block(cloud: FloatArray, n_leading: int, sort_index: int | None) -> _Block:
    present = present_particles(cloud)
    n_events, n_particles, n_features = cloud.shape
    leading = np.full((n_events, n_leading, n_features), np.nan, dtype=cloud.dtype)
    n_taken = min(n_leading, n_particles)
    if n_taken:
        if sort_index is None:
            key = np.zeros(present.shape, dtype=cloud.dtype)
        else:
            key = -cloud[:, :, sort_index]
            # present, but of unknown size: behind those that are known
            key[np.isnan(key)] = np.finfo(key.dtype).max
        key[~present] = np.inf
        order = np.argsort(key, axis=1, kind="stable")[:, :n_taken]
        leading[:, :n_taken] = np.take_along_axis(cloud, order[:, :, None], axis=1)
    return _Block(cloud, present, leading)


def _leading(block: _Block) -> FloatArray:
    return block.leading.reshape(len(block.leading), -1)


def _multiplicity(block: _Block) -> NDArray[Any]:
    return block.present.sum(axis=1)[:, None]


def _above(block: _Block, *, index: int, threshold: float) -> NDArray[Any]:
    return (block.cloud[:, :, index] > threshold).sum(axis=1)[:, None]


def _sum(block: _Block, *, index: int) -> FloatArray:
    values = block.cloud[:, :, index]
    return np.where(np.isnan(values), 0, values).sum(axis=1, dtype=np.float64)[:, None]


def _extrema(block: _Block, *, index: int) -> FloatArray:
    values = block.cloud[:, :, index]
    extremes = [extreme.reduce(values, axis=1, initial=np.nan) for extreme in (np.fmin, np.fmax)]
    return np.column_stack(extremes)


def _system(block: _Block, *, names: list[str]) -> FloatArray:
    """Mass and transverse momentum of all particles."""
    momenta = particle_momenta(block.cloud[block.present], names)
    total = sum_momenta(momenta, np.nonzero(block.present)[0], len(block.cloud))
    found = np.column_stack([mass_of(*total), np.hypot(total.px, total.py)])
    found[~block.present.any(axis=1)] = np.nan
    return found


def _pair_names(n_leading: int) -> list[str]:
    # the eleventh particle's own mass_11 would be the mass of a pair otherwise
    between = "" if n_leading < 10 else "_"
    labels = [f"{i}{between}{j}" for i, j in combinations(range(1, n_leading + 1), 2)]
    kinds = ("mass", "delta_r", "delta_eta", "delta_phi")
    return [f"{kind}_{label}" for label in labels for kind in kinds]


def _pairs(block: _Block, *, names: list[str]) -> FloatArray:
    """Mass and angles of each pair of leading particles."""
    momenta = particle_momenta(block.leading, names)
    places = (feature_position(names, name, "pairs") for name in ("eta", "phi"))
    eta, phi = (block.leading[:, :, place].astype(float) for place in places)
    first, second = np.triu_indices(block.leading.shape[1], 1)
    sums = CartesianMomentum(*(part[:, first] + part[:, second] for part in momenta))
    apart_eta = np.abs(eta[:, first] - eta[:, second])
    apart_phi = np.abs(delta_phi(phi[:, first], phi[:, second]))
    columns = [mass_of(*sums), np.hypot(apart_eta, apart_phi), apart_eta, apart_phi]
    return np.stack(columns, axis=2).reshape(len(eta), -1)
