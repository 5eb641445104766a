"""Scaler that chooses between min-max, logarithm and z-score for each feature."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.preprocessing._base import ColumnScaler
from skhep_ml.preprocessing._column_map import ColumnMap
from skhep_ml.preprocessing._histogram import mid_quantile
from skhep_ml.preprocessing._linear import (
    check_feature_range,
    minmax_map,
    robust_map,
    zscore_map,
)
from skhep_ml.preprocessing._log import LOG_METHODS, log_map, log_methods
from skhep_ml.preprocessing._statistics import ColumnStatistics

METHODS = ("minmax", "log", "shifted", "signed", "zscore", "robust", "passthrough")

# The thresholds stand far from the values of common shapes, which the Notes of AutoScaler list.
LOG_TAIL = 30.0
BOUNDED_SPAN = 2.6
MIN_DISTINCT = 100
MAX_MISSING = 2 / 3
SPIKE_WEIGHT = 0.1
# a narrow peak that fills a few bins is no spike: there the bins beside it hold much as well
SPIKE_CONTRAST = 4.0


def choose_method(statistics: ColumnStatistics, index: int) -> tuple[str, str]:
    """Scaling of one column by the shape of its weighted distribution, and why."""
    if statistics.empty[index]:
        return "passthrough", "no values"
    if statistics.constant[index]:
        return "zscore", "constant: goes to 0"
    values, weight = statistics.column(index)
    if len(values) == 2:
        return "minmax", "two values"
    total = weight.sum()
    spikes = _spikes(statistics, index, weight)
    spike_share = weight[spikes].sum() / total
    shape_values, shape_weight = values[~spikes], weight[~spikes]
    outside = " outside spikes" if spikes.any() else ""
    tail = _tail(shape_values, shape_weight)
    if tail > LOG_TAIL:
        return "log", f"orders of magnitude{outside}: 99.5% quantile of |x| is {tail:.3g} medians"
    if len(values) < MIN_DISTINCT:
        return "zscore", f"{len(values)} distinct values"
    present = statistics.weight[index] / statistics.total_weight
    missing = 1.0 - present * (1.0 - spike_share)
    if missing > MAX_MISSING:
        return "zscore", f"{missing:.0%} missing" + (" or at a spike" if spikes.any() else "")
    bottom, first, third, top = mid_quantile(shape_values, shape_weight, [0.005, 0.25, 0.75, 0.995])
    span = (top - bottom) / (third - first) if third > first else np.inf
    text = f"99% of the values{outside} span {span:.3g} interquartile ranges"
    return ("minmax", f"bounded: {text}") if span < BOUNDED_SPAN else ("zscore", f"tails: {text}")


def _spikes(
    statistics: ColumnStatistics, index: int, weight: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Bins of a column that stand out: filled-in values, or the ends of a clipped feature."""
    assert statistics.histogram is not None
    beside = statistics.histogram.neighbours(index)
    return (weight > SPIKE_WEIGHT * weight.sum()) & (weight > SPIKE_CONTRAST * beside)


