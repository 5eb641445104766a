"""Histogram of a score with the greatest expected significance."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.metrics._significance import asimov_significance, ranked_yields


class Binning(NamedTuple):
    """Bins of a score and what falls into them.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Rising edges; a bin holds ``low <= score < high``, the last one its upper edge too.
    significance : float
        Expected significance of all bins together.
    s, b : ndarray of shape (n_bins,)
        Signal and background.
    s_std, b_std : ndarray of shape (n_bins,)
        Their statistical errors, sqrt(sum w^2).
    bin_significance : ndarray of shape (n_bins,)
        Expected significance of each bin.
    effective_background : ndarray of shape (n_bins,)
        Effective number of background events, (sum w)^2 / sum w^2.
    """

    edges: NDArray[np.float64]
    significance: float
    s: NDArray[np.float64]
    b: NDArray[np.float64]
    s_std: NDArray[np.float64]
    b_std: NDArray[np.float64]
    bin_significance: NDArray[np.float64]
    effective_background: NDArray[np.float64]


def optimize_binning(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    max_bins: int = 10,
    sample_weight: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    background_uncertainty: float = 0.0,
    min_effective_background: float = 10.0,
    n_candidates: int = 200,
    min_gain: float = 0.01,
    pos_label: Any = None,
) -> Binning:
    r"""Bin a score for the greatest expected significance, with enough background in every bin.

    The best edges among candidates are found exactly, by dynamic programming. Choose them on
    validation events and quote the significance on test events.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Finite scores, greater for signal.
    max_bins : int, default=10
        Greatest number of bins.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    class_yields : mapping of label to float, default=None
        Expected yield of each class; the weights of all its events are scaled to that sum.
    background_uncertainty : float, default=0.0
        Relative systematic uncertainty of the background, independent in every bin. The
        statistical error of the background is always taken into account.
    min_effective_background : float, default=10.0
        Least effective number of background events, (sum w)^2 / sum w^2, in a bin.
    n_candidates : int, default=200
        Number of candidate edges: half lie at equal shares of the signal, half at equal shares of
        the background.
    min_gain : float, default=0.01
        Fewer bins are preferred as long as a further one raises the significance by less than
        this fraction.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    Binning
        Named tuple ``(edges, significance, s, b, s_std, b_std, bin_significance,
        effective_background)``. No bin has a negative signal or background.

    Raises
    ------
    ValueError
        All events together do not reach the floor, infinite scores, or wrong input.

    Notes
    -----
    Bins are independent counting experiments: :math:`Z^2 = \sum_b Z_b^2`, with :math:`Z_b` the
    Asimov significance for a background known to :math:`\sqrt{\sum w^2 + (f b)^2}`.

    References
    ----------
    G. Cowan, K. Cranmer, E. Gross, O. Vitells, Eur. Phys. J. C 71 (2011) 1554.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import optimize_binning
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 20_000)
    >>> binning = optimize_binning(
    ...     y, rng.normal(1.5 * y), class_yields={0: 10_000.0, 1: 200.0}, max_bins=5
    ... )
    >>> round(binning.significance, 1), len(binning.b)
    (4.4, 5)
    """
    for name, value, least in (("max_bins", max_bins, 1), ("n_candidates", n_candidates, 2)):
        if not isinstance(value, (int, np.integer)) or value < least:
            msg = f"{name} must be an integer of at least {least}, got {value!r}"
            raise ValueError(msg)
    if background_uncertainty < 0:
        msg = f"background_uncertainty must not be negative, got {background_uncertainty}"
        raise ValueError(msg)
    ranked = ranked_yields(y_true, y_score, sample_weight, class_yields, pos_label)
    thresholds = np.asarray(ranked.thresholds, dtype=np.float64)
    if not np.isfinite(thresholds[[0, -1]]).all():
        msg = "y_score is infinite in some events: clip it, a histogram has finite edges"
        raise ValueError(msg)
    # the last threshold is that of all events: the lower edge
    position = _candidates(ranked, n_candidates)
    zero = np.zeros(1)
    sums = [
        np.concatenate([zero, values[position]])
        for power in (1, 2)
        for values in ranked.passing(power)
    ]
    # content of the bin between candidates i < j, from the highest score down
    s, b, s2, b2 = (column[None, :] - column[:, None] for column in sums)
    effective = np.divide(b**2, b2, out=np.zeros_like(b), where=b2 > 0)
    allowed = (b > 0) & (s >= 0) & (effective >= min_effective_background)
    allowed &= np.triu(np.ones_like(allowed), 1)
    z2 = np.full_like(s, -np.inf)
    sigma = np.sqrt(b2[allowed] + (background_uncertainty * b[allowed]) ** 2)
    z2[allowed] = asimov_significance(s[allowed], b[allowed], sigma) ** 2
    if not np.isfinite(z2[0, -1]) and not allowed.any():
        msg = (
            f"all background events count {effective[0, -1]:.3g} effective ones, below the floor "
            f"of {min_effective_background:g} for a single bin: use more events or lower it"
        )
        raise ValueError(msg)
    cuts = _best_cuts(z2, max_bins, min_gain)
    if cuts is None:
        msg = "no bins that cover all scores reach the floors: use more events or lower them"
        raise ValueError(msg)
    # edges between the lowest score above and the next below would move with the candidates: the
    # lowest score of the bin above is its lower edge
    edges = np.concatenate([thresholds[position[cuts[1:] - 1]][::-1], thresholds[:1]])
    pick = (cuts[:-1][::-1], cuts[1:][::-1])
    return Binning(
        edges,
        float(np.sqrt(z2[pick].sum())),
        s[pick],
        b[pick],
        np.sqrt(s2[pick]),
        np.sqrt(b2[pick]),
        np.sqrt(z2[pick]),
        effective[pick],
    )


def _candidates(ranked: Any, n_candidates: int) -> NDArray[np.intp]:
    """Ranks at equal shares of signal and of background, the last among them."""
    share = (np.arange(n_candidates // 2) + 1) / (n_candidates // 2)
    ranks = [
        np.searchsorted(np.maximum.accumulate(passing / passing[-1]), share * (1 - 1e-12))
        for passing in ranked.passing()
    ]
    last = len(ranked.thresholds) - 1
    return np.unique(np.minimum(np.concatenate([*ranks, [last]]), last))


def _best_cuts(z2: NDArray[np.float64], max_bins: int, min_gain: float) -> Any:
    """Candidates that bound the bins of greatest sum of z2, from 0 to the last; None if none do."""
    n = len(z2)
    best = np.full((max_bins + 1, n), -np.inf)
    best[0, 0] = 0.0
    came_from = np.zeros((max_bins + 1, n), dtype=np.intp)
    for k in range(1, max_bins + 1):
        total = best[k - 1][:, None] + z2
        came_from[k] = total.argmax(axis=0)
        best[k] = total.max(axis=0)
    significance = np.sqrt(np.maximum(best[1:, -1], 0.0))
    reached = np.isfinite(best[1:, -1])
    if not reached.any():
        return None
    n_bins = 0
    for k in range(1, max_bins + 1):
        if reached[k - 1] and (
            not n_bins or significance[k - 1] > significance[n_bins - 1] * (1 + min_gain)
        ):
            n_bins = k
    cuts = [n - 1]
    for k in range(n_bins, 0, -1):
        cuts.append(int(came_from[k, cuts[-1]]))
    return np.array(cuts[::-1])
