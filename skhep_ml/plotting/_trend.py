"""Means of features along run, time or event number."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._extras import import_extra
from skhep_ml._format import p_value
from skhep_ml._validation import check_event_weight
from skhep_ml.impute._masks import missing_sentinels
from skhep_ml.inspection._table import EventTable
from skhep_ml.inspection._trends import (
    Trend,
    check_bins,
    check_order,
    order_bins,
    trend,
)
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import BAND_ALPHA, COLORS, ticks_inside

_MARKERS = "osD^vP"
_MAX_TICKS = 20
# features shown unless they are named
_MAX_FEATURES = 5


class TrendDisplay(Display):
    """Means of one feature, or of a few, along run, time or event number.

    Make it with ``from_data`` or ``from_description``.

    Parameters
    ----------
    low, high, center : ndarray of shape (n_bins,)
        Range of the ordering column in every bin, and its value in the middle.
    mean, error : ndarray of shape (n_features, n_bins)
        Means and their statistical errors; NaN where a bin has no value.
    overall, spread : ndarray of shape (n_features,)
        Common mean, and standard deviation inside the bins.
    chi2, ndf, pvalue : ndarray of shape (n_features,)
        Test that the means are all the same.
    feature_names : sequence of str
        Names of the features.
    order_name : str, default="order"
        Name of the ordering column, shown at its axis.
    name : str, default=None
        Name of the sample, shown as title.

    Attributes
    ----------
    lines_ : list of matplotlib ErrorbarContainer
        The means of each feature.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.inspection.describe_events : The tests of all features.

    Notes
    -----
    Bins hold nearly equal numbers of events. Weights enter as abs(w); the errors use one variance
    of the feature for all bins. One feature is shown in its own units, with its common mean and
    the error of that as a band; several are shown less their common means, in units of their
    standard deviations. The p-values are those of each feature alone.
    ``plot`` takes ``equal_steps`` (one step a bin, whatever its range; default: where the ordering
    column holds integers, such as runs, which come in clusters); it passes other keywords to
    :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import TrendDisplay
    >>> run = np.arange(1000)
    >>> met = np.random.default_rng(0).normal(50 + 0.01 * run, 10)
    >>> display = TrendDisplay.from_data(met, run, n_bins=4, order_name="run")
    >>> display.mean.round(1)
    array([[51.2, 53.3, 55.8, 57.8]])
    >>> bool(display.pvalue[0] < 1e-6)
    True
    """

    def __init__(
        self,
        *,
        low: NDArray[Any],
        high: NDArray[Any],
        center: NDArray[Any],
        mean: NDArray[np.float64],
        error: NDArray[np.float64],
        overall: NDArray[np.float64],
        spread: NDArray[np.float64],
        chi2: NDArray[np.float64],
        ndf: NDArray[np.intp],
        pvalue: NDArray[np.float64],
        feature_names: Sequence[str],
        order_name: str = "order",
        name: str | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.center = center
        self.mean = mean
        self.error = error
        self.overall = overall
        self.spread = spread
        self.chi2 = chi2
        self.ndf = ndf
        self.pvalue = pvalue
        self.feature_names = feature_names
        self.order_name = order_name
        self.name = name

    @classmethod
    def from_data(
        cls,
        X: Any,
        order: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        features: Sequence[Any] | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        feature_names: Sequence[str] | None = None,
        n_bins: int = 20,
        order_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot features against an ordering column.

        Parameters
        ----------
        X : array-like of shape (n_events,) or (n_events, n_features), or DataFrame
            One feature, or a table of them.
        order : array-like of shape (n_events,)
            Run, time (datetime64) or event number.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; abs(w) enters. None counts events.
        features : sequence of str, default=None
            Names of the columns to show; None takes all, or the five with the smallest p-values
            where there are more.
        missing_values : float or sequence of float, default=(nan, -999.0)
            Values that stand for "missing". NaN always does.
        feature_names : sequence of str, default=None
            Names of the columns of an array; None numbers them x0, x1, ...
        n_bins : int, default=20
            Number of bins; equal values of ``order`` share one.
        order_name : str, default=None
            Name of the ordering column; None takes that of a Series.
        name : str, default=None
            Name of the sample, shown as title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        TrendDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Lengths that differ, unknown features, an ordering column that is constant or has
            missing values, or unusable weights.
        """
        bins = check_bins(n_bins)
        if not hasattr(X, "columns") and np.ndim(X) == 1:
            if feature_names is None:
                feature_names = [getattr(X, "name", None) or "feature"]
            X = np.asarray(X)[:, None]
        table = EventTable(X, feature_names, missing_sentinels(missing_values))
        chosen = table.names if features is None else list(features)
        if not chosen:
            msg = f"features={features} is empty: there is nothing to show"
            raise ValueError(msg)
        wanted = {table.position(one, "features") for one in chosen}
        if order_name is None:
            order_name = str(getattr(order, "name", None) or "order")
        along = order_bins(check_order(order, table.n_events, order_name), bins, order_name)
        weight = check_event_weight(sample_weight, table.n_events)
        size = np.ones(table.n_events) if weight is None else np.abs(weight)
        trends: dict[Any, Trend] = {}
        for position, values in enumerate(table.columns()):
            if position in wanted:
                finite = ~table.absent(values)
                trends[table.names[position]] = trend(
                    values[finite], along.of_event[finite], size[finite], len(along.low)
                )
        if features is None and len(chosen) > _MAX_FEATURES:
            known = [one for one in chosen if not np.isnan(trends[one].pvalue)]
            chosen = sorted(known, key=lambda one: trends[one].pvalue)[:_MAX_FEATURES]
        picked = [trends[one] for one in chosen]
        display = cls(
            low=along.low,
            high=along.high,
            center=along.center,
            **{
                field: np.array([getattr(one, field) for one in picked])
                for field in ("mean", "error", "overall", "spread", "chi2", "ndf", "pvalue")
            },
            feature_names=[str(one) for one in chosen],
            order_name=order_name,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_description(
        cls,
        description: Any,
        features: Sequence[Any] | None = None,
        *,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot trends that `skhep_ml.inspection.describe_events` has found.

        Parameters
        ----------
        description : SampleDescription
            A description with an ordering column.
        features : sequence of str, default=None
            Features to show; None takes the three with the strongest trends.
        name : str, default=None
            Name of the sample, shown as title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        TrendDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A description without trends, or unknown features.
        """
        trends = description.trends
        if trends is None:
            msg = "the description has no trends: pass order= to describe_events"
            raise ValueError(msg)
        chosen = list(trends.index[:3]) if features is None else list(features)
        unknown = [one for one in chosen if one not in trends.index]
        if unknown or not chosen:
            msg = f"features {unknown} are not among the trends, which are {list(trends.index)}"
            raise ValueError(msg)
        profiles = description.profiles
        parts = [profiles[profiles["feature"] == one] for one in chosen]
        display = cls(
            **{key: parts[0][key].to_numpy() for key in ("low", "high", "center")},
            **{key: np.array([part[key] for part in parts]) for key in ("mean", "error")},
            **{
                key: trends.loc[chosen, key].to_numpy()
                for key in ("overall", "spread", "chi2", "ndf", "pvalue")
            },
            feature_names=[str(one) for one in chosen],
            order_name=description.order_name,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(
        self, ax: Any, name: str | None, *, equal_steps: bool | None = None, **kwargs: Any
    ) -> None:
        n_features = len(self.feature_names)
        single = n_features == 1
        if equal_steps is None:
            equal_steps = self.center.dtype.kind in "iu"
        self.lines_ = []
        for k, feature in enumerate(self.feature_names):
            shift, unit = (0.0, 1.0) if single else (self.overall[k], self.spread[k] or 1.0)
            options = {
                "color": COLORS[k % len(COLORS)],
                "fmt": _MARKERS[k % len(_MARKERS)],
                "ms": 4,
                "lw": 1.2,
                "label": f"{feature}: {self._test(k)}",
                **kwargs,
            }
            position = self.center
            if equal_steps:
                # side by side, not on top of each other
                position = np.arange(len(self.center)) + 0.6 * ((k + 0.5) / n_features - 0.5)
            bars = ax.errorbar(
                position, (self.mean[k] - shift) / unit, self.error[k] / unit, **options
            )
            self.lines_.append(bars)
        if single:
            middle = self.overall[0]
            ax.axhline(middle, color="black", lw=0.8)
            filled = self.error[0] > 0
            if filled.any():
                error = 1 / np.sqrt(np.sum(1 / self.error[0][filled] ** 2))
                band = {"color": "black", "alpha": BAND_ALPHA / 2, "lw": 0}
                ax.axhspan(middle - error, middle + error, **band)
            ax.set_ylabel(f"Mean of {self.feature_names[0]}")
        else:
            ax.axhline(0, color="black", lw=0.8)
            ax.set_ylabel("Mean less common mean (standard deviations)")
        if name is not None:
            ax.set_title(name)
        low, high = ax.get_ylim()
        # room for the legend
        ax.set_ylim(low, high + (0.06 + 0.07 * n_features) * (high - low))
        ticks_inside(ax)
        self._label_order(ax, equal_steps)
        ax.legend(loc="upper left")

    def _label_order(self, ax: Any, equal_steps: bool) -> None:
        if equal_steps:
            n_bins = len(self.low)
            shown = np.arange(0, n_bins, -(-n_bins // _MAX_TICKS))
            ax.set_xticks(shown, [str(value) for value in self.low[shown]], rotation=90)
            ax.tick_params(axis="x", which="minor", bottom=False, top=False)
            ax.set_xlabel(f"{self.order_name} (first of the bin)")
            return
        if self.center.dtype.kind == "M":
            dates = import_extra("matplotlib.dates", "plot")
            locator = dates.AutoDateLocator(maxticks=8)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
            # the year stands at the right end
            ax.set_xlabel(self.order_name, loc="center")
            return
        ax.set_xlabel(self.order_name)

    def _test(self, k: int) -> str:
        if np.isnan(self.chi2[k]):
            return "no test"
        return f"χ²/ndf = {self.chi2[k]:.3g}/{self.ndf[k]}, p {_equals(p_value(self.pvalue[k]))}"


def _equals(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"
