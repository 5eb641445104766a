"""Mass sculpting: how much a cut on a score changes the mass spectrum of background."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from skhep_ml._validation import check_edges, check_event_weight
from skhep_ml.metrics._base import (
    binary_sample,
    check_positive_sum,
    efficiency_error,
    greater_label_mask,
)
from skhep_ml.metrics._uniform_groups import (
    bin_edges,
    check_uniform,
    efficiency_cut,
)

Array = NDArray[np.float64]


class SculptingResult(NamedTuple):
    """Divergence of two mass spectra.

    Attributes
    ----------
    value : float
        The Jensen-Shannon divergence.
    std : float
        Its statistical error.
    bias : float
        What spectra that do not differ would give on average, by fluctuation of the bins.
    """

    value: float
    std: float
    bias: float


def jsd_sculpting(
    y_true: ArrayLike,
    y_score: ArrayLike,
    mass: ArrayLike,
    *,
    signal_efficiency: float = 0.5,
    bins: int | ArrayLike = 20,
    base: float | Literal["e"] = "e",
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    return_std: bool = False,
) -> Any:
    r"""Jensen-Shannon divergence of background's mass between events that pass and that fail a cut.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal.
    mass : array-like of shape (n_events,)
        Mass, or any other variable, in any unit.
    signal_efficiency : float, default=0.5
        Efficiency of the cut for signal, in (0, 1].
    bins : int or array-like of rising edges, default=20
        Bins with equal raw numbers of background events, or edges; background outside the edges
        is left out.
    base : "e" or float, default="e"
        Base of the logarithm: "e" gives nats, 2 gives bits, in which the maximum is 1.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    pos_label : label, default=None
        The signal label; None takes the greater label.
    return_std : bool, default=False
        Whether to return the statistical error and the bias as well.

    Returns
    -------
    float or SculptingResult
        0 where the spectra agree, ln 2 (in units of ln ``base``) where they do not overlap; with
        ``return_std`` a named tuple ``(value, std, bias)``.

    Raises
    ------
    ValueError
        A class without events or whose weights sum to 0 or less, a cut that leaves no background
        on one of its sides, NaN values, wrong bins or base.

    See Also
    --------
    background_rejection_score : What the cut is good for; both together judge a tagger.
    sde_flatness : Efficiency over any variables.

    Notes
    -----
    With the shares :math:`p_b` and :math:`q_b` of the events that pass and fail in the mass bin b
    and :math:`m_b = (p_b + q_b)/2`,

    .. math:: \mathrm{JSD} = \tfrac12 \sum_b \left(p_b \ln\frac{p_b}{m_b} +
        q_b \ln\frac{q_b}{m_b}\right).

    The cut is the highest score at which signal reaches its efficiency. Bins whose weights sum to
    less than 0 count as empty.

    *Finite statistics.* Fluctuation of the bins makes the divergence of finite samples positive
    even where nothing is sculpted. With the variances :math:`\sigma^2` of the shares it is then on
    average, to second order,

    .. math:: \mathrm{bias} = \sum_b c_b, \quad c_b = \frac{\sigma_{p,b}^2 + \sigma_{q,b}^2}{8
        \,m_b}, \qquad \text{about}\ \frac{n - 1}{8} \left(\frac{1}{N_p} + \frac{1}{N_q}\right)

    for n bins and the effective numbers of events that pass and fail. It dominates for tight cuts:
    1/JSD of a perfect tagger stays near 1/bias, whatever the tagger. With fewer than about five
    events a bin it is too small: take fewer bins.
    The variance is that of linear propagation less :math:`2\sum c_b^2`, by which slopes taken from
    data overstate it, and at least :math:`2\sum c_b^2`, all that is left where the spectra agree.
    The cut counts as fixed.

    References
    ----------
    J. Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991)
    145; as a measure of sculpting ATLAS, ATL-PHYS-PUB-2018-014.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import jsd_sculpting
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 20000)
    >>> mass = np.where(y, rng.normal(125, 10, 40000), rng.exponential(60, 40000) + 50)
    >>> blind = rng.normal(y, 1.0)
    >>> biased = rng.normal(np.exp(-((mass - 125) ** 2) / 1800), 0.5)
    >>> [round(jsd_sculpting(y, score, mass), 4) for score in (blind, biased)]
    [0.0016, 0.16]
    """
    positive = greater_label_mask(y_true, pos_label)
    values = check_uniform(mass, len(positive), name="mass")
    if values.shape[1] != 1:
        msg = f"mass must have shape (n_events,), got {values.shape}"
        raise ValueError(msg)
    if not 0 < signal_efficiency <= 1:
        msg = f"signal_efficiency must lie in (0, 1], got {signal_efficiency!r}"
        raise ValueError(msg)
    unit = _unit(base)
    counted = check_event_weight(sample_weight, len(positive))
    positive, score, weight = binary_sample(positive, y_score, counted)
    spectrum = values[:, 0] if counted is None else values[counted != 0, 0]
    cut = efficiency_cut(
        score[positive], None if weight is None else weight[positive], signal_efficiency
    )
    background = ~positive
    result = spectra_divergence(
        spectrum[background],
        score[background] >= cut,
        None if weight is None else weight[background],
        bins,
    )
    if not return_std:
        return result.value / unit
    return SculptingResult(*(one / unit for one in result))


def spectra_divergence(
    mass: Array, passes: NDArray[np.bool_], weight: Array | None, bins: int | ArrayLike
) -> SculptingResult:
    """Divergence, in nats, of the spectra of background events that pass and that fail a cut."""
    index, inside = _in_bins(mass, bins)
    passes = passes[inside]
    w = np.ones(len(passes)) if weight is None else weight[inside]
    n_bins = int(index.max(initial=0)) + 1
    p = _shares(index[passes], w[passes], n_bins, "background events that pass")
    q = _shares(index[~passes], w[~passes], n_bins, "background events that fail")
    value = 0.5 * _relative_entropy(p, q) + 0.5 * _relative_entropy(q, p)
    middle = (p.share + q.share) / 2
    filled = middle > 0
    second = (p.variance + q.variance)[filled] / (8 * middle[filled])
    first = _slope_variance(p, middle) + _slope_variance(q, middle)
    curvature = 2 * float(np.sum(second**2))
    # without sculpting the slopes fluctuate around 0 and give twice the true variance on average
    std = float(np.sqrt(max(first - curvature, curvature)))
    return SculptingResult(value, std, float(second.sum()))


class _Spectrum(NamedTuple):
    """Shares of the bins, and their sums of w^2 in units of the squared total."""

    share: Array
    squares: Array

    @property
    def variance(self) -> Array:
        return efficiency_error(self.squares, self.squares.sum(), 1.0, self.share) ** 2


def _unit(base: Any) -> float:
    if base == "e":
        return 1.0
    if isinstance(base, (int, float, np.number)) and base > 1:
        return float(np.log(base))
    msg = f"base must be 'e' or a number above 1, got {base!r}"
    raise ValueError(msg)


def _in_bins(mass: Array, bins: int | ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Bin of each event that is inside, and which are."""
    edges = check_edges(bins)
    if isinstance(edges, int):
        inner = bin_edges(mass, edges, "quantile")
        return np.searchsorted(inner, mass, "right"), np.ones(len(mass), dtype=bool)
    inside = (mass >= edges[0]) & (mass <= edges[-1])
    # the last edge belongs to the last bin, as in numpy.histogram
    return np.searchsorted(edges[1:-1], mass[inside], "right"), inside


def _shares(index: NDArray[np.intp], weight: Array, n_bins: int, what: str) -> _Spectrum:
    if not len(index):
        msg = f"there are no {what} the cut: choose another signal_efficiency, or wider bins"
        raise ValueError(msg)
    sums = np.bincount(index, weight, n_bins).astype(np.float64, copy=False)
    check_positive_sum(sums, what, n_events=len(index))
    sums = np.maximum(sums, 0.0)
    total = sums.sum()
    return _Spectrum(sums / total, np.bincount(index, weight**2, n_bins) / total**2)


def _relative_entropy(p: _Spectrum, q: _Spectrum) -> float:
    """Of p relative to the mean of both."""
    return float(rel_entr(p.share, (p.share + q.share) / 2).sum())


def _slope_variance(p: _Spectrum, middle: Array) -> float:
    """Variance of the divergence by linear propagation from p."""
    filled = p.share > 0
    slope = 0.5 * np.log(np.divide(p.share, middle, out=np.ones_like(middle), where=filled))
    return float(p.squares @ (slope - slope @ p.share) ** 2)
