"""What a physicist wants to know about a sample before training on it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skhep_ml._extras import import_extra
from skhep_ml._validation import MAX_CLASSES, check_event_id, check_event_weight, check_labels
from skhep_ml.impute._masks import missing_sentinels
from skhep_ml.inspection._correlation import weighted_correlation
from skhep_ml.inspection._duplicates import DuplicateEvents, duplicate_events
from skhep_ml.inspection._features import class_row, feature_row
from skhep_ml.inspection._findings import (
    class_findings,
    correlation_findings,
    duplicate_findings,
    feature_findings,
    missing_findings,
    rare_findings,
    shift_findings,
    trend_findings,
    unlisted_sentinel,
)
from skhep_ml.inspection._shifts import ShiftTest, missing_differences, sign_cells
from skhep_ml.inspection._table import EventTable, SortedColumn
from skhep_ml.inspection._trends import (
    OrderBins,
    Trend,
    check_bins,
    check_order,
    global_pvalue,
    order_bins,
    trend,
)

# name of the weight among the trends
WEIGHT = "sample_weight"


@dataclass(repr=False, eq=False)
class SampleDescription:
    """Tables about a sample, as `describe_events` makes them.

    Parameters
    ----------
    n_events : int
        Number of events.
    findings : list of str
        Sentences on what needs attention, if anything.
    features : DataFrame
        One row a feature: ``domain`` ("empty", "constant", "binary", "integer", "angle", "real"),
        number of ``distinct`` values, share of the weight that is ``missing``, number of
        ``infinite`` values, share of the weight in ``outliers``, ``min``, quantiles, ``max``,
        ``mean``, ``std`` and ``skewness``.
    classes : DataFrame
        One row a class, or the one row "all": ``events``, ``sum_weight`` and its statistical
        ``error`` sqrt(sum w^2), ``sum_abs_weight``, the share of ``negative_events``, the share
        ``negative_weight`` they have of sum abs(w), the share of ``zero_events``,
        ``effective_size`` (sum w)^2 / sum w^2, ``min_weight`` and ``max_weight``.
    correlation : DataFrame
        Pearson correlations of the features; each pair over the events that have both.
    class_correlation : dict of DataFrame, default=None
        The same for each class, where it was asked for.
    class_bias : DataFrame, default=None
        Kolmogorov-Smirnov ``distance`` and ``pvalue`` of each feature between a ``class`` and the
        one it stands ``against``, the largest first, and the ``missing_difference`` of the
        missing shares; None for fewer than two classes.
    sign_bias : DataFrame, default=None
        ``distance`` and ``pvalue`` between events of negative and positive weight inside each
        ``class``, the largest first; None without negative weights.
    trends : DataFrame, default=None
        One row a feature, and one for the weight, "sample_weight", unless a feature has that
        name: test of a dependence on the ordering column, the strongest first. ``chi2`` of the
        bin means against a common one, ``ndf``, ``pvalue``, ``global_pvalue`` for as many tests,
        ``drift`` of the means beyond their noise in units of ``spread``, ``overall`` mean,
        ``spread`` inside the bins; None without ``order``.
    profiles : DataFrame, default=None
        The bins behind them: ``feature``, ``bin``, range ``low`` to ``high`` and ``center`` of
        the ordering column, number of ``events``, ``mean`` and its ``error``.
    duplicates : DuplicateEvents, default=None
        Repeated event identifiers; None without ``groups``.
    order_name : str, default=None
        Name of the ordering column.

    See Also
    --------
    describe_events : Makes it.
    skhep_ml.plotting.CorrelationDisplay : Picture of the correlations.
    skhep_ml.plotting.TrendDisplay : Picture of the trends.
    """

    n_events: int
    findings: list[str]
    features: Any
    classes: Any
    correlation: Any
    class_correlation: dict[Any, Any] | None = None
    class_bias: Any = None
    sign_bias: Any = None
    trends: Any = None
    profiles: Any = None
    duplicates: DuplicateEvents | None = None
    order_name: str | None = None

    @property
    def _title(self) -> str:
        order = "" if self.order_name is None else f", ordered by {self.order_name}"
        return f"{self.n_events:,} events, {len(self.features)} features{order}"

    def _tables(self) -> list[tuple[str, str, Any]]:
        """Attribute, heading and rows of the tables to show."""
        tables = [("classes", "weights by class", self.classes), ("features", "", self.features)]
        for name, heading in (
            ("class_bias", "distances between classes"),
            ("sign_bias", "distances between negative and positive weights"),
            ("trends", f"dependence on {self.order_name}"),
        ):
            table = getattr(self, name)
            if table is not None:
                tables.append((name, heading, table))
        return tables

    def __repr__(self) -> str:
        lines = [f"SampleDescription: {self._title}", "", "findings"]
        lines += [f"  - {finding}" for finding in self.findings] or ["  none"]
        short = ["domain", "missing", "min", "50%", "max", "mean", "std", "outliers"]
        for name, heading, table in self._tables():
            if name == "features":
                table = table[short]
            shown = table if name in ("features", "classes") else table.head(5)
            rest = f", {len(shown)} of {len(table)}" if len(shown) < len(table) else ""
            lines += ["", f"{name}{f' ({heading}{rest})' if heading else ''}"]
            text = shown.to_string(
                max_rows=40,
                index=name in ("features", "classes", "trends"),
                float_format="{:.4g}".format,
            )
            lines += [f"  {line}" for line in text.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(finding)}</li>" for finding in self.findings)
        parts = [
            f"<h4>{html.escape(self._title)}</h4>",
            f"<ul>{items}</ul>" if items else "<p>Nothing stands out.</p>",
        ]
        for name, heading, table in self._tables():
            summary = html.escape(f"{name}: {heading}" if heading else name)
            body = table.to_html(
                border=0, max_rows=60, float_format="{:.4g}".format, index_names=False
            )
            opened = " open" if name == "classes" else ""
            parts.append(f"<details{opened}><summary>{summary}</summary>{body}</details>")
        return f"<div>{''.join(parts)}</div>"


def describe_events(
    X: Any,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    groups: Any = None,
    order: Any = None,
    missing_values: float | Sequence[float] = (np.nan, -999.0),
    feature_names: Sequence[str] | None = None,
    n_bins: int = 20,
    class_correlation: bool = False,
    random_state: Any = 0,
) -> SampleDescription:
    r"""Describe a sample before training: features, weights, biases, trends, duplicates.

    Parameters
    ----------
    X : array-like of shape (n_events, n_features) or DataFrame
        Features; all columns must be numbers.
    y : array-like of shape (n_events,), default=None
        Class labels, or names of the processes; None takes all events as one class.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers, in which duplicates are looked for.
    order : str or array-like of shape (n_events,), default=None
        Run, time or event number, on which nothing should depend: name of a column of X, which
        then is no feature, or values (numbers or datetime64).
    missing_values : float or sequence of float, default=(nan, -999.0)
        Values that stand for "missing". NaN and None always do.
    feature_names : sequence of str, default=None
        Names of the columns of an array; None numbers them x0, x1, ...
    n_bins : int, default=20
        Number of bins along ``order``, of nearly equal numbers of events; equal values of
        ``order`` share a bin, so that there may be fewer.
    class_correlation : bool, default=False
        Whether to add the correlations inside each class.
    random_state : int, RandomState instance or None, default=0
        Seed of the p-values of distances between classes with negative weights.

    Returns
    -------
    SampleDescription
        Tables as DataFrames, and ``findings``: what needs attention, in sentences.

    Raises
    ------
    ModuleNotFoundError
        pandas is not installed.
    ValueError
        A column that does not hold numbers, an unknown ``order``, identifiers that are not
        integers, lengths that differ, unusable weights, missing labels or more than 100 classes.

    See Also
    --------
    duplicate_events, event_overlap : Repeated identifiers in one sample and in two.
    skhep_ml.plotting.FeatureDisplay : Distribution of a feature by class.

    Notes
    -----
    Which weight enters:

    ================================================  ==========================================
    signed w                                          sums, errors and effective sizes of the
                                                      classes; distances between classes
    abs(w)                                            missing shares, quantiles, outliers, moments,
                                                      correlations, trends, distances between
                                                      negative and positive weights
    none                                              extremes, numbers of distinct and of infinite
                                                      values, trend of the weight itself
    ================================================  ==========================================

    - Missing and infinite values are left out of all other statistics of their feature.
    - Outliers lie below :math:`q_{25} - 3\,\mathrm{IQR}` or above :math:`q_{75} + 3\,\mathrm{IQR}`
      with the interquartile range IQR; where that is 0 their share is NaN.
    - A quantile is the smallest value at which the share of the weight up to it reaches q. ``std``
      has no correction for the sample size: integer weights give what repeated events give.
    - Distances are those of `skhep_ml.metrics.ks_2samp_weighted`, over the events that have the
      feature; they are NaN where such events of a class do not have a positive sum of weights.
      p-values come from its formula; with negative weights from 1000 simulations of the noise of
      both distribution functions, at 1000 points, so that none is below 0.001.
    - Trends: :math:`\chi^2 = \sum_b (m_b - m)^2 / \sigma_b^2` of weighted means in bins, with one
      variance of the feature for all bins, against a common mean m.

    Examples
    --------
    >>> from skhep_ml.datasets import load_higgs
    >>> from skhep_ml.inspection import describe_events
    >>> events = load_higgs(weights="signed")
    >>> description = describe_events(
    ...     events.data, events.target, events.weight, groups=events.event_number,
    ...     feature_names=events.feature_names)
    >>> description.classes["negative_events"].round(2).to_dict()
    {0: 0.18, 1: 0.0}
    >>> description.features["domain"].value_counts().to_dict()
    {'real': 24, 'angle': 5, 'integer': 1}
    >>> description.sign_bias["feature"].iloc[0]
    'n_jets'
    >>> description.duplicates.n_extra
    0
    """
    pandas = import_extra("pandas", "root")
    bins = check_bins(n_bins)
    table = EventTable(X, feature_names, missing_sentinels(missing_values))
    order_values, order_name = None, None
    if isinstance(order, str):
        position = table.position(order, "order")
        order_values, order_name = table.raw(position), order
        table = table.without(position)
    elif order is not None:
        order_values, order_name = np.asarray(order), str(getattr(order, "name", "") or "order")
    n_events = table.n_events
    weight = check_event_weight(sample_weight, n_events)
    signed = np.ones(n_events) if weight is None else weight
    size = np.abs(signed)
    labels, codes = _classes(y, n_events)
    if groups is not None:
        check_event_id(groups, n_events)
    along = None
    if order_values is not None:
        order_values = check_order(order_values, n_events, f"order {order_name!r}")
        along = order_bins(order_values, bins, f"order {order_name!r}")
    seed = int(check_random_state(random_state).randint(2**31))

    parts = _scan(table, signed, codes, along, ShiftTest(labels, seed))
    features = pandas.DataFrame(parts.features, index=pandas.Index(table.names, name="feature"))
    class_rows = [class_row(signed[codes == k]) for k in range(len(labels))]
    classes = pandas.DataFrame(class_rows, index=pandas.Index(labels, name="class"))
    center, low, high = (
        features[column].to_numpy(dtype=np.float64) for column in ("50%", "min", "max")
    )
    scale = np.maximum(high - center, center - low)

    def correlation_frame(inside: NDArray[np.bool_] | None) -> Any:
        matrix = weighted_correlation(table, size, center, scale, inside)
        return pandas.DataFrame(matrix, index=table.names, columns=table.names)

    correlation = correlation_frame(None)
    trends, profiles = None, None
    if along is not None:
        if weight is not None and WEIGHT not in table.names:
            parts.trends[WEIGHT] = trend(weight, along.of_event, None, len(along.low))
        trends, profiles = _trend_frames(pandas, parts.trends, along)
    class_bias = _shift_frame(pandas, parts.class_bias) if len(labels) > 1 else None
    sign_bias = _shift_frame(pandas, parts.sign_bias) if signed.min() < 0 else None
    duplicates = None if groups is None else duplicate_events(groups)
    findings = [
        *class_findings(classes, y is not None),
        *duplicate_findings(duplicates),
        *shift_findings(class_bias, sign_bias),
        *trend_findings(trends, str(order_name)),
        *feature_findings(features, n_events, parts.sentinels),
        *missing_findings(features, parts.missing, labels),
        *rare_findings(parts.n_present, n_events),
        *correlation_findings(correlation.to_numpy(), table),
    ]
    return SampleDescription(
        n_events=n_events,
        findings=findings,
        features=features,
        classes=classes,
        correlation=correlation,
        class_correlation=(
            {label: correlation_frame(codes == k) for k, label in enumerate(labels)}
            if class_correlation
            else None
        ),
        class_bias=class_bias,
        sign_bias=sign_bias,
        trends=trends,
        profiles=profiles,
        duplicates=duplicates,
        order_name=order_name,
    )


@dataclass
class _Parts:
    """What one pass over the columns collects."""

    features: list[dict[str, Any]]
    class_bias: list[dict[str, Any]]
    sign_bias: list[dict[str, Any]]
    trends: dict[Any, Trend]
    sentinels: dict[Any, tuple[float, int]]
    missing: dict[Any, NDArray[np.float64]]
    n_present: dict[Any, int]


def _scan(
    table: EventTable,
    weight: NDArray[np.float64],
    codes: NDArray[np.intp],
    along: OrderBins | None,
    test: ShiftTest,
) -> _Parts:
    """Sort each column once, and take from it all that concerns this column alone."""
    parts = _Parts([], [], [], {}, {}, {}, {})
    size, cells, n_classes = np.abs(weight), sign_cells(codes, weight), len(test.labels)
    has_negative = bool(weight.min() < 0)
    total = np.bincount(codes, size, n_classes).astype(np.float64, copy=False)
    for name, values in zip(table.names, table.columns(), strict=True):
        column = SortedColumn.from_column(values, table.sentinels)
        here, cells_here = size[column.events], cells[column.events]
        missing = column.missing
        lost = np.bincount(codes[missing], size[missing], n_classes).astype(np.float64, copy=False)
        parts.features.append(feature_row(column, here, float(lost.sum() / total.sum())))
        parts.missing[name] = np.divide(lost, total, out=np.zeros_like(lost), where=total > 0)
        parts.n_present[name] = len(column.values)
        sentinel = unlisted_sentinel(column)
        if sentinel is not None:
            parts.sentinels[name] = sentinel
        if n_classes > 1:
            rows = test.between_classes(column, here, cells_here)
            differences = missing_differences(lost, total)
            parts.class_bias += [
                {"feature": name, **row, "missing_difference": difference}
                for row, difference in zip(rows, differences, strict=True)
            ]
        if has_negative:
            rows = test.between_signs(column, here, cells_here)
            parts.sign_bias += [{"feature": name, **row} for row in rows]
        if along is not None:
            bins, used = along.of_event, size
            if len(column.values) < len(values):
                finite = ~table.absent(values)
                values, bins, used = values[finite], bins[finite], size[finite]
            parts.trends[name] = trend(values, bins, used, len(along.low))
    return parts


def _classes(y: ArrayLike | None, n_events: int) -> tuple[list[Any], NDArray[np.intp]]:
    """Labels of the classes and the class of each event."""
    if y is None:
        return ["all"], np.zeros(n_events, dtype=np.intp)
    labels, codes = check_labels(y, n_events, max_classes=MAX_CLASSES)
    return labels.tolist(), codes


def _shift_frame(pandas: Any, rows: list[dict[str, Any]]) -> Any:
    frame = pandas.DataFrame(rows)
    return frame.sort_values(
        "distance", ascending=False, kind="stable", na_position="last", ignore_index=True
    )


def _trend_frames(pandas: Any, trends: dict[Any, Trend], along: OrderBins) -> tuple[Any, Any]:
    names = list(trends)
    columns = ("chi2", "ndf", "pvalue", "drift", "overall", "spread")
    frame = pandas.DataFrame(
        {column: [getattr(one, column) for one in trends.values()] for column in columns},
        index=pandas.Index(names, name="feature"),
    )
    frame.insert(3, "global_pvalue", global_pvalue(frame["pvalue"].to_numpy(dtype=np.float64)))
    # tiny p-values are equal: chi2 then decides
    frame = frame.sort_values(
        ["pvalue", "chi2"], ascending=[True, False], kind="stable", na_position="last"
    )
    n_bins = len(along.low)
    profiles = pandas.DataFrame(
        {
            "feature": np.repeat(np.array(names, dtype=object), n_bins),
            "bin": np.tile(np.arange(n_bins), len(names)),
            **{
                key: np.tile(getattr(along, key), len(names))
                for key in ("low", "high", "center", "events")
            },
            "mean": np.concatenate([one.mean for one in trends.values()]),
            "error": np.concatenate([one.error for one in trends.values()]),
        }
    )
    return frame, profiles
