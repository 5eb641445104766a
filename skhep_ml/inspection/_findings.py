"""Plain sentences on what needs attention in a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._format import number, percent
from skhep_ml.inspection._correlation import common_events
from skhep_ml.inspection._duplicates import DuplicateEvents
from skhep_ml.inspection._table import EventTable, SortedColumn

#: Numbers by which programs mark a missing value.
SENTINELS = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
_SENTINEL_SHARE = 1e-3
_MIN_EFFECTIVE_SIZE = 100
_LOST_POWER = 0.1
_DOMINANT_WEIGHT = 0.05
_LEAKAGE = 0.99
_TREND_P = 1e-3
_SIGN_DISTANCE = 0.1
_MANY_OUTLIERS = 0.05
_TAIL = 50
_FAR = 50
_SAME = 0.9999
_MOSTLY_MISSING = 0.5
_FEW_VALUES = 50
# events from which on a correlation of 1 is no accident
_MIN_COMMON = 30
_N_NAMES = 5


def unlisted_sentinel(column: SortedColumn) -> tuple[float, int] | None:
    """Return a number that stands at one end of a column, often, and its count."""
    if len(column.last) < 2:
        return None
    counts = {
        float(column.values[0]): int(column.last[0]) + 1,
        float(column.values[-1]): int(column.last[-1] - column.last[-2]),
    }
    for value, count in counts.items():
        if value in SENTINELS and count > max(1, _SENTINEL_SHARE * len(column.values)):
            return value, count
    return None


def feature_findings(
    features: Any, n_events: int, sentinels: dict[Any, tuple[float, int]]
) -> Iterator[str]:
    """Sentences on single features, from their table."""
    for name, count in features.loc[features["infinite"] > 0, "infinite"].items():
        yield (
            f"{name!r} is infinite in {count:,} events: repair it where it is computed; they are "
            "left out here"
        )
    empty = features.index[features["domain"] == "empty"]
    if len(empty):
        yield f"{_several('feature', empty)} without a single value: {_names(empty)}"
    constant = features.index[features["domain"] == "constant"]
    if len(constant):
        yield f"{_several('constant feature', constant)}: {_names(constant)}"
    for name, (value, count) in sentinels.items():
        yield (
            f"{name!r} is {value:g}, at the end of its range, in {count:,} events: if that stands "
            "for missing, list it in missing_values"
        )
    n_values = features["distinct"]
    identifiers = features.index[
        (features["domain"] == "integer") & (n_values > 1000) & (n_values == n_events)
    ]
    if len(identifiers):
        yield (
            f"a different integer in every event, as an event number has: {_names(identifiers)}; "
            "pass identifiers as groups=, not as features"
        )
    inner = np.maximum(features["25%"].abs(), features["75%"].abs())
    outer = np.maximum(features["0.1%"].abs(), features["99.9%"].abs())
    tails = (outer / inner.where(inner > 0)).sort_values(ascending=False)
    tails = tails[tails > _TAIL]
    if len(tails):
        yield (
            f"{_several('feature', tails)} over orders of magnitude (logarithm before training): "
            f"{_names(tails.index)}"
        )
    width = features["99.9%"] - features["0.1%"]
    for end, distance in (
        ("max", features["max"] - features["99.9%"]),
        ("min", features["0.1%"] - features["min"]),
    ):
        for name in features.index[distance > _FAR * width.where(width > 0)]:
            yield (
                f"{name!r} reaches {number(features.loc[name, end])}, but 99.8% of the weight lies "
                f"between {number(features.loc[name, '0.1%'])} and "
                f"{number(features.loc[name, '99.9%'])}"
            )
    outliers = features["outliers"].sort_values(ascending=False, kind="stable")
    outliers = outliers[outliers > _MANY_OUTLIERS]
    if len(outliers):
        shown = [f"{name!r} ({percent(share)})" for name, share in outliers.items()]
        yield f"{_several('feature', outliers)} with many outliers: {_list(shown)}"


def missing_findings(
    features: Any, class_missing: dict[Any, NDArray[np.float64]], labels: Sequence[Any]
) -> Iterator[str]:
    """Sentences on features that are mostly missing, or have few values.

    ``class_missing`` holds the missing share of the weight of each class.
    """
    known = features[features["domain"] != "empty"]
    mostly = []
    for name, overall in known["missing"].items():
        shares = class_missing[name]
        worst = int(shares.argmax())
        if overall > _MOSTLY_MISSING:
            mostly.append(f"{name!r} ({percent(overall)})")
        elif shares[worst] > _MOSTLY_MISSING:
            mostly.append(f"{name!r} ({percent(shares[worst])} of class {labels[worst]!r})")
    if mostly:
        yield (
            f"{_several('feature', mostly)} missing in more than half of the weight, over all or "
            f"in a class: {_list(mostly)}"
        )


def rare_findings(n_present: dict[Any, int], n_events: int) -> Iterator[str]:
    """A sentence on features that few of the events have."""
    rare = [
        f"{name!r} ({count})"
        for name, count in n_present.items()
        if 0 < count < min(_FEW_VALUES, n_events)
    ]
    if rare:
        what = _several("feature", rare)
        yield f"{what} present in fewer than {_FEW_VALUES} events: {_list(rare)}"


def class_findings(classes: Any, has_classes: bool) -> Iterator[str]:
    """Sentences on the weights of the classes, from their table."""
    for label, row in classes.iterrows():
        who = f"class {label!r}" if has_classes else "the sample"
        if row["sum_weight"] <= 0:
            yield (
                f"{who} has weights that sum to {number(row['sum_weight'])}: no model or metric "
                "can use it"
            )
        elif row["effective_size"] < _MIN_EFFECTIVE_SIZE:
            yield (
                f"{who} is worth {number(row['effective_size'])} unweighted events "
                f"({row['events']:,.0f} events)"
            )
        elif row["effective_size"] < _LOST_POWER * row["events"]:
            yield (
                f"{who}: {row['events']:,.0f} events have the statistical power of "
                f"{number(row['effective_size'])} unweighted ones"
            )
        if row["negative_events"] > 0:
            yield (
                f"{who} has negative weights in {percent(row['negative_events'])} of its events, "
                f"{percent(row['negative_weight'])} of its sum of abs(w)"
            )
        largest = max(abs(row["min_weight"]), row["max_weight"])
        if row["events"] > 1 / _DOMINANT_WEIGHT and (
            largest > _DOMINANT_WEIGHT * row["sum_abs_weight"]
        ):
            yield (
                f"{who}: one event carries {percent(largest / row['sum_abs_weight'])} of the "
                "weight, in abs(w)"
            )
        if row["zero_events"] > 0:
            count = round(row["zero_events"] * row["events"])
            yield f"{who} has weight zero in {count:,} of its events"


def duplicate_findings(duplicates: DuplicateEvents | None) -> Iterator[str]:
    """A sentence on repeated identifiers."""
    if duplicates is None or not duplicates.n_extra:
        return
    identifier, count = duplicates.examples[0]
    yield (
        f"repeated event identifiers: {duplicates.n_repeated:,}, with {duplicates.n_extra:,} "
        f"events too many, for example {identifier} in {count} events: right for variations of an "
        "event, wrong otherwise"
    )


def shift_findings(class_bias: Any, sign_bias: Any) -> Iterator[str]:
    """Sentences on features that separate classes entirely, or signs of weights."""
    if class_bias is not None:
        telling = class_bias[class_bias["distance"] > _LEAKAGE]["feature"].unique()
        if len(telling):
            yield f"the class can be read off, as from a leaked label: {_names(telling)}"
        difference = class_bias[class_bias["missing_difference"].abs() > _LEAKAGE]
        if len(difference):
            yield (
                "missing in one class and present in the other, which tells the class: "
                f"{_names(difference['feature'].unique())}"
            )
    if sign_bias is None:
        return
    strong = sign_bias[(sign_bias["distance"] > _SIGN_DISTANCE) & (sign_bias["pvalue"] < _TREND_P)]
    for label, rows in strong.groupby("class", sort=True):
        shown = [
            f"{name!r} ({distance:.2f})"
            for name, distance in zip(rows["feature"], rows["distance"], strict=True)
        ]
        yield (
            f"class {label!r}: events of negative weight are distributed unlike the others, so "
            f'that "drop" and "abs" bias a model; distances {_list(shown)}'
        )


def trend_findings(trends: Any, order_name: str) -> Iterator[str]:
    """A sentence on the features that depend on the ordering column."""
    if trends is None:
        return
    strong = trends[trends["global_pvalue"] < _TREND_P]
    if len(strong):
        shown = [f"{name!r} (by {drift:.2g} std)" for name, drift in strong["drift"].items()]
        yield f"{_several('feature', strong)} with a trend along {order_name}: {_list(shown)}"


def correlation_findings(correlation: NDArray[np.float64], table: EventTable) -> Iterator[str]:
    """A sentence on features that repeat another one."""
    rows, columns = np.nonzero(np.triu(np.abs(correlation) > _SAME, 1))
    if len(rows):
        enough = common_events(table, rows, columns) >= _MIN_COMMON
        rows, columns, names = rows[enough], columns[enough], table.names
    if len(rows):
        pairs = [
            f"{names[i]!r} and {names[j]!r}"
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        yield f"features that are linear functions of each other: {_list(pairs, '; ')}"


def _several(what: str, items: Any) -> str:
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


def _names(names: Any) -> str:
    return _list([repr(name) for name in names])


def _list(texts: list[str], separator: str = ", ") -> str:
    more = len(texts) - _N_NAMES
    return separator.join(texts[:_N_NAMES]) + (f" and {more} more" if more > 0 else "")
