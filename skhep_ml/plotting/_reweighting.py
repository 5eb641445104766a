"""Features of a sample before and after reweighting, beside those of its target."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import number
from skhep_ml._frames import is_frame
from skhep_ml._identifiers import take_id_columns
from skhep_ml._validation import check_event_weight
from skhep_ml.inspection._table import EventTable
from skhep_ml.metrics import ks_2samp_weighted
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._histogram import Histogram, feature_edges, histogram
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    COLORS,
    grid_cell,
    panel_and_ratio,
    ratio_range,
    ticks_inside,
)
from skhep_ml.reweighting._base import warn_of_positions
from skhep_ml.reweighting._diagnostics import weights_after

_MAX_COLUMNS = 3
_PANEL = (4.2, 3.9)  # inches


class ReweightingDisplay(Display):
    r"""Features of the original before and after reweighting, beside the target, with ratios.

    Make it with ``from_weights`` or ``from_estimator``.

    Parameters
    ----------
    original, reweighted, target : list of Histogram
        For each feature the densities, of unit area, with their statistical errors.
    ks : ndarray of shape (n_features, 2)
        Kolmogorov-Smirnov distance of original and reweighted from the target.
    feature_names : sequence of str
        Names of the features.
    name : str, default=None
        Name of the reweighter, shown in the legend.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The axes of each feature.
    ratio_axes_ : list of matplotlib Axes
        Those of its ratio.
    ax_ : matplotlib Axes
        The axes given, whose place those of the features take.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.reweighting.reweighting_report : The same as numbers.

    Notes
    -----
    Points are the target, lines the original. Ratios are to the target: the grey band is the
    target's relative error, bars are those of the original and the reweighted. Errors are
    statistical, of shares, as in `FeatureDisplay`; that of the ratio itself is not in them. Missing
    values are left out, values outside the edges count in the outermost bins.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.stairs` for the lines.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import ReweightingDisplay
    >>> rng = np.random.default_rng(0)
    >>> simulation, data = rng.normal(size=2000), rng.normal(0.2, size=2000)
    >>> weights = np.exp(0.2 * simulation - 0.02)
    >>> display = ReweightingDisplay.from_weights(weights, simulation, data, feature_names=["m"])
    >>> display.ks.round(3)
    array([[0.085, 0.019]])
    """

    def __init__(
        self,
        *,
        original: list[Histogram],
        reweighted: list[Histogram],
        target: list[Histogram],
        ks: NDArray[np.float64],
        feature_names: Sequence[str],
        name: str | None = None,
    ) -> None:
        self.original = original
        self.reweighted = reweighted
        self.target = target
        self.ks = ks
        self.feature_names = feature_names
        self.name = name

    @classmethod
    def from_weights(
        cls,
        weights: ArrayLike,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        *,
        features: Sequence[Any] | None = None,
        feature_names: Sequence[str] | None = None,
        bins: ArrayLike = 40,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the effect of given weights.

        Parameters
        ----------
        weights : array-like of shape (n_original,)
            Weights of the original after reweighting, of any sign.
        original : array-like of shape (n_original, n_features) or (n_original,)
            Events that are reweighted.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Events to compare with. Columns of DataFrames are matched by name.
        original_weight : array-like of shape (n_original,), default=None
            Weights before; None counts events.
        target_weight : array-like of shape (n_target,), default=None
            Weights of the target; None counts events.
        features : sequence of str, default=None
            Names of the columns to show; None takes all.
        feature_names : sequence of str, default=None
            Names of the columns of arrays; None numbers them x0, x1, ...
        bins : int or array-like of shape (n_bins + 1,), default=40
            Rising edges, or a number of bins over the central 99% of both samples; integers that
            need no more bins than that have one each.
        name : str, default=None
            Name of the reweighter.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ReweightingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Unknown features, columns that differ, lengths that do not fit, or weights that sum to
            0 or less.
        """
        tables = _tables(original, target, feature_names)
        if set(tables[0].names) != set(tables[1].names):
            msg = (
                f"original and target have different columns: {tables[0].names} and "
                f"{tables[1].names}"
            )
            raise ValueError(msg)
        chosen = tables[0].names if features is None else list(features)
        if not chosen:
            msg = "features is empty: there is nothing to show"
            raise ValueError(msg)
        for one in chosen:
            tables[0].position(one, "features")
        given = (
            (0, original_weight, "original_weight"),
            (0, weights, "weights"),
            (1, target_weight, "target_weight"),
        )
        checked = [check_event_weight(w, tables[k].n_events, name=what) for k, w, what in given]
        for weight, (_, _, what) in zip(checked, given, strict=True):
            if weight is not None and not weight.sum() > 0:
                msg = f"{what} sums to {weight.sum():.6g}: a density needs a positive sum"
                raise ValueError(msg)
        panels: list[list[Histogram]] = [[], [], []]
        distances = []
        for one in chosen:
            columns = [_column(tables[k], one) for k, _, _ in given]
            if not all(np.isfinite(values).any() for values in columns):
                msg = f"feature {one!r} is missing in all events of original or target"
                raise ValueError(msg)
            parts = [_present(*pair) for pair in zip(columns, checked, strict=True)]
            edges = feature_edges(np.concatenate([parts[0][0], parts[2][0]]), bins)
            for panel, part, (_, _, what) in zip(panels, parts, given, strict=True):
                panel.append(histogram(part[0], edges, part[1]).density(what))
            distances.append([_distance(part, parts[2]) for part in parts[:2]])
        display = cls(
            original=panels[0],
            reweighted=panels[1],
            target=panels[2],
            ks=np.array(distances),
            feature_names=[str(one) for one in chosen],
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        reweighter: Any,
        original: Any,
        target: Any,
        original_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the effect of a fitted reweighter.

        Parameters
        ----------
        reweighter : reweighter
            The fitted reweighter.
        original : array-like of shape (n_original, n_features) or (n_original,)
            Events that are reweighted.
        target : array-like of shape (n_target, n_features) or (n_target,)
            Events to compare with. Columns of DataFrames are matched by name.
        original_weight : array-like of shape (n_original,), default=None
            Weights before; None counts events.
        target_weight : array-like of shape (n_target,), default=None
            Weights of the target; None counts events.
        groups : array-like of int, shape (n_original,) or (n_original, k), default=None
            Event identifiers, for reweighters that predict by them.
        name : str, default=None
            Name of the reweighter; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_weights``.

        Returns
        -------
        ReweightingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As for ``from_weights``, or what the reweighter refuses.
        """
        weights = weights_after(reweighter, original, original_weight, groups)
        id_columns = getattr(reweighter, "id_columns", None)
        if id_columns is not None:
            original, _ = take_id_columns(original, id_columns)
            target, _ = take_id_columns(target, id_columns)
        return cls.from_weights(
            weights,
            original,
            target,
            original_weight,
            target_weight,
            name=type(reweighter).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _fit_figure(self, figure: Any) -> None:
        rows, columns = self._grid
        width, height = _PANEL
        figure.set_size_inches(columns * width, rows * height)

    @property
    def _grid(self) -> tuple[int, int]:
        columns = min(len(self.feature_names), _MAX_COLUMNS)
        return -(-len(self.feature_names) // columns), columns

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        pairs = self._divide(ax)
        self.axes_, self.ratio_axes_ = ([pair[k] for pair in pairs] for k in (0, 1))
        after = "Reweighted" if name is None else name
        for k, (panel, below) in enumerate(pairs):
            edges = self.target[k].edges
            centers, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
            samples = (
                (self.original[k], COLORS[0], f"Original (KS {number(self.ks[k, 0], 2)})", -1),
                (self.reweighted[k], COLORS[1], f"{after} (KS {number(self.ks[k, 1], 2)})", 1),
            )
            target = self.target[k]
            filled = target.values > 0
            safe = np.where(filled, target.values, 1.0)
            points = {"fmt": "o", "ms": 3, "lw": 1, "color": "black", "label": "Target"}
            panel.errorbar(centers, target.values, target.errors, xerr=half, **points)
            band = np.where(filled, target.errors / safe, 0.0)
            below.stairs(
                1 + band, edges, baseline=1 - band, fill=True, color="black", alpha=BAND_ALPHA / 2
            )
            below.axhline(1, color="black", lw=0.8)
            for sample, color, label, side in samples:
                options = {"baseline": None, "color": color, "lw": 1.5, "label": label, **kwargs}
                panel.stairs(sample.values, edges, **options)
                panel.stairs(
                    sample.values + sample.errors,
                    edges,
                    baseline=sample.values - sample.errors,
                    fill=True,
                    color=color,
                    alpha=BAND_ALPHA,
                )
                # side by side, not on top of each other
                below.errorbar(
                    (centers + 0.25 * side * half)[filled],
                    (sample.values / safe)[filled],
                    (sample.errors / safe)[filled],
                    fmt="os"[side > 0],
                    ms=2.5,
                    lw=1,
                    color=color,
                )
            self._label(panel, below, k)

    def _divide(self, ax: Any) -> list[tuple[Any, Any]]:
        """Axes of every feature and of its ratio, in place of the given ones."""
        rows, columns = self._grid
        grid = grid_cell(ax).subgridspec(rows, columns)
        return [
            panel_and_ratio(ax.figure, grid[k // columns, k % columns])
            for k in range(len(self.feature_names))
        ]

    def _label(self, panel: Any, below: Any, k: int) -> None:
        samples = (self.original[k], self.reweighted[k], self.target[k])
        high = max(float((one.values + one.errors).max()) for one in samples)
        low = min(float((one.values - one.errors).min()) for one in samples)
        panel.set(ylabel="Density", ylim=(1.1 * min(low, 0.0), 1.5 * high))
        panel.set_xlim(samples[0].edges[0], samples[0].edges[-1])
        below.set(xlabel=self.feature_names[k], ylabel="To target")
        below.set_ylim(*self._ratio_range(k))
        for axes in (panel, below):
            ticks_inside(axes)
        panel.legend(loc="upper right")

    def _ratio_range(self, k: int) -> tuple[float, float]:
        """Range that shows the ratios where the target has some events."""
        target = self.target[k]
        known = target.values > 3 * target.errors
        samples = (self.original[k], self.reweighted[k])
        return ratio_range([one.values[known] / target.values[known] for one in samples])


def _tables(original: Any, target: Any, feature_names: Sequence[str] | None) -> list[EventTable]:
    """Both samples with named columns; an array takes the names of a DataFrame beside it."""
    samples = [_as_table(sample) for sample in (original, target)]
    frames = [sample for sample in samples if is_frame(sample)]
    mixed = len(frames) == 1
    if mixed and feature_names is None:
        warn_of_positions(*samples)
        feature_names = list(frames[0].columns)
    return [
        EventTable(sample, None if mixed and is_frame(sample) else feature_names)
        for sample in samples
    ]


def _as_table(sample: Any) -> Any:
    if hasattr(sample, "columns"):
        return sample
    array = np.asarray(sample)
    return array[:, np.newaxis] if array.ndim == 1 else array


def _column(table: EventTable, name: Any) -> NDArray[Any]:
    return np.asarray(table.raw(table.position(name, "features")), dtype=np.float64)


def _present(
    values: NDArray[Any], weight: NDArray[np.float64] | None
) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    present = ~np.isnan(values)
    return values[present], None if weight is None else weight[present]


def _distance(sample: tuple[Any, Any], target: tuple[Any, Any]) -> float:
    result = ks_2samp_weighted(
        sample[0], target[0], weight1=sample[1], weight2=target[1], n_permutations=0
    )
    return result.statistic
