"""What the displays share: the frame of ``plot``."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhep_ml._frames import column_positions, numeric_columns
from skhep_ml._response import model_response, positive_score
from skhep_ml.plotting._style import hep_axes

__all__ = ["BinaryDisplay", "Display", "model_response", "positive_score", "variable_of"]


def variable_of(X: Any, variable: Any, name: str | None) -> tuple[Any, str | None]:
    """Values of a variable, given as such or as a column of X, and its name."""
    if np.ndim(variable):
        return variable, name
    if name is None and isinstance(variable, str):
        name = variable
    table = X if hasattr(X, "shape") else np.asarray(X)
    position = column_positions(table, [variable], argument="variable")
    return numeric_columns(table, position)[:, 0], name


class Display:
    """Base of the displays.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.
    """

    name: str | None = None
    ax_: Any
    figure_: Any

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        style: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        name : str, default=None
            Name shown in the picture; None takes that of the display.
        style : str or mapping, default=None
            Name of an experiment's style in mplhep, such as "ATLAS", "CMS", "LHCb2", "ALICE" or
            "DUNE", in proportion to the displays' size of figures; or matplotlib's own settings by
            name. Colours, formulae and legends stay the displays' own. Axes that are given keep
            what they were made with.
        **kwargs : dict
            Options of the drawing, listed in the Notes of the class.

        Returns
        -------
        self
            The display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ModuleNotFoundError
            matplotlib, or mplhep for a style of its own, is not installed.
        ValueError
            A style that mplhep does not have.
        """
        with hep_axes(ax, style) as axes:
            self.ax_, self.figure_ = axes, axes.figure
            self._draw(axes, self.name if name is None else name, **kwargs)
            if ax is None:
                self._fit_figure(self.figure_)
        return self

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        raise NotImplementedError

    def _fit_figure(self, figure: Any) -> None:
        """Hook: change the size of a figure of the display's own."""


class BinaryDisplay(Display):
    """Base of the displays of one score for signal and background."""

    _response_methods: tuple[str, ...] = ("predict_proba", "decision_function")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the display of a fitted model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search. The column of ``predict_proba``, otherwise
            ``decision_function``, is its score.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels of two classes.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        pos_label : label, default=None
            The signal label; None takes the second of the model's classes.
        name : str, default=None
            Name of the model in the picture; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            A model of other than two classes without ``pos_label``, or wrong input as in
            ``from_predictions``.
        """
        score, pos_label = positive_score(
            estimator, X, pos_label=pos_label, groups=groups, methods=cls._response_methods
        )
        return cls.from_predictions(  # type: ignore[attr-defined]
            y,
            score,
            sample_weight=sample_weight,
            pos_label=pos_label,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )
