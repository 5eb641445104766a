"""Ranking of features."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import COLORS, ticks_inside


class ImportanceDisplay(Display):
    """Importances of the first features as bars with errors.

    Make it with ``from_importances``.

    Parameters
    ----------
    names : sequence of str
        Names of all features.
    mean : ndarray of shape (n_features,)
        Their importances.
    std : ndarray of shape (n_features,), default=None
        Errors of the importances.
    max_features : int, default=15
        Number of features shown.
    name : str, default=None
        What the importance is, shown at its axis.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.barh`.

    Examples
    --------
    >>> from skhep_ml.plotting import ImportanceDisplay
    >>> display = ImportanceDisplay.from_importances(["m_jj", "tau_pt"], [0.1, 0.4], [0.01, 0.02])
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['tau_pt', 'm_jj']
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        mean: NDArray[np.float64],
        std: NDArray[np.float64] | None = None,
        max_features: int = 15,
        name: str | None = None,
    ) -> None:
        self.names = names
        self.mean = mean
        self.std = std
        self.max_features = max_features
        self.name = name

    @classmethod
    def from_importances(
        cls,
        names: Sequence[str],
        mean: ArrayLike,
        std: ArrayLike | None = None,
        *,
        max_features: int = 15,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot given importances.

        Parameters
        ----------
        names : sequence of str
            Names of the features.
        mean : array-like of shape (n_features,)
            Their importances, of any sign.
        std : array-like of shape (n_features,), default=None
            Errors of the importances; None draws none.
        max_features : int, default=15
            Number of features shown, the most important first.
        name : str, default=None
            What the importance is, shown at its axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ImportanceDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Lengths that differ, NaN importances, or ``max_features`` below 1.
        """
        columns = {"mean": np.asarray(mean, np.float64)}
        if std is not None:
            columns["std"] = np.asarray(std, np.float64)
        for what, column in columns.items():
            if column.shape != (len(names),):
                msg = f"{what} must have shape ({len(names)},), one a name, got {column.shape}"
                raise ValueError(msg)
            if np.isnan(column).any():
                first = names[int(np.argmax(np.isnan(column)))]
                msg = f"{what} is NaN for feature {first!r}"
                raise ValueError(msg)
        if max_features < 1 or not len(names):
            msg = f"there is nothing to show: {len(names)} features, max_features={max_features}"
            raise ValueError(msg)
        display = cls(
            names=list(names),
            mean=columns["mean"],
            std=columns.get("std"),
            max_features=max_features,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        order = np.argsort(-self.mean, kind="stable")[: self.max_features]
        position = np.arange(len(order))
        options = {"color": COLORS[0], "height": 0.7, "ecolor": "black", "capsize": 2, **kwargs}
        self.bars_ = ax.barh(
            position,
            self.mean[order],
            xerr=None if self.std is None else self.std[order],
            **options,
        )
        ax.set(ylim=(len(order) - 0.4, -0.6), xlabel="Importance" if name is None else name)
        if np.any(self.mean[order] < 0):
            ax.axvline(0, color="black", lw=0.8)
        ticks_inside(ax)
        # a minor tick between two features means nothing
        ax.tick_params(axis="y", which="minor", left=False, right=False)
        ax.tick_params(axis="y", which="major", length=0)
        ax.set_yticks(position, [self.names[k] for k in order])
        if len(order) < len(self.names):
            ax.set_title(
                f"{len(order)} of {len(self.names)} features",
                loc="right",
                fontsize=9,
            )
