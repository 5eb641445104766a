"""Two weighted samples side by side: checks, event features of clouds and images, replicas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._clouds import present_particles
from skhep_ml._frames import is_frame, numeric_columns, refuse_repeated_columns
from skhep_ml._masks import unmasked
from skhep_ml._validation import check_event_weight
from skhep_ml.events import Events, is_awkward
from skhep_ml.metrics._base import check_positive_sum

Array = NDArray[np.float64]

#: Unit of a feature: its own, the first sample's standard deviation, or its greatest size there.
Scale = Literal["std", "max"] | None


class Samples(NamedTuple):
    """Two samples with the same features.

    Attributes
    ----------
    first, second : ndarray of shape (n_events, n_features)
        Their events.
    weight1, weight2 : ndarray of shape (n_events,)
        Their weights, with a sum of 1.
    names : list of str
        Names of the features.
    single : bool
        Whether the samples came as one-dimensional arrays.
    """

    first: Array
    second: Array
    weight1: Array
    weight2: Array
    names: list[str]
    single: bool

    def scaled(self, scale: Scale) -> Samples:
        """Bring features in units of the first sample; constant ones keep their own."""
        if scale is None:
            return self
        if scale == "std":
            size = np.abs(self.weight1)
            mean = size @ self.first / size.sum()
            unit = np.sqrt(size @ (self.first - mean) ** 2 / size.sum())
            constant = unit <= 1e-12 * np.abs(mean)
        elif scale == "max":
            mean, unit = np.zeros(self.first.shape[1]), np.abs(self.first).max(axis=0)
            constant = unit == 0
        else:
            msg = f'scale={scale!r}: choose "std", "max" or None'
            raise ValueError(msg)
        unit[constant] = 1.0
        return self._replace(first=(self.first - mean) / unit, second=(self.second - mean) / unit)

    def shuffled(self, rng: np.random.Generator) -> Samples:
        """Both samples in random order."""
        one, two = rng.permutation(len(self.first)), rng.permutation(len(self.second))
        return self._replace(
            first=self.first[one],
            second=self.second[two],
            weight1=self.weight1[one],
            weight2=self.weight2[two],
        )

    def replicas(self, n_replicas: int, seed: Any) -> Iterator[tuple[Array, Array]]:
        """Weights of both samples: as they are, then of every replica of the Poisson bootstrap."""
        yield self.weight1, self.weight2
        for k in range(n_replicas):
            rng = np.random.default_rng([seed, k])
            yield tuple(  # type: ignore[misc]
                _normalised(weight * rng.poisson(1.0, len(weight)), number)
                for number, weight in enumerate((self.weight1, self.weight2), start=1)
            )


def _normalised(weight: Array, number: int) -> Array:
    total = weight.sum()
    if not total > 0:
        msg = (
            f"X{number} has no positive sum of weights in a bootstrap replica: it is too small, or "
            "its signs cancel too much, for an error; leave return_std out, or give more events"
        )
        raise ValueError(msg)
    return weight / total


def check_samples(
    X1: Any,
    X2: Any,
    weight1: ArrayLike | None = None,
    weight2: ArrayLike | None = None,
    *,
    allow_missing: bool = False,
) -> Samples:
    """Check two samples and their weights, and reduce clouds and images to event features.

    Raises
    ------
    ValueError
        No events, other features in one of them, NaN or infinite values, or weights without a
        positive sum.
    """
    tables: list[Array] = []
    weights: list[Array] = []
    names: list[list[str]] = []
    single = False
    for number, (X, given) in enumerate(((X1, weight1), (X2, weight2)), start=1):
        X = as_input(X)
        table, its_names = event_features(X)
        if number == 2 and its_names != names[0] and sorted(its_names) == sorted(names[0]):
            table = table[:, [its_names.index(name) for name in names[0]]]
            its_names = names[0]
        if not len(table):
            msg = f"X{number} holds no events"
            raise ValueError(msg)
        weight = check_event_weight(given, len(table), name=f"weight{number}")
        weight = np.ones(len(table)) if weight is None else weight
        weights.append(weight / check_positive_sum(weight, f"X{number}"))
        tables.append(table)
        names.append(its_names)
        single = X.ndim == 1 if isinstance(X, np.ndarray) else False
    if names[0] != names[1] and not (
        len(names[0]) == len(names[1]) and (_numbered(names[0]) or _numbered(names[1]))
    ):
        missing = [name for name in names[0] if name not in names[1]]
        extra = [name for name in names[1] if name not in names[0]]
        msg = (
            f"the samples have different features: {missing[:8]} are missing in X2, {extra[:8]} "
            "in X1; give both the same columns"
        )
        raise ValueError(msg)
    for number, table in enumerate(tables, start=1):
        _refuse(np.isinf(table) if allow_missing else ~np.isfinite(table), table, names[0], number)
    return Samples(tables[0], tables[1], weights[0], weights[1], names[0], single)


def _numbered(names: list[str]) -> bool:
    return names == [f"x{k}" for k in range(len(names))]


def _refuse(bad: NDArray[np.bool_], table: Array, names: list[str], number: int) -> None:
    if bad.any():
        event, feature = np.argwhere(bad)[0]
        msg = (
            f"feature {names[feature]!r} of X{number} is {table[event, feature]} in "
            f"{int(bad[:, feature].sum())} events, first in event {event}: impute it or select "
            "events that have it; missing values (NaN) are taken by two_sample_auc only"
        )
        raise ValueError(msg)


def as_input(X: Any) -> Any:
    """Return lists as arrays and mappings as Events."""
    if isinstance(X, Events) or is_frame(X):
        return X
    if isinstance(X, dict):
        return Events(X)
    if is_awkward(X):
        msg = "X is an awkward array: pad it to a cloud, with skhep_ml.preprocessing.JaggedToPadded"
        raise ValueError(msg)
    return np.asarray(unmasked(X))


def event_features(X: Any) -> tuple[Array, list[str]]:
    """Return a table of numbers for every event, and the names of its columns.

    Tables stay. Of clouds: the number of particles, and mean, standard deviation and maximum of
    every feature over the particles of an event (0 without any). Of images: sum, centre (row and
    column) and width of every channel, with pixels below 0 left out of the last three (0 for an
    empty channel). Inputs of an Events are reduced one by one and joined.
    """
    if isinstance(X, Events):
        parts = [(name, *event_features(as_input(X[name]))) for name in X]
        names = [
            name if columns == ["x0"] else f"{name}.{column}"
            for name, _, columns in parts
            for column in columns
        ]
        return np.concatenate([table for _, table, _ in parts], axis=1), names
    if is_frame(X):
        refuse_repeated_columns(X)
        table = numeric_columns(X, range(len(X.columns)))
        return table.astype(np.float64, copy=False), [str(name) for name in X.columns]
    if X.dtype.kind not in "fiub":
        msg = f"samples must be made of numbers, got an array of type {X.dtype}"
        raise ValueError(msg)
    if X.ndim == 1:
        X = X[:, None]
    if X.ndim == 2:
        return X.astype(np.float64, copy=False), [f"x{k}" for k in range(X.shape[1])]
    if X.ndim == 3:
        return _cloud_features(X)
    if X.ndim == 4:
        return _image_features(X)
    msg = f"samples are tables, clouds or images, got an array of shape {X.shape}"
    raise ValueError(msg)


def _cloud_features(cloud: NDArray[Any]) -> tuple[Array, list[str]]:
    columns = [present_particles(cloud).sum(axis=1).astype(np.float64)]
    names = ["n_particles"]
    for k in range(cloud.shape[2]):
        values = cloud[:, :, k].astype(np.float64)
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=1), 1)
        mean = np.where(known, values, 0.0).sum(axis=1) / count
        square = np.where(known, (values - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
        most = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
        columns += [mean, np.sqrt(square), np.where(known.any(axis=1), most, 0.0)]
        names += [f"mean(x{k})", f"std(x{k})", f"max(x{k})"]
    return np.column_stack(columns), names


def _image_features(images: NDArray[Any]) -> tuple[Array, list[str]]:
    columns, names = [], []
    rows, pixels = np.arange(images.shape[2]), np.arange(images.shape[3])
    for channel in range(images.shape[1]):
        image = images[:, channel].astype(np.float64)
        total = image.sum(axis=(1, 2))
        image = np.maximum(image, 0.0)
        share = 1 / np.maximum(image.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
        along, across = image.sum(axis=2), image.sum(axis=1)
        row, column = (along @ rows) * share, (across @ pixels) * share
        square = (along @ rows**2 + across @ pixels**2) * share - row**2 - column**2
        columns += [total, row, column, np.sqrt(np.maximum(square, 0.0))]
        names += [f"{what}({channel})" for what in ("sum", "row", "column", "width")]
    return np.column_stack(columns), names


def with_std(values: list[Any], return_std: bool, single: bool = False) -> Any:
    """Return the first value, and the standard deviation of the others when asked to."""
    table = np.array(values, dtype=np.float64)
    if single and table.ndim == 2:
        table = table[:, 0]
    value = float(table[0]) if table.ndim == 1 else table[0]
    if not return_std:
        return value
    std = table[1:].std(axis=0, ddof=1)
    return value, float(std) if table.ndim == 1 else std


def check_replicas(n_replicas: Any, return_std: bool) -> int:
    """Return the number of replicas that are needed."""
    if not return_std:
        return 0
    if not isinstance(n_replicas, (int, np.integer)) or n_replicas < 2:
        msg = f"n_replicas must be an integer of at least 2, got {n_replicas!r}"
        raise ValueError(msg)
    return int(n_replicas)
