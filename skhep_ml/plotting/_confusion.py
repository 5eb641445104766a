"""Confusion matrix with statistical errors."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels

from skhep_ml._format import with_error
from skhep_ml.metrics import confusion_matrix
from skhep_ml.plotting._base import Display, model_response
from skhep_ml.plotting._style import ticks_inside


class ConfusionDisplay(Display):
    """Sums of weights by true and predicted class, with statistical errors.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes, n_classes)
        Row i, column j: true label i predicted as j.
    confusion_matrix_std : ndarray of shape (n_classes, n_classes)
        Its statistical errors.
    row_shares : ndarray of shape (n_classes, n_classes)
        Shares of the true classes, which colour the cells.
    display_labels : sequence of length n_classes
        Names of the classes.
    normalize : {"true", "pred", "all"}, default=None
        How the matrix was divided.
    name : str, default=None
        Name of the model, shown as title.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The coloured cells.
    text_ : ndarray of matplotlib Text, shape (n_classes, n_classes)
        Their texts.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.metrics.confusion_matrix : The numbers.

    Notes
    -----
    Colours are shares of the true class, whatever ``normalize`` says, so that a rare class shows;
    they end at 0 and 1, which signed weights can leave.
    ``plot`` takes ``colorbar`` (default True); it passes other keywords to
    :meth:`matplotlib.axes.Axes.imshow`.

    Examples
    --------
    >>> from skhep_ml.plotting import ConfusionDisplay
    >>> display = ConfusionDisplay.from_predictions(
    ...     ["b", "b", "s"], ["b", "s", "s"], sample_weight=[2.0, -0.5, 1.0])
    >>> display.confusion_matrix
    array([[ 2. , -0.5],
           [ 0. ,  1. ]])
    """

    def __init__(
        self,
        *,
        confusion_matrix: NDArray[Any],
        confusion_matrix_std: NDArray[np.float64],
        row_shares: NDArray[np.float64],
        display_labels: Sequence[Any],
        normalize: Literal["true", "pred", "all"] | None = None,
        name: str | None = None,
    ) -> None:
        self.confusion_matrix = confusion_matrix
        self.confusion_matrix_std = confusion_matrix_std
        self.row_shares = row_shares
        self.display_labels = display_labels
        self.normalize = normalize
        self.name = name

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        display_labels: Sequence[Any] | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the confusion matrix of given class decisions.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            True labels.
        y_pred : array-like of shape (n_events,)
            Predicted labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        labels : array-like of shape (n_classes,), default=None
            Labels of the rows and columns; others are left out. None takes all, sorted.
        display_labels : sequence of length n_classes, default=None
            Names for them; None shows the labels.
        normalize : {"true", "pred", "all"}, default=None
            Divide by the sums of rows, of columns, or of everything.
        name : str, default=None
            Name of the model, shown as title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ConfusionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Lengths that differ, labels none of which is in ``y_true``, or a wrong number of
            names.
        """
        common: dict[str, Any] = {"labels": labels, "sample_weight": sample_weight}
        matrix, std = confusion_matrix(
            y_true, y_pred, normalize=normalize, return_std=True, **common
        )
        if display_labels is None:
            shown = unique_labels(y_true, y_pred) if labels is None else np.asarray(labels)
            display_labels = shown.tolist()
        elif len(display_labels) != len(matrix):
            msg = f"display_labels holds {len(display_labels)} names for {len(matrix)} classes"
            raise ValueError(msg)
        display = cls(
            confusion_matrix=matrix,
            confusion_matrix_std=std,
            row_shares=confusion_matrix(y_true, y_pred, normalize="true", **common),
            display_labels=display_labels,
            normalize=normalize,
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
        """Plot the confusion matrix of a fitted model's ``predict``.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            True labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        name : str, default=None
            Name of the model; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        ConfusionDisplay
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

    def _draw(self, ax: Any, name: str | None, *, colorbar: bool = True, **kwargs: Any) -> None:
        n = len(self.display_labels)
        options = {"cmap": "Blues", "vmin": 0.0, "vmax": 1.0, **kwargs}
        self.im_ = ax.imshow(self.row_shares, **options)
        self.text_ = np.empty((n, n), dtype=object)
        size = 11 if n < 4 else 9 if n < 6 else 7
        for i, j in np.ndindex(n, n):
            value, error = self.confusion_matrix[i, j], self.confusion_matrix_std[i, j]
            red, green, blue, _ = self.im_.cmap(self.im_.norm(self.row_shares[i, j]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            self.text_[i, j] = ax.text(
                j,
                i,
                with_error(float(value), float(error)).replace(" ± ", "\n± "),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else "black",
            )
        if colorbar:
            bar = ax.figure.colorbar(self.im_, ax=ax, label="Share of the true class")
            bar.ax.tick_params(direction="in")
        ax.set(
            xticks=range(n),
            yticks=range(n),
            xticklabels=self.display_labels,
            yticklabels=self.display_labels,
            xlabel="Predicted class",
            ylabel="True class",
        )
        if name is not None:
            ax.set_title(name)
        ticks_inside(ax, minor=False)
        ax.tick_params(which="both", length=0)
