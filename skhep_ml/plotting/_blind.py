"""Recorded events that must not be looked at yet."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_edges, check_event_weight
from skhep_ml.metrics._base import check_score

SCORE, SENSITIVITY = "score", "s/sqrt(b)"
_RULE = re.compile(r"\s*(score|s\s*/\s*sqrt\(b\))\s*>=?\s*(\S+)\s*")


class Blind:
    """Rule that says which recorded events are not looked at yet.

    Blinded events are removed before anything is made of them: nothing that a display, table or
    report shows depends on their values or on their number. Simulated events are always visible.

    Parameters
    ----------
    rule : float, str or callable
        What is blinded: a score of at least this value; ``"score > 0.8"``, the same in words;
        ``"s/sqrt(b) > 0.1"``, every bin of the score in which simulation expects more than that,
        or no background at all; or a callable ``rule(X, score)`` that returns a bool array, True
        for what is blinded, such as a window of a mass.
    n_bins : int, default=20
        Number of bins of equal width over the simulated scores, for a rule on s/sqrt(b).

    Attributes
    ----------
    log : tuple of str
        Who opened what, when and why; empty while it is closed.

    Raises
    ------
    ValueError
        A rule of none of these forms.

    See Also
    --------
    skhep_ml.report.make_report : Asks for one where recorded events are among the others.

    Examples
    --------
    >>> from skhep_ml.plotting import Blind
    >>> blind = Blind(0.8)
    >>> blind
    Blind('score > 0.8')
    >>> score, is_data = [0.2, 0.9, 0.3, 0.95], [False, False, True, True]
    >>> blind.visible(score, is_data)
    array([ True,  True,  True, False])
    >>> blind.open("selection frozen").visible(score, is_data)
    array([ True,  True,  True,  True])
    """

    def __init__(
        self,
        rule: float | str | Callable[[Any, NDArray[Any]], ArrayLike],
        *,
        n_bins: int = 20,
    ) -> None:
        self.rule = rule
        self.n_bins = n_bins
        self.log: tuple[str, ...] = ()
        self._quantity, self._value = _parsed(rule)
        if not isinstance(n_bins, (int, np.integer)) or n_bins < 1:
            msg = f"n_bins must be a positive number of bins, got {n_bins!r}"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Blind({str(self)!r})"

    def __str__(self) -> str:
        if self._quantity is None:
            return str(getattr(self.rule, "__name__", type(self.rule).__name__))
        return f"{self._quantity} > {self._value:g}"

    @property
    def is_open(self) -> bool:
        """Whether recorded events are visible."""
        return bool(self.log)

    @property
    def on_score(self) -> bool:
        """Whether the rule is one on the score alone."""
        return self._quantity is not None

    def open(self, reason: str) -> "Blind":
        """Return an opened copy, under which all recorded events are visible.

        Parameters
        ----------
        reason : str
            Why they may be looked at; goes to the log of every report made with the copy.

        Returns
        -------
        Blind
            The same rule, opened; this object stays closed.

        Raises
        ------
        ValueError
            No reason.
        """
        opened = Blind(self.rule, n_bins=self.n_bins)
        opened.log = (*self.log, log_line(f"recorded events opened ({self})", reason))
        return opened

    def region(
        self,
        y_score: ArrayLike,
        is_data: ArrayLike,
        *,
        is_signal: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X: Any = None,
    ) -> NDArray[np.bool_]:
        """Tell which events, recorded and simulated, lie in what is blinded.

        Compare recorded events with the simulated ones outside of the region.

        Parameters
        ----------
        y_score : array-like of shape (n_events,)
            Scores.
        is_data : array-like of bool, shape (n_events,)
            Which events are recorded.
        is_signal : array-like of bool, shape (n_events,), default=None
            Which simulated events are signal, for a rule on s/sqrt(b); not read for recorded ones.
        sample_weight : array-like of shape (n_events,), default=None
            Expected events of each simulated one; not read for recorded ones.
        X : array-like of shape (n_events, ...), default=None
            What a callable rule gets.

        Returns
        -------
        ndarray of bool, shape (n_events,)
            True in the region; all False once opened.

        Raises
        ------
        ValueError
            Lengths that differ, ``is_data`` that is not boolean, no ``is_signal`` or ``X`` where
            the rule needs it, no simulated event, or a rule that returns something else.
        """
        score = check_score(y_score)
        recorded = bool_mask(is_data, len(score), "is_data")
        if self.is_open:
            return np.zeros(len(score), dtype=np.bool_)
        if self._quantity == SCORE:
            return np.asarray(score >= self._value)
        if self._quantity == SENSITIVITY:
            edges = self._own_edges(score, ~recorded)
            hidden = self.bins(
                edges, score, recorded, is_signal=is_signal, sample_weight=sample_weight
            )
            return np.asarray(hidden[bin_of(score, edges)])
        if X is None:
            msg = f"the rule {self} is a callable of (X, score): pass X="
            raise ValueError(msg)
        found = self.rule(X, score)  # type: ignore[operator]
        return bool_mask(found, len(score), f"what the rule {self} returned")

    def visible(self, y_score: ArrayLike, is_data: ArrayLike, **options: Any) -> NDArray[np.bool_]:
        """Tell which events may be looked at: all but the recorded ones in the region.

        Parameters
        ----------
        y_score : array-like of shape (n_events,)
            Scores.
        is_data : array-like of bool, shape (n_events,)
            Which events are recorded.
        **options : dict
            As for ``region``.

        Returns
        -------
        ndarray of bool, shape (n_events,)
            Use it on every array before anything else: ``X[visible]``, ``y_score[visible]``.

        Raises
        ------
        ValueError
            As for ``region``.
        """
        region = self.region(y_score, is_data, **options)
        return ~(region & bool_mask(is_data, len(region), "is_data"))

    def bins(
        self,
        edges: ArrayLike,
        y_score: ArrayLike,
        is_data: ArrayLike,
        *,
        is_signal: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Tell which bins of the score a rule on the score touches.

        Scores outside of the edges count in the outermost bins.

        Parameters
        ----------
        edges : array-like of shape (n_bins + 1,)
            Rising edges.
        y_score : array-like of shape (n_events,)
            Scores; those of recorded events are not read.
        is_data : array-like of bool, shape (n_events,)
            Which events are recorded.
        is_signal : array-like of bool, shape (n_events,), default=None
            Which simulated events are signal, for a rule on s/sqrt(b).
        sample_weight : array-like of shape (n_events,), default=None
            Expected events of each simulated one.

        Returns
        -------
        ndarray of bool, shape (n_bins,)
            True for bins that are not shown; all False for a callable rule and once opened.

        Raises
        ------
        ValueError
            Edges that do not rise, or as for ``region``.
        """
        limits = np.asarray(check_edges(edges))
        if self.is_open or not self.on_score:
            return np.zeros(len(limits) - 1, dtype=np.bool_)
        if self._quantity == SCORE:
            # the last bin holds whatever lies above it; an edge within rounding is the value
            upper = np.append(limits[1:-1], np.inf)
            return np.asarray((upper > self._value) & ~np.isclose(upper, self._value, 1e-9, 1e-12))
        score = check_score(y_score)
        simulated = ~bool_mask(is_data, len(score), "is_data")
        if is_signal is None:
            msg = f"the rule {self} needs to know the simulated signal: pass is_signal="
            raise ValueError(msg)
        if not simulated.any():
            msg = f"the rule {self} needs simulated events beside the recorded ones"
            raise ValueError(msg)
        signal = bool_mask(is_signal, len(score), "is_signal")[simulated]
        place = bin_of(score[simulated], limits)
        weight = None
        if sample_weight is not None:
            weight = check_event_weight(np.asarray(sample_weight)[simulated], len(place))
        s, b = (
            np.bincount(place[chosen], None if weight is None else weight[chosen], len(limits) - 1)
            for chosen in (signal, ~signal)
        )
        # nothing is known of a bin in which no background is expected
        return np.asarray((b <= 0) | (s > self._value * np.sqrt(np.maximum(b, 0.0))))

    def _own_edges(self, score: NDArray[Any], simulated: NDArray[np.bool_]) -> NDArray[np.float64]:
        finite = score[simulated & np.isfinite(score)]
        if not len(finite):
            msg = f"the rule {self} needs simulated events of finite score"
            raise ValueError(msg)
        low, high = float(finite.min()), float(finite.max())
        return np.linspace(low, high if high > low else low + 1.0, self.n_bins + 1)


