"""Significance improvement: what a cut on a score gains for a small signal."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.metrics._base import efficiency_error
from skhep_ml.metrics._ranking import rank_events

Array = NDArray[np.float64]

#: An efficiency within rounding of zero is zero.
_ZERO = 1e-12


class SignificanceImprovement(NamedTuple):
    """Significance improvement of the selection ``score >= threshold``.

    Attributes
    ----------
    signal_efficiency : ndarray of shape (n_thresholds,)
        Share of the signal that passes.
    background_efficiency : ndarray of shape (n_thresholds,)
        Share of the background that passes.
    improvement : ndarray of shape (n_thresholds,)
        Signal efficiency over the root of the background efficiency; NaN where the latter is not
        positive.
    improvement_std : ndarray of shape (n_thresholds,)
        Its statistical error.
    background_events : ndarray of shape (n_thresholds,)
        Number of background events that pass, raw or effective, whichever is less.
    thresholds : ndarray of shape (n_thresholds,)
        Distinct scores, falling.
    """

    signal_efficiency: Array
    background_efficiency: Array
    improvement: Array
    improvement_std: Array
    background_events: Array
    thresholds: NDArray[Any]


class MaximumImprovement(NamedTuple):
    """The highest significance improvement above the statistical floor.

    Attributes
    ----------
    value : float
        The significance improvement.
    std : float
        Its statistical error at this threshold.
    threshold : float
        Lowest selected score.
    signal_efficiency, background_efficiency : float
        Efficiencies of the selection.
    """

    value: float
    std: float
    threshold: float
    signal_efficiency: float
    background_efficiency: float


def significance_improvement(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
) -> SignificanceImprovement:
    r"""Factor by which a cut on a score multiplies the significance of a small signal.

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

    Returns
    -------
    SignificanceImprovement
        Named tuple ``(signal_efficiency, background_efficiency, improvement, improvement_std,
        background_events, thresholds)`` of arrays of shape (n_thresholds,).

    Raises
    ------
    ValueError
        NaN scores, a class that is missing or whose weights sum to 0 or less.

    See Also
    --------
    max_significance_improvement : Its maximum above a statistical floor.

    Notes
    -----
    :math:`\mathrm{SIC} = \varepsilon_S / \sqrt{\varepsilon_B}`, the ratio of :math:`S/\sqrt B`
    after and before the cut. A score without information gives :math:`\sqrt{\varepsilon_S}`.

    Its error at a fixed threshold is
    :math:`(\sigma/\mathrm{SIC})^2 = (\sigma_S/\varepsilon_S)^2 + (\sigma_B/2\varepsilon_B)^2` with
    the efficiencies' errors. Where n background events pass, the second term is :math:`1/4n`: below
    25 of them, the floor of `max_significance_improvement`, a curve that rises is a fluctuation.

    References
    ----------
    J. Gallicchio et al., Multivariate discrimination and the Higgs + W/Z search, JHEP 04 (2011)
    069.

    Examples
    --------
    >>> from skhep_ml.metrics import significance_improvement
    >>> curve = significance_improvement([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    >>> curve.signal_efficiency, curve.improvement.round(2)
    (array([0.5, 0.5, 1. , 1. , 1. , 1. ]), array([ nan, 1.  , 2.  , 1.41, 1.15, 1.  ]))
    """
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    (s, b), (s2, b2), (_, count) = (ranked.passing(power) for power in (1, 2, 0))
    tpr, fpr = s / s[-1], b / b[-1]
    found = fpr > _ZERO
    root = np.sqrt(np.where(found, fpr, np.nan))
    signal_std = efficiency_error(s2, s2[-1], s[-1], tpr)
    background_std = efficiency_error(b2, b2[-1], b[-1], fpr)
    std = np.hypot(signal_std / root, tpr * background_std / (2 * root**3))
    effective = np.divide(b**2, b2, out=np.zeros_like(b), where=found & (b2 > 0))
    return SignificanceImprovement(
        tpr, fpr, tpr / root, std, np.minimum(count, effective), ranked.thresholds
    )


def max_significance_improvement(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    min_background_events: float = 25,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
) -> MaximumImprovement:
    """Highest significance improvement among cuts that leave enough background to know it.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal; infinities are allowed.
    min_background_events : float, default=25
        Least number of background events that must pass, raw and effective, (sum w)^2 / sum w^2.
        25 know their efficiency to 20%.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    MaximumImprovement
        Named tuple ``(value, std, threshold, signal_efficiency, background_efficiency)``. The
        value is 1 at least: that of no cut.

    Raises
    ------
    ValueError
        Fewer background events than asked for, NaN scores, or a class that is missing or whose
        weights sum to 0 or less.

    See Also
    --------
    significance_improvement : The curve.
    best_cut : The cut of greatest significance for given yields.

    Notes
    -----
    The maximum of a fluctuating curve is too good on the events it was found on, the more so the
    lower the floor: compare models on the same events with the same floor.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import max_significance_improvement
    >>> y = np.repeat([0, 1], 10_000)
    >>> score = np.random.default_rng(0).normal(2.0 * y, 1.0)
    >>> best = max_significance_improvement(y, score)
    >>> round(best.value, 1), round(best.std, 1)
    (4.9, 0.5)
    """
    curve = significance_improvement(
        y_true, y_score, sample_weight=sample_weight, pos_label=pos_label
    )
    # rounding of sums of weights must not cost the last event
    allowed = curve.background_events >= min_background_events * (1 - 1e-9)
    if not allowed.any():
        msg = (
            f"no cut leaves {min_background_events:g} background events: all of them are worth "
            f"{curve.background_events[-1]:.3g}; use more events or a lower min_background_events"
        )
        raise ValueError(msg)
    k = int(np.argmax(np.where(allowed, curve.improvement, -np.inf)))
    return MaximumImprovement(
        float(curve.improvement[k]),
        float(curve.improvement_std[k]),
        float(curve.thresholds[k]),
        float(curve.signal_efficiency[k]),
        float(curve.background_efficiency[k]),
    )
