"""Expected discovery significance: figures of merit and selected yields."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight, positive_mask
from skhep_ml.metrics._base import binary_sample, plain
from skhep_ml.metrics._ranking import RankedEvents


class SelectedYields(NamedTuple):
    """Signal and background in a selection.

    Attributes
    ----------
    s, b : float
        Sums of weights.
    s_std, b_std : float
        Their statistical errors, sqrt(sum w^2).
    n_signal, n_background : int
        Raw numbers of events.
    effective_background : float
        Effective number of background events, (sum w)^2 / sum w^2.
    """

    s: float
    b: float
    s_std: float
    b_std: float
    n_signal: int
    n_background: int
    effective_background: float


def asimov_significance(s: ArrayLike, b: ArrayLike, sigma_b: ArrayLike = 0.0) -> Any:
    r"""Median discovery significance for a background known to sigma_b.

    Parameters
    ----------
    s : array-like
        Expected signal.
    b : array-like
        Expected background.
    sigma_b : array-like, default=0.0
        Absolute uncertainty of the background.

    Returns
    -------
    float or ndarray
        Significance in standard deviations: 0 where s <= 0, infinite where s > 0 meets a
        background of exactly 0, NaN where b < 0.

    Raises
    ------
    ValueError
        A negative ``sigma_b``.

    Notes
    -----
    With :math:`v = \sigma_b^2`,

    .. math::
        Z = \sqrt{2\left[(s+b) \ln\frac{(s+b)(b+v)}{b^2+(s+b)v}
            - \frac{b^2}{v} \ln\left(1 + \frac{v s}{b(b+v)}\right)\right]}

    which goes to :math:`\sqrt{2[(s+b)\ln(1+s/b) - s]}` as :math:`\sigma_b \to 0` and to
    :math:`s/\sqrt{b + v}` for small signals.

    References
    ----------
    G. Cowan, K. Cranmer, E. Gross, O. Vitells, Eur. Phys. J. C 71 (2011) 1554.
    G. Cowan, Discovery sensitivity for a counting experiment with background uncertainty (2012).

    Examples
    --------
    >>> from skhep_ml.metrics import asimov_significance
    >>> asimov_significance(10, 100, [0, 10]).round(5)
    array([0.98399, 0.6902 ])
    """
    if np.any(np.less(sigma_b, 0)):
        msg = f"sigma_b must not be negative, got {np.min(sigma_b)}"
        raise ValueError(msg)
    s, b, sigma_b = np.broadcast_arrays(
        np.asarray(s, np.float64), np.asarray(b, np.float64), np.asarray(sigma_b, np.float64)
    )
    variance = sigma_b**2
    result = np.where((b >= 0) & ~np.isnan(s), 0.0, np.nan)
    result[(b == 0) & (variance == 0) & (s > 0)] = np.inf
    normal = (b > 0) & (s > 0)
    s, b, variance = s[normal], b[normal], variance[normal]
    # log1p(x)/x is regular at 0, so that no uncertainty needs no case of its own
    x = variance * s / (b * (b + variance))
    ratio = np.divide(np.log1p(x), x, out=np.ones_like(x), where=x > 0)
    half = (s + b) * np.log1p(s * b / (b**2 + (s + b) * variance)) - s * b / (b + variance) * ratio
    result[normal] = np.sqrt(2 * np.maximum(half, 0.0))
    return plain(result)


def punzi_fom(signal_efficiency: ArrayLike, b: ArrayLike, *, n_sigma: float = 3.0) -> Any:
    r"""Figure of merit that needs no assumed signal cross-section.

    Parameters
    ----------
    signal_efficiency : array-like
        Signal efficiency of the selection.
    b : array-like
        Expected background.
    n_sigma : float, default=3.0
        Significance, in standard deviations, of the test that decides on a discovery.

    Returns
    -------
    float or ndarray
        :math:`\varepsilon_S / (a/2 + \sqrt B)`, a being ``n_sigma``; NaN where b < 0.

    Raises
    ------
    ValueError
        ``n_sigma`` not above 0.

    References
    ----------
    G. Punzi, Sensitivity of searches for new signals and its optimization, PHYSTAT 2003.

    Examples
    --------
    >>> from skhep_ml.metrics import punzi_fom
    >>> punzi_fom(0.5, 12.25)
    0.1
    """
    if not n_sigma > 0:
        msg = f"n_sigma must be positive, got {n_sigma}"
        raise ValueError(msg)
    background = np.asarray(b, np.float64)
    root = np.sqrt(np.where(background >= 0, background, np.nan))
    return plain(np.asarray(signal_efficiency, np.float64) / (n_sigma / 2 + root))


def ams_score(
    y_true: ArrayLike,
    selected: ArrayLike,
    *,
    b_reg: float = 10.0,
    sample_weight: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    pos_label: Any = None,
) -> float:
    r"""Approximate median significance of a selection.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    selected : array-like of shape (n_events,)
        Whether an event is selected: booleans, or 1 for selected and 0 or -1 for others.
    b_reg : float, default=10.0
        Background added as regularisation against selections with few background events.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    class_yields : mapping of label to float, default=None
        Expected yield of each class; the weights of all its events, selected or not, are scaled
        to that sum. None takes the weights as they are.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    float
        Significance in standard deviations; 0 where s <= 0, NaN where b < 0.

    Raises
    ------
    ValueError
        Lengths that differ, a negative ``b_reg``, a class whose weights sum to 0 or less, labels
        missing from ``class_yields`` or unknown.

    See Also
    --------
    ams_curve : The same against the threshold on a score.

    Notes
    -----
    :math:`\sqrt{2[(s + b + b_r) \ln(1 + s/(b + b_r)) - s]}`. A fold holds a part of the events
    only: give ``class_yields`` to quote the significance of the full luminosity.

    References
    ----------
    C. Adam-Bourdarios et al., The Higgs boson machine learning challenge, PMLR 42 (2015) 19.

    Examples
    --------
    >>> from skhep_ml.metrics import ams_score
    >>> round(ams_score([1, 0, 0], [True, True, False], class_yields={1: 10.0, 0: 200.0}), 5)
    0.93954
    """
    check_b_reg(b_reg)
    yields = selected_yields(
        y_true,
        selected,
        sample_weight=sample_weight,
        class_yields=class_yields,
        pos_label=pos_label,
    )
    return float(ams(yields.s, yields.b, b_reg))


def selected_yields(
    y_true: ArrayLike,
    selected: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    pos_label: Any = None,
) -> SelectedYields:
    """Signal and background of a selection, with errors, raw and effective counts.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    selected : array-like of shape (n_events,)
        Whether an event is selected: booleans, or 1 for selected and 0 or -1 for others.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    class_yields : mapping of label to float, default=None
        Expected yield of each class; the weights of all its events are scaled to that sum.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    SelectedYields
        Named tuple ``(s, b, s_std, b_std, n_signal, n_background, effective_background)``.

    Raises
    ------
    ValueError
        Lengths that differ, a class whose weights sum to 0 or less, labels missing from
        ``class_yields`` or unknown.

    Examples
    --------
    >>> from skhep_ml.metrics import selected_yields
    >>> yields = selected_yields([1, 1, 0, 0], [1, 0, 1, 1], sample_weight=[1.0, 1.0, 2.0, -1.0])
    >>> yields.s, yields.b, yields.n_background
    (1.0, 1.0, 2)
    """
    mask = np.asarray(selected)
    if mask.dtype.kind != "b":
        mask = positive_mask(mask)
    # the selection is the score: its sums at the higher threshold are those of the cut
    ranked = ranked_yields(y_true, mask, sample_weight, class_yields, pos_label)
    if not ranked.thresholds[0]:
        return SelectedYields(0.0, 0.0, 0.0, 0.0, 0, 0, 0.0)
    (s, b), (s2, b2), (n_s, n_b) = (ranked.passing(power) for power in (1, 2, 0))
    return SelectedYields(
        float(s[0]),
        float(b[0]),
        float(np.sqrt(s2[0])),
        float(np.sqrt(b2[0])),
        int(n_s[0]),
        int(n_b[0]),
        float(b[0] ** 2 / b2[0]) if b2[0] else 0.0,
    )


def ams(s: Any, b: Any, b_reg: float) -> NDArray[np.float64]:
    """Asimov's formula with the regularised background; NaN where b itself is negative."""
    background = np.where(np.less(b, 0), np.nan, np.add(b, b_reg))
    return np.asarray(asimov_significance(s, background))


