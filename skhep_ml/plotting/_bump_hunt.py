"""Mass spectra before and after a cut, with the background fitted beside a window."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.anomaly import BumpHunt, FittedSpectrum, bump_hunt
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    COLORS,
    grid_cell,
    panel_and_ratio,
    ticks_inside,
)


class BumpHuntDisplay(Display):
    r"""Mass spectrum before and after a cut on a score, with the fitted background and pulls.

    Make it with ``from_result`` or ``from_predictions``.

    Parameters
    ----------
    result : BumpHunt
        Outcome of `skhep_ml.anomaly.bump_hunt`.
    variable : str, default="mass"
        Name of the mass, shown at its axis.
    name : str, default=None
        Name of the model, shown as title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the spectra.
    pull_ax_ : matplotlib Axes
        Those of the pulls after the cut.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.anomaly.bump_hunt : The fits and the significance.
    SculptingDisplay : Spectra of background whose labels are known.

    Notes
    -----
    The dark band marks the signal region, which no fit has looked at; Z is the local significance
    there, and p the probability of a worse fit of the sidebands. Pulls are (data - background) over
    :math:`\sqrt{s b}`, b being the background and s the variance over mean of the sidebands'
    sums of weights, 1 for counts; the band about 0 is the uncertainty of the fit in this unit.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> from skhep_ml.datasets import make_resonance_search
    >>> from skhep_ml.plotting import BumpHuntDisplay
    >>> events = make_resonance_search(50_000, as_frame=True, random_state=0)
    >>> display = BumpHuntDisplay.from_predictions(
    ...     events.data["m_jj"], events.log_likelihood_ratio, efficiency=0.005,
    ...     signal_region=events.signal_region)
    >>> round(display.result.after.significance, 1), display.ax_.get_ylabel()
    (9.4, 'Events per bin')
    """

    pull_ax_: Any

    def __init__(
        self, *, result: BumpHunt, variable: str = "mass", name: str | None = None
    ) -> None:
        self.result = result
        self.variable = variable
        self.name = name

    @classmethod
    def from_result(
        cls,
        result: BumpHunt,
        *,
        variable_name: str = "mass",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the outcome of `skhep_ml.anomaly.bump_hunt`.

        Parameters
        ----------
        result : BumpHunt
            The outcome.
        variable_name : str, default="mass"
            Name of the mass.
        name : str, default=None
            Name of the model, shown as title.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        BumpHuntDisplay
            The display, drawn.
        """
        return cls(result=result, variable=variable_name, name=name).plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        mass: ArrayLike,
        score: ArrayLike,
        *,
        signal_region: tuple[float, float],
        efficiency: float | None = None,
        cut: float | None = None,
        sidebands: Any = None,
        bins: ArrayLike = 40,
        n_parameters: int = 3,
        energy: float = 13_000.0,
        sample_weight: ArrayLike | None = None,
        variable_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Fit and plot the spectra for given scores.

        Parameters
        ----------
        mass : array-like of shape (n_events,)
            Mass of each event.
        score : array-like of shape (n_events,)
            Score, greater for signal.
        signal_region : pair of float
            Window (low, high) of the mass.
        efficiency : float, default=None
            Share of events that pass the cut; None with ``cut=None`` takes 0.01.
        cut : float, default=None
            Lowest selected score, instead of an efficiency.
        sidebands : pair of pairs of float, default=None
            Intervals that are fitted; None takes all events outside of the signal region.
        bins : int or array-like of rising edges, default=40
            Bins, see `skhep_ml.anomaly.bump_hunt`.
        n_parameters : {3, 4, 5}, default=3
            Parameters of the dijet function.
        energy : float, default=13000.0
            Centre-of-mass energy, in units of the mass.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
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
        BumpHuntDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Wrong input, as in `skhep_ml.anomaly.bump_hunt`.
        """
        result = bump_hunt(
            mass,
            score,
            signal_region=signal_region,
            efficiency=efficiency,
            cut=cut,
            sidebands=sidebands,
            bins=bins,
            n_parameters=n_parameters,
            energy=energy,
            sample_weight=sample_weight,
        )
        if variable_name is None:
            variable_name = str(getattr(mass, "name", None) or "mass")
        return cls.from_result(result, variable_name=variable_name, name=name, ax=ax, **kwargs)

    def _fit_figure(self, figure: Any) -> None:
        figure.set_size_inches(6.0, 5.4)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        panel, below = panel_and_ratio(ax.figure, grid_cell(ax))
        self.ax_, self.pull_ax_ = panel, below
        result = self.result
        edges = result.after.edges
        for axes in (panel, below):
            axes.axvspan(*result.signal_region, color="0.88", lw=0, zorder=0)
        share = f"{100 * result.efficiency:.2g}%"
        parts = [
            ("All", result.before, "black", "o"),
            (f"Best {share}", result.after, COLORS[1], "s"),
        ]
        for words, spectrum, color, marker in parts:
            self._draw_spectrum(panel, words, spectrum, color, marker, **kwargs)
        self._draw_pulls(below, result.after, COLORS[1])
        positive = result.after.background.min()
        low = 0.4 * max(float(positive), 0.3)
        high = float((result.before.values + result.before.errors).max())
        # room for the legend
        panel.set(ylabel="Events per bin", yscale="log", xlim=(edges[0], edges[-1]))
        panel.set_ylim(low, high * (high / low) ** 0.2)
        below.set(xlabel=self.variable, ylabel="Pull")
        if name is not None:
            panel.set_title(name)
        ticks_inside(panel)
        ticks_inside(below)
        panel.legend(loc="upper right")

    def _draw_spectrum(
        self, ax: Any, words: str, spectrum: FittedSpectrum, color: str, marker: str, **kwargs: Any
    ) -> None:
        edges = spectrum.edges
        centres = (edges[1:] + edges[:-1]) / 2
        # empty bins have no place on a log axis
        seen = spectrum.values > 0
        lower = np.minimum(spectrum.errors, spectrum.values * (1 - 1e-3))
        options = {"color": color, "fmt": marker, "ms": 3, "elinewidth": 1, **kwargs}
        ax.errorbar(
            centres[seen],
            spectrum.values[seen],
            [lower[seen], spectrum.errors[seen]],
            label=f"{words}: Z = {spectrum.significance:.1f}, p = {spectrum.pvalue:.2g}",
            **options,
        )
        (line,) = ax.plot(centres, spectrum.background, color=color, lw=1.2)
        line.set_gid("fit")
        ax.fill_between(
            centres,
            np.maximum(spectrum.background - spectrum.background_std, 1e-9),
            spectrum.background + spectrum.background_std,
            color=color,
            alpha=BAND_ALPHA,
            lw=0,
        )

    def _draw_pulls(self, ax: Any, spectrum: FittedSpectrum, color: str) -> None:
        edges = spectrum.edges
        used = spectrum.fitted
        scale = (spectrum.errors[used] ** 2).sum() / spectrum.values[used].sum()
        unit = np.sqrt(scale * spectrum.background)
        pulls = (spectrum.values - spectrum.background) / unit
        band: NDArray[np.float64] = spectrum.background_std / unit
        ax.stairs(pulls, edges, fill=True, color=color, alpha=0.6)
        ax.stairs(band, edges, baseline=-band, fill=True, color="0.5", alpha=BAND_ALPHA, lw=0)
        ax.axhline(0, color="black", lw=0.8)
        ax.set_ylim(min(-3.5, 1.15 * pulls.min()), max(3.5, 1.15 * pulls.max()))
