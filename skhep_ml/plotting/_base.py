"""What the displays share: the frame of ``plot``, and the response of a model."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhep_ml.plotting._style import hep_axes


def model_response(
    estimator: Any, X: Any, groups: Any, methods: tuple[str, ...]
) -> tuple[NDArray[Any], str]:
    """Call the first method that the model has, with event identifiers if there are any."""
    check_is_fitted(estimator)
    for method in methods:
        if hasattr(estimator, method):
            metadata = {} if groups is None else {"groups": groups}
            return np.asarray(getattr(estimator, method)(X, **metadata)), method
    msg = f"{type(estimator).__name__} has no {' or '.join(methods)}, which the display needs"
    raise AttributeError(msg)


def positive_score(
    estimator: Any,
    X: Any,
    *,
    pos_label: Any = None,
    groups: Any = None,
    methods: tuple[str, ...] = ("predict_proba", "decision_function"),
) -> tuple[NDArray[Any], Any]:
    """Score of the positive class, greater for it, and that class's label.

    Without ``pos_label`` the second of two classes is the positive one.
    """
    check_is_fitted(estimator)
    classes = list(getattr(estimator, "classes_", ()))
    if pos_label is None:
        if len(classes) != 2:
            msg = (
                f"{type(estimator).__name__} knows {len(classes)} classes: pass pos_label= to "
                "choose the one whose score is shown"
            )
            raise ValueError(msg)
        pos_label = classes[1]
    elif pos_label not in classes:
        msg = f"pos_label={pos_label!r} is not among the model's classes {classes[:5]}"
        raise ValueError(msg)
    column = classes.index(pos_label)
    response, _ = model_response(estimator, X, groups, methods)
    if response.ndim == 2:
        return response[:, column], pos_label
    return (response if column else -response), pos_label


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

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        name : str, default=None
            Name shown in the picture; None takes that of the display.
        **kwargs : dict
            Options of the drawing, listed in the Notes of the class.

        Returns
        -------
        self
            The display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ModuleNotFoundError
            matplotlib is not installed.
        """
        with hep_axes(ax) as axes:
            self._draw(axes, self.name if name is None else name, **kwargs)
        self.ax_, self.figure_ = axes, axes.figure
        return self

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        raise NotImplementedError


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
