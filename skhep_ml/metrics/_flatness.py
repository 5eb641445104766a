"""Flatness: how little the efficiency of a cut depends on chosen variables."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from sklearn.utils import check_random_state

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum, check_score
from skhep_ml.metrics._group_distances import cramer_von_mises, group_mean, kolmogorov_smirnov
from skhep_ml.metrics._uniform_groups import (
    Groups,
    Method,
    Sample,
    Strategy,
    bin_groups,
    check_uniform,
    group_shares,
    neighbour_groups,
)

Array = NDArray[np.float64]
Evaluate = Callable[[Groups, Sample, Array], float]

EFFICIENCIES = (0.5, 0.6, 0.7, 0.8, 0.9)
#: Deals of the scores behind the value expected of a flat score.
_DEALS = 20


def sde_flatness(
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    *,
    uniform_label: Any,
    efficiencies: Sequence[float] = EFFICIENCIES,
    power: float = 2.0,
    method: Method = "bins",
    n_bins: int | Sequence[int] = 10,
    strategy: Strategy = "quantile",
    n_neighbors: int = 50,
    sample_weight: ArrayLike | None = None,
    return_flat: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Standard deviation of the efficiency over chosen variables, at several cuts.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels, of any number of classes.
    y_score : array-like of shape (n_events,)
        Scores; an event is selected where its score is at or above a cut.
    X_uniform : array-like of shape (n_events,) or (n_events, n_variables), or DataFrame
        The variables in which the efficiency should be flat, in any unit.
    uniform_label : label or None
        The label whose events are judged; None judges all.
    efficiencies : sequence of float, default=(0.5, 0.6, 0.7, 0.8, 0.9)
        Efficiencies of the cuts for all events of the label; for background give small ones.
    power : float, default=2.0
        Power p of the deviations, above 0.
    method : {"bins", "knn"}, default="bins"
        Compare the cells of a grid, or the nearest neighbours of every event, with the whole. Bins
        are for one or two variables.
    n_bins : int or sequence of int, default=10
        Bins along each variable.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins with equal raw numbers of events along each variable, or of equal width.
    n_neighbors : int, default=50
        Size of a neighbourhood, the event itself included; distances are in units of the
        standard deviations. Variables with few different values are better put in bins.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    return_flat : bool, default=False
        Whether to return also what a flat score would give on average.
    random_state : int, RandomState instance or None, default=0
        Seed of the flat scores.

    Returns
    -------
    float
        0 where the efficiency is the same everywhere.
    float
        With ``return_flat``: the same for a score that is flat, on average, which is above 0 by
        statistical fluctuation. It comes from dealing scores and weights anew to the places of the
        events.

    Raises
    ------
    ValueError
        An unknown label, method or strategy, NaN or missing values, lengths that differ,
        efficiencies outside (0, 1], or weights that sum to 0 or less.

    Warns
    -----
    WeightWarning
        Groups that are left out because their negative weights leave less than one event.

    See Also
    --------
    cvm_flatness : The same over all cuts at once.
    skhep_ml.plotting.FlatnessDisplay : The efficiencies as a picture.

    Notes
    -----
    .. math:: \mathrm{SDE} = \left(\frac{1}{n_c} \sum_c \sum_g \omega_g
        |\varepsilon_{gc} - \varepsilon_c|^p\right)^{1/p}

    with the efficiency :math:`\varepsilon_{gc}` of the cut c in the group g. The cuts are scores of
    events: the highest at which all events together reach each of ``efficiencies``.

    Groups g are cells of the grid or neighbourhoods. An event that is in several shares its weight
    among them, so that the shares :math:`\omega_g` of the groups in the sum of weights add up to
    1 and the mean of their efficiencies is that of all events.

    References
    ----------
    A. Rogozhnikov et al., New approaches for boosting to uniformity, JINST 10 (2015) T03002,
    arXiv:1410.4140.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import sde_flatness
    >>> rng = np.random.default_rng(0)
    >>> mass = rng.uniform(50, 150, 10000)
    >>> y = np.ones(10000)
    >>> flat, tilted = rng.normal(size=10000), rng.normal(mass / 100, 1.0)
    >>> [round(sde_flatness(y, score, mass, uniform_label=1), 3) for score in (flat, tilted)]
    [0.01, 0.097]
    """
    targets = check_efficiencies(efficiencies)
    if not power > 0:
        msg = f"power must be above 0, got {power!r}"
        raise ValueError(msg)

    def sde(groups: Groups, sample: Sample, share: Array) -> float:
        local, overall = _efficiencies(groups, sample, targets)
        deviations = np.abs(local - overall[:, None]) ** power
        return float(group_mean(deviations.mean(axis=0), share) ** (1 / power))

    return _flatness(
        sde,
        y_true,
        y_score,
        X_uniform,
        uniform_label=uniform_label,
        method=method,
        n_bins=n_bins,
        strategy=strategy,
        n_neighbors=n_neighbors,
        sample_weight=sample_weight,
        return_flat=return_flat,
        random_state=random_state,
    )


