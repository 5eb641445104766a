"""Physical boundaries of columns, kept by invertible maps to the real line.

A model learns in an unbounded, standardised space. `Domain` maps one column there and back and
knows the logarithm of its derivative; `Columns` does so for all columns of a table, the features
of clouds or the channels of images, and standardises them.
"""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# share of an interval that values at its very ends are moved inside: seven standard deviations
_END = 1e-12
# points of the rule that integrates a density over the width of an integer
N_OFFSETS = 8


class Domain:
    """All real numbers; the base of the others."""

    words = "a finite number"
    #: whether single values have a probability, and `spread` gives them a width
    discrete = False

    def learn(self, x: Array, weight: Array | None) -> None:
        """Learn what the map takes from training values, for most of them nothing."""

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Tell which values are not in the domain."""
        return ~np.isfinite(x)

    def spread(self, x: Array, offset: Array | float) -> Array:
        """Values that `forward` takes, with offsets between 0 and 1 where single ones count."""
        return x

    def forward(self, x: Array) -> tuple[Array, Array | float]:
        """Unbounded values z of x inside the domain, and log abs(dz/dx)."""
        return x, 0.0

    def inverse(self, z: Array) -> Array:
        """Values of the column for unbounded ones."""
        return z

    def inside(self, x: NDArray[Any]) -> NDArray[Any]:
        """Values that rounding has put on an end that does not belong to the domain, moved off."""
        return x

    def context(self, x: Array) -> list[Array]:
        """Columns that a condition is made of."""
        return [self.forward(self.spread(x, 0.5))[0]]


class Above(Domain):
    """Values above (``sign=1``) or below (``sign=-1``) an edge, by the logarithm of the distance.

    Parameters
    ----------
    edge : float
        The edge, which does not belong to the domain.
    sign : {1, -1}, default=1
        On which side of it the values are.
    """

    def __init__(self, edge: float, sign: int = 1) -> None:
        self.edge = edge
        self.sign = sign
        self.words = f"a number {'above' if sign > 0 else 'below'} {edge:g}"

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Tell which values are not in the domain."""
        return ~np.isfinite(x) | ~(self.sign * (x - self.edge) > 0)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Logarithm of the distance to the edge, and minus that."""
        z = np.log(self.sign * (x - self.edge))
        return z, -z

    def inverse(self, z: Array) -> Array:
        """Values at the distance exp(z)."""
        return self.edge + self.sign * np.exp(np.minimum(z, 700.0))

    def inside(self, x: NDArray[Any]) -> NDArray[Any]:
        """Values on the edge become its neighbour."""
        edge = x.dtype.type(self.edge)
        least = np.nextafter(edge, x.dtype.type(self.sign * np.inf))
        return np.maximum(x, least) if self.sign > 0 else np.minimum(x, least)


class Between(Domain):
    """Values of an interval, by the quantile function of the normal distribution.

    A density that is finite at the ends then falls like that of a normal distribution, which is
    what models begin with; the logit would give it longer tails. The ends belong to the domain.

    Parameters
    ----------
    low, high : float
        Ends of the interval.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high
        self.words = f"a number from {low:g} to {high:g}"

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Tell which values are not in the domain."""
        return ~((x >= self.low) & (x <= self.high))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Normal quantile of the position in the interval."""
        width = self.high - self.low
        # from the nearer end, where 1 - u would lose digits
        lower = np.clip((x - self.low) / width, _END, 0.5)
        upper = np.clip((self.high - x) / width, _END, 0.5)
        z = np.where(lower < 0.5, ndtri(lower), -ndtri(upper))
        return z, 0.5 * z**2 + _HALF_LOG_2PI - math.log(width)

    def inverse(self, z: Array) -> Array:
        """Values whose position is the normal distribution function."""
        width = self.high - self.low
        tail = width * ndtr(-np.abs(z))
        return np.where(z < 0, self.low + tail, self.high - tail)

    def inside(self, x: NDArray[Any]) -> NDArray[Any]:
        """Values beyond an end, by rounding, become the end."""
        return np.clip(x, x.dtype.type(self.low), x.dtype.type(self.high))