def check_b_reg(b_reg: float) -> None:
    """Refuse a negative regularisation."""
    if not b_reg >= 0:
        msg = f"b_reg must not be negative, got {b_reg}"
        raise ValueError(msg)


def ranked_yields(
    y_true: ArrayLike,
    y_score: ArrayLike,
    sample_weight: ArrayLike | None,
    class_yields: Mapping[Any, float] | None,
    pos_label: Any,
) -> RankedEvents:
    """Rank events by score with the weights of each class scaled to its yield."""
    positive = positive_mask(y_true, pos_label)
    weight = check_event_weight(sample_weight, len(positive))
    if class_yields is None:
        return RankedEvents(*binary_sample(positive, y_score, weight))
    targets = _positive_and_negative(np.asarray(y_true).reshape(-1), positive, class_yields)
    positive, score, weight = binary_sample(positive, y_score, weight)
    scaled = np.ones(len(positive)) if weight is None else weight
    factors = [target / scaled[positive == kind].sum() for kind, target in targets.items()]
    return RankedEvents(positive, score, scaled * np.where(positive, *factors))


def _positive_and_negative(
    y: NDArray[Any], positive: NDArray[np.bool_], class_yields: Mapping[Any, float]
) -> dict[bool, float]:
    """Yields of the positive and the negative class."""
    labels = {kind: y[positive == kind][:1].tolist() for kind in (True, False)}
    present = [label for found in labels.values() for label in found]
    for label, expected in class_yields.items():
        if label not in present:
            msg = f"class_yields holds {label!r}, which is not among the labels {present} of y_true"
            raise ValueError(msg)
        if not (expected > 0 and np.isfinite(expected)):
            msg = f"class_yields[{label!r}] must be positive and finite, got {expected}"
            raise ValueError(msg)
    for label in present:
        if label not in class_yields:
            msg = f"class_yields lacks label {label!r}: give the expected yield of every class"
            raise ValueError(msg)
    return {kind: class_yields[found[0]] for kind, found in labels.items() if found}