def _tail(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Ratio of the 99.5% quantile to the median of the non-zero absolute values."""
    used = values != 0
    if not used.any():
        return 1.0
    size, weight = np.abs(values[used]), weight[used]
    order = np.argsort(size)
    median, top = mid_quantile(size[order], weight[order], [0.5, 0.995])
    return float(top / median)


class AutoScaler(ColumnScaler):
    """Choose for each feature between min-max, logarithm and z-score.

    Parameters
    ----------
    methods : dict, default=None
        Choices to impose: ``{column name or index: method}``. "minmax", "log" and "zscore" are
        the methods that are also chosen by themselves; "robust" is `ZScoreScaler` with
        ``robust=True``, "shifted" and "signed" are variants of `LogScaler`, "passthrough" leaves
        the feature alone. All other features are decided by their distribution.
    feature_range : tuple (low, high), default=(-1, 1)
        Range of the features scaled by min-max.

    Attributes
    ----------
    methods_ : dict
        The method of each feature, by column name, or by index without names.
    reasons_ : dict
        Why, in a few words, by the same keys; both are shown in the HTML display.
    n_samples_seen_ : int
        Number of events.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Column names, when fitted on a DataFrame.

    See Also
    --------
    MinMaxScaler, LogScaler, ZScoreScaler : The scalings in use, with their defaults.

    Notes
    -----
    The first rule that holds decides; quantiles are weighted by abs(w):

    1. no values: "passthrough"; one value: "zscore", which sends it to 0; two: "minmax";
    2. 99.5% quantile over median of the non-zero abs(x) above 30: "log";
    3. fewer than 100 distinct values: "zscore" (counts, or too few to tell);
    4. more than two thirds missing or at a spike: "zscore";
    5. distance of the 0.5% and 99.5% quantiles below 2.6 interquartile ranges: "minmax", since
       there are no tails; otherwise "zscore".

    Rules 2 and 5 look at the values outside spikes: values that hold more than 10% of the weight
    each, and more than four times as much as the histogram bins beside them. Such are the
    replacements of missing values, zeros for "none", and the ends of a clipped feature; they say
    nothing about the shape of the rest. In clouds absent particles do not count as missing.

    Rule 2 compares 30 with 4.2 for a Gaussian, 7.6 for an exponential and about 400 for a
    log-normal over six decades; rule 5 compares 2.6 with 2.0 for a uniform distribution, 3.1
    for a triangular one, 3.8 for a Gaussian and 4.8 for an exponential. The margins are many
    standard deviations wide from some thousand events on, so that the choice does not flip from
    one fold to the next. Where it must never change, give it in ``methods``.

    A float64 feature that goes beyond 3.4e38, or is mostly below 1.2e-38, is refused unless its
    method is given ("minmax", "zscore", "robust", "passthrough"): change its unit.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.preprocessing import AutoScaler
    >>> rng = np.random.default_rng(0)
    >>> phi, mass = rng.uniform(-np.pi, np.pi, 2000), rng.normal(91, 5, 2000)
    >>> impact = rng.lognormal(0, 2.5, 2000)
    >>> scaler = AutoScaler().fit(np.column_stack([phi, mass, impact]))
    >>> scaler.methods_
    {0: 'minmax', 1: 'zscore', 2: 'log'}
    """

    def __init__(
        self,
        methods: Mapping[Any, str] | None = None,
        *,
        feature_range: tuple[float, float] = (-1, 1),
    ) -> None:
        self.methods = methods
        self.feature_range = feature_range

    def _check_parameters(self) -> None:
        check_feature_range(self.feature_range)
        if self.methods is None:
            return
        if not isinstance(self.methods, Mapping):
            msg = f"methods={self.methods!r} must be a dict {{column name or index: method}}"
            raise ValueError(msg)
        for column, method in self.methods.items():
            if method not in METHODS:
                msg = f"methods[{column!r}]={method!r} must be one of {METHODS}"
                raise ValueError(msg)

    def _imposed(self) -> dict[int, str]:
        """Imposed methods by column index."""
        names = [] if self._names is None else list(self._names)
        imposed = {}
        for column, method in (self.methods or {}).items():
            if column in names:
                imposed[names.index(column)] = method
            elif isinstance(column, (int, np.integer)) and 0 <= column < self.n_features_in_:
                imposed[int(column)] = method
            else:
                known = names or f"0 to {self.n_features_in_ - 1}"
                msg = f"methods names the column {column!r}, but the columns are {known}"
                raise ValueError(msg)
        return imposed

    def _needs(self) -> dict[str, Any]:
        quartiles = [index for index, method in self._imposed().items() if method == "robust"]
        return {"moments": True, "histogram": True, "quartiles": quartiles}

    def _solve(self, statistics: ColumnStatistics) -> ColumnMap:
        imposed = self._imposed()
        choices = [
            (imposed[index], "imposed") if index in imposed else choose_method(statistics, index)
            for index in range(self.n_features_in_)
        ]
        chosen = np.array([method for method, _ in choices])
        zeros = np.zeros(self.n_features_in_)
        column_map = ColumnMap.linear(zeros, zeros + 1.0)
        is_minmax, is_zscore, is_robust = (chosen == m for m in ("minmax", "zscore", "robust"))
        column_map.update(
            minmax_map(statistics, check_feature_range(self.feature_range)), is_minmax
        )
        if is_zscore.any():
            column_map.update(zscore_map(statistics, self._names, columns=is_zscore), is_zscore)
        if is_robust.any():
            column_map.update(robust_map(statistics, columns=is_robust), is_robust)
        is_log = np.isin(chosen, LOG_METHODS) & ~statistics.empty
        if is_log.any():
            automatic = log_methods(statistics, "auto", self._names)
            variants = np.where(chosen == "log", automatic, chosen)
            column_map.update(log_map(statistics, np.where(is_log, variants, "")), is_log)
        keys = range(self.n_features_in_) if self._names is None else self._names.tolist()
        self.methods_ = {key: method for key, (method, _) in zip(keys, choices, strict=True)}
        self.reasons_ = {key: reason for key, (_, reason) in zip(keys, choices, strict=True)}
        return column_map

    def _html_repr(self) -> str:
        """Display of scikit-learn, with a table of the choices below it."""
        display = super()._html_repr()
        if not hasattr(self, "methods_"):
            return display
        rows = "".join(
            f"<tr><td>{html.escape(str(key))}</td><td>{method}</td>"
            f"<td>{html.escape(self.reasons_[key])}</td></tr>"
            for key, method in self.methods_.items()
        )
        head = "<tr><th>feature</th><th>method</th><th>why</th></tr>"
        return f"{display}<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