class Periodic(Domain):
    """Angles: cut open where fewest events are, then as `Between`; conditions are cosine and sine.

    Parameters
    ----------
    period : float, default=2 pi
        After which values repeat.
    """

    words = "a finite angle"

    def __init__(self, period: float = 2 * math.pi) -> None:
        self.period = period

    def learn(self, x: Array, weight: Array | None) -> None:
        """Find the cut, and the interval in which samples are given."""
        counts, _ = np.histogram(x % self.period, 64, (0.0, self.period), weights=weight)
        near = sum(np.roll(counts, shift) for shift in (-2, -1, 0, 1, 2))
        cut = (np.argmin(near) + 0.5) / 64 * self.period
        self.start_ = -self.period / 2 if x.min() < 0 else 0.0
        self._line_ = Between(cut, cut + self.period)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Position after the cut, as in `Between`."""
        low = self._line_.low
        return self._line_.forward(low + (x - low) % self.period)

    def inverse(self, z: Array) -> Array:
        """Angles of the period that the training values were in."""
        return self.start_ + (self._line_.inverse(z) - self.start_) % self.period

    def inside(self, x: NDArray[Any]) -> NDArray[Any]:
        """Values that rounding puts at the end of the period begin it anew."""
        return np.where(x >= self.start_ + self.period, x.dtype.type(self.start_), x)

    def context(self, x: Array) -> list[Array]:
        """Cosine and sine, which do not jump anywhere."""
        phase = 2 * math.pi / self.period * x
        return [np.cos(phase), np.sin(phase)]


class Integer(Domain):
    """Whole numbers: training spreads n evenly over n to n + 1, samples are rounded down.

    Parameters
    ----------
    low, high : int or None
        Smallest and largest number; None for no limit.
    """

    discrete = True

    def __init__(self, low: int | None = 0, high: int | None = None) -> None:
        self.low = low
        self.high = high
        self._spread = interval(low, None if high is None else high + 1)
        limits = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        self.words = " ".join(["a whole number", " and ".join(limits)]).strip()

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Tell which values are not in the domain."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return ~np.isfinite(x) | (x != np.floor(x)) | (x < low) | (x > high)

    def spread(self, x: Array, offset: Array | float) -> Array:
        """Numbers n + u with u between 0 and 1."""
        return x + offset

    def forward(self, x: Array) -> tuple[Array, Array | float]:
        """Unbounded values of numbers that were spread."""
        return self._spread.forward(x)

    def inverse(self, z: Array) -> Array:
        """Numbers, rounded down."""
        return self.inside(np.floor(self._spread.inverse(z)))

    def inside(self, x: NDArray[Any]) -> NDArray[Any]:
        """Numbers beyond the limits, by rounding, become the limits."""
        return x if self.low is self.high is None else np.clip(x, self.low, self.high)


class NonNegative(Domain):
    """Zeros, and logarithms of what is above: energies of cells, of which many are empty.

    Zeros become the lower half of a normal distribution that ends at the logarithm of the smallest
    value above 0, as wide as the logarithms are spread; samples that fall there are 0.
    """

    discrete = True
    words = "a number of at least 0"

    def learn(self, x: Array, weight: Array | None) -> None:
        """Find the smallest value above 0, and the spread of the logarithms."""
        above = x > 0
        self.least_, self.width_ = 1.0, 1.0
        if above.any():
            # a little less, so that rounding does not make the smallest value 0
            self.least_ = 0.999 * x[above].min()
            z = np.log(x[above] / self.least_)
            w = None if weight is None else weight[above]
            self.width_ = math.sqrt(np.average((z - np.average(z, weights=w)) ** 2, weights=w))
            self.width_ = self.width_ or 1.0

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Tell which values are not in the domain."""
        return ~np.isfinite(x) | ~(x >= 0)

    def spread(self, x: Array, offset: Array | float) -> Array:
        """Zeros become -u with u between 0 and 1."""
        return np.where(x == 0, -offset, x)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Logarithms of values above 0, and the half line of the zeros below them."""
        above = x > 0
        log_x = np.log(np.where(above, x, self.least_))
        # values smaller than any in training are no zeros
        quantile = ndtri(0.5 * np.clip(-x, 1e-9, 1.0))
        z = np.where(above, np.maximum(log_x - math.log(self.least_), 0.0), self.width_ * quantile)
        slope = math.log(0.5 * self.width_) + 0.5 * quantile**2 + _HALF_LOG_2PI
        return z, np.where(above, -log_x, slope)

    def inverse(self, z: Array) -> Array:
        """Values above 0, or 0."""
        return np.where(z > 0, self.least_ * np.exp(np.clip(z, 0.0, 700.0)), 0.0)


def interval(low: float | None, high: float | None) -> Domain:
    """Domain between two ends, None where it is open."""
    if low is None and high is None:
        return Domain()
    if high is None:
        return Above(float(low))  # type: ignore[arg-type]
    if low is None:
        return Above(float(high), -1)
    return Between(float(low), float(high))


def make_domain(value: Any, column: Any) -> Domain:
    """Domain from what a user writes.

    Raises
    ------
    ValueError
        Anything that is no domain.
    """
    if isinstance(value, Domain):
        return copy.copy(value)  # what it learns stays with the fit
    if isinstance(value, str):
        known: dict[str, Callable[[], Domain]] = {
            "positive": lambda: Above(0.0),
            "nonnegative": NonNegative,
            "periodic": Periodic,
            "integer": Integer,
        }
        if value in known:
            return known[value]()
    if isinstance(value, (tuple, list)) and len(value):
        kind, limits = (value[0], value[1:]) if isinstance(value[0], str) else ("", value)
        numeric = all(_is_number_or_none(limit) for limit in limits)
        if kind == "periodic" and numeric and len(limits) == 1 and (limits[0] or 0) > 0:
            return Periodic(float(limits[0]))
        if kind in ("", "integer") and numeric and len(limits) == 2:
            low, high = limits
            whole = kind == "" or all(limit is None or limit == int(limit) for limit in limits)
            if not whole:
                msg = f"domains: the limits of {value!r} of column {column!r} are not whole numbers"
                raise ValueError(msg)
            if low is None or high is None or low < high:
                return interval(low, high) if kind == "" else Integer(low, high)
    msg = (
        f"domains: {value!r} of column {column!r} is no domain: give 'positive', "
        "'nonnegative', 'periodic', ('periodic', period), 'integer', ('integer', low, high), or "
        "(low, high) with None for an open end"
    )
    raise ValueError(msg)


def _is_number_or_none(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return value is None or (real and math.isfinite(value))


class Columns:
    """Maps columns to the unbounded, standardised space and back.

    Parameters
    ----------
    domains : sequence of Domain
        One for each column.
    names : sequence
        What messages call the columns.
    """

    def __init__(self, domains: Sequence[Domain], names: Sequence[Any]) -> None:
        self.domains = list(domains)
        self.names = list(names)

    @property
    def is_discrete(self) -> bool:
        """Whether a density is an average over offsets."""
        return any(domain.discrete for domain in self.domains)

    def check(self, table: NDArray[Any]) -> None:
        """Refuse values outside their domain; NaN, where a particle is absent, passes."""
        for index, domain in enumerate(self.domains):
            x = table[:, index].astype(np.float64, copy=False)
            bad = np.flatnonzero(domain.outside(x) & ~np.isnan(x))
            if len(bad):
                msg = (
                    f"column {self.names[index]!r} is {x[bad[0]]:g} in row {bad[0]}, one of "
                    f"{len(bad)} of {len(x)} rows outside of its domain, {domain.words}: remove or "
                    "repair these values, or change domains"
                )
                raise ValueError(msg)

    def fit(self, table: NDArray[Any], weight: Array | None) -> Columns:
        """Learn maps, means and widths, with weights abs(w).

        Raises
        ------
        ValueError
            A value outside its domain, or a column of one value.
        """
        self.check(table)
        size = None if weight is None else np.abs(weight)
        self.mean_ = np.zeros(len(self.domains))
        self.scale_ = np.ones(len(self.domains))
        for index, domain in enumerate(self.domains):
            x = table[:, index].astype(np.float64, copy=False)
            there = ~np.isnan(x) if size is None else ~np.isnan(x) & (size > 0)
            x, w = x[there], None if size is None else size[there]
            if not len(x) or x.min() == x.max():
                value = f"is {x[0]:g} in every row" if len(x) else "has no value"
                msg = (
                    f"column {self.names[index]!r} {value}: a density needs values that differ; "
                    "drop the column, or name it in context_features"
                )
                raise ValueError(msg)
            domain.learn(x, w)
            # the middle stands for a value that is spread evenly
            z, _ = domain.forward(domain.spread(x, 0.5))
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                self.mean_[index] = np.average(z, weights=w)
                variance = np.average((z - self.mean_[index]) ** 2, weights=w)
            self.scale_[index] = math.sqrt(variance) or 1.0
            if not (math.isfinite(self.mean_[index]) and math.isfinite(self.scale_[index])):
                msg = (
                    f"column {self.names[index]!r} reaches {np.abs(x).max():g}, whose square is "
                    "infinite: divide it by a unit"
                )
                raise ValueError(msg)
        return self

    def forward(
        self, table: NDArray[Any], offsets: Array | None = None
    ) -> tuple[NDArray[np.float32], Array]:
        """Standardised values, and the logarithm of their Jacobian for each row.

        ``offsets`` of shape (n_rows or 1, n_columns) are between 0 and 1, for values that
        `Domain.spread` moves.
        """
        z = np.empty(table.shape, dtype=np.float32)
        log_jacobian = np.full(len(table), -np.log(self.scale_).sum())
        for index, domain in enumerate(self.domains):
            x = table[:, index].astype(np.float64, copy=False)
            if offsets is not None:
                x = domain.spread(x, offsets[:, index])
            value, derivative = domain.forward(x)
            z[:, index] = (value - self.mean_[index]) / self.scale_[index]
            log_jacobian += derivative
        return z, log_jacobian

    def inverse(self, z: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """Values of the columns."""
        table = np.empty(z.shape, dtype=dtype)
        for index, domain in enumerate(self.domains):
            unbounded = z[:, index].astype(np.float64) * self.scale_[index] + self.mean_[index]
            table[:, index] = domain.inside(domain.inverse(unbounded).astype(dtype))
        return table

    def outside(self, table: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which rows have a value outside its domain; NaN, of an absent particle, is none."""
        bad = np.zeros(len(table), dtype=bool)
        for index, domain in enumerate(self.domains):
            x = table[:, index].astype(np.float64, copy=False)
            bad |= domain.outside(x) & ~np.isnan(x)
        return bad


