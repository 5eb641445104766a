"""Spectrum of a mass before and after a cut on a score, with the excess in a window."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_edges, check_event_weight
from skhep_ml.anomaly._dijet import binned_sums, check_dijet, fit_dijet
from skhep_ml.anomaly._regions import SIGNAL, Regions, check_mass, check_populated, check_regions
from skhep_ml.metrics import (
    KSResult,
    SculptingResult,
    asimov_significance,
    ks_2samp_weighted,
)
from skhep_ml.metrics._base import check_score
from skhep_ml.metrics._sculpting import spectra_divergence
from skhep_ml.metrics._uniform_groups import efficiency_cut

Array = NDArray[np.float64]


class FittedSpectrum(NamedTuple):
    """A spectrum and the smooth background from a fit of its sidebands.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    values, errors : ndarray of shape (n_bins,)
        Sum of weights in each bin, and sqrt(sum w^2).
    fitted : ndarray of bool, shape (n_bins,)
        Bins of the sidebands, which the fit looked at.
    background, background_std : ndarray of shape (n_bins,)
        Background expected in each bin, and its uncertainty from the fit.
    observed : float
        Sum of weights in the signal region.
    expected, expected_std : float
        Background expected there, and its uncertainty from the fit.
    significance : float
        Local significance of the excess in standard deviations; 0 for a deficit.
    chi2 : float
        Pearson's chi-squared of the fitted bins.
    n_dof : int
        Fitted bins less parameters.
    pvalue : float
        Probability of a greater chi-squared.
    """

    edges: Array
    values: Array
    errors: Array
    fitted: NDArray[np.bool_]
    background: Array
    background_std: Array
    observed: float
    expected: float
    expected_std: float
    significance: float
    chi2: float
    n_dof: int
    pvalue: float


class BumpHunt(NamedTuple):
    """Outcome of `bump_hunt`.

    Attributes
    ----------
    before, after : FittedSpectrum
        Spectrum of all events, and of those that pass the cut.
    cut : float
        Lowest selected score.
    efficiency : float
        Share of the events of the spectrum that pass.
    signal_region : tuple of float
        Ends of the signal region.
    sculpting : SculptingResult
        Jensen-Shannon divergence, in nats, of the spectra of sideband events that pass and that
        fail the cut: ``(value, std, bias)``. A value far above its bias is a cut that knows the
        mass.
    ks : KSResult
        Kolmogorov-Smirnov test of the same two spectra: ``(statistic, pvalue)``.
    """

    before: FittedSpectrum
    after: FittedSpectrum
    cut: float
    efficiency: float
    signal_region: tuple[float, float]
    sculpting: SculptingResult
    ks: KSResult


def bump_hunt(
    mass: ArrayLike,
    score: ArrayLike,
    *,
    signal_region: tuple[float, float],
    efficiency: float | None = None,
    cut: float | None = None,
    sidebands: Any = None,
    bins: ArrayLike = 40,
    n_parameters: int = 3,
    energy: float = 13_000.0,
    sample_weight: ArrayLike | None = None,
) -> BumpHunt:
    r"""Look for an excess in a window of a mass before and after a cut on a score.

    Parameters
    ----------
    mass : array-like of shape (n_events,)
        Mass of each event.
    score : array-like of shape (n_events,)
        Score, greater for signal; of a detector with the sign of scikit-learn's, minus its
        ``score_samples``. It must come from models that did not see the event.
    signal_region : pair of float
        Window (low, high) of the mass.
    efficiency : float, default=None
        Share of the events of the spectrum that pass the cut; None with ``cut=None`` takes 0.01.
    cut : float, default=None
        Lowest selected score, instead of an efficiency.
    sidebands : pair of pairs of float, default=None
        Intervals below and above the signal region that are fitted; None takes all events outside
        of it.
    bins : int or array-like of rising edges, default=40
        Number of bins, of about equal width and with edges at the ends of all regions, or edges
        with those of the signal region among them.
    n_parameters : {3, 4, 5}, default=3
        Parameters of the dijet function.
    energy : float, default=13000.0
        Centre-of-mass energy, in units of the mass.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.

    Returns
    -------
    BumpHunt
        Named tuple ``(before, after, cut, efficiency, signal_region, sculpting, ks)``.

    Raises
    ------
    ValueError
        Lengths that differ, NaN values, a region without events or whose weights sum to 0 or less,
        a cut that nothing or everything in the sidebands passes, wrong bins or parameters, or a fit
        that does not converge.

    See Also
    --------
    skhep_ml.plotting.BumpHuntDisplay : The picture.
    skhep_ml.metrics.asimov_significance : The formula of the significance.

    Notes
    -----
    Background is the dijet function, with :math:`x = m/E` and 3, 4 or 5 parameters

    .. math:: f(m) = e^{p_0} (1 - x)^{p_1}\, x^{p_2 + p_3 \ln x + p_4 \ln^2 x},

    fitted to the bins of the sidebands alone. With n events in the signal region where
    :math:`b \pm \sigma` are expected from the fit, the significance is
    ``asimov_significance(n - b, b, sigma)``: that of n observed events for a background measured
    with the uncertainty :math:`\sigma`, as Li and Ma's for a control region. For weighted events
    all three are divided by :math:`\sum w^2 / \sum w` of the sidebands.

    *What is not in it.* The significance is local: a search in many windows, or with many cuts,
    finds larger ones by chance (look-elsewhere effect), which only pseudo-experiments of the whole
    procedure tell. The uncertainty is that of the parameters, not of the choice of the function:
    compare several ``n_parameters``, and see that ``after.pvalue`` is not small. A cut that sculpts
    the spectrum can make a bump without signal: see ``sculpting`` and ``ks``.

    References
    ----------
    T.-P. Li, Y.-Q. Ma, Astrophys. J. 272 (1983) 317.
    CDF Collaboration, Phys. Rev. D 79 (2009) 112002, for the function.

    Examples
    --------
    >>> from skhep_ml.anomaly import bump_hunt
    >>> from skhep_ml.datasets import make_resonance_search
    >>> events = make_resonance_search(50_000, as_frame=True, random_state=0)
    >>> hunt = bump_hunt(events.data["m_jj"], events.log_likelihood_ratio,
    ...                  signal_region=events.signal_region, efficiency=0.005)
    >>> round(hunt.before.significance, 1), round(hunt.after.significance, 1)
    (1.5, 9.4)
    """
    regions = check_regions(signal_region, sidebands)
    values = check_mass(mass)
    s = check_score(score, name="score")
    if len(s) != len(values):
        msg = f"score has {len(s)} entries, but mass has {len(values)}"
        raise ValueError(msg)
    weight = check_event_weight(sample_weight, len(values))
    region, _ = check_populated(regions, values, weight)
    edges = _edges(bins, values[region >= 0], regions)
    check_dijet(n_parameters, energy, float(edges[0]), float(edges[-1]))
    inside = (values >= edges[0]) & (values <= edges[-1])
    values, s, region = values[inside], s[inside], region[inside]
    w = np.ones(len(values)) if weight is None else weight[inside]
    threshold = _threshold(s, w, efficiency, cut)
    passes = s >= threshold
    side = (region >= 0) & (region != SIGNAL)
    for chosen, word in ((passes, "passes"), (~passes, "fails")):
        if not (side & chosen).any():
            msg = (
                f"no event of the sidebands {word} the cut at {threshold:g}: there is no spectrum "
                "to compare with; choose another efficiency or cut"
            )
            raise ValueError(msg)
    centres = (edges[1:] + edges[:-1]) / 2
    number = regions.of(centres)
    options: dict[str, Any] = {"n_parameters": n_parameters, "energy": energy}
    spectra = [
        _spectrum(values[chosen], w[chosen], edges, number, **options)
        for chosen in (np.ones(len(values), dtype=bool), passes)
    ]
    signed = None if weight is None else w
    # five events a bin, or what small samples mean for the divergence is not known
    n_bins = int(np.clip(np.count_nonzero(side & passes) // 5, 2, 20))
    return BumpHunt(
        spectra[0],
        spectra[1],
        threshold,
        float(w[passes].sum() / w.sum()),
        regions.signal,
        spectra_divergence(
            values[side], passes[side], None if signed is None else signed[side], n_bins
        ),
        ks_2samp_weighted(
            values[side & passes],
            values[side & ~passes],
            weight1=None if signed is None else signed[side & passes],
            weight2=None if signed is None else signed[side & ~passes],
        ),
    )


def _threshold(
    score: NDArray[Any], weight: Array, efficiency: float | None, cut: float | None
) -> float:
    if cut is not None:
        if efficiency is not None:
            msg = f"efficiency={efficiency} and cut={cut}: give one of them"
            raise ValueError(msg)
        return float(cut)
    target = 0.01 if efficiency is None else efficiency
    if not 0 < target < 1:
        msg = f"efficiency must lie in (0, 1), got {efficiency!r}"
        raise ValueError(msg)
    return efficiency_cut(score, weight, target)


def _edges(bins: ArrayLike, mass: Array, regions: Regions) -> Array:
    """Edges of the bins, those of the regions among them."""
    given = check_edges(bins)
    if not isinstance(given, int):
        if not np.isin(regions.signal, given).all():
            msg = f"the ends of signal_region={regions.signal} must be among the edges of bins"
            raise ValueError(msg)
        return given
    low = regions.lower[0] if np.isfinite(regions.lower[0]) else float(mass.min())
    high = regions.upper[1] if np.isfinite(regions.upper[1]) else float(mass.max())
    ends = sorted({low, regions.lower[1], *regions.signal, regions.upper[0], high})
    width = (high - low) / given
    parts = [
        np.linspace(start, stop, max(1, round((stop - start) / width)) + 1)[:-1]
        for start, stop in pairwise(ends)
    ]
    return np.concatenate([*parts, [high]])


def _spectrum(
    mass: Array,
    weight: Array,
    edges: Array,
    number: NDArray[np.intp],
    *,
    n_parameters: int,
    energy: float,
) -> FittedSpectrum:
    """Histogram, fit of the sidebands, and excess in the signal region."""
    n_bins = len(edges) - 1
    # the last edge belongs to the last bin, as in numpy.histogram
    index = np.clip(np.searchsorted(edges, mass, "right") - 1, 0, n_bins - 1)
    values, squares = binned_sums(index, weight, n_bins)
    used, window = (number >= 0) & (number != SIGNAL), number == SIGNAL
    fit = fit_dijet(edges, values, squares, used, n_parameters=n_parameters, energy=energy)
    background, covariance = fit.expected(edges)
    observed, expected = float(values[window].sum()), float(background[window].sum())
    expected_std = float(np.sqrt(covariance[np.ix_(window, window)].sum()))
    counts = np.array([observed - expected, expected, expected_std]) / fit.scale
    return FittedSpectrum(
        edges,
        values,
        np.sqrt(squares),
        used,
        background,
        np.sqrt(np.diag(covariance)),
        observed,
        expected,
        expected_std,
        float(asimov_significance(*counts)),
        fit.chi2,
        fit.n_dof,
        fit.pvalue,
    )