def bin_of(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bin of every value; what lies outside counts in the outermost bins."""
    return np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2)


def _parsed(rule: Any) -> tuple[str | None, float]:
    """What the rule is about, and the value above which it blinds; None for a callable."""
    if callable(rule):
        return None, math.nan
    quantity, text = SCORE, rule
    if isinstance(rule, str):
        found = _RULE.fullmatch(rule)
        if found is None:
            msg = (
                f"rule={rule!r}: write 'score > 0.8' or 's/sqrt(b) > 0.1', or give a score or a "
                "callable of (X, score)"
            )
            raise ValueError(msg)
        quantity, text = re.sub(r"\s", "", found[1]), found[2]
    try:
        value = math.nan if isinstance(rule, bool) else float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        msg = f"rule={rule!r} has no finite value above which events are blinded"
        raise ValueError(msg)
    return quantity, value


def bool_mask(values: Any, n_events: int, name: str) -> NDArray[np.bool_]:
    """Return a mask of events; refuse what is not boolean."""
    mask = np.asarray(values)
    if mask.dtype.kind != "b" or mask.shape != (n_events,):
        msg = f"{name} must be booleans of shape ({n_events},), got {mask.dtype} of {mask.shape}"
        raise ValueError(msg)
    return mask


def log_line(what: str, reason: Any) -> str:
    """A line of the log: when, what and why."""
    if not isinstance(reason, str) or not reason.strip():
        msg = f"say why in the log ({what}), got {reason!r}"
        raise ValueError(msg)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{when}: {what}: {' '.join(reason.split())}"
