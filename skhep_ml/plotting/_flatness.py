"""Efficiency of cuts on a score against a variable."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_edges
from skhep_ml.metrics._base import efficiency_error
from skhep_ml.metrics._flatness import check_efficiencies, judged_events
from skhep_ml.metrics._uniform_groups import bin_edges, efficiency_cut
from skhep_ml.plotting._base import Display, positive_score, variable_of
from skhep_ml.plotting._histogram import integer_edges
from skhep_ml.plotting._style import COLORS, number_of_curves, show_range, ticks_inside

_MARKERS = "osD^vP"


class FlatnessDisplay(Display):
    r"""Efficiency of ``score >= cut`` against a variable, for several cuts, with its errors.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins in the variable.
    efficiencies : ndarray of shape (n_cuts, n_bins)
        Efficiency of each cut in every bin; NaN where the weights of a bin sum to 0 or less.
    errors : ndarray of shape (n_cuts, n_bins)
        Their statistical errors.
    cuts : ndarray of shape (n_cuts,)
        The cuts on the score.
    overall : ndarray of shape (n_cuts,)
        Efficiency of each cut for all events.
    variable : str, default="variable"
        Name of the variable, shown at its axis.
    name : str, default=None
        Name of the model.

    Attributes
    ----------
    lines_ : list of matplotlib ErrorbarContainer
        The points of each cut.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.sde_flatness : The spread of these efficiencies as a number.

    Notes
    -----
    The error is :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2` over the events of
    a bin, p being 1 for those that pass; the cuts count as fixed. Dashed lines are the efficiencies
    for all events, which a flat score has everywhere.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.errorbar`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import FlatnessDisplay
    >>> rng = np.random.default_rng(0)
    >>> mass = rng.uniform(50, 150, 20000)
    >>> score = rng.normal(mass / 100, 1.0)
    >>> display = FlatnessDisplay.from_predictions(
    ...     np.zeros(20000), score, mass, uniform_label=0, efficiencies=[0.5], bins=4)
    >>> display.efficiencies.round(2)
    array([[0.35, 0.46, 0.55, 0.64]])
    """

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        efficiencies: NDArray[np.float64],
        errors: NDArray[np.float64],
        cuts: NDArray[np.float64],
        overall: NDArray[np.float64],
        variable: str = "variable",
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.efficiencies = efficiencies
        self.errors = errors
        self.cuts = cuts
        self.overall = overall
        self.variable = variable
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        variable: Any,
        *,
        uniform_label: Any,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        variable_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the efficiencies of a fitted model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search. The column of ``predict_proba``, otherwise
            ``decision_function``, is its score.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels.
        variable : str, int or array-like of shape (n_events,)
            Name or position of a column of X, or values that X does not hold.
        uniform_label : label or None
            The label whose events are shown; None shows all.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        pos_label : label, default=None
            The label whose probability is cut on; None takes the second of the model's classes.
        variable_name : str, default=None
            Name of the variable; None takes that of the column.
        name : str, default=None
            Name of the model in the picture; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        FlatnessDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A column that X does not have, or wrong input as in ``from_predictions``.
        """
        score, _ = positive_score(estimator, X, pos_label=pos_label, groups=groups)
        variable, variable_name = variable_of(X, variable, variable_name)
        return cls.from_predictions(
            y,
            score,
            variable,
            uniform_label=uniform_label,
            sample_weight=sample_weight,
            variable_name=variable_name,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        variable: ArrayLike,
        *,
        uniform_label: Any,
        efficiencies: Sequence[float] = (0.9, 0.7, 0.5, 0.3),
        cuts: ArrayLike | None = None,
        bins: int | ArrayLike = 10,
        sample_weight: ArrayLike | None = None,
        variable_name: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the efficiencies of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels, of any number of classes.
        y_score : array-like of shape (n_events,)
            Scores; an event passes where its score is at or above a cut.
        variable : array-like of shape (n_events,)
            The variable, in any unit.
        uniform_label : label or None
            The label whose events are shown; None shows all.
        efficiencies : sequence of float, default=(0.9, 0.7, 0.5, 0.3)
            Efficiencies of the cuts for all events of the label; for background give small ones.
        cuts : float or array-like of shape (n_cuts,), default=None
            The cuts themselves, such as working points chosen on other events, in place of
            ``efficiencies``.
        bins : int or array-like of rising edges, default=10
            Bins with equal raw numbers of events, one bin a value for integers that need no more
            bins than that (multiplicities), or edges; events outside are not shown.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        variable_name : str, default=None
            Name of the variable; None takes that of a Series.
        name : str, default=None
            Name of the model, shown in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        FlatnessDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            An unknown label, NaN values, lengths that differ, efficiencies outside (0, 1], NaN
            cuts, wrong bins, or weights that sum to 0 or less.
        """
        if np.ndim(variable) != 1:
            msg = (
                f"variable must have shape (n_events,), got {np.shape(variable)}: draw one at a "
                "time"
            )
            raise ValueError(msg)
        targets = check_efficiencies(efficiencies)
        edges = check_edges(bins)
        if variable_name is None:
            variable_name = str(getattr(variable, "name", None) or "variable")
        score, values, weight = judged_events(
            y_true, y_score, variable, uniform_label, sample_weight, name="variable"
        )
        along = values[:, 0]
        if cuts is None:
            chosen = np.array([efficiency_cut(score, weight, target) for target in targets])
        else:
            chosen = np.atleast_1d(np.asarray(cuts, dtype=np.float64))
            if chosen.ndim != 1 or not len(chosen) or np.isnan(chosen).any():
                msg = f"cuts must be values of the score, one or more, got {cuts!r}"
                raise ValueError(msg)
        passes = score >= chosen[:, None]
        overall = passes @ weight / weight.sum()
        if isinstance(edges, int):
            integer = integer_edges(along[np.isfinite(along)], edges)
            if integer is None:
                inner = bin_edges(along, edges, "quantile")
                integer = np.unique([along.min(), *inner, along.max()])
                if len(integer) == 1:
                    integer = integer[0] + np.array([-0.5, 0.5])
            edges = integer
        inside = (along >= edges[0]) & (along <= edges[-1])
        index = np.searchsorted(edges[1:-1], along[inside], "right")
        passes, weight = passes[:, inside], weight[inside]
        n_bins = len(edges) - 1
        total, total_w2 = (np.bincount(index, weight**power, n_bins) for power in (1, 2))
        sums, sums_w2 = (
            np.stack([np.bincount(index, one * weight**power, n_bins) for one in passes])
            for power in (1, 2)
        )
        known = np.where(total > 0, total, np.nan)
        local = sums / known
        display = cls(
            edges=edges,
            efficiencies=local,
            errors=efficiency_error(sums_w2, total_w2, known, local),
            cuts=chosen,
            overall=overall,
            variable=variable_name,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        centers = (self.edges[1:] + self.edges[:-1]) / 2
        widths = np.diff(self.edges) / 2
        self.lines_ = []
        for local, error, overall in zip(self.efficiencies, self.errors, self.overall, strict=True):
            drawn = number_of_curves(ax)
            color = COLORS[drawn % len(COLORS)]
            share = f"{100 * overall:.3g}% overall"
            options = {
                "color": color,
                "fmt": _MARKERS[drawn % len(_MARKERS)],
                "ms": 4,
                "elinewidth": 1,
                "label": share if name is None else f"{name}, {share}",
                **kwargs,
            }
            line = ax.errorbar(centers, local, error, widths, **options)
            line[0].set_gid("curve")
            ax.axhline(overall, color=line[0].get_color(), ls="--", lw=1, zorder=1)
            self.lines_.append(line)
        curves = [line.get_ydata() for line in ax.lines if line.get_gid() == "curve"]
        highest = np.nanmax(np.concatenate(curves), initial=0.0)
        highest += np.nanmax(self.errors, initial=0.0)
        lowest = np.nanmin(self.efficiencies, initial=0.0)
        n_curves = number_of_curves(ax)
        columns = 2 if n_curves > 3 else 1
        # the legend stands above the points
        below = max(0.92 - 0.065 * np.ceil(n_curves / columns), 0.3)
        show_range(ax, min(lowest, 0.0), (highest or 1.0) / below)
        ax.set(xlabel=self.variable, ylabel="Efficiency", xlim=(self.edges[0], self.edges[-1]))
        ticks_inside(ax)
        ax.legend(loc="upper left", ncols=columns)