def theil_flatness(
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    *,
    uniform_label: Any,
    efficiencies: Sequence[float] = EFFICIENCIES,
    method: Method = "bins",
    n_bins: int | Sequence[int] = 10,
    strategy: Strategy = "quantile",
    n_neighbors: int = 50,
    sample_weight: ArrayLike | None = None,
    return_flat: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Theil index of the efficiency over chosen variables, at several cuts.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels, of any number of classes.
    y_score : array-like of shape (n_events,)
        Scores; an event is selected where its score is at or above a cut.
    X_uniform : array-like of shape (n_events,) or (n_events, n_variables), or DataFrame
        The variables in which the efficiency should be flat, in any unit.
    uniform_label : label or None
        The label whose events are judged; None judges all.
    efficiencies : sequence of float, default=(0.5, 0.6, 0.7, 0.8, 0.9)
        Efficiencies of the cuts for all events of the label; for background give small ones.
    method : {"bins", "knn"}, default="bins"
        Compare the cells of a grid, or the nearest neighbours of every event, with the whole. Bins
        are for one or two variables.
    n_bins : int or sequence of int, default=10
        Bins along each variable.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins with equal raw numbers of events along each variable, or of equal width.
    n_neighbors : int, default=50
        Size of a neighbourhood, the event itself included; distances are in units of the
        standard deviations. Variables with few different values are better put in bins.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    return_flat : bool, default=False
        Whether to return also what a flat score would give on average.
    random_state : int, RandomState instance or None, default=0
        Seed of the flat scores.

    Returns
    -------
    float
        0 where the efficiency is the same everywhere.
    float
        With ``return_flat``: the same for a score that is flat, on average, which is above 0 by
        statistical fluctuation. It comes from dealing scores and weights anew to the places of the
        events.

    Raises
    ------
    ValueError
        An unknown label, method or strategy, NaN or missing values, lengths that differ,
        efficiencies outside (0, 1], or weights that sum to 0 or less.

    Warns
    -----
    WeightWarning
        Groups that are left out because their negative weights leave less than one event.

    See Also
    --------
    sde_flatness : Standard deviation instead of the Theil index.

    Notes
    -----
    .. math:: T = \frac{1}{n_c} \sum_c \sum_g \omega_g\, r_{gc} \ln r_{gc}, \qquad
        r_{gc} = \varepsilon_{gc} / \varepsilon_c

    with the efficiency :math:`\varepsilon_{gc}` of the cut c in the group g. The cuts are scores of
    events: the highest at which all events together reach each of ``efficiencies``. A ratio of 0
    adds nothing, nor does a negative one, which negative weights can make.

    Groups g are cells of the grid or neighbourhoods. An event that is in several shares its weight
    among them, so that the shares :math:`\omega_g` of the groups in the sum of weights add up to
    1 and the mean of their efficiencies is that of all events.

    References
    ----------
    A. Rogozhnikov et al., New approaches for boosting to uniformity, JINST 10 (2015) T03002,
    arXiv:1410.4140.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import theil_flatness
    >>> rng = np.random.default_rng(0)
    >>> mass = rng.uniform(50, 150, 10000)
    >>> y = np.ones(10000)
    >>> flat, tilted = rng.normal(size=10000), rng.normal(mass / 100, 1.0)
    >>> [round(theil_flatness(y, score, mass, uniform_label=1), 4) for score in (flat, tilted)]
    [0.0001, 0.013]
    """
    targets = check_efficiencies(efficiencies)

    def theil(groups: Groups, sample: Sample, share: Array) -> float:
        local, overall = _efficiencies(groups, sample, targets)
        ratio = np.maximum(local / overall[:, None], 0)
        return group_mean(xlogy(ratio, ratio).mean(axis=0), share)

    return _flatness(
        theil,
        y_true,
        y_score,
        X_uniform,
        uniform_label=uniform_label,
        method=method,
        n_bins=n_bins,
        strategy=strategy,
        n_neighbors=n_neighbors,
        sample_weight=sample_weight,
        return_flat=return_flat,
        random_state=random_state,
    )


def cvm_flatness(
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    *,
    uniform_label: Any,
    method: Method = "bins",
    n_bins: int | Sequence[int] = 10,
    strategy: Strategy = "quantile",
    n_neighbors: int = 50,
    sample_weight: ArrayLike | None = None,
    return_flat: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Cramer-von Mises distance between the scores at each place and all, on average.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels, of any number of classes.
    y_score : array-like of shape (n_events,)
        Scores; an event is selected where its score is at or above a cut.
    X_uniform : array-like of shape (n_events,) or (n_events, n_variables), or DataFrame
        The variables in which the efficiency should be flat, in any unit.
    uniform_label : label or None
        The label whose events are judged; None judges all.
    method : {"bins", "knn"}, default="bins"
        Compare the cells of a grid, or the nearest neighbours of every event, with the whole. Bins
        are for one or two variables.
    n_bins : int or sequence of int, default=10
        Bins along each variable.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins with equal raw numbers of events along each variable, or of equal width.
    n_neighbors : int, default=50
        Size of a neighbourhood, the event itself included; distances are in units of the
        standard deviations. Variables with few different values are better put in bins.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    return_flat : bool, default=False
        Whether to return also what a flat score would give on average.
    random_state : int, RandomState instance or None, default=0
        Seed of the flat scores.

    Returns
    -------
    float
        0 where the distribution of the score is the same everywhere; at most 1/3 for scores without
        ties and weights >= 0.
    float
        With ``return_flat``: the same for a score that is flat, on average, which is above 0 by
        statistical fluctuation. It comes from dealing scores and weights anew to the places of the
        events.

    Raises
    ------
    ValueError
        An unknown label, method or strategy, NaN or missing values, lengths that differ,
        or weights that sum to 0 or less.

    Warns
    -----
    WeightWarning
        Groups that are left out because their negative weights leave less than one event.

    See Also
    --------
    sde_flatness : Flatness at chosen efficiencies.

    Notes
    -----
    .. math:: \mathrm{CvM} = \sum_g \omega_g \int (F_g(s) - F(s))^2\, dF(s)

    with the weighted distribution function F of the score over all events, :math:`F_g` that over
    the group g, both halfway at a jump. It judges all cuts at once, without a choice of
    efficiencies, and does not change under rising transformations of the score.

    Groups g are cells of the grid or neighbourhoods. An event that is in several shares its weight
    among them, so that the shares :math:`\omega_g` of the groups in the sum of weights add up to
    1 and the mean of their distributions is that of all events.
    The integral is done in closed form over sorted scores, in a time of order n log n for n entries
    of groups.

    References
    ----------
    A. Rogozhnikov et al., New approaches for boosting to uniformity, JINST 10 (2015) T03002,
    arXiv:1410.4140.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import cvm_flatness
    >>> rng = np.random.default_rng(0)
    >>> mass = rng.uniform(50, 150, 10000)
    >>> y = np.ones(10000)
    >>> flat, tilted = rng.normal(size=10000), rng.normal(mass / 100, 1.0)
    >>> [round(cvm_flatness(y, score, mass, uniform_label=1), 4) for score in (flat, tilted)]
    [0.0001, 0.0079]
    """
    return _flatness(
        cramer_von_mises,
        y_true,
        y_score,
        X_uniform,
        uniform_label=uniform_label,
        method=method,
        n_bins=n_bins,
        strategy=strategy,
        n_neighbors=n_neighbors,
        sample_weight=sample_weight,
        return_flat=return_flat,
        random_state=random_state,
    )


def ks_flatness(
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    *,
    uniform_label: Any,
    method: Method = "bins",
    n_bins: int | Sequence[int] = 10,
    strategy: Strategy = "quantile",
    n_neighbors: int = 50,
    sample_weight: ArrayLike | None = None,
    return_flat: bool = False,
    random_state: Any = 0,
) -> Any:
    r"""Kolmogorov-Smirnov distance between the scores at each place and all, on average.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels, of any number of classes.
    y_score : array-like of shape (n_events,)
        Scores; an event is selected where its score is at or above a cut.
    X_uniform : array-like of shape (n_events,) or (n_events, n_variables), or DataFrame
        The variables in which the efficiency should be flat, in any unit.
    uniform_label : label or None
        The label whose events are judged; None judges all.
    method : {"bins", "knn"}, default="bins"
        Compare the cells of a grid, or the nearest neighbours of every event, with the whole. Bins
        are for one or two variables.
    n_bins : int or sequence of int, default=10
        Bins along each variable.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins with equal raw numbers of events along each variable, or of equal width.
    n_neighbors : int, default=50
        Size of a neighbourhood, the event itself included; distances are in units of the
        standard deviations. Variables with few different values are better put in bins.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events.
    return_flat : bool, default=False
        Whether to return also what a flat score would give on average.
    random_state : int, RandomState instance or None, default=0
        Seed of the flat scores.

    Returns
    -------
    float
        0 where the distribution of the score is the same everywhere; at most 1 for weights >= 0.
    float
        With ``return_flat``: the same for a score that is flat, on average, which is above 0 by
        statistical fluctuation. It comes from dealing scores and weights anew to the places of the
        events.

    Raises
    ------
    ValueError
        An unknown label, method or strategy, NaN or missing values, lengths that differ,
        or weights that sum to 0 or less.

    Warns
    -----
    WeightWarning
        Groups that are left out because their negative weights leave less than one event.

    See Also
    --------
    cvm_flatness : Mean square instead of the greatest difference.

    Notes
    -----
    .. math:: \mathrm{KS} = \sum_g \omega_g\, \max_s |F_g(s) - F(s)|

    with the weighted distribution function F of the score over all events, :math:`F_g` that over
    the group g. It does not change under rising transformations of the score.

    Groups g are cells of the grid or neighbourhoods. An event that is in several shares its weight
    among them, so that the shares :math:`\omega_g` of the groups in the sum of weights add up to
    1 and the mean of their distributions is that of all events.
    The maximum of a few events is large by fluctuation alone: compare with ``return_flat``.

    References
    ----------
    A. Rogozhnikov et al., New approaches for boosting to uniformity, JINST 10 (2015) T03002,
    arXiv:1410.4140.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import ks_flatness
    >>> rng = np.random.default_rng(0)
    >>> mass = rng.uniform(50, 150, 10000)
    >>> y = np.ones(10000)
    >>> flat, tilted = rng.normal(size=10000), rng.normal(mass / 100, 1.0)
    >>> [round(ks_flatness(y, score, mass, uniform_label=1), 3) for score in (flat, tilted)]
    [0.022, 0.113]
    """
    return _flatness(
        kolmogorov_smirnov,
        y_true,
        y_score,
        X_uniform,
        uniform_label=uniform_label,
        method=method,
        n_bins=n_bins,
        strategy=strategy,
        n_neighbors=n_neighbors,
        sample_weight=sample_weight,
        return_flat=return_flat,
        random_state=random_state,
    )


def _flatness(
    evaluate: Evaluate,
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    *,
    uniform_label: Any,
    method: Method,
    n_bins: int | Sequence[int],
    strategy: Strategy,
    n_neighbors: int,
    sample_weight: ArrayLike | None,
    return_flat: bool,
    random_state: Any,
) -> Any:
    """Check the input, group the events of one label and evaluate a metric on them."""
    if method not in ("bins", "knn"):
        msg = f"method={method!r}: choose 'bins' or 'knn'"
        raise ValueError(msg)
    score, values, weight = judged_events(y_true, y_score, X_uniform, uniform_label, sample_weight)
    order = np.argsort(score, kind="stable")
    sample, values = Sample(score[order], weight[order]), values[order]
    if method == "bins":
        groups = bin_groups(values, n_bins, strategy)
    else:
        groups = neighbour_groups(values, n_neighbors)
    value = evaluate(groups, sample, group_shares(groups, sample, warn=True))
    if not return_flat:
        return value
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
    flat = []
    for _ in range(_DEALS):
        deal = groups.dealt(rng)
        flat.append(evaluate(deal, sample, group_shares(deal, sample, warn=False)))
    return value, float(np.mean(flat))


def judged_events(
    y_true: ArrayLike,
    y_score: ArrayLike,
    X_uniform: Any,
    uniform_label: Any,
    sample_weight: ArrayLike | None,
    *,
    name: str = "X_uniform",
) -> tuple[NDArray[Any], Array, Array]:
    """Scores, variables and weights of the events of one label whose weight is not 0."""
    score = check_score(y_score)
    values = check_uniform(X_uniform, len(score), name=name)
    weight = check_event_weight(sample_weight, len(score))
    if weight is None:
        weight = np.ones(len(score))
    rows = weight != 0
    if uniform_label is not None:
        y = np.asarray(y_true)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.shape != score.shape:
            msg = f"y_score has {len(score)} entries, but y_true has shape {y.shape}"
            raise ValueError(msg)
        judged = np.asarray(y == uniform_label)
        if not judged.any():
            msg = (
                f"uniform_label={uniform_label!r} is not among the labels "
                f"{np.unique(y)[:5].tolist()}"
            )
            raise ValueError(msg)
        rows &= judged
    check_positive_sum(weight[rows], "judged")
    return score[rows], values[rows], weight[rows]


def check_efficiencies(efficiencies: Sequence[float]) -> Array:
    """Return the efficiencies of cuts, one or more, each in (0, 1]."""
    targets = np.atleast_1d(np.asarray(efficiencies, dtype=np.float64))
    if targets.ndim != 1 or not len(targets) or not np.all((targets > 0) & (targets <= 1)):
        msg = f"efficiencies must be shares in (0, 1], got {efficiencies!r}"
        raise ValueError(msg)
    return targets


def _efficiencies(groups: Groups, sample: Sample, targets: Array) -> tuple[Array, Array]:
    """Efficiencies of the cuts in every group, shape (n_cuts, n_groups), and of all events."""
    shared = sample.weight / groups.times
    total = groups.sums(shared)
    # groups without a sum of weights have no share either
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total != 0)
    cuts = sample.cuts(targets)
    local = np.stack([groups.sums(np.where(sample.level >= cut, shared, 0.0)) for cut in cuts])
    return local * scale, sample.cumulative[-1] - sample.cumulative[cuts]