class Conditions:
    """Maps columns of the context to standardised ones; they may be constant.

    Parameters
    ----------
    domains : sequence of Domain
        One for each column.
    names : sequence
        What messages call the columns.
    """

    def __init__(self, domains: Sequence[Domain], names: Sequence[Any]) -> None:
        self._columns = Columns(domains, names)

    def fit(self, table: NDArray[Any], weight: Array | None) -> Conditions:
        """Learn maps, means and widths, with weights abs(w)."""
        self._columns.check(table)
        size = None if weight is None else np.abs(weight)
        for index, domain in enumerate(self._columns.domains):
            domain.learn(table[:, index].astype(np.float64, copy=False), size)
        made = self._made(table)
        self.mean_ = np.average(made, axis=0, weights=size)
        width = np.sqrt(np.average((made - self.mean_) ** 2, axis=0, weights=size))
        self.scale_ = np.where(width > 1e-12 * np.abs(self.mean_), width, 1.0)
        return self

    @property
    def n_columns(self) -> int:
        """Columns that a network sees."""
        return len(self.mean_)

    def forward(self, table: NDArray[Any]) -> NDArray[np.float32]:
        """Standardised conditions.

        Raises
        ------
        ValueError
            A value outside its domain.
        """
        self._columns.check(table)
        return ((self._made(table) - self.mean_) / self.scale_).astype(np.float32)

    def _made(self, table: NDArray[Any]) -> Array:
        parts = [
            part
            for index, domain in enumerate(self._columns.domains)
            for part in domain.context(table[:, index].astype(np.float64, copy=False))
        ]
        return np.column_stack(parts)


def integer_offsets(n_columns: int) -> Array:
    """Points of a lattice rule between 0 and 1, of shape (N_OFFSETS, n_columns)."""
    steps = np.arange(N_OFFSETS)[:, None] * (2 * np.arange(n_columns) + 1)
    return (steps / N_OFFSETS + 0.5 / N_OFFSETS) % 1.0
