"""What is missing in a sample, and what is missing together."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhep_ml._extras import import_extra
from skhep_ml._format import percent
from skhep_ml.impute import MissingReport, missing_report
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._feature import _names as class_names
from skhep_ml.plotting._style import COLORS, ticks_inside

# width of one pattern of the matrix, in percent of the bars' width
_COLUMN = 6
_LEGEND_COLUMNS = 3


class MissingDisplay(Display):
    """Missing share of every feature, for each class, beside the most frequent patterns.

    Make it with ``from_arrays``.

    Parameters
    ----------
    report : MissingReport
        What is shown.
    max_features : int, default=20
        Number of features shown.
    name : str, default=None
        Name of the sample, shown above the picture.

    Attributes
    ----------
    features_ : list of str
        The features shown, from the top; those that are missing together stand together.
    matrix_ax_ : matplotlib Axes
        Axes of the patterns.
    ax_ : matplotlib Axes
        The axes of the bars.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    The bars show the shares of :func:`skhep_ml.impute.missing_report` with their statistical
    errors; features that are never missing are left out. Each column of the matrix is a pattern:
    marks tell the features that are missing in its events, and its share of the sample, in abs(w),
    stands below it. ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.barh`.

    Examples
    --------
    >>> from skhep_ml.datasets import load_higgs
    >>> from skhep_ml.plotting import MissingDisplay
    >>> events = load_higgs()
    >>> display = MissingDisplay.from_arrays(
    ...     events.data, events.target, sample_weight=events.weight,
    ...     feature_names=events.feature_names,
    ... )
    >>> display.features_[:3]
    ['jet2_pt', 'jet2_eta', 'jet2_phi']
    """

    def __init__(
        self,
        *,
        report: MissingReport,
        max_features: int = 20,
        name: str | None = None,
    ) -> None:
        self.report = report
        self.max_features = max_features
        self.name = name

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        feature_names: Sequence[str] | None = None,
        max_features: int = 20,
        max_patterns: int = 10,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot what is missing in a table.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,), default=None
            Labels of the classes, or names of the processes; {0, 1} and {-1, 1} stand for
            background and signal.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights; abs(w) enters the shares.
        missing_values : float or sequence of float, default=(nan, -999.0)
            Values that stand for "missing", all at once; NaN and None always do.
        feature_names : sequence of str of length n_features, default=None
            Names of the columns; None takes those of a DataFrame, or x0, x1, ...
        max_features : int, default=20
            Number of features shown, those with the largest missing share first.
        max_patterns : int, default=10
            Number of patterns shown, the most frequent first.
        name : str, default=None
            Name of the sample, shown above the picture.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        MissingDisplay
            The display, drawn.

        Raises
        ------
        ModuleNotFoundError
            pandas or matplotlib is not installed.
        ValueError
            Lengths that differ, unusable weights, or nothing to show.
        """
        report = missing_report(
            X,
            y,
            sample_weight,
            missing_values=missing_values,
            feature_names=feature_names,
            max_patterns=max_patterns,
        )
        return cls(report=report, max_features=max_features, name=name).plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        report = self.report
        ordered = [feature for group in report.groups["features"] for feature in group]
        if not ordered or self.max_features < 1:
            msg = (
                f"there is nothing to show: {len(ordered)} of {len(report.features)} features are "
                f"missing in some event, max_features={self.max_features}"
            )
            raise ValueError(msg)
        self.features_ = ordered[: self.max_features]
        self._draw_bars(ax, **kwargs)
        self._draw_patterns(ax)
        shown = f"{len(self.features_)} of {len(report.features)} features"
        title = shown if name is None else f"{name}: {shown}"
        legend_rows = -(-len(report.classes) // _LEGEND_COLUMNS)
        ax.set_title(title, loc="left", fontsize=9, pad=6 + 15 * legend_rows)

    def _draw_bars(self, ax: Any, **kwargs: Any) -> None:
        table = self.report.features.loc[self.features_]
        position = np.arange(len(table))
        classes = self.report.classes
        suffixes = [f"_{label}" for label in classes] or [""]
        labels = class_names(classes)
        height = 0.8 / len(suffixes)
        for k, suffix in enumerate(suffixes):
            options = {
                "color": COLORS[k % len(COLORS)],
                "label": str(labels[k]) if classes else None,
                "error_kw": {"elinewidth": 1.0},
                **kwargs,
            }
            ax.barh(
                position - 0.4 + (k + 0.5) * height,
                table[f"fraction{suffix}"],
                height,
                xerr=table[f"error{suffix}"],
                **options,
            )
        ax.set(xlim=(0, 1), ylim=(len(table) - 0.4, -0.6), xlabel="Missing share of the weight")
        ticks_inside(ax)
        # a minor tick between two features means nothing
        ax.tick_params(axis="y", which="minor", left=False, right=False)
        ax.tick_params(axis="y", which="major", length=0)
        ax.set_yticks(position, self.features_)
        if classes:
            # outside: bars of any length leave no free corner
            ax.legend(
                loc="lower left",
                bbox_to_anchor=(0, 1.01),
                ncols=_LEGEND_COLUMNS,
                borderaxespad=0,
            )

    def _draw_patterns(self, ax: Any) -> None:
        patterns = self.report.patterns
        matrix = np.array(
            [[feature in absent for absent in patterns["features"]] for feature in self.features_]
        )
        axes_grid = import_extra("mpl_toolkits.axes_grid1", "plot")
        share = f"{_COLUMN * len(patterns)}%"
        side = axes_grid.make_axes_locatable(ax).append_axes("right", share, pad=0.1, sharey=ax)
        feature, pattern = np.nonzero(~matrix)
        side.scatter(pattern, feature, s=5, color="0.85")
        feature, pattern = np.nonzero(matrix)
        side.scatter(pattern, feature, s=22, marker="s", color="0.2")
        side.set_xlim(-0.6, len(patterns) - 0.4)
        side.tick_params(which="both", length=0, labelleft=False)
        shares = [percent(share) for share in patterns["fraction"]]
        side.set_xticks(range(len(patterns)), shares, rotation=90, fontsize=8)
        side.spines[:].set_visible(False)
        side.set_title("Patterns", fontsize=9)
        self.matrix_ax_ = side
