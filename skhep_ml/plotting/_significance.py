"""Expected significance against the cut on a score."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._format import with_error
from skhep_ml.metrics import BestCut, asimov_significance, best_cut, selected_yields
from skhep_ml.metrics._base import check_score
from skhep_ml.metrics._significance import ranked_yields
from skhep_ml.plotting._base import BinaryDisplay
from skhep_ml.plotting._style import BAND_ALPHA, COLORS, ticks_inside, visible_points


def _asimov_with_std(s: Any, b: Any, s_std: Any, b_std: Any, uncertainty: float) -> tuple[Any, Any]:
    """Significance and its error by linear propagation; NaN where there is no background."""

    def asimov(s: Any, b: Any) -> Any:
        return asimov_significance(s, b, uncertainty * np.maximum(b, 0.0))

    step = 1e-4
    # infinite on both sides where there is signal without background
    with np.errstate(invalid="ignore"):
        by_s = asimov(s * (1 + step), b) - asimov(s * (1 - step), b)
        by_b = asimov(s, b * (1 + step)) - asimov(s, b * (1 - step))
    slopes = [
        rise / (2 * step * np.where(size == 0, 1.0, size)) for rise, size in ((by_s, s), (by_b, b))
    ]
    return asimov(s, b), np.hypot(slopes[0] * s_std, slopes[1] * b_std)


class SignificanceDisplay(BinaryDisplay):
    """Asimov significance of ``score >= cut`` against the cut, with its statistical error.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Falling cuts.
    significance : ndarray of shape (n_uncertainties, n_thresholds)
        Significance in standard deviations, a row for each uncertainty.
    significance_std : ndarray of shape (n_uncertainties, n_thresholds)
        Its statistical error.
    reliable : ndarray of bool, shape (n_thresholds,)
        Whether enough background is left to know it.
    background_uncertainties : sequence of float
        Relative uncertainties of the background.
    cuts : ndarray of shape (n_uncertainties,)
        The cut marked on each curve.
    values : ndarray of shape (n_uncertainties,)
        Significance there.
    values_std : ndarray of shape (n_uncertainties,)
        Its statistical error.
    best_cuts : list of BestCut, default=None
        The best cut of each curve; None when the cut was given.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.best_cut : The best cut and what it selects.
    skhep_ml.metrics.asimov_significance : The formula.

    Notes
    -----
    The band is the error from the numbers of simulated events, by linear propagation of
    sqrt(sum w^2) of signal and background. It does not hold the bias of a maximum: choose the cut
    on validation events and show it, by ``cut=``, on test events. Cuts that leave less background
    than the floors ask for are shaded instead of drawn. The axis is logarithmic where the marked
    values differ by more than a factor of 5.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.plot` for the lines.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import SignificanceDisplay
    >>> y = np.repeat([0, 1], 5000)
    >>> score = np.random.default_rng(0).normal(y, 1.0)
    >>> display = SignificanceDisplay.from_predictions(
    ...     y, score, class_yields={0: 10000.0, 1: 300.0}, background_uncertainties=[0.0, 0.05])
    >>> display.values.round(1), display.cuts.round(1)
    (array([3.8, 2.7]), array([0.7, 2.7]))
    """

    def __init__(
        self,
        *,
        thresholds: NDArray[np.float64],
        significance: NDArray[np.float64],
        significance_std: NDArray[np.float64],
        reliable: NDArray[np.bool_],
        background_uncertainties: Sequence[float],
        cuts: NDArray[np.float64],
        values: NDArray[np.float64],
        values_std: NDArray[np.float64],
        best_cuts: list[BestCut] | None = None,
        name: str | None = None,
    ) -> None:
        self.thresholds = thresholds
        self.significance = significance
        self.significance_std = significance_std
        self.reliable = reliable
        self.background_uncertainties = background_uncertainties
        self.cuts = cuts
        self.values = values
        self.values_std = values_std
        self.best_cuts = best_cuts
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        class_yields: Mapping[Any, float] | None = None,
        background_uncertainties: Sequence[float] = (0.0, 0.05, 0.1),
        cut: float | None = None,
        min_background_events: int = 10,
        min_effective_background: float = 10.0,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the significance of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_score : array-like of shape (n_events,)
            Scores, greater for signal; infinities are allowed.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        class_yields : mapping of label to float, default=None
            Expected yield of each class; the weights of all its events are scaled to that sum.
        background_uncertainties : sequence of float, default=(0.0, 0.05, 0.1)
            Relative uncertainties of the background, one curve each.
        cut : float, default=None
            The cut to mark, chosen on other events; None marks the best cut of each curve.
        min_background_events : int, default=10
            Least raw number of background events that must pass.
        min_effective_background : float, default=10.0
            Least effective number of background events, (sum w)^2 / sum w^2, that must pass.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        name : str, default=None
            Name of the model, shown at the score's axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        SignificanceDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, no or negative uncertainties, a class whose weights sum to 0 or less,
            labels missing from ``class_yields`` or unknown, or no cut that leaves the background
            asked for.
        """
        uncertainties = [float(one) for one in background_uncertainties]
        if not uncertainties or not all(one >= 0 for one in uncertainties):
            msg = f"background_uncertainties must be shares of at least 0, got {uncertainties}"
            raise ValueError(msg)
        common: dict[str, Any] = {
            "sample_weight": sample_weight,
            "class_yields": class_yields,
            "pos_label": pos_label,
        }
        ranked = ranked_yields(y_true, y_score, **common)
        (s, b), (s2, b2), (_, n_b) = (ranked.passing(power) for power in (1, 2, 0))
        effective = np.divide(b**2, b2, out=np.zeros_like(b), where=b2 > 0)
        reliable = (n_b >= min_background_events) & (effective >= min_effective_background)
        chosen: list[Any]
        if cut is None:
            chosen = [
                best_cut(
                    y_true,
                    y_score,
                    metric="asimov",
                    background_uncertainty=one,
                    min_background_events=min_background_events,
                    min_effective_background=min_effective_background,
                    **common,
                )
                for one in uncertainties
            ]
        else:
            selected = check_score(y_score) >= cut
            chosen = [selected_yields(y_true, selected, **common)] * len(uncertainties)
        errors = np.sqrt(s2), np.sqrt(b2)
        curves = [_asimov_with_std(s, b, *errors, one) for one in uncertainties]
        marks = [
            _asimov_with_std(at.s, at.b, at.s_std, at.b_std, one)
            for at, one in zip(chosen, uncertainties, strict=True)
        ]
        display = cls(
            thresholds=ranked.thresholds,
            significance=np.array([z for z, _ in curves]),
            significance_std=np.array([std for _, std in curves]),
            reliable=reliable & (b >= 0),
            background_uncertainties=uncertainties,
            cuts=np.array([at.threshold if cut is None else cut for at in chosen]),
            values=np.array([z for z, _ in marks]),
            values_std=np.array([std for _, std in marks]),
            best_cuts=chosen if cut is None else None,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        finite = np.flatnonzero(np.isfinite(self.thresholds))
        low, high = self.thresholds[finite[-1]], self.thresholds[finite[0]]
        span = high - low if high > low else 1.0
        points = finite[visible_points((self.thresholds[finite] - low) / span)]
        cuts, reliable = self.thresholds[points], self.reliable[points]
        heights = [self.values]
        for k, uncertainty in enumerate(self.background_uncertainties):
            z = np.where(reliable, self.significance[k][points], np.nan)
            std = self.significance_std[k][points]
            value = with_error(self.values[k], self.values_std[k])
            label = rf"$\sigma_b/b$ = {100 * uncertainty:g}%: Z = {value} at {self.cuts[k]:.3g}"
            options = {"color": COLORS[k % len(COLORS)], "label": label, **kwargs}
            (line,) = ax.plot(cuts, z, gid="curve", **options)
            color = line.get_color()
            ax.fill_between(cuts, z - std, z + std, color=color, alpha=BAND_ALPHA, lw=0)
            ax.plot(self.cuts[k], self.values[k], "o", color=color, mec="black", mew=0.8, ms=6)
            heights += [z, z + std]
        if self.best_cuts is None:
            ax.axvline(self.cuts[0], color="0.3", lw=1, ls="--")
        if not reliable.all():
            ax.fill_between(
                cuts,
                0,
                1,
                where=~reliable,
                transform=ax.get_xaxis_transform(),
                color="0.9",
                lw=0,
                zorder=0,
                label="Too little background",
            )
        ax.set(
            xlabel="Cut on the score" if name is None else f"Cut on the {name} score",
            ylabel="Asimov significance Z",
            xlim=(low, low + span),
        )
        self._scale(ax, np.concatenate(heights), len(self.values) + (not reliable.all()))
        ticks_inside(ax)
        ax.legend(loc="upper left")

    def _scale(self, ax: Any, heights: NDArray[np.float64], rows: int) -> None:
        """Choose the axis of significances, with room for the rows of the legend."""
        heights = heights[np.isfinite(heights) & (heights > 0)]
        top = float(heights.max()) if len(heights) else 1.0
        room = 0.1 + 0.06 * rows
        least = float(np.min(self.values))
        if least > 0 and np.max(self.values) > 5 * least:
            bottom = max(float(heights.min()), 0.1 * least)
            ax.set(yscale="log", ylim=(bottom, top * (top / bottom) ** (room / (1 - room))))
        else:
            ax.set_ylim(0, top / (1 - room))
