"""Correlations of features as a heat map."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.impute._masks import missing_sentinels
from skhep_ml.inspection._correlation import median_and_range, weighted_correlation
from skhep_ml.inspection._table import EventTable
from skhep_ml.plotting._base import Display
from skhep_ml.plotting._style import ticks_inside

_ANNOTATED = 16
_LARGE = 12


class CorrelationDisplay(Display):
    """Correlations of the features, or their difference between two samples, as a heat map.

    Make it with ``from_data`` or ``from_correlation``.

    Parameters
    ----------
    correlation : ndarray of shape (n_features, n_features)
        Correlations, or differences of correlations; NaN where there is none.
    feature_names : sequence of str
        Names of the features.
    difference : bool, default=False
        Whether these are differences.
    name : str, default=None
        Name of the sample, shown as title.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The coloured cells.
    text_ : ndarray of matplotlib Text, shape (n_features, n_features), or None
        Their texts, in percent; None without ``annotate``.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure, larger for many features.

    See Also
    --------
    skhep_ml.inspection.describe_events : The numbers.

    Notes
    -----
    Weights enter as abs(w). Missing values are left out pair by pair. Cells without a correlation,
    those of constant features for example, are grey. The colours of a difference end at its
    largest absolute value.
    ``plot`` takes ``annotate`` (write the numbers, in percent; default: up to 16 features) and
    ``colorbar`` (default True); it passes other keywords to
    :meth:`matplotlib.axes.Axes.imshow`.

    Examples
    --------
    >>> from skhep_ml.plotting import CorrelationDisplay
    >>> display = CorrelationDisplay.from_data(
    ...     [[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]], feature_names=["met", "m_jj"])
    >>> display.correlation
    array([[1. , 0.5],
           [0.5, 1. ]])
    """

    def __init__(
        self,
        *,
        correlation: NDArray[np.float64],
        feature_names: Sequence[str],
        difference: bool = False,
        name: str | None = None,
    ) -> None:
        self.correlation = correlation
        self.feature_names = feature_names
        self.difference = difference
        self.name = name

    @classmethod
    def from_correlation(
        cls,
        correlation: Any,
        *,
        reference: Any = None,
        feature_names: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot given correlations.

        Parameters
        ----------
        correlation : array-like of shape (n_features, n_features) or DataFrame
            Correlations, for example those of `skhep_ml.inspection.describe_events`.
        reference : array-like of shape (n_features, n_features) or DataFrame, default=None
            Correlations to subtract, for example those of another class.
        feature_names : sequence of str, default=None
            Names of the features; None takes the columns of a DataFrame, or x0, x1, ...
        name : str, default=None
            Name of the sample, shown as title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        CorrelationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            No square matrix, correlations outside of [-1, 1], other features in the reference, or
            a wrong number of names.
        """
        matrix = _check_correlation(correlation, "correlation")
        columns = list(getattr(correlation, "columns", [f"x{k}" for k in range(len(matrix))]))
        if reference is not None:
            other = _check_correlation(reference, "reference")
            both_named = hasattr(reference, "columns") and hasattr(correlation, "columns")
            if other.shape != matrix.shape or (both_named and list(reference.columns) != columns):
                msg = (
                    "correlation and reference must be of the same features in the same order, "
                    f"got {matrix.shape} and {other.shape}"
                )
                raise ValueError(msg)
            matrix = matrix - other
        names = columns if feature_names is None else list(feature_names)
        if len(names) != len(matrix):
            msg = f"feature_names holds {len(names)} names for {len(matrix)} features"
            raise ValueError(msg)
        display = cls(
            correlation=matrix,
            feature_names=[str(one) for one in names],
            difference=reference is not None,
            name=name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_data(
        cls,
        X: Any,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        labels: Any = None,
        missing_values: float | Sequence[float] = (np.nan, -999.0),
        feature_names: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the correlations of a table or of one class, or how they differ between two.

        Parameters
        ----------
        X : array-like of shape (n_events, n_features) or DataFrame
            Features.
        y : array-like of shape (n_events,), default=None
            Class labels.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; abs(w) enters. None counts events.
        labels : label or tuple of two labels, default=None
            A label shows the correlations in that class, ``(a, b)`` those in class a less those in
            class b; with ``y`` of two classes, None takes the second less the first.
        missing_values : float or sequence of float, default=(nan, -999.0)
            Values that stand for "missing". NaN always does.
        feature_names : sequence of str, default=None
            Names of the columns of an array; None numbers them x0, x1, ...
        name : str, default=None
            Name of the sample, shown as title; None names the classes.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        CorrelationDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            Lengths that differ, columns that do not hold numbers, unusable weights, or labels
            that are not classes of ``y``.
        """
        table = EventTable(X, feature_names, missing_sentinels(missing_values))
        weight = check_event_weight(sample_weight, table.n_events)
        size = np.ones(table.n_events) if weight is None else np.abs(weight)
        if y is None:
            if labels is not None:
                msg = f"labels={labels!r} needs y, in which to look for them"
                raise ValueError(msg)
            matrix = weighted_correlation(table, size, *median_and_range(table))
            return cls.from_correlation(
                matrix, feature_names=table.names, name=name, ax=ax, **kwargs
            )
        label = np.asarray(y)
        if label.shape != (table.n_events,):
            msg = f"y has shape {label.shape}, but there are {table.n_events} events"
            raise ValueError(msg)
        known = np.unique(label).tolist()
        if labels is None:
            chosen = tuple(known[::-1])
        else:
            chosen = tuple(labels) if isinstance(labels, (tuple, list)) else (labels,)
        if len(chosen) not in (1, 2) or any(one not in known for one in chosen):
            msg = (
                f"a difference is between two classes of y, {known[:5]}, got {chosen[:5]}: pass "
                "labels=(a, b), or one of them, or leave out y"
            )
            raise ValueError(msg)
        scales = median_and_range(table)
        first, *second = (
            weighted_correlation(table, size, *scales, label == one) for one in chosen
        )
        return cls.from_correlation(
            first,
            reference=second[0] if second else None,
            feature_names=table.names,
            name=" less ".join(map(str, chosen)) if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _fit_figure(self, figure: Any) -> None:
        side = 3.0 + 0.22 * max(len(self.correlation), 6)
        figure.set_size_inches(side + 1.0, side)
        # square cells: the constrained layout would cut long names
        figure.set_layout_engine("compressed")

    def _draw(
        self,
        ax: Any,
        name: str | None,
        *,
        annotate: bool | None = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> None:
        n = len(self.correlation)
        limit = 1.0
        if self.difference and np.isfinite(self.correlation).any():
            limit = max(float(np.nanmax(np.abs(self.correlation))), 0.01)
        options = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, **kwargs}
        ax.set_facecolor("0.85")
        self.im_ = ax.imshow(np.ma.masked_invalid(self.correlation), **options)
        size = 9 if n <= _LARGE else 7
        annotated = n <= _ANNOTATED if annotate is None else annotate
        self.text_ = self._write(ax, size) if annotated else None
        if colorbar:
            label = "Difference of correlations" if self.difference else "Correlation"
            bar = ax.figure.colorbar(self.im_, ax=ax, label=label, fraction=0.046, pad=0.03)
            bar.ax.tick_params(direction="in")
        if name is not None:
            ax.set_title(name)
        ticks_inside(ax, minor=False)
        ax.tick_params(which="both", length=0, labelsize=size)
        ax.set_xticks(range(n), self.feature_names, rotation=90)
        ax.set_yticks(range(n), self.feature_names)

    def _write(self, ax: Any, size: int) -> NDArray[Any]:
        texts = np.empty(self.correlation.shape, dtype=object)
        for (i, j), value in np.ndenumerate(self.correlation):
            if np.isnan(value):
                continue
            red, green, blue, _ = self.im_.cmap(self.im_.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = str(round(100 * float(value)))
            color = "white" if dark else "black"
            texts[i, j] = ax.text(
                j, i, text, ha="center", va="center", fontsize=size - 1, color=color
            )
        return texts


def _check_correlation(correlation: Any, what: str) -> NDArray[np.float64]:
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        msg = f"{what} must have shape (n_features, n_features), got {matrix.shape}"
        raise ValueError(msg)
    outside = np.abs(matrix) > 1 + 1e-9
    if outside.any():
        i, j = np.argwhere(outside)[0]
        msg = f"{what} is {matrix[i, j]:g} in row {i}, column {j}: correlations lie in [-1, 1]"
        raise ValueError(msg)
    return matrix
