"""Padded clouds from jagged arrays, and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skhep_ml._clouds import (
    ArrayOutputMixin,
    cloud_feature_names,
    feature_position,
    find_feature,
    known_first,
    present_particles,
    validate_floats,
)
from skhep_ml._extras import import_extra
from skhep_ml._masks import missing_sentinels
from skhep_ml.exceptions import TruncationWarning
from skhep_ml.preprocessing._histogram import float_key
from skhep_ml.preprocessing._jagged_input import Jagged, read_jagged
from skhep_ml.preprocessing._statistics import refuse_infinity

# particles handled at a time: they stay in the second-level cache, and 16 bits count them
_BLOCK = 1 << 15


@dataclass
class _Block:
    """Particles of the events from first to before last, the absent ones left out."""

    first: int
    last: int
    counts: NDArray[np.int64]
    # one row per particle, and one more of NaN for the places that stay empty
    particles: NDArray[np.floating[Any]]
    # what to sort by, in falling order; None keeps the order
    key: NDArray[np.floating[Any]] | None


class JaggedToPadded(ArrayOutputMixin, TransformerMixin, BaseEstimator):
    """Turn jagged collections of particles into a cloud padded with NaN.

    Parameters
    ----------
    max_particles : int, default=None
        Particles kept of each event; None takes the largest number in training.
    sort_by : str, int or False, default=None
        Feature, by name or position, by which the particles of an event are sorted, largest first.
        None sorts by the transverse momentum where the input has a field called pt (or pT, jet_pt,
        Jet_pt, ...), and otherwise keeps the order, as False does always. A name may be a field
        that is not in ``features``.
    features : sequence of str, default=None
        Fields to take, in this order. None takes all, those of pt, eta, phi and mass (or energy)
        first, in this order, so that what follows in a `Pipeline` finds them where it expects them
        by default; see Notes. For input without names, the names of all its features: None calls
        them pt, eta, phi, mass, x4, ... (and does not sort).
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing" and become NaN. NaN and None always do.
    dtype : {"float32", "float64"}, default="float32"
        Type of the cloud. Sorting is several times slower in float64.

    Attributes
    ----------
    features_ : list of str
        Names of the features on the last axis.
    max_particles_ : int
        Length of the particle axis.
    sort_by_ : str or None
        Feature that sorts the particles.
    n_features_in_ : int
        Number of features on the last axis.

    See Also
    --------
    CloudToTable : Named columns from clouds, for models that take tables.
    EventsTransformer : This one on one input, others on the rest.
    skhep_ml.events.Events : Input that scikit-learn slices fast.

    Notes
    -----
    Input (as X, or as the only entry of an `Events` or dict) is one of

    - an awkward array ``n * var * {pt: float, eta: float}`` of records (awkward.zip makes it);
    - an awkward array ``n * {jet_pt: var * float, jet_eta: var * float}``, as uproot reads it, or
      a dict, `Events` or DataFrame of such columns: name those of one collection in ``features``;
    - an awkward array ``n * var * float`` or ``n * var * k * float``;
    - lists of events: of numbers, of feature lists, of dicts, or of ndarrays; the list of awkward
      arrays that scikit-learn makes when it slices an awkward array;
    - a cloud of shape (n_events, n_particles, n_features), to sort or truncate it.

    A particle whose features are all missing is absent: it is left out, and does not count. One
    with some of them is present; where the feature that sorts is missing, it goes last. Equal ones
    keep their order. Sorting and truncation look at one event at a time, so an event's cloud does
    not depend on the others, except for ``max_particles_``.

    The fields of pt, eta, phi, mass and energy are known by these names in any case ("m" and "e"
    serve too), alone or behind a prefix, as in ``jet_pt`` or ``delta_eta``, but not ``log_pt``;
    two that may be meant are an error. A cloud is an array and forgets the names:
    where the first four are not pt, eta, phi, mass (there is no mass, or there are components such
    as ``Jet_Px`` instead), give ``features_`` to the ``features`` of `CloudToTable`,
    `CloudToImage` and `KinematicsTransformer`.

    Fields are taken by name in `transform`, whatever their order; input without names, by position.

    Examples
    --------
    >>> import awkward as ak
    >>> from skhep_ml.preprocessing import JaggedToPadded
    >>> jets = ak.Array([[{"pt": 30.0, "eta": 1.0}, {"pt": 50.0, "eta": -999.0}], []])
    >>> to_padded = JaggedToPadded()
    >>> cloud = to_padded.fit_transform(jets)
    >>> cloud
    array([[[50., nan],
            [30.,  1.]],
           [[nan, nan],
            [nan, nan]]], dtype=float32)
    >>> to_padded.inverse_transform(cloud).to_list()
    [[{'pt': 50.0, 'eta': nan}, {'pt': 30.0, 'eta': 1.0}], []]
    """

    def __init__(
        self,
        max_particles: int | None = None,
        sort_by: str | int | bool | None = None,
        *,
        features: Sequence[str] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        dtype: DTypeLike = "float32",
    ) -> None:
        self.max_particles = max_particles
        self.sort_by = sort_by
        self.features = features
        self.missing_values = missing_values
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the features, and the largest number of particles where none is given.

        Parameters
        ----------
        X : jagged array of n_events
            Particles of each event, see Notes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            Unknown fields, fields that differ in length, infinite values, no events, a wrong
            parameter.
        """
        self._learn(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.floating[Any]]:
        """Learn from the events and return their cloud; see `fit` and `transform`.

        Parameters
        ----------
        X : jagged array of n_events
            Particles of each event, see Notes.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_events, max_particles_, n_features)
            The cloud, NaN where there is no particle.

        Raises
        ------
        ValueError
            As in `fit`.

        Warns
        -----
        TruncationWarning
            Events have more than ``max_particles`` particles.
        """
        return self._pad(self._learn(X))

    def transform(self, X: Any) -> NDArray[np.floating[Any]]:
        """Make the cloud.

        Parameters
        ----------
        X : jagged array of n_events
            Particles of each event, with the fields of `fit`.

        Returns
        -------
        ndarray of shape (n_events, max_particles_, n_features)
            The cloud, NaN where there is no particle.

        Raises
        ------
        ValueError
            Other fields than in `fit`, infinite values.

        Warns
        -----
        TruncationWarning
            Events have more than ``max_particles_`` particles; says how many are lost.
        """
        check_is_fitted(self)
        missing_sentinels(self.missing_values)
        # fields beside those asked for are none of our business
        wanted = None if self.features is None else self._fields()
        return self._pad(self._in_order(read_jagged(X, wanted)))

    def inverse_transform(self, X: NDArray[Any]) -> Any:
        """Turn a cloud into an awkward array of records.

        Parameters
        ----------
        X : ndarray of shape (n_events, n_particles, n_features)
            Cloud, for example from `transform`.

        Returns
        -------
        awkward.Array
            Records of the present particles, ``n_events * var * {feature: float}``. They are in
            the order of the cloud, that is sorted; what truncation lost stays lost, and what was
            missing is NaN.

        Raises
        ------
        ValueError
            Another number of features.
        """
        check_is_fitted(self)
        ak = import_extra("awkward", "root")
        if len(np.shape(X)) != 3:
            msg = f"X must have shape (n_events, n_particles, n_features), got {np.shape(X)}"
            raise ValueError(msg)
        cloud = validate_floats(self, X, reset=False)
        present = present_particles(cloud)
        columns = cloud[present].T
        records = ak.zip(dict(zip(self.features_, columns, strict=True)))
        return ak.unflatten(records, present.sum(axis=1))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the features on the last axis.

        Parameters
        ----------
        input_features : None
            Ignored: the fields of the input have names.

        Returns
        -------
        ndarray of str
            ``features_``.
        """
        check_is_fitted(self)
        return np.array(self.features_, dtype=object)

    def _learn(self, X: Any) -> Jagged:
        """Set the fitted attributes and return the columns in the order of `_fields`."""
        self._check_parameters()
        jagged = read_jagged(X, self._wanted())
        if not len(jagged.counts):
            msg = "Found array with 0 sample(s) while a minimum of 1 is required: X has no events"
            raise ValueError(msg)
        if not jagged.columns:
            msg = "no event in X holds a particle: there is nothing to learn the features from"
            raise ValueError(msg)
        named = jagged.names is not None or self.features is not None
        if jagged.names is None:
            jagged.names = cloud_feature_names(self.features, len(jagged.columns))
        if self.features is None:
            features = known_first(jagged.names, "JaggedToPadded")
        else:
            features = list(self.features)
        for name in features:
            feature_position(jagged.names, name, "features")
        self.features_ = list(features)
        self.n_features_in_ = len(self.features_)
        self.sort_by_ = self._sort_feature(jagged.names, named)
        jagged = self._in_order(jagged)
        if self.max_particles is not None:
            self.max_particles_ = int(self.max_particles)
        else:
            self.max_particles_ = max(int(b.counts.max()) for b in self._blocks(jagged))
            if self.max_particles_ == 0:
                msg = "no event in X holds a particle: give max_particles, or other events"
                raise ValueError(msg)
        return jagged

    def _wanted(self) -> list[str] | None:
        """Fields that fit needs; None for all."""
        if self.features is None:
            return None
        names = list(self.features)
        if isinstance(self.sort_by, str) and self.sort_by not in names:
            names.append(self.sort_by)
        return names

    def _sort_feature(self, names: list[str], named: bool) -> str | None:
        if self.sort_by is False:
            return None
        if isinstance(self.sort_by, str):
            return names[feature_position(names, self.sort_by, f"sort_by={self.sort_by!r}")]
        if self.sort_by is not None:
            if not -len(self.features_) <= self.sort_by < len(self.features_):
                msg = f"sort_by={self.sort_by} is out of range for the features {self.features_}"
                raise ValueError(msg)
            return self.features_[self.sort_by]
        if not named:
            return None
        found = find_feature(self.features_, "pt", "sort_by=None")
        return None if found is None else self.features_[found]

    def _fields(self) -> list[str]:
        """Features, and the one that sorts where it is not among them."""
        if self.sort_by_ is None or self.sort_by_ in self.features_:
            return list(self.features_)
        return [*self.features_, self.sort_by_]

    def _in_order(self, jagged: Jagged) -> Jagged:
        """Bring the columns in the order of `_fields`, by name where there are names."""
        fields = self._fields()
        if not jagged.counts.any():  # an array without particles may not know its fields
            columns = [np.empty(0, dtype=self.dtype)] * len(fields)
            return Jagged(fields, columns, jagged.starts, jagged.counts)
        names = jagged.names
        if names is None:
            if len(jagged.columns) != len(fields):
                msg = (
                    f"X has {len(jagged.columns)} features without names, but JaggedToPadded is "
                    f"expecting {len(fields)} features as input: {fields}"
                )
                raise ValueError(msg)
            return jagged
        missing = [name for name in fields if name not in names]
        new = [name for name in names if name not in fields] if self.features is None else []
        if missing or new:
            parts = [f"{missing} are missing"] * bool(missing) + [f"{new} are new"] * bool(new)
            msg = f"the fields of X differ from those of fit, {fields}: {', '.join(parts)}"
            raise ValueError(msg)
        columns = [jagged.columns[names.index(name)] for name in fields]
        return Jagged(fields, columns, jagged.starts, jagged.counts)

    def _blocks(self, jagged: Jagged, max_events: int = _BLOCK) -> Iterator[_Block]:
        """Yield the events in blocks, cleaned and in the type of the cloud."""
        n_features, dtype = self.n_features_in_, np.dtype(self.dtype)
        sentinels = np.array(missing_sentinels(self.missing_values), dtype=dtype)
        fields = self._fields()
        ends = np.cumsum(jagged.counts)
        first, done = 0, 0
        while first < len(ends):
            last = int(np.searchsorted(ends, done + _BLOCK, side="right"))
            last = min(max(last, first + 1), first + max_events)
            rows, size = jagged.rows(first, last), int(ends[last - 1]) - done
            particles = np.empty((size + 1, len(fields)), dtype=dtype)
            particles[size] = np.nan
            values = particles[:size]
            # an overflow in the cast is found as an infinity
            with np.errstate(over="ignore"):
                for index, column in enumerate(jagged.columns):
                    values[:, index] = column[rows]
            for sentinel in sentinels:
                missing = values == sentinel
                if missing.any():
                    values[missing] = np.nan
            counts = jagged.counts[first:last]
            with np.errstate(over="ignore", invalid="ignore"):
                total = values.sum()
            # a finite sum proves that nothing is missing or infinite
            if not np.isfinite(total):
                refuse_infinity(values, np.array(fields))
                present = present_particles(values[:, :n_features])
                if not present.all():
                    event = np.repeat(np.arange(last - first), counts)
                    counts = np.bincount(event[present], minlength=last - first)
                    particles = particles[np.append(present, True)]
            key = None
            if self.sort_by_ is not None:
                key = particles[:-1, fields.index(self.sort_by_)]
            yield _Block(first, last, counts, particles[:, :n_features], key)
            first, done = last, int(ends[last - 1])

    def _pad(self, jagged: Jagged) -> NDArray[np.floating[Any]]:
        length, n_events = self.max_particles_, len(jagged.counts)
        cloud = np.empty((n_events, length, self.n_features_in_), dtype=self.dtype)
        place = np.arange(length, dtype=np.int32)
        total, lost, shortened = 0, 0, 0
        # places are laid out in the cache too
        for block in self._blocks(jagged, max_events=max(1, 4 * _BLOCK // length)):
            counts, particles = block.counts, block.particles
            empty = len(particles) - 1
            total += empty
            order = None if block.key is None else falling_order(block.key, counts)
            if order is None:
                order = np.arange(empty)
            if int(counts.max()) > length:
                excess = np.maximum(counts - length, 0)
                lost += int(excess.sum())
                shortened += int(np.count_nonzero(excess))
                start = np.repeat(np.cumsum(counts) - counts, counts)
                order = order[np.arange(empty) - start < length]
            index = np.full((len(counts), length), empty)
            index[place < counts.astype(np.int32)[:, None]] = order
            out = cloud[block.first : block.last].reshape(-1, self.n_features_in_)
            # the mode skips a buffer; every index is in range
            np.take(particles, index.ravel(), axis=0, out=out, mode="clip")
        if lost:
            msg = (
                f"{lost} of {total} particles ({lost / total:.2%}) in {shortened} of {n_events} "
                f"events are lost: the events hold more than max_particles={length}"
            )
            warnings.warn(msg, TruncationWarning, stacklevel=3)
        return cloud

    def _check_parameters(self) -> None:
        limit = self.max_particles
        if limit is not None and (
            not isinstance(limit, Integral) or isinstance(limit, bool) or limit < 1
        ):
            msg = f"max_particles={limit!r} must be an integer of at least 1, or None"
            raise ValueError(msg)
        sort = self.sort_by
        if sort is True or not (sort is None or isinstance(sort, (bool, str, Integral))):
            msg = f"sort_by={sort!r} must be the name or position of a feature, None or False"
            raise ValueError(msg)
        if isinstance(self.features, str):
            msg = f"features={self.features!r} must be a list of names: [{self.features!r}]"
            raise ValueError(msg)
        if self.features is not None and not len(self.features):
            msg = "features=[] names no feature: None takes all"
            raise ValueError(msg)
        if self.features is not None and len(set(self.features)) < len(self.features):
            msg = f"features={list(self.features)} has the same name twice"
            raise ValueError(msg)
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            msg = f"dtype={self.dtype!r} must be float32 or float64"
            raise ValueError(msg)
        missing_sentinels(self.missing_values)

    def __sklearn_tags__(self) -> Tags:
        """Clouds and jagged arrays, no tables; missing values pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def falling_order(
    key: NDArray[np.floating[Any]], counts: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Order in which each event's particles have falling keys, NaN last, equal ones as they were.

    Parameters
    ----------
    key : ndarray of shape (n_particles,)
        Sorts the particles of an event.
    counts : ndarray of shape (n_events,)
        Particles of each event.

    Returns
    -------
    ndarray of shape (n_particles,) or None
        Indices into ``key``, event by event; None where the particles fall already.

    Notes
    -----
    One integer holds the event (16 bits), the key turned round (32) and the place (16), so that
    one vectorised sort of integers does it all. Where that does not fit, a slower sort by two keys.
    """
    ends = np.cumsum(counts)
    falls = key[1:] <= key[:-1]
    falls[ends[(ends > 0) & (ends < len(key))] - 1] = True
    if falls.all():
        return None
    if key.dtype != np.float32 or len(key) > 1 << 16 or len(counts) > 1 << 16:
        return np.lexsort((-key, np.repeat(np.arange(len(counts)), counts)))
    falling = ~float_key(key)
    missing = np.isnan(key)
    if missing.any():
        falling[missing] = np.iinfo(np.int32).max
    # unsigned numbers in the order of the signed ones
    packed = (falling.view(np.uint32) ^ np.uint32(1 << 31)).astype(np.uint64)
    packed <<= np.uint64(16)
    packed |= np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(48), counts)
    packed |= np.arange(len(key), dtype=np.uint64)
    packed.sort()
    packed &= np.uint64(0xFFFF)
    return packed.view(np.int64)
