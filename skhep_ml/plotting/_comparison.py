"""Curves of several models, or of the folds of a rotating one, on common axes."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._response import predicts_by_groups
from skhep_ml._validation import check_event_weight
from skhep_ml.model_selection._rotating import RotatingClassifier, event_folds
from skhep_ml.plotting._base import BinaryDisplay, Display, positive_score
from skhep_ml.plotting._names import by_name
from skhep_ml.plotting._style import (
    BAND_ALPHA,
    COLORS,
    grid_cell,
    panel_and_ratio,
    ratio_range,
    ticks_inside,
)

_GRID = np.linspace(0.005, 1.0, 200)


class ComparisonDisplay(Display):
    """Curves on common axes, with their ratios to one of them below.

    It comes from ``from_scores``, ``from_estimators`` and ``from_folds`` of `RocDisplay`,
    `RejectionDisplay` and `PrecisionRecallDisplay`.

    Parameters
    ----------
    displays : list of RocDisplay, RejectionDisplay or PrecisionRecallDisplay
        The curves, all of one kind.
    options : list of dict, default=None
        Options of the drawing of each.
    reference : int, default=None
        Number of the curve to which the ratios are; None draws no ratios.
    name : str, default=None
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the curves.
    ratio_ax_ : matplotlib Axes or None
        Those of the ratios.
    figure_ : matplotlib Figure
        Their figure.

    Notes
    -----
    Ratios are taken at equal signal efficiency. Each has the relative error of its own curve as a
    band, the reference too. Models that are compared on the same events fluctuate together, so
    that the error of their ratio is smaller: `skhep_ml.metrics.bootstrap` gives it.
    ``plot`` passes other keywords to the drawing of every curve.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.plotting import RejectionDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 5000)
    >>> scores = {"BDT": rng.normal(1.5 * y), "Cuts": rng.normal(y)}
    >>> display = RejectionDisplay.from_scores(y, scores)
    >>> display.ratio_ax_.get_ylabel()
    'To BDT'
    """

    ratio_ax_: Any

    def __init__(
        self,
        *,
        displays: "Sequence[CurveDisplay]",
        options: Sequence[Mapping[str, Any]] | None = None,
        reference: int | None = None,
        name: str | None = None,
    ) -> None:
        self.displays = displays
        self.options = options
        self.reference = reference
        self.name = name

    def _draw(self, ax: Any, name: str | None, **kwargs: Any) -> None:
        self.ratio_ax_ = None
        if self.reference is not None:
            self.ax_, self.ratio_ax_ = panel_and_ratio(ax.figure, grid_cell(ax))
        options = [{} for _ in self.displays] if self.options is None else self.options
        for display, one in zip(self.displays, options, strict=True):
            display.ax_, display.figure_ = self.ax_, self.figure_
            display._draw(self.ax_, display.name, **{**one, **kwargs})
        if name is not None:
            self.ax_.set_title(name)
        if self.reference is not None:
            self._draw_ratios(self.displays[self.reference])

    def _draw_ratios(self, reference: "CurveDisplay") -> None:
        below = self.ratio_ax_
        unit, _ = reference._on_grid(_GRID)
        lines, bands = [], []
        for display in self.displays:
            value, relative = display._on_grid(_GRID)
            # what is hardly known would hide the rest
            ratio = np.where(relative < 0.5, value / unit, np.nan)
            lines.append(ratio)
            line = display.line_
            below.plot(
                _GRID,
                ratio,
                color=line.get_color(),
                lw=line.get_linewidth(),
                alpha=line.get_alpha(),
            )
            if display.band_ is not None:
                below.fill_between(
                    _GRID,
                    ratio * (1 - relative),
                    ratio * (1 + relative),
                    color=line.get_color(),
                    alpha=BAND_ALPHA,
                    lw=0,
                )
                bands += [ratio * (1 - relative), ratio * (1 + relative)]
        label = "first" if reference.name is None else reference.name
        below.set(xlabel=self.ax_.get_xlabel(), ylabel=f"To {label}")
        self.ax_.set_xlabel("")
        below.set_ylim(*ratio_range(np.concatenate(bands or lines), most=3.0))
        ticks_inside(below)


class CurveDisplay(BinaryDisplay):
    """Base of the displays of a curve against signal efficiency."""

    line_: Any
    band_: Any

    @classmethod
    def _make(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None,
        pos_label: Any,
        name: str | None,
    ) -> Self:
        """Compute the curve without drawing it."""
        raise NotImplementedError

    def _on_grid(self, grid: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values at given signal efficiencies and their relative errors; NaN where undefined."""
        raise NotImplementedError

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the curve of given scores.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_score : array-like of shape (n_events,)
            Scores, greater for signal; infinities are allowed.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, or a class that is missing or whose weights sum to 0 or less.
        """
        display = cls._make(
            y_true, y_score, sample_weight=sample_weight, pos_label=pos_label, name=name
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_scores(
        cls,
        y_true: ArrayLike,
        y_scores: Mapping[str, ArrayLike],
        *,
        sample_weight: ArrayLike | None = None,
        pos_label: Any = None,
        ratio: bool = True,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ComparisonDisplay:
        """Plot the curves of several scores of the same events.

        Parameters
        ----------
        y_true : array-like of shape (n_events,)
            Labels of two classes.
        y_scores : mapping of str to array-like of shape (n_events,)
            Scores by the name of their model, greater for signal.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        pos_label : label, default=None
            The signal label; None takes 1 of {0, 1} or {-1, 1}.
        ratio : bool, default=True
            Whether to draw the ratios to the first model below.
        name : str, default=None
            Title.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ComparisonDisplay
            The curves, drawn.

        Raises
        ------
        TypeError
            Scores without names.
        ValueError
            No scores, or wrong ones as in ``from_predictions``.
        """
        _check_named(y_scores, "y_scores")
        displays = [
            cls._make(y_true, one, sample_weight=sample_weight, pos_label=pos_label, name=str(key))
            for key, one in y_scores.items()
        ]
        reference = 0 if ratio and len(displays) > 1 else None
        return ComparisonDisplay(displays=displays, reference=reference, name=name).plot(
            ax, **kwargs
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any] | Sequence[Any],
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        ratio: bool = True,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ComparisonDisplay:
        """Plot the curves of several fitted models on the same events.

        Parameters
        ----------
        estimators : mapping of str to estimator, or list of estimators
            Fitted models; those of a list are named by their classes.
        X : array-like of shape (n_events, n_features)
            Features.
        y : array-like of shape (n_events,)
            Labels of two classes.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, passed to the models that predict by them.
        pos_label : label, default=None
            The signal label; None takes the second of the models' classes.
        ratio : bool, default=True
            Whether to draw the ratios to the first model below.
        name : str, default=None
            Title.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ComparisonDisplay
            The curves, drawn.

        Raises
        ------
        ValueError
            No models, models of other than two classes without ``pos_label``, models whose second
            classes differ, or wrong input as in ``from_predictions``.
        """
        estimators = by_name(estimators)
        _check_named(estimators, "estimators")
        scores, labels = {}, []
        for key, one in estimators.items():
            known = groups if predicts_by_groups(one, cls._response_methods) else None
            scores[key], label = positive_score(
                one, X, pos_label=pos_label, groups=known, methods=cls._response_methods
            )
            labels.append(label)
        if any(label != labels[0] for label in labels):
            msg = f"the second classes of the models differ, {labels}: pass pos_label="
            raise ValueError(msg)
        return cls.from_scores(
            y,
            scores,
            sample_weight=sample_weight,
            pos_label=labels[0],
            ratio=ratio,
            name=name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_folds(
        cls,
        estimator: RotatingClassifier,
        X: Any,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        ratio: bool = False,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ComparisonDisplay:
        """Plot a curve for every fold of a rotating model, and that of all events together.

        Parameters
        ----------
        estimator : RotatingClassifier
            Fitted with event identifiers.
        X : array-like of shape (n_events, n_features)
            Features, with the identifiers among them where the model's ``id_columns`` says so.
        y : array-like of shape (n_events,)
            Labels of two classes.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers.
        pos_label : label, default=None
            The signal label; None takes the second of the model's classes.
        ratio : bool, default=False
            Whether to draw the ratios to the pooled curve below.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes whose place the display takes; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ComparisonDisplay
            The curves, drawn: those of the folds in ``displays[:-1]``, the pooled one last.

        Raises
        ------
        TypeError
            The model is none that rotates.
        ValueError
            Missing or wrong identifiers, a fold without one of the classes, or wrong input as in
            ``from_predictions``.

        See Also
        --------
        skhep_ml.model_selection.fold_scores : The numbers, with errors.
        """
        fold = check_folds(estimator, X, groups)
        score, label = positive_score(
            estimator, X, pos_label=pos_label, groups=groups, methods=cls._response_methods
        )
        labels = np.asarray(y)
        weight = check_event_weight(sample_weight, len(score))
        pooled = "Pooled" if name is None else f"{name}, pooled"
        whole = cls._make(labels, score, sample_weight=weight, pos_label=label, name=pooled)
        displays = []
        for k in np.unique(fold):
            here = fold == k
            part = None if weight is None else weight[here]
            try:
                one = cls._make(
                    labels[here], score[here], sample_weight=part, pos_label=label, name=f"Fold {k}"
                )
            except ValueError as error:
                msg = f"fold {k} ({np.count_nonzero(here)} events): {error}"
                raise ValueError(msg) from error
            displays.append(one)
        thin: list[dict[str, Any]] = [
            {"band": False, "color": COLORS[1], "lw": 0.9, "alpha": 0.6, "label": "_"}
            for _ in displays
        ]
        thin[0]["label"] = f"{len(displays)} folds"
        comparison = ComparisonDisplay(
            displays=[*displays, whole],
            options=[*thin, {"color": COLORS[0]}],
            reference=len(displays) if ratio else None,
        )
        return comparison.plot(ax, **kwargs)


def check_folds(estimator: Any, X: Any, groups: Any) -> NDArray[np.intp]:
    """Fold of every event for a fitted rotating classifier."""
    if not isinstance(estimator, RotatingClassifier):
        msg = (
            f"from_folds needs a fitted RotatingClassifier, got {type(estimator).__name__}: "
            "from_estimator draws other models"
        )
        raise TypeError(msg)
    return event_folds(estimator, X, groups)


def _check_named(given: Any, what: str) -> None:
    if not isinstance(given, Mapping):
        msg = f"{what} must be a mapping of names, such as {{'BDT': bdt, 'Net': net}}"
        raise TypeError(msg)
    if not given:
        msg = f"{what} is empty: there is nothing to show"
        raise ValueError(msg)
