"""Distribution of one feature per class."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._histogram import feature_edges, histogram
from skhep_ml.plotting._style import BAND_ALPHA, COLORS, ticks_inside


class FeatureDisplay(Display):
    r"""Shape of one feature for every class, with statistical errors.

    Make it with ``from_arrays``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    labels : list of length n_classes
        Names of the classes.
    values : ndarray of shape (n_classes, n_bins)
        Densities, each of unit area.
    errors : ndarray of shape (n_classes, n_bins)
        Their statistical errors.
    missing : ndarray of shape (n_classes,)
        Share of the class's weight without this feature.
    name : str, default=None
        Name of the feature.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    Missing values (NaN) are left out and their share stands in the legend. Values outside the
    edges count in the outermost bins. Errors are those of a share,
    :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2 / (\sum w)^2` with p being 1 for the events of a
    bin.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.stairs` for the lines.

    Examples
    --------
    >>> from skhep_ml.plotting import FeatureDisplay
    >>> display = FeatureDisplay.from_arrays([0, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1], name="n_jets")
    >>> display.edges
    array([-0.5, 0.5, 1.5, 2.5])
    >>> display.values.round(2)
    array([[0.33, 0.67, 0.  ],
           [0.  , 0.  , 1.  ]])
    """

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        labels: Sequence[Any],
        values: NDArray[np.float64],
        errors: NDArray[np.float64],
        missing: NDArray[np.float64],
        name: str | None = None,
    ) -> None:
        self.edges = edges
        self.labels = labels
        self.values = values
        self.errors = errors
        self.missing = missing
        self.name = name

    @classmethod
    def from_arrays(
        cls,
        values: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        bins: ArrayLike = 40,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the distribution of a feature.

        Parameters
        ----------
        values : array-like of shape (n_events,)
            The feature, NaN where it is missing.
        y : array-like of shape (n_events,)
            Labels of the classes, or names of the processes; {0, 1} and {-1, 1} stand for
            background and signal.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        name : str, default=None
            Name of the feature, shown at its axis.
        bins : int or array-like of shape (n_bins + 1,), default=40
            Rising edges, or a number of bins over the central 99% of the values; integers that
            need no more bins than that have one each.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        FeatureDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Lengths that differ, edges that do not rise, or a class whose weights sum to 0 or less
            over the events that have the feature.
        """
        column = np.asarray(values, dtype=np.float64)
        label = np.asarray(y)
        if column.ndim != 1 or label.shape != column.shape:
            msg = (
                "values and y must both have shape (n_events,), got "
                f"{column.shape} and {label.shape}"
            )
            raise ValueError(msg)
        weight = check_event_weight(sample_weight, len(column))
        present = ~np.isnan(column)
        if not present.any():
            msg = f"feature {name!r} is missing (NaN) in all {len(column)} events"
            raise ValueError(msg)
        edges = feature_edges(column[present], bins)
        classes = np.unique(label).tolist()
        filled, missing = [], []
        for one in classes:
            mask = label == one
            here = mask & present
            part = histogram(column[here], edges, None if weight is None else weight[here])
            filled.append(part.density(f"class {one!r}"))
            total = mask.sum() if weight is None else check_positive_sum(weight[mask], f"{one!r}")
            missing.append(1 - part.values.sum() / total)
        display = cls(
            edges=edges,
            labels=_names(classes),
            values=np.array([part.values for part in filled]),
            errors=np.array([part.errors for part in filled]),
            missing=np.array(missing),
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        for k, label in enumerate(self.labels):
            color = COLORS[k % len(COLORS)]
            values, errors = self.values[k], self.errors[k]
            if abs(self.missing[k]) > 5e-4:
                label = f"{label} ({100 * self.missing[k]:.1f}% missing)"
            options = {"baseline": None, "color": color, "lw": 1.5, "label": label, **kwargs}
            ax.stairs(values, self.edges, **options)
            ax.stairs(
                values + errors,
                self.edges,
                baseline=values - errors,
                fill=True,
                color=color,
                alpha=BAND_ALPHA,
            )
        lowest, highest = (self.values - self.errors).min(), (self.values + self.errors).max()
        if self.values.min() < 0:
            ax.axhline(0, color="black", lw=0.8)
        rows = (len(self.labels) + 1) // 2
        ax.set(
            ylabel="Density",
            xlim=(self.edges[0], self.edges[-1]),
            ylim=(1.1 * min(lowest, 0.0), (1.1 + 0.1 * rows) * highest),
        )
        if name is not None:
            ax.set_xlabel(name)
        ticks_inside(ax)
        ax.legend(loc="upper right", ncols=2)


def _names(classes: list[Any]) -> list[Any]:
    """Background and signal for the usual pairs of labels."""
    if classes in ([0, 1], [-1, 1]):
        return ["Background", "Signal"]
    return classes
