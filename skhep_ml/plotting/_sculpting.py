"""Mass spectra before and after cuts on a score."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import with_error
from skhep_ml._validation import check_event_weight
from skhep_ml.metrics import SculptingResult, jsd_sculpting
from skhep_ml.metrics._base import binary_sample, check_score, greater_label_mask
from skhep_ml.metrics._flatness import check_efficiencies
from skhep_ml.metrics._uniform_groups import efficiency_cut
from skhep_ml.plotting._base import Display, positive_score, variable_of
from skhep_ml.plotting._histogram import feature_edges, histogram
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    COLORS,
    grid_cell,
    panel_and_ratio,
    ratio_range,
    ticks_inside,
)

_MARKERS = "osD^vP"


class SculptingDisplay(Display):
    r"""Mass spectrum of background before and after cuts on a score, with ratios.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins in mass.
    before : ndarray of shape (2, n_bins)
        Density of background before cuts, of unit area, and its statistical errors.
    after : ndarray of shape (n_cuts, 2, n_bins)
        The same after each cut.
    signal : ndarray of shape (2, n_bins)
        The same of signal before cuts.
    signal_efficiencies : ndarray of shape (n_cuts,)
        Signal efficiencies of the cuts.
    cuts : ndarray of shape (n_cuts,)
        The cuts on the score.
    sculpting : list of SculptingResult
        Divergence of the spectra of background that passes and that fails each cut.
    variable : str, default="mass"
        Name of the mass, shown at its axis.
    name : str, default=None
        Name of the model, shown as title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the spectra.
    ratio_ax_ : matplotlib Axes
        Those of the ratios to the spectrum before cuts.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.jsd_sculpting : The divergence.
    FlatnessDisplay : Efficiency of a cut against a variable.

    Notes
    -----
    Spectra have unit area; masses outside the edges count in the outermost bins. Errors are those
    of shares, as in `FeatureDisplay`. The legend has the Jensen-Shannon divergence of the
    spectra of background that passes and that fails, less what finite statistics alone would give.
    Events that pass are among those before cuts: the error of the ratio is smaller than the bars.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import SculptingDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10000)
    >>> mass = np.where(y, rng.normal(125, 10, 20000), 50 + rng.exponential(60, 20000))
    >>> score = rng.normal(np.exp(-((mass - 125) ** 2) / 1800), 0.5)
    >>> display = SculptingDisplay.from_predictions(y, score, mass, signal_efficiencies=[0.5])
    >>> round(display.sculpting[0].value, 2)
    0.16
    """

    ratio_ax_: Any

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
        signal: NDArray[np.float64],
        signal_efficiencies: NDArray[np.float64],
        cuts: NDArray[np.float64],
        sculpting: list[SculptingResult],
        variable: str = "mass",
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.before = before
        self.after = after
        self.signal = signal
        self.signal_efficiencies = signal_efficiencies
        self.cuts = cuts
        self.sculpting = sculpting
        self.variable = variable
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        mass: ArrayLike,
        *,
        signal_efficiencies: Sequence[float] = (0.8, 0.5, 0.3),
        bins: ArrayLike = 30,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        variable_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the spectra for given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_score : array-like of shape (n_events,)
            Scores, greater for signal.
        mass : array-like of shape (n_events,)
            Mass, or any other variable, in any unit.
        signal_efficiencies : sequence of float, default=(0.8, 0.5, 0.3)
            Efficiencies of the cuts for signal, in (0, 1).
        bins : int or array-like of shape (n_bins + 1,), default=30
            Rising edges, or a number of bins over the central 99% of all masses.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        pos_label : label, default=None
            The signal label; None takes the greater label.
        variable_name : str, default=None
            Name of the mass; None takes that of a Series.
        name : str, default=None
            Name of the model, shown as title.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        SculptingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A class without events or whose weights sum to 0 or less, a cut that leaves no
            background on one of its sides, NaN values, or wrong bins.
        """
        targets = check_efficiencies(signal_efficiencies)
        if variable_name is None:
            variable_name = str(getattr(mass, "name", None) or "mass")
        results = [
            jsd_sculpting(
                y_true,
                y_score,
                mass,
                signal_efficiency=float(target),
                sample_weight=sample_weight,
                pos_label=pos_label,
                return_std=True,
            )
            for target in targets
        ]
        positive = greater_label_mask(y_true, pos_label)
        values = check_score(mass, name="mass").astype(np.float64)
        edges = feature_edges(values, bins)
        weight = check_event_weight(sample_weight, len(positive))
        if weight is not None:
            values = values[weight != 0]
        positive, score, weight = binary_sample(positive, y_score, weight)

        def spectrum(chosen: NDArray[np.bool_], what: str) -> NDArray[np.float64]:
            part = histogram(values[chosen], edges, None if weight is None else weight[chosen])
            density = part.density(what)
            return np.array([density.values, density.errors])

        signal_weight = None if weight is None else weight[positive]
        cuts = np.array([efficiency_cut(score[positive], signal_weight, one) for one in targets])
        display = cls(
            edges=edges,
            before=spectrum(~positive, "background"),
            after=np.array(
                [spectrum(~positive & (score >= cut), "selected background") for cut in cuts]
            ),
            signal=spectrum(positive, "signal"),
            signal_efficiencies=targets,
            cuts=cuts,
            sculpting=results,
            variable=variable_name,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        mass: Any,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        variable_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the spectra for a fitted model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels of two classes.
        mass : str, int or array-like of shape (n_events,)
            Name or position of a column of X, or values that X does not hold.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        pos_label : label, default=None
            The signal label; None takes the second of the model's classes.
        variable_name : str, default=None
            Name of the mass; None takes that of the column.
        name : str, default=None
            Name of the model; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        SculptingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A column that X does not have, or wrong input as in ``from_predictions``.
        """
        score, label = positive_score(estimator, X, pos_label=pos_label, groups=groups)
        values, variable_name = variable_of(X, mass, variable_name)
        return cls.from_predictions(
            y,
            score,
            values,
            sample_weight=sample_weight,
            pos_label=label,
            variable_name=variable_name,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _fit_figure(self, figure: Any) -> None:
        figure.set_size_inches(6.0, 5.4)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        panel, below = panel_and_ratio(ax.figure, grid_cell(ax))
        self.ax_, self.ratio_ax_ = panel, below
        edges, (values, errors) = self.edges, self.before
        centres, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        grey = {"fill": True, "color": "0.5", "lw": 0}
        panel.stairs(values, edges, alpha=0.35, label="Background, no cut", **grey)
        panel.stairs(values + errors, edges, baseline=values - errors, alpha=0.5, **grey)
        panel.stairs(
            self.signal[0],
            edges,
            baseline=None,
            color="0.3",
            ls=":",
            lw=1.5,
            label="Signal, no cut",
        )
        known = values > 2 * errors
        safe = np.where(known, values, np.nan)
        band = np.nan_to_num(errors / safe)
        below.stairs(
            1 + band, edges, baseline=1 - band, fill=True, color="0.5", alpha=BAND_ALPHA, lw=0
        )
        below.axhline(1, color="black", lw=0.8)
        n_cuts = len(self.cuts)
        ratios = []
        for k, (density, error) in enumerate(self.after):
            found = self.sculpting[k]
            divergence = with_error(max(found.value - found.bias, 0.0), found.std)
            options = {
                "color": COLORS[k % len(COLORS)],
                "fmt": _MARKERS[k % len(_MARKERS)],
                "ms": 3.5,
                "elinewidth": 1,
                **kwargs,
            }
            # side by side, so that error bars do not hide each other
            place = centres + half * (2 * (k + 1) / (n_cuts + 1) - 1)
            label = rf"$\varepsilon_S$ = {100 * self.signal_efficiencies[k]:g}%"
            panel.errorbar(
                place,
                density,
                error,
                label=f"{label}: JSD {divergence}",
                **options,
            )
            below.errorbar(place, density / safe, error / safe, **options)
            sure = known & (error < 0.5 * np.abs(density))
            ratios.append(density[sure] / values[sure])
        top = max((self.before.sum(axis=0)).max(), (self.after.sum(axis=1)).max())
        lowest = min(0.0, float((self.after[:, 0] - self.after[:, 1]).min()))
        panel.set(ylabel="Density", xlim=(edges[0], edges[-1]))
        # room for the legend
        panel.set_ylim(1.1 * lowest, max(top, self.signal[0].max()) * (1.1 + 0.09 * (n_cuts + 2)))
        below.set(xlabel=self.variable, ylabel="To no cut")
        below.set_ylim(*ratio_range(np.concatenate(ratios), most=3.0))
        if name is not None:
            panel.set_title(name)
        ticks_inside(panel)
        ticks_inside(below)
        panel.legend(loc="upper right")
