"""Score distribution, stacked by process."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_score
from skhep_ml.plotting._base import Display, positive_score
from skhep_ml.plotting._blind import Blind, bin_of, bool_mask
from skhep_ml.plotting._histogram import histogram, score_edges
from skhep_ml.plotting._style import FILL_COLORS, LINE_COLORS, label_steps, ticks_inside


class ScoreDisplay(Display):
    """Expected events against the score, stacked by process, with statistical errors.

    Make it with ``from_estimator`` or ``from_predictions``.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    processes : list of length n_processes
        Names, in the order of falling yield.
    values : ndarray of shape (n_processes, n_bins)
        Sums of weights.
    errors : ndarray of shape (n_processes, n_bins)
        Their statistical errors, sqrt(sum w^2).
    signal : list, default=()
        Names of the processes drawn as lines over the stack of the others.
    log : bool, default=True
        Whether the axis of events is logarithmic.
    name : str, default=None
        Name of the model.
    data : ndarray of shape (n_bins,), default=None
        Recorded events that may be looked at; None without any recorded events.
    blinded : ndarray of bool, shape (n_bins,), default=None
        Bins whose recorded events may not be looked at.

    Attributes
    ----------
    total : ndarray of shape (n_bins,)
        Signed sum of the stacked processes.
    total_errors : ndarray of shape (n_bins,)
        Its statistical error.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    OvertrainingDisplay : Shapes of signal and background in training and test.

    Notes
    -----
    Scores outside the edges count in the outermost bins. The black line is the signed sum of the
    stacked processes, the hatched band its error. A process that is negative in a bin takes no
    height there, so that the coloured area stands above the line by as much as was subtracted. A
    log axis cannot show a sum of 0 or less: the line has a gap there and a triangle at the foot of
    the axis marks the bin; the band still shows the part above zero. Recorded events have errors
    sqrt(n).
    ``plot`` takes ``equal_steps`` (draw all bins equally wide and label their edges, for those of
    `skhep_ml.metrics.optimize_binning`; default False); it passes other keywords to
    :meth:`matplotlib.axes.Axes.stairs` for the filled areas.

    Examples
    --------
    >>> from skhep_ml.plotting import ScoreDisplay
    >>> display = ScoreDisplay.from_predictions(
    ...     [0.1, 0.2, 0.7, 0.8, 0.9], ["Z", "Z", "H", "W", "H"], signal=["H"], bins=2,
    ...     sample_weight=[3.0, -1.0, 0.2, 1.0, 0.3])
    >>> display.processes
    ['Z', 'W', 'H']
    >>> display.values
    array([[2. , 0. ],
           [0. , 1. ],
           [0. , 0.5]])
    >>> display.total
    array([2., 1.])
    """

    def __init__(
        self,
        *,
        edges: NDArray[np.float64],
        processes: list[Any],
        values: NDArray[np.float64],
        errors: NDArray[np.float64],
        signal: Sequence[Any] = (),
        log: bool = True,
        name: str | None = None,
        data: NDArray[np.float64] | None = None,
        blinded: NDArray[np.bool_] | None = None,
    ) -> None:
        self.edges = edges
        self.processes = processes
        self.values = values
        self.errors = errors
        self.signal = signal
        self.log = log
        self.name = name
        self.data = data
        self.blinded = blinded

    @property
    def total(self) -> NDArray[np.float64]:
        """Signed sum of the stacked processes."""
        return np.asarray(self.values[self._stacked()].sum(axis=0))

    @property
    def total_errors(self) -> NDArray[np.float64]:
        """Statistical error of that sum."""
        return np.asarray(np.sqrt((self.errors[self._stacked()] ** 2).sum(axis=0)))

    def _stacked(self) -> NDArray[np.bool_]:
        return np.array([process not in self.signal for process in self.processes])

    @classmethod
    def from_predictions(
        cls,
        y_score: ArrayLike,
        process: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        signal: Sequence[Any] | Any | None = None,
        bins: ArrayLike = 20,
        log: bool = True,
        is_data: ArrayLike | None = None,
        blind: Blind | None = None,
        X: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the distribution of given scores.

        Parameters
        ----------
        y_score : array-like of shape (n_events,)
            Scores; infinities count in the outermost bins.
        process : array-like of shape (n_events,)
            Name of the process of each event; not read for recorded ones.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events. Not read for recorded ones.
        signal : name or sequence of names, default=None
            Processes drawn as lines over the stack of the others.
        bins : int or array-like of shape (n_bins + 1,), default=20
            Number of bins of equal width, or their rising edges.
        log : bool, default=True
            Whether the axis of events is logarithmic.
        is_data : array-like of bool, shape (n_events,), default=None
            Which events are recorded ones, drawn as points; None takes all as simulated.
        blind : Blind, default=None
            What of them is not looked at; needed where there are recorded events. Bins that a
            rule on the score touches are not filled with any of them. What a callable rule
            blinds is left out of recorded and simulated events.
        X : array-like of shape (n_events, ...), default=None
            What a callable rule needs.
        name : str, default=None
            Name of the model, shown at the score's axis.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``plot``.

        Returns
        -------
        ScoreDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            NaN scores, lengths that differ, edges that do not rise, a signal that is not among
            the processes, or recorded events without ``blind``.
        """
        score = check_score(y_score)
        label = np.asarray(process)
        if label.shape != score.shape:
            msg = f"process has shape {label.shape}, but there are {len(score)} scores"
            raise ValueError(msg)
        weight = check_event_weight(sample_weight, len(score))
        recorded, data, blinded = None, None, None
        if is_data is not None:
            recorded = bool_mask(is_data, len(score), "is_data")
            if blind is None:
                msg = "recorded events need blind=Blind(...): what of them is not looked at"
                raise ValueError(msg)
            kinds = np.atleast_1d([] if signal is None else signal)
            about = {"is_signal": np.isin(label, kinds), "sample_weight": weight}
            region = blind.region(score, recorded, X=X, **about)
            shown = ~region if not blind.on_score else ~(region & recorded)
            edges = score_edges(score[shown & ~recorded], bins)
            about = {key: None if one is None else one[shown] for key, one in about.items()}
            score, label, recorded = score[shown], label[shown], recorded[shown]
            blinded = blind.bins(edges, score, recorded, **about)
            observed = score[recorded]
            observed = observed[~blinded[bin_of(observed, edges)]]
            data = histogram(observed, edges, None).values
            score, label = score[~recorded], label[~recorded]
            weight = None if weight is None else weight[shown][~recorded]
        names = np.unique(label).tolist()
        lines = [] if signal is None else np.atleast_1d(signal).tolist()
        for line in lines:
            if line not in names:
                msg = f"signal holds {line!r}, which is not among the processes {names}"
                raise ValueError(msg)
        if recorded is None:
            edges = score_edges(score, bins)
        filled = []
        for process_name in names:
            mask = label == process_name
            filled.append(histogram(score[mask], edges, None if weight is None else weight[mask]))
        order = np.argsort([-filled_one.values.sum() for filled_one in filled], kind="stable")
        display = cls(
            edges=edges,
            processes=[names[k] for k in order],
            values=np.array([filled[k].values for k in order]),
            errors=np.array([filled[k].errors for k in order]),
            signal=lines,
            log=log,
            name=name,
            data=data,
            blinded=blinded,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        process: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        pos_label: Any = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the distribution of a fitted model's score.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, Pipeline or search.
        X : array-like of shape (n_events, n_features)
            Features.
        process : array-like of shape (n_events,)
            Name of the process of each event.
        sample_weight : array-like of shape (n_events,), default=None
            Event weights, of any sign; None counts events.
        groups : array-like of int, shape (n_events,) or (n_events, k), default=None
            Event identifiers, for models that predict by them; not passed when None.
        pos_label : label, default=None
            The class whose score is shown; None takes the second of two classes.
        name : str, default=None
            Name of the model; None takes its class name.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to ``from_predictions``.

        Returns
        -------
        ScoreDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            A model of other than two classes without ``pos_label``, or wrong input as in
            ``from_predictions``.
        """
        score, _ = positive_score(estimator, X, pos_label=pos_label, groups=groups)
        return cls.from_predictions(
            score,
            process,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _draw(self, ax: Any, name: str | None, *, equal_steps: bool = False, **kwargs: Any) -> None:
        total, error = self.total, self.total_errors
        edges = np.arange(len(self.edges), dtype=np.float64) if equal_steps else self.edges
        stacked = np.flatnonzero(self._stacked())
        lines = np.flatnonzero(~self._stacked())
        if self.log:
            ax.set_yscale("log")
        shown = self.values[lines] if not len(stacked) else np.vstack([total, self.values[lines]])
        top = total + error
        if self.data is not None:
            top = np.maximum(top, self.data + np.sqrt(self.data))
        low, high = self._limits(shown, top)

        # the largest process lies on top, where a log axis shows it thinnest
        bottom = np.zeros(len(total))
        areas = []
        for rank, k in enumerate(stacked[::-1]):
            top = bottom + np.maximum(self.values[k], 0.0)
            color = FILL_COLORS[(len(stacked) - 1 - rank) % len(FILL_COLORS)]
            base = np.maximum(bottom, low) if self.log else bottom
            options = {"color": color, "label": self.processes[k], **kwargs}
            areas.append(ax.stairs(top, edges, baseline=base, fill=True, **options))
            bottom = top
        handles = areas[::-1]
        if len(stacked):
            ax.stairs(self._drawable(total), edges, baseline=None, color="black", lw=1)
            lower = np.maximum(total - error, low) if self.log else total - error
            handles.append(
                ax.stairs(
                    np.maximum(total + error, lower),
                    edges,
                    baseline=lower,
                    fill=True,
                    facecolor="none",
                    edgecolor="0.25",
                    hatch="//////",
                    lw=0,
                    label="Stat. error",
                )
            )
            self._mark_hidden(ax, edges, total, error, "Sum", "black", handles)
        centres = (edges[1:] + edges[:-1]) / 2
        for rank, k in enumerate(lines):
            color = LINE_COLORS[rank % len(LINE_COLORS)]
            values = self._drawable(self.values[k])
            handles.append(
                ax.stairs(
                    values, edges, baseline=None, color=color, lw=1.8, label=self.processes[k]
                )
            )
            ax.errorbar(centres, values, self.errors[k], fmt="none", ecolor=color, elinewidth=1)
            self._mark_hidden(
                ax, edges, self.values[k], self.errors[k], self.processes[k], color, handles
            )

        if self.data is not None:
            self._draw_data(ax, edges, self.data, handles)
        widths = np.diff(edges)
        even = not equal_steps and np.allclose(widths, widths[0])
        unit = f" / {widths[0]:.3g}" if even else " / bin"
        ax.set(
            xlabel="Score" if name is None else f"{name} score",
            ylabel=f"Events{unit}",
            xlim=(edges[0], edges[-1]),
            ylim=(low, high),
        )
        ticks_inside(ax)
        if equal_steps:
            label_steps(ax, self.edges)
        ax.legend(handles=handles, loc="upper right", ncols=2 if len(handles) < 6 else 3)

    def _draw_data(
        self, ax: Any, edges: NDArray[np.float64], data: NDArray[np.float64], handles: list[Any]
    ) -> None:
        """Draw recorded events as points, and shade what is blinded."""
        hidden = np.zeros(len(data), np.bool_) if self.blinded is None else self.blinded
        centres = (edges[1:] + edges[:-1]) / 2
        filled = ~hidden & (data > 0)
        handles.append(
            ax.errorbar(
                centres[filled],
                data[filled],
                np.sqrt(data[filled]),
                fmt="o",
                color="black",
                ms=4,
                elinewidth=1,
                label="Data",
            )
        )
        if hidden.any():
            handles.append(
                ax.stairs(
                    hidden.astype(float),
                    edges,
                    fill=True,
                    color="0.5",
                    alpha=0.25,
                    transform=ax.get_xaxis_transform(),
                    zorder=0,
                    label="Blinded",
                )
            )

    def _drawable(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(values > 0, values, np.nan) if self.log else values

    def _limits(
        self, shown: NDArray[np.float64], upper: NDArray[np.float64]
    ) -> tuple[float, float]:
        """Ends of the axis of events, with room for the legend."""
        top = max(float(shown.max()), float(upper.max()))
        if not self.log:
            bottom = min(0.0, float(shown.min()))
            return 1.1 * bottom, top + 0.3 * (top - bottom)
        if top <= 0:
            return 0.1, 10.0
        # six decades are as many as can be read
        visible = np.append(shown, upper)
        bottom = max(0.5 * float(visible[visible > 0].min()), 1e-6 * top)
        return bottom, top * (top / bottom) ** 0.3

    def _mark_hidden(
        self,
        ax: Any,
        edges: NDArray[np.float64],
        values: NDArray[np.float64],
        errors: NDArray[np.float64],
        what: str,
        color: str,
        handles: list[Any],
    ) -> None:
        """Mark the bins with events that a log axis cannot show."""
        hidden = (values <= 0) & (errors > 0)
        if not (self.log and hidden.any()):
            return
        centres = ((edges[1:] + edges[:-1]) / 2)[hidden]
        (marks,) = ax.plot(
            centres,
            np.full(len(centres), 0.02),
            transform=ax.get_xaxis_transform(),
            marker="v",
            ls="none",
            color=color,
            ms=6,
            label=f"{what} ≤ 0",
        )
        handles.append(marks)
