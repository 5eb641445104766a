"""What a generative model is fitted on, taken apart into generated and conditioning columns."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array, validate_data

from skhep_ml._clouds import present_particles
from skhep_ml._frames import column_positions, fits_type, is_frame
from skhep_ml._masks import unmasked
from skhep_ml._validation import align_columns
from skhep_ml.events import Events
from skhep_ml.generative._domains import Domain, make_domain

_KINDS = {2: "table", 3: "cloud", 4: "image"}


@dataclass(frozen=True)
class Spec:
    """What a network has to generate.

    Attributes
    ----------
    kind : {"table", "cloud", "image"}
        Kind of the generated array.
    shape : tuple of int
        One event of it: (n_features,), (n_particles, n_features) or (n_channels, height, width).
    n_context : int
        Standardised columns of the context, 0 without any.
    """

    kind: str
    shape: tuple[int, ...]
    n_context: int

    @property
    def n_features(self) -> int:
        """Columns of a table, features of a particle, channels of an image."""
        return self.shape[0] if self.kind == "image" else self.shape[-1]


class Layout:
    """Where generated values and context are in what `fit` was given, and the way back.

    Parameters
    ----------
    estimator : GenerativeEstimator
        Its ``context_features`` are read; `validate_data` records names and number of features.
    X : array-like, DataFrame, Events or mapping
        Argument of fit.

    Attributes
    ----------
    form : {"array", "frame", "events"}
        Form of X.
    kind : {"table", "cloud", "image"}
        Kind of the generated array.
    generated, context : list
        Positions of columns; of Events the names of the arrays.
    n_context : int
        Columns of the context as the user knows them.
    """

    def __init__(self, estimator: Any, X: Any) -> None:
        named = _is_named(X)
        asked = estimator.context_features
        context = [] if asked is None else _as_list(asked)
        self.form = "events" if named else "frame" if is_frame(X) else "array"
        self.template = X[:0] if self.form == "frame" else None
        self.estimator_name = type(estimator).__name__
        self.context: list[Any]
        if named:
            self._learn_events(estimator, X, context)
            return
        self.array_name = ""
        array = self._checked(estimator, X, reset=True)
        self.kind, self.shape = _KINDS[array.ndim], array.shape[1:]
        self.dtype = array.dtype
        if self.kind != "table":
            if context:
                msg = (
                    f"context_features={context} names columns of a table, but X has shape "
                    f"{array.shape}: pass Events or a dict, such as {{'X': clouds, 'energy': "
                    "energy}, and the names of its arrays"
                )
                raise ValueError(msg)
            self.generated, self.context, self.n_context = list(range(_channels(array))), [], 0
            self.names: list[Any] = self.generated
            return
        names = getattr(estimator, "feature_names_in_", None)
        self.names = list(range(array.shape[1])) if names is None else list(names)
        self.context = column_positions(
            array,
            context,
            names=None if names is None else self.names,
            argument="context_features",
        )
        self.generated = [i for i in range(array.shape[1]) if i not in self.context]
        self.n_context = len(self.context)
        if not self.generated:
            msg = f"context_features={context} are all columns of X: none is left to generate"
            raise ValueError(msg)

    def _learn_events(self, estimator: Any, X: Any, context: list[Any]) -> None:
        names = [str(name) for name in X]
        unknown = [name for name in context if name not in names]
        others = [name for name in names if name not in context]
        if unknown or len(others) != 1:
            what = (
                f"names {unknown[0]!r}, which is not among the arrays {names}"
                if unknown
                else f"leaves the arrays {others} to generate, and exactly one can be"
            )
            msg = f"context_features={context or None} {what}: name the arrays that condition"
            raise ValueError(msg)
        for name in ("feature_names_in_", "n_features_in_"):
            vars(estimator).pop(name, None)
        estimator.n_features_in_ = len(names)
        self.array_name, self.arrays = others[0], names
        self.context = context
        array, table, self.widths = self._checked_events(X)
        self.kind, self.shape = _KINDS[array.ndim], array.shape[1:]
        self.dtype = array.dtype
        self.generated = list(range(_channels(array)))
        self.names = self.generated
        self.n_context = 0 if table is None else table.shape[1]

    def split(self, estimator: Any, X: Any, *, checked: Any = None) -> tuple[Any, Any]:
        """Generated array and context (None without any) of X.

        Raises
        ------
        ValueError
            Columns, arrays or shapes other than in fit.
        """
        if self.form == "events":
            if not _is_named(X) or sorted(map(str, X)) != sorted(self.arrays):
                given = sorted(map(str, X)) if _is_named(X) else type(X).__name__
                msg = f"{self.estimator_name} was fitted on the arrays {self.arrays}, got {given}"
                raise ValueError(msg)
            array, table, _ = self._checked_events(X)
            return self._same_kind(array), table
        array = self._same_kind(self._checked(estimator, X, reset=False))
        if self.kind != "table" or not self.context:
            return array, None
        return array[:, self.generated], array[:, self.context]

    def join(self, generated: NDArray[Any], context: Any) -> Any:
        """What X was, from generated values and the context of every event."""
        if self.form == "events":
            arrays: dict[str, Any] = {self.array_name: generated}
            start = 0
            for name, width in zip(self.context, self.widths, strict=True):
                part = context[:, start : start + max(width, 1)]
                arrays[name] = part[:, 0] if width == 0 else part
                start += max(width, 1)
            return Events({name: arrays[name] for name in self.arrays})
        if self.kind != "table":
            return generated
        table = np.empty((len(generated), len(self.names)), dtype=self.dtype)
        table[:, self.generated] = generated
        if self.context:
            table[:, self.context] = context
        return table if self.template is None else self._frame(table, context)

    def _frame(self, table: NDArray[Any], context: Any) -> Any:
        template: Any = self.template
        columns = {}
        for index, name in enumerate(template.columns):
            # the context as it was given: float32 keeps no large whole numbers
            column = context[:, self.context.index(index)] if index in self.context else None
            column = table[:, index] if column is None else column
            dtype = getattr(template[name].dtype, "name", None) or str(template[name].dtype)
            stored = np.asarray(template[name]).dtype
            with np.errstate(invalid="ignore"):  # too large for the type: floating point then
                whole = stored.kind in "biu" and fits_type(column, stored)
            if whole:
                column = column.astype(stored)
            elif dtype.lower() == "float32":
                column = column.astype(np.float32)
            columns[name] = column
        return type(template)(columns)

    def take_context(self, given: Any, n: int | None) -> tuple[Any, int]:
        """Context of every event to sample, and how many there are.

        Raises
        ------
        ValueError
            Context that is missing, not asked for, or of another shape.
        """
        if n is not None and not _is_count(n):
            msg = f"n must be a positive integer, got {n!r}"
            raise ValueError(msg)
        if not self.context:
            if given is not None:
                msg = (
                    f"context was given, but {self.estimator_name} was fitted without "
                    "context_features"
                )
                raise ValueError(msg)
            return None, 1 if n is None else int(n)
        if given is None:
            what = list(dict.fromkeys(self.context_names()))
            msg = (
                f"{self.estimator_name} was fitted with context_features={what}: pass context=, "
                f"{self.n_context} value{'s' * (self.n_context > 1)} for all events, or a row for "
                "each event to sample"
            )
            raise ValueError(msg)
        table = self._context_table(given)
        if table.ndim == 1:
            rows = np.tile(table, (1 if n is None else int(n), 1))
        elif n is not None and len(table) != n:
            msg = f"context has {len(table)} rows, but n={n}: leave n out, or pass a single row"
            raise ValueError(msg)
        else:
            rows = table
        if not np.isfinite(rows).all():
            row = int(np.argwhere(~np.isfinite(rows))[0, 0])
            msg = f"context is NaN or infinite in row {row}: give finite numbers"
            raise ValueError(msg)
        return rows, len(rows)

    def _context_table(self, given: Any) -> NDArray[np.float64]:
        """Context as (n_context,), or with a row for each event."""
        width = self.n_context
        names = self.context if self.form == "events" else [self.names[i] for i in self.context]
        # a Series of pandas is a row where its index holds names, else a column
        is_series = hasattr(given, "iloc") and given.ndim == 1
        index = list(given.index) if is_series and self.form != "array" else []
        is_row = any(name in index for name in names)
        if _is_named(given) or is_row:
            has = index or list(given)
            missing = [name for name in names if name not in has]
            if missing:
                msg = f"context lacks {missing}, but has {has}"
                raise ValueError(msg)
            parts = [_numbers(given[name]) for name in names]
            lengths = {len(part) for part in parts if part.ndim}
            if len(lengths) > 1:
                msg = f"context has arrays of the lengths {sorted(lengths)}: give equal ones"
                raise ValueError(msg)
            if not lengths:
                return np.array(parts)
            n = lengths.pop()
            return np.column_stack(
                [part.reshape(n, -1) if part.ndim else np.full(n, part) for part in parts]
            )
        if is_frame(given) and self.form != "events":
            missing = [name for name in names if name not in given.columns]
            if missing:
                msg = f"context lacks the columns {missing}, but has {list(given.columns)}"
                raise ValueError(msg)
            return np.column_stack([_numbers(given[name]) for name in names])
        table = _numbers(unmasked(given))
        if table.ndim == 0:
            table = table.reshape(1)
        if table.ndim == 1 and width == 1 and len(table) != 1:
            table = table[:, None]
        if table.ndim == 2 and self.form != "events" and table.shape[1] == len(self.names):
            return table[:, self.context]
        if table.ndim > 2 or table.shape[-1] != width:
            msg = (
                f"context has shape {table.shape}: {width} numbers, or a table of shape "
                f"(n, {width}) are needed"
            )
            raise ValueError(msg)
        return table

    def make_domains(self, given: Any) -> tuple[list[Domain], list[Domain]]:
        """Domains of generated columns and of the columns of the context.

        Raises
        ------
        ValueError
            No dict, unknown columns, or values that are no domains.
        """
        domains = {} if given is None else given
        if not isinstance(domains, Mapping):
            msg = f"domains must be a dict of columns, or None, got {given!r}"
            raise ValueError(msg)
        generated, context = ([Domain() for _ in range(k)] for k in self._counts())
        of_table = [c for c in domains if self.form != "events" or c not in self.context]
        column_positions(
            np.empty((0, len(self.names))), of_table, names=self.names, argument="domains"
        )
        for column, value in domains.items():
            if self.form == "events" and column in self.context:
                widths = [max(width, 1) for width in self.widths]
                place = self.context.index(column)
                start = sum(widths[:place])
                context[start : start + widths[place]] = [
                    make_domain(value, column) for _ in range(widths[place])
                ]
                continue
            place = column_positions(
                np.empty((0, len(self.names))), [column], names=self.names, argument="domains"
            )[0]
            domain = make_domain(value, column)
            if self.form != "events" and place in self.context:
                context[self.context.index(place)] = domain
            else:
                generated[self.generated.index(place)] = domain
        return generated, context

    def context_names(self) -> list[Any]:
        """What messages call the columns of the context."""
        if self.form != "events":
            return [self.names[i] for i in self.context]
        widths = zip(self.context, self.widths, strict=True)
        return [name for name, width in widths for _ in range(max(width, 1))]

    def _counts(self) -> tuple[int, int]:
        return len(self.generated), self.n_context

    def _same_kind(self, array: NDArray[Any]) -> NDArray[Any]:
        if _KINDS[array.ndim] != self.kind:
            given = _KINDS[array.ndim]
            msg = f"X is a {given}, but {self.estimator_name} was fitted on a {self.kind}"
            raise ValueError(msg)
        if self.kind != "table" and array.shape[1:] != self.shape:
            msg = (
                f"events of X have shape {array.shape[1:]}, but {self.estimator_name} was fitted "
                f"on {self.shape}"
            )
            raise ValueError(msg)
        return array

    def _checked(self, estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
        X = unmasked(X)
        if len(getattr(X, "shape", ())) <= 2:
            return validate_data(
                estimator,
                X if reset else align_columns(estimator, X),
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_min_samples=2 if reset else 1,
            )
        array = _many_axes(X, "X")
        if array.ndim == 3:
            refuse_partial(array)
        n_features = _channels(array)
        if reset:
            vars(estimator).pop("feature_names_in_", None)
            estimator.n_features_in_ = n_features
        elif n_features != estimator.n_features_in_:
            msg = (
                f"X has {n_features} features, but {self.estimator_name} is expecting "
                f"{estimator.n_features_in_} features as input"
            )
            raise ValueError(msg)
        return array

    def _checked_events(self, X: Any) -> tuple[NDArray[Any], Any, list[int]]:
        """Generated array, context side by side, and width of each array (0 for 1-D)."""
        array = _many_axes(unmasked(X[self.array_name]), f"array {self.array_name!r}")
        if array.ndim == 3:
            refuse_partial(array)
        parts, widths = [], []
        for name in self.context:
            part = check_array(
                unmasked(X[name]), dtype=np.float64, ensure_2d=False, input_name=f"array {name!r}"
            )
            if part.ndim > 2 or len(part) != len(array):
                msg = (
                    f"array {name!r} of the context has shape {part.shape}: a number or a row for "
                    f"each of the {len(array)} events is needed"
                )
                raise ValueError(msg)
            widths.append(0 if part.ndim == 1 else part.shape[1])
            parts.append(part.reshape(len(part), -1))
        return array, np.hstack(parts) if parts else None, widths


def _many_axes(X: Any, name: str) -> NDArray[Any]:
    shape = getattr(X, "shape", ())
    finite: Any = "allow-nan" if len(shape) == 3 else True
    array = check_array(
        X,
        dtype=[np.float64, np.float32],
        allow_nd=True,
        ensure_all_finite=finite,
        input_name=name,
    )
    if array.ndim not in _KINDS or 0 in array.shape:
        msg = f"{name} has shape {array.shape}: 2 (table), 3 (cloud) or 4 (image) axes are known"
        raise ValueError(msg)
    return array


def refuse_partial(clouds: NDArray[Any]) -> None:
    """Refuse particles of which only some features are NaN.

    Raises
    ------
    ValueError
        There is one.
    """
    missing = np.isnan(clouds).any(axis=2) & present_particles(clouds)
    if missing.any():
        event, particle = np.argwhere(missing)[0]
        msg = (
            f"particle {particle} of event {event} is partly NaN: give all of its features a "
            "value, for example with MissingValueImputer, or make all of them NaN"
        )
        raise ValueError(msg)


def _numbers(given: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"context holds more than numbers ({error})"
        raise ValueError(msg) from error


def _is_count(n: Any) -> bool:
    real = isinstance(n, numbers.Real) and not isinstance(n, bool)
    return real and 1 <= n < math.inf and n == math.floor(n)


def _channels(array: NDArray[Any]) -> int:
    return array.shape[1] if array.ndim == 4 else array.shape[-1]


def _is_named(X: Any) -> bool:
    return isinstance(X, (Mapping, Events))


def _as_list(value: Any) -> list[Any]:
    single = isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray))
    return [value] if single else list(value)
