"""Learning curves: loss against trees or epochs, score against training events."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.model_selection import fold_learning_curves
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import BAND_ALPHA, COLORS, number_of_curves, ticks_inside

_LABELS = {"train": "Training", "valid": "Validation", "validation_0": "Validation"}


class LearningCurveDisplay(Display):
    """Curves of training and validation, with the spread over folds as a band.

    Make it with ``from_estimator`` or ``from_curves`` against trees or epochs, with
    ``from_learning_curve`` against the number of training events.

    Parameters
    ----------
    steps : ndarray of shape (n_steps,)
        Trees, epochs or numbers of events.
    curves : dict of str to list of ndarray
        For each part, such as "Training", a curve a fold; those that stopped early are shorter.
    step_name : str, default="Step"
        What the steps are, shown at their axis.
    quantity : str, default="Loss"
        What the curves are, shown at their axis.
    markers : bool, default=False
        Whether to mark the steps.
    name : str, default=None
        Name of the model, shown in the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The mean of each part.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    skhep_ml.model_selection.fold_learning_curves : The curves.
    sklearn.model_selection.learning_curve : Scores against the number of training events.

    Notes
    -----
    Line and band are mean and standard deviation over the folds, as far as all of them go; beyond
    the first that stops early there are only the thin lines of the folds themselves. The spread of
    folds holds their statistics and that of their training, which overlaps.
    ``plot`` passes other keywords to :meth:`matplotlib.axes.Axes.plot` for the means.

    Examples
    --------
    >>> from skhep_ml.plotting import LearningCurveDisplay
    >>> curves = {"train_loss": [[0.7, 0.5, 0.4]], "valid_loss": [[0.7, 0.6, 0.6]]}
    >>> display = LearningCurveDisplay.from_curves(curves, step_name="Epoch")
    >>> list(display.curves), display.quantity
    (['Training', 'Validation'], 'Loss')
    """

    def __init__(
        self,
        *,
        steps: NDArray[Any],
        curves: Mapping[str, Sequence[NDArray[np.float64]]],
        step_name: str = "Step",
        quantity: str = "Loss",
        markers: bool = False,
        name: str | None = None,
    ) -> None:
        self.steps = steps
        self.curves = curves
        self.step_name = step_name
        self.quantity = quantity
        self.markers = markers
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        quantity: str | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the curves that a fitted model has kept.

        Parameters
        ----------
        estimator : estimator instance
            Fitted boosted trees or net, Pipeline or search of one, or a rotating model.
        quantity : str, default=None
            What to show, such as "loss" or the name of a metric; None takes the loss, otherwise
            what there is first.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            The model keeps no curves, or none of this quantity.
        """
        curves = fold_learning_curves(estimator)
        return cls.from_curves(
            curves,
            quantity=quantity,
            step_name="Tree" if any(" " in curve for curve in curves) else "Epoch",
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_curves(
        cls,
        curves: Mapping[str, Sequence[ArrayLike]],
        *,
        quantity: str | None = None,
        step_name: str = "Step",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot given curves.

        Parameters
        ----------
        curves : mapping of str to sequence of array-like
            For each curve one array a fold, as `skhep_ml.model_selection.fold_learning_curves`
            returns them: names are those of a net ("train_loss", "valid_loss") or of boosted trees
            ("validation_0 loss").
        quantity : str, default=None
            What to show; None takes the loss, otherwise what there is first.
        step_name : str, default="Step"
            What the steps are.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            No curve of this quantity.
        """
        parts = {name: _part_and_quantity(name) for name in curves}
        known = list(dict.fromkeys(what for _, what in parts.values()))
        if quantity is None and known:
            quantity = "loss" if "loss" in known else known[0]
        if quantity not in known:
            msg = f"quantity={quantity!r} is not among the curves' {known}"
            raise ValueError(msg)
        chosen = {}
        for key, (part, what) in parts.items():
            folds = [np.asarray(one, dtype=np.float64) for one in curves[key]]
            if what == quantity and any(np.isfinite(one).any() for one in folds):
                chosen[_LABELS.get(part, part.replace("_", " "))] = folds
        if not chosen:
            msg = f"the curves of {quantity!r} hold no finite value"
            raise ValueError(msg)
        longest = max(len(one) for folds in chosen.values() for one in folds)
        display = cls(
            steps=np.arange(1, longest + 1),
            curves=chosen,
            step_name=step_name,
            quantity=quantity.replace("_", " ").capitalize(),
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_learning_curve(
        cls,
        train_sizes: ArrayLike,
        train_scores: ArrayLike | None,
        test_scores: ArrayLike,
        *,
        quantity: str = "Score",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot scores against the number of training events.

        Parameters
        ----------
        train_sizes : array-like of shape (n_sizes,)
            Numbers of training events, as from :func:`sklearn.model_selection.learning_curve`.
        train_scores : array-like of shape (n_sizes, n_folds) or None
            Scores of the training events; None leaves them out.
        test_scores : array-like of shape (n_sizes, n_folds)
            Scores of the test events.
        quantity : str, default="Score"
            What the scores are.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        LearningCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Shapes that do not fit, or scores that are all NaN.
        """
        sizes = np.asarray(train_sizes)
        curves = {}
        for key, scores in (("Training", train_scores), ("Validation", test_scores)):
            if scores is None:
                continue
            table = np.asarray(scores, dtype=np.float64)
            if table.ndim != 2 or len(table) != len(sizes) or not table.shape[1]:
                what = "train_scores" if key == "Training" else "test_scores"
                msg = f"{what} must have shape ({len(sizes)}, n_folds), got {table.shape}"
                raise ValueError(msg)
            if not np.isfinite(table).any():
                msg = "the scores are all NaN: score one fold alone with error_score='raise'"
                raise ValueError(msg)
            curves[key] = list(table.T)
        display = cls(
            steps=sizes,
            curves=curves,
            step_name="Training events",
            quantity=quantity,
            markers=True,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        self.lines_ = []
        for part, folds in self.curves.items():
            options = {
                "color": COLORS[number_of_curves(ax) % len(COLORS)],
                "label": part if name is None else f"{name}, {part[0].lower()}{part[1:]}",
                "marker": "o" if self.markers else None,
                "ms": 4,
                **kwargs,
            }
            common = min(len(one) for one in folds)
            table = np.array([one[:common] for one in folds])
            mean, std = table.mean(axis=0), table.std(axis=0, ddof=min(1, len(folds) - 1))
            shown = np.isfinite(mean)
            steps = self.steps[:common][shown]
            (line,) = ax.plot(steps, mean[shown], gid="curve", **options)
            self.lines_.append(line)
            if len(folds) == 1:
                continue
            color = line.get_color()
            band = (mean - std)[shown], (mean + std)[shown]
            ax.fill_between(steps, *band, color=color, alpha=BAND_ALPHA, lw=0)
            for one in folds:
                ax.plot(self.steps[: len(one)], one, color=color, lw=0.6, alpha=0.5)
        ax.set(xlabel=self.step_name, ylabel=self.quantity)
        ax.margins(x=0.02)
        ticks_inside(ax)
        ax.legend(loc="best")


def _part_and_quantity(name: str) -> tuple[str, str]:
    """Events and quantity of a curve: "train_loss", "validation_0 loss"."""
    part, _, quantity = name.partition(" " if " " in name else "_")
    return part, quantity
