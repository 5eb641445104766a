"""Predicted against true values of a regression."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._extras import import_extra
from skhep_ml._format import with_error
from skhep_ml._validation import check_edges, check_event_weight
from skhep_ml.metrics import ResponseProfile, response_profile
from skhep_ml.metrics._base import check_score
from skhep_ml.plotting._base import Display, model_response
from skhep_ml.plotting._histogram import feature_edges
from skhep_ml.plotting._style import COLORS, grid_cell, panel_and_ratio, ticks_inside


class ParityDisplay(Display):
    """Predicted against true values, with bias and resolution below.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the cells, the same on both axes.
    counts : ndarray of shape (n_bins, n_bins)
        Sums of weights; row i holds predictions in bin i, column j true values in bin j.
    filled : ndarray of bool, shape (n_bins, n_bins)
        Cells with events.
    profile : ResponseProfile
        Bias and resolution in bins of the true value.
    centres : ndarray of shape (n_profile_bins,)
        Median true value in each of them.
    overall : ResponseProfile
        The same for all events together.
    relative : bool, default=False
        Whether bias and resolution are fractions of the true value.
    target : str, default=None
        Name of the quantity, shown at the axes.
    name : str, default=None
        Name of the model, shown as title.

    Attributes
    ----------
    mesh_ : matplotlib QuadMesh
        The cells.
    ax_ : matplotlib Axes
        The axes of the cells.
    profile_ax_ : matplotlib Axes
        Those of bias and resolution.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.response_profile : Bias and resolution, with their errors.

    Notes
    -----
    Bias is the median of prediction less truth, resolution half of the width of its central 68.3%.
    The points in the upper part are the median prediction and that interval's size about it, at
    the median true value of a bin. Colours are logarithmic; cells in which the weights of events
    sum to 0 or less are grey.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.pcolormesh`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import ParityDisplay
    >>> rng = np.random.default_rng(0)
    >>> energy = rng.uniform(10, 100, 10000)
    >>> display = ParityDisplay.from_predictions(energy, rng.normal(1.02 * energy, 5))
    >>> display.overall.bias.round(1), display.overall.resolution.round(1)
    (array([1.1]), array([5.]))
    """

    profile_ax_: Any

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        counts: NDArray[np.float64],
        filled: NDArray[np.bool_],
        profile: ResponseProfile,
        centres: NDArray[np.float64],
        overall: ResponseProfile,
        relative: bool = False,
        target: str | None = None,
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.counts = counts
        self.filled = filled
        self.profile = profile
        self.centres = centres
        self.overall = overall
        self.relative = relative
        self.target = target
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        bins: ArrayLike = 50,
        profile_bins: int | ArrayLike = 10,
        relative: bool = False,
        target: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            True values.
        y_pred : array-like of shape (n_events,)
            Predicted values.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        bins : int or array-like of shape (n_bins + 1,), default=50
            Rising edges of the cells, or their number over the central 99% of true and predicted
            values; others count in the outermost cells.
        profile_bins : int or array-like, default=10
            Bins of the true value for bias and resolution: a number of bins of equal numbers of
            events, or rising edges.
        relative : bool, default=False
            Whether to give bias and resolution as fractions of the true value.
        target : str, default=None
            Name of the quantity, such as "energy (GeV)".
        name : str, default=None
            Name of the model, shown as title.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ParityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN, lengths that differ, weights that sum to 0 or less, one true value alone, edges
            that do not rise, or a true value of 0 with ``relative``.
        """
        truth = check_score(y_true, name="y_true").astype(np.float64)
        common: dict[str, Any] = {"sample_weight": sample_weight, "relative": relative}
        low, high = (float(truth.min()), float(truth.max())) if len(truth) else (0.0, 0.0)
        if not low < high:
            msg = f"y_true is {low:g} in all {len(truth)} events: there is nothing to compare"
            raise ValueError(msg)
        overall = response_profile(truth, y_pred, bins=[low, high], **common)
        profile = response_profile(truth, y_pred, bins=profile_bins, **common)
        prediction = check_score(y_pred, name="y_pred").astype(np.float64)
        weight = check_event_weight(sample_weight, len(truth))
        edges = check_edges(bins)
        if isinstance(edges, int):
            edges = feature_edges(np.concatenate([truth, prediction]), edges)
        n_bins = len(edges) - 1
        row, column = (
            np.clip(np.searchsorted(edges, values, "right") - 1, 0, n_bins - 1)
            for values in (prediction, truth)
        )
        cell = row * n_bins + column
        square = (n_bins, n_bins)
        pairs = zip(profile.edges[:-1], profile.edges[1:], strict=True)
        display = cls(
            edges=edges,
            counts=np.bincount(cell, weight, n_bins**2).astype(np.float64).reshape(square),
            filled=np.bincount(cell, minlength=n_bins**2).reshape(square) > 0,
            profile=profile,
            centres=np.array([_median_within(truth, *pair) for pair in pairs]),
            overall=overall,
            relative=relative,
            target=target,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the predictions of a fitted model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted regressor, Pipeline or search.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            True values.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        name : str, default=None
            Name of the model; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        ParityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Wrong input as in ``from_predictions``.
        """
        predicted, _ = model_response(estimator, X, groups, ("predict",))
        return cls.from_predictions(
            y,
            predicted,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _fit_figure(self, figure: Any) -> None:
        figure.set_size_inches(6.0, 6.0)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        colors = import_extra("matplotlib.colors", "plot")
        panel, below = panel_and_ratio(ax.figure, grid_cell(ax))
        self.ax_, self.profile_ax_ = panel, below
        edges, positive = self.edges, self.counts > 0
        limits = [float(end) for end in (edges[0], edges[-1])]
        if (self.filled & ~positive).any():
            grey = np.where(self.filled & ~positive, 1.0, np.nan)
            panel.pcolormesh(edges, edges, grey, cmap="Greys", vmin=0.0, vmax=3.0)
        options = {"cmap": "viridis", "norm": colors.LogNorm(), **kwargs}
        self.mesh_ = panel.pcolormesh(
            edges, edges, np.where(positive, self.counts, np.nan), **options
        )
        bar = panel.figure.colorbar(self.mesh_, ax=[panel, below], label="Events", pad=0.02)
        bar.ax.tick_params(which="both", direction="in")
        panel.plot(limits, limits, color="black", lw=1, ls="--")

        profile, centres = self.profile, self.centres
        half = centres - profile.edges[:-1], profile.edges[1:] - centres
        unit = np.abs(centres) if self.relative else 1.0
        sign = centres if self.relative else 1.0
        points = {"fmt": "o", "ms": 4, "elinewidth": 1}
        panel.errorbar(
            centres,
            centres + profile.bias * sign,
            profile.resolution * unit,
            half,
            color=COLORS[1],
            label="Median and 68% interval",
            **points,
        )
        rows = ("bias", "Bias", COLORS[1]), ("resolution", "Resolution", COLORS[0])
        for key, label, color in rows:
            (value,), (error,) = getattr(self.overall, key), getattr(self.overall, f"{key}_std")
            below.errorbar(
                centres,
                getattr(profile, key),
                getattr(profile, f"{key}_std"),
                half,
                color=color,
                label=f"{label} {with_error(float(value), float(error))}",
                **points,
            )
        below.axhline(0, color="black", lw=0.8)
        what = "value" if self.target is None else self.target
        panel.set(ylabel=f"Predicted {what}", xlim=limits, ylim=limits)
        below.set(
            xlabel=f"True {what}", ylabel="Pred. / true - 1" if self.relative else "Pred. - true"
        )
        low, high = below.get_ylim()
        # room for the legend
        below.set_ylim(low, high + 0.45 * (high - low))
        if name is not None:
            panel.set_title(name)
        ticks_inside(panel)
        ticks_inside(below)
        panel.legend(loc="upper left")
        below.legend(loc="upper right", ncols=2, fontsize=8)


def _median_within(values: NDArray[np.float64], low: float, high: float) -> float:
    inside = values[(values >= low) & (values <= high)]
    return float(np.median(inside)) if len(inside) else (low + high) / 2
