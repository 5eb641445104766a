"""Significance against the threshold on a score, and the best cut."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.metrics._significance import (
    ams,
    asimov_significance,
    check_b_reg,
    punzi_fom,
    ranked_yields,
)

Metric = Literal["ams", "asimov", "punzi"] | Callable[[Any, Any], Any]


class AMSCurve(NamedTuple):
    """Approximate median significance of the selection ``score >= threshold``.

    Attributes
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        Distinct scores, falling.
    ams : ndarray of shape (n_thresholds,)
        Significance at each of them.
    s, b : ndarray of shape (n_thresholds,)
        Selected signal and background.
    s_std, b_std : ndarray of shape (n_thresholds,)
        Their statistical errors, sqrt(sum w^2).
    """

    thresholds: NDArray[Any]
    ams: NDArray[np.float64]
    s: NDArray[np.float64]
    b: NDArray[np.float64]
    s_std: NDArray[np.float64]
    b_std: NDArray[np.float64]


class BestCut(NamedTuple):
    """The cut ``score >= threshold`` of greatest significance, and what it selects.

    Attributes
    ----------
    threshold : float
        Lowest selected score.
    value : float
        Figure of merit there.
    s, b : float
        Selected signal and background.
    s_std, b_std : float
        Their statistical errors, sqrt(sum w^2).
    n_signal, n_background : int
        Raw numbers of events.
    effective_background : float
        Effective number of background events, (sum w)^2 / sum w^2.
    """

    threshold: float
    value: float
    s: float
    b: float
    s_std: float
    b_std: float
    n_signal: int
    n_background: int
    effective_background: float


def ams_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    b_reg: float = 10.0,
    sample_weight: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    pos_label: Any = None,
) -> AMSCurve:
    """Approximate median significance against the threshold on a score.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    b_reg : float, default=10.0
        Background added as regularisation.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    class_yields : mapping of label to float, default=None
        Expected yield of each class; the weights of all its events are scaled to that sum.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    AMSCurve
        Named tuple ``(thresholds, ams, s, b, s_std, b_std)`` of arrays of shape (n_thresholds,);
        an event is selected when ``score >= threshold``.

    Raises
    ------
    ValueError
        NaN scores, a negative ``b_reg``, a class whose weights sum to 0 or less, labels missing
        from ``class_yields`` or unknown.

    See Also
    --------
    best_cut : The best threshold, with floors on the background left.

    Examples
    --------
    >>> from skhep_ml.metrics import ams_curve
    >>> curve = ams_curve([0, 1, 1, 0], [0.1, 0.9, 0.6, 0.6], class_yields={0: 200.0, 1: 10.0})
    >>> curve.thresholds, curve.ams.round(5)
    (array([0.9, 0.6, 0.1]), array([1.47104, 0.93954, 0.68469]))
    """
    check_b_reg(b_reg)
    ranked = ranked_yields(y_true, y_score, sample_weight, class_yields, pos_label)
    (s, b), (s2, b2) = ranked.passing(), ranked.passing(2)
    return AMSCurve(ranked.thresholds, ams(s, b, b_reg), s, b, np.sqrt(s2), np.sqrt(b2))


def best_cut(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metric: Metric = "ams",
    sample_weight: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    background_uncertainty: float = 0.0,
    min_background_events: int = 10,
    min_effective_background: float = 10.0,
    b_reg: float = 10.0,
    pos_label: Any = None,
) -> BestCut:
    """Find the cut of greatest significance that leaves enough background to know it.

    Choose it on validation events and quote it on test events: the maximum of a fluctuating
    curve is too good on the events it was found on.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    metric : {"ams", "asimov", "punzi"} or callable, default="ams"
        Figure of merit. A callable takes arrays of signal and background yields and returns
        values of the same shape, NaN where undefined.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    class_yields : mapping of label to float, default=None
        Expected yield of each class; the weights of all its events are scaled to that sum.
    background_uncertainty : float, default=0.0
        Relative uncertainty of the background, for ``metric="asimov"``.
    min_background_events : int, default=10
        Least raw number of background events that must pass.
    min_effective_background : float, default=10.0
        Least effective number of background events, (sum w)^2 / sum w^2, that must pass.
    b_reg : float, default=10.0
        Background added as regularisation, for ``metric="ams"``.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    BestCut
        Named tuple ``(threshold, value, s, b, s_std, b_std, n_signal, n_background,
        effective_background)``. Of equal values the highest threshold wins.

    Raises
    ------
    ValueError
        No threshold leaves the background asked for, or the input is wrong as in
        :func:`ams_curve`.

    See Also
    --------
    selected_yields : Yields of the same cut on other events.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import best_cut
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 5000)
    >>> score = rng.normal(y, 1.0)
    >>> cut = best_cut(y, score, class_yields={0: 10000.0, 1: 300.0}, metric="asimov")
    >>> round(cut.threshold, 1), round(cut.value, 1)
    (0.7, 3.8)
    """
    check_b_reg(b_reg)
    if background_uncertainty < 0 or (background_uncertainty and metric != "asimov"):
        msg = (
            f"background_uncertainty={background_uncertainty} with metric={metric!r}: it must not "
            "be negative, and only metric='asimov' takes it"
        )
        raise ValueError(msg)
    ranked = ranked_yields(y_true, y_score, sample_weight, class_yields, pos_label)
    (s, b), (s2, b2), (n_s, n_b) = (ranked.passing(power) for power in (1, 2, 0))
    effective = np.divide(b**2, b2, out=np.zeros_like(b), where=b2 > 0)
    if callable(metric):
        values = np.asarray(metric(s, b), np.float64)
    elif metric == "ams":
        values = ams(s, b, b_reg)
    elif metric == "asimov":
        values = asimov_significance(s, b, background_uncertainty * np.maximum(b, 0.0))
    elif metric == "punzi":
        values = punzi_fom(s / s[-1], b)
    else:
        msg = f"metric={metric!r}: choose 'ams', 'asimov', 'punzi' or a callable of (s, b)"
        raise ValueError(msg)
    allowed = (n_b >= min_background_events) & (effective >= min_effective_background) & (b >= 0)
    allowed &= ~np.isnan(values)
    if not allowed.any():
        msg = (
            f"no threshold leaves {min_background_events} raw and {min_effective_background:g} "
            f"effective background events with a defined value: all {int(n_b[-1])} background "
            f"events count {effective[-1]:.3g}; use more events or lower the floors"
        )
        raise ValueError(msg)
    k = int(np.argmax(np.where(allowed, values, -np.inf)))
    return BestCut(
        float(ranked.thresholds[k]),
        float(values[k]),
        float(s[k]),
        float(b[k]),
        float(np.sqrt(s2[k])),
        float(np.sqrt(b2[k])),
        int(n_s[k]),
        int(n_b[k]),
        float(effective[k]),
    )
