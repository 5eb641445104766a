"""Thresholds at given efficiencies, and how data and simulation agree there."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_positive_sum, check_score, efficiency_error
from skhep_ml.metrics._ranking import rank_events


class WorkingPoints(NamedTuple):
    """Selections ``score >= threshold``.

    Attributes
    ----------
    threshold : ndarray of shape (n_points,)
        Lowest selected scores.
    signal_efficiency, signal_efficiency_std : ndarray of shape (n_points,)
        Signal efficiencies and their statistical errors.
    background_efficiency, background_efficiency_std : ndarray of shape (n_points,)
        The same of the background.
    """

    threshold: NDArray[Any]
    signal_efficiency: NDArray[np.float64]
    signal_efficiency_std: NDArray[np.float64]
    background_efficiency: NDArray[np.float64]
    background_efficiency_std: NDArray[np.float64]


class ScaleFactor(NamedTuple):
    """Efficiency in data over that in simulation.

    Attributes
    ----------
    value, std : ndarray of shape (n_points,)
        Ratio and its statistical error.
    data_efficiency, data_efficiency_std : ndarray of shape (n_points,)
        Efficiency in data and its error.
    simulation_efficiency, simulation_efficiency_std : ndarray of shape (n_points,)
        Efficiency in simulation and its error.
    """

    value: NDArray[np.float64]
    std: NDArray[np.float64]
    data_efficiency: NDArray[np.float64]
    data_efficiency_std: NDArray[np.float64]
    simulation_efficiency: NDArray[np.float64]
    simulation_efficiency_std: NDArray[np.float64]


def working_points(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    signal_efficiency: ArrayLike | None = None,
    background_efficiency: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
) -> WorkingPoints:
    """Thresholds that give the wanted efficiencies, and the efficiencies they really give.

    Parameters
    ----------
    y_true : array-like of shape (n_events,)
        Labels of two classes.
    y_score : array-like of shape (n_events,)
        Scores, greater for signal.
    signal_efficiency : float or array-like of shape (n_points,), default=None
        Signal efficiencies in (0, 1]: each threshold is the highest score that reaches one.
    background_efficiency : float or array-like of shape (n_points,), default=None
        Background efficiencies in (0, 1], instead: each threshold is the lowest score down to
        which one is not exceeded.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign.
    pos_label : label, default=None
        The signal label; None takes 1 of {0, 1} or {-1, 1}.

    Returns
    -------
    WorkingPoints
        Named tuple of arrays of shape (n_points,): ``threshold``, the two efficiencies and their
        errors. With few distinct scores they differ from what was asked.

    Raises
    ------
    ValueError
        Both efficiencies given or none, values out of range, or a background efficiency below that
        of the first score.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import working_points
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 10_000)
    >>> points = working_points(y, rng.normal(y), signal_efficiency=[0.5, 0.8])
    >>> points.threshold.round(1), points.background_efficiency.round(2)
    (array([1. , 0.2]), array([0.16, 0.44]))
    """
    if (signal_efficiency is None) == (background_efficiency is None):
        msg = "give either signal_efficiency or background_efficiency"
        raise ValueError(msg)
    by_signal = signal_efficiency is not None
    target = np.atleast_1d(
        np.asarray(signal_efficiency if by_signal else background_efficiency, np.float64)
    )
    if not np.all((target > 0) & (target <= 1)):
        msg = f"efficiencies must lie in (0, 1], got {target.tolist()}"
        raise ValueError(msg)
    ranked = rank_events(y_true, y_score, sample_weight, pos_label)
    passing, squares = ranked.passing(), ranked.passing(2)
    efficiency = [p / p[-1] for p in passing]
    # signed efficiencies may fall again: the first crossing from above counts, as in roc_curve
    if by_signal:
        reached = np.maximum.accumulate(efficiency[0])
        index = np.searchsorted(reached, target * (1 - 1e-12))
    else:
        reached = np.maximum.accumulate(efficiency[1])
        index = np.searchsorted(reached, target * (1 + 1e-12), "right") - 1
        if index.min() < 0:
            msg = (
                f"background_efficiency={target.min():g} is below that of the highest score, "
                f"{efficiency[1][0]:.4g}: ask for more, or use more events"
            )
            raise ValueError(msg)
    index = np.minimum(index, len(reached) - 1)
    columns = []
    for part, square, eff in zip(passing, squares, efficiency, strict=True):
        std = efficiency_error(square[index], square[-1], part[-1], eff[index])
        columns += [eff[index], std]
    return WorkingPoints(ranked.thresholds[index], *columns)


def scale_factors(
    score_data: ArrayLike,
    score_simulation: ArrayLike,
    thresholds: ArrayLike,
    *,
    weight_data: ArrayLike | None = None,
    weight_simulation: ArrayLike | None = None,
) -> ScaleFactor:
    r"""Ratio of the efficiency of ``score >= threshold`` in data to that in simulation.

    Parameters
    ----------
    score_data : array-like of shape (n_data,)
        Scores of a pure (or background-subtracted, by negative weights) sample of data.
    score_simulation : array-like of shape (n_simulation,)
        Scores of the same process simulated.
    thresholds : float or array-like of shape (n_points,)
        Thresholds, such as those of `working_points`.
    weight_data, weight_simulation : array-like, default=None
        Event weights, of any sign.

    Returns
    -------
    ScaleFactor
        Named tuple of arrays of shape (n_points,): ``value``, ``std``, and both efficiencies with
        their errors; NaN where the simulation's efficiency is not positive.

    Raises
    ------
    ValueError
        NaN scores, or weights that sum to 0 or less.

    Notes
    -----
    The samples are independent: :math:`(\sigma/SF)^2 = (\sigma_d/\varepsilon_d)^2 +
    (\sigma_s/\varepsilon_s)^2`, with :math:`\sigma^2 = \sum w^2 (p - \varepsilon)^2/(\sum w)^2`.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import scale_factors
    >>> rng = np.random.default_rng(0)
    >>> factor = scale_factors(rng.normal(0.0, 1, 20_000), rng.normal(0.1, 1, 20_000), 0.0)
    >>> factor.value.round(2), factor.std.round(2)
    (array([0.92]), array([0.01]))
    """
    cut = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    sides = []
    for name, values, given in (
        ("data", score_data, weight_data),
        ("simulation", score_simulation, weight_simulation),
    ):
        score = check_score(values, name=f"score_{name}")
        weight = check_event_weight(given, len(score), name=f"weight_{name}")
        weight = np.ones(len(score)) if weight is None else weight
        total = check_positive_sum(weight, name)
        order = np.argsort(-score, kind="stable")
        first_fail = np.searchsorted(-score[order], -cut, "right")
        sums = [np.concatenate([[0.0], np.cumsum(weight[order] ** k)]) for k in (1, 2)]
        efficiency = sums[0][first_fail] / total
        sides += [efficiency, efficiency_error(sums[1][first_fail], sums[1][-1], total, efficiency)]
    data, data_std, simulation, simulation_std = sides
    defined = simulation > 0
    divide = lambda a, b: np.divide(a, b, out=np.full_like(a, np.nan), where=defined)  # noqa: E731
    value = divide(data, simulation)
    std = np.hypot(divide(data_std, simulation), value * divide(simulation_std, simulation))
    return ScaleFactor(value, std, *sides)
