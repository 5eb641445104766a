"""Signal region and sidebands in a mass."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skhep_ml._frames import column_positions, is_frame, numeric_columns
from skhep_ml._identifiers import take_id_columns

Array = NDArray[np.float64]
Interval = tuple[float, float]

#: Numbers of the regions, and their names in messages.
OUTSIDE, LOWER, SIGNAL, UPPER = -1, 0, 1, 2
NAMES = {LOWER: "lower sideband", SIGNAL: "signal region", UPPER: "upper sideband"}


class Regions(NamedTuple):
    """Intervals of mass, each from its lower end up to, not including, its upper end.

    Attributes
    ----------
    lower, signal, upper : tuple of float
        Lower sideband, signal region, upper sideband.
    """

    lower: Interval
    signal: Interval
    upper: Interval

    def of(self, mass: Array) -> NDArray[np.intp]:
        """Number of the region of every event; -1 outside of all."""
        region = np.full(len(mass), OUTSIDE, dtype=np.intp)
        for number, (low, high) in enumerate(self):
            region[(mass >= low) & (mass < high)] = number
        return region

    def describe(self, number: int) -> str:
        """Name and ends of a region."""
        low, high = self[number]
        return f"{NAMES[number]} [{low:g}, {high:g})"


def check_regions(signal_region: Any, sidebands: Any) -> Regions:
    """Signal region with its sidebands; None takes all that is below and above.

    Raises
    ------
    ValueError
        Ends that do not rise, or sidebands that are not below and above the signal region.
    """
    signal = _interval(signal_region, "signal_region", finite=True)
    if sidebands is None:
        return Regions((-np.inf, signal[0]), signal, (signal[1], np.inf))
    try:
        lower, upper = sidebands
    except (TypeError, ValueError) as error:
        msg = f"sidebands must be two intervals, ((low, high), (low, high)), got {sidebands!r}"
        raise ValueError(msg) from error
    lower, upper = _interval(lower, "sidebands[0]"), _interval(upper, "sidebands[1]")
    if lower[1] > signal[0] or upper[0] < signal[1]:
        msg = (
            f"sidebands={sidebands!r} must lie below and above signal_region={signal}, in this "
            "order and without overlap"
        )
        raise ValueError(msg)
    return Regions(lower, signal, upper)


def _interval(ends: Any, name: str, *, finite: bool = False) -> Interval:
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high or (finite and not (np.isfinite(low) and np.isfinite(high))):
        msg = f"{name} must be two rising masses (low, high), got {ends!r}"
        raise ValueError(msg)
    return low, high


def check_mass(mass: ArrayLike) -> Array:
    """Masses as float64.

    Raises
    ------
    ValueError
        Another shape than (n_events,), NaN or infinite values.
    """
    values = np.asarray(mass, dtype=np.float64)
    if values.ndim != 1:
        msg = f"mass must have shape (n_events,), got {values.shape}"
        raise ValueError(msg)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        msg = (
            f"mass is NaN or infinite in {len(bad)} events, first in event {bad[0]} "
            f"({values[bad[0]]}): leave these events out"
        )
        raise ValueError(msg)
    return values


def check_populated(
    regions: Regions, mass: Array, weight: Array | None
) -> tuple[NDArray[np.intp], Array]:
    """Region of every event, and the sum of weights of the three regions.

    Raises
    ------
    ValueError
        A region without events, or whose weights sum to 0 or less.
    """
    region = regions.of(mass)
    w = np.ones(len(mass)) if weight is None else weight
    sums = np.empty(3)
    for number in (SIGNAL, LOWER, UPPER):
        here = region == number
        if not here.any():
            found = f"masses reach from {mass.min():g} to {mass.max():g}" if len(mass) else "none"
            msg = (
                f"there is no event in the {regions.describe(number)}; {found}: move the signal "
                "region or the sidebands, or check the unit of the mass"
            )
            raise ValueError(msg)
        sums[number] = w[here].sum()
        if not sums[number] > 1e-12 * np.abs(w[here]).sum():
            msg = (
                f"the weights of the {np.count_nonzero(here)} events in the "
                f"{regions.describe(number)} sum to {sums[number]:.6g}, but a positive sum is "
                "needed: take more events or wider regions"
            )
            raise ValueError(msg)
    return region, sums


def take_identifiers(X: Any, mass: Any, id_columns: Any, groups: Any) -> tuple[Any, Any, Any]:
    """X without identifier columns, the column of the mass in it, and the identifiers."""
    if not is_frame(X):
        X = check_array(X, ensure_all_finite=False, input_name="X")
    (position,) = column_positions(X, [mass], argument="mass")
    if id_columns is None:
        return X, position, groups
    single = isinstance(id_columns, (str, int, np.integer))
    ids = column_positions(X, [id_columns] if single else list(id_columns), argument="id_columns")
    if position in ids:
        msg = f"mass={mass!r} is among id_columns={id_columns!r}"
        raise ValueError(msg)
    X, groups = take_id_columns(X, id_columns)
    return X, position - sum(one < position for one in ids), groups


def take_mass(X: Any, position: int) -> Array:
    """Masses of a table."""
    return check_mass(numeric_columns(X, [position])[:, 0])


def take_features(X: Any, position: int) -> NDArray[Any]:
    """All columns of a table but the mass, as an array."""
    n_columns = len(X.columns) if is_frame(X) else X.shape[1]
    return numeric_columns(X, [k for k in range(n_columns) if k != position])
