"""Distance correlation: zero only where two quantities are independent."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._validation import check_event_weight
from skhep_ml.metrics._base import check_score


def distance_correlation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    squared: bool = False,
) -> float:
    r"""Distance correlation of two quantities, such as a score and a mass.

    Parameters
    ----------
    x : array-like of shape (n_events,)
        First quantity.
    y : array-like of shape (n_events,)
        Second quantity.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, none of them negative; None counts events.
    squared : bool, default=False
        Return the square, which is what DisCo adds to a loss.

    Returns
    -------
    float
        0 where the quantities are independent, up to a bias of order 1/n; 1 where one is a linear
        function of the other; 0 also where one of them is constant.

    Raises
    ------
    ValueError
        Negative weights, values that are NaN or infinite, lengths that differ.

    Notes
    -----
    With weights :math:`p_i` that sum to 1 and the double-centred distances
    :math:`A_{ij} = |x_i - x_j| - \sum_k p_k |x_i - x_k| - \sum_k p_k |x_k - x_j| +
    \sum_{kl} p_k p_l |x_k - x_l|`, B likewise from y,

    .. math:: \mathrm{dCorr}^2 = \frac{\langle AB\rangle}{\sqrt{\langle AA\rangle\langle BB
        \rangle}}, \quad \langle AB\rangle = \sum_{ij} p_i p_j A_{ij} B_{ij}.

    Time is of order n log n and memory of order n: no matrix of distances is made. The sums over
    pairs are split by the sign of the differences; sums over pairs in which both quantities rise
    come from a merge over the bits of the ranks. Negative weights would make it meaningless, as the
    sums are no squares then.

    References
    ----------
    G. J. Székely, M. L. Rizzo, N. K. Bakirov, Measuring and testing dependence by correlation of
    distances, Ann. Statist. 35 (2007) 2769; for the order of time X. Huo, G. J. Székely,
    arXiv:1410.1503; as a loss G. Kasieczka, D. Shih, arXiv:2001.05310.

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.metrics import distance_correlation
    >>> x = np.linspace(-1, 1, 1000)
    >>> round(distance_correlation(x, 5 - 2 * x), 6), round(distance_correlation(x, x**2), 2)
    (1.0, 0.49)
    """
    x, y = _check_values(x, "x"), _check_values(y, "y")
    if len(x) != len(y):
        msg = f"x has {len(x)} entries, y has {len(y)}"
        raise ValueError(msg)
    p = check_event_weight(sample_weight, len(x))
    if p is None:
        p = np.ones(len(x))
    elif p.min() < 0:
        first = int(np.argmax(p < 0))
        msg = (
            f"sample_weight is negative in {int((p < 0).sum())} events, first in event {first} "
            f"({p[first]:.6g}): distance correlation needs weights >= 0; "
            "skhep_ml.weights.apply_negative_weights gives such weights ('refine', 'pair', 'cell')"
        )
        raise ValueError(msg)
    p = p / p.sum()
    x, y = _standardised(x, p), _standardised(y, p)
    rows_x, rows_y = _mean_distances(x, p), _mean_distances(y, p)
    # the mean of |x_i - x_j|^2 is twice the variance, which is 1 by now (or 0)
    variances = [
        centred_product(p, 2 * (p @ values**2), rows, rows)
        for values, rows in ((x, rows_x), (y, rows_y))
    ]
    size = np.sqrt(max(variances[0], 0.0) * max(variances[1], 0.0))
    if size == 0:
        return 0.0
    square = max(centred_product(p, _mean_product(x, y, p), rows_x, rows_y), 0.0) / size
    return float(square if squared else np.sqrt(square))


def centred_product(p: Any, product: Any, rows_a: Any, rows_b: Any) -> Any:
    r"""Mean product of two double-centred matrices of distances, from sums alone.

    Parameters
    ----------
    p : ndarray or Tensor of shape (n_events,)
        Weights that sum to 1.
    product : scalar
        :math:`\sum_{ij} p_i p_j a_{ij} b_{ij}` of the distances as they are.
    rows_a, rows_b : ndarray or Tensor of shape (n_events,)
        :math:`\sum_j p_j a_{ij}`, the same for b.

    Returns
    -------
    scalar
        :math:`\sum_{ij} p_i p_j A_{ij} B_{ij}`.
    """
    return product - 2 * (p @ (rows_a * rows_b)) + (p @ rows_a) * (p @ rows_b)


def _check_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    checked = check_score(values, name=name).astype(np.float64)
    if not len(checked):
        msg = f"{name} is empty"
        raise ValueError(msg)
    if not np.isfinite(checked).all():
        first = int(np.argmax(~np.isfinite(checked)))
        msg = f"{name} is infinite in event {first}: distances need finite values"
        raise ValueError(msg)
    return checked


def _standardised(values: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0 and variance 1, which the result does not depend on and rounding likes."""
    centred = values - p @ values
    deviation = np.sqrt(p @ centred**2)
    used = values[p > 0]
    return centred / deviation if used.min() < used.max() else np.zeros_like(values)


def _mean_distances(values: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over j of p_j |v_i - v_j|, for every i."""
    order = np.argsort(values, kind="stable")
    sorted_values, sorted_p = values[order], p[order]
    below = np.cumsum(sorted_p)
    moment = np.cumsum(sorted_p * sorted_values)
    rows = np.empty_like(values)
    rows[order] = sorted_values * (2 * below - below[-1]) - 2 * moment + moment[-1]
    return rows


def _mean_product(x: NDArray[np.float64], y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Sum over i, j of p_i p_j |x_i - x_j| |y_i - y_j|.

    The absolute product is (x_j - x_i)(y_j - y_i) where both rise or fall together, and minus that
    elsewhere: twice the sum over the pairs that rise, less the sum over all.
    """
    order = np.argsort(x, kind="stable")
    x, y, p = x[order], y[order], p[order]
    # the sum over ordered pairs of p_i p_j (x_j - x_i)(y_j - y_i), with sum p = 1
    everything = 2 * (p @ (x * y) - (p @ x) * (p @ y))
    position = np.argsort(y, kind="stable")
    rising = 0.0
    # All events in order of y form one block of positions in x; each step parts every block into
    # its lower and upper half of positions, the order in y kept. A pair rises where the event
    # with smaller y goes down and the other one up, which happens in exactly one step.
    for bit in range(max(len(x) - 1, 1).bit_length() - 1, -1, -1):
        upper = (position >> bit) & 1 == 1
        start = (position >> (bit + 1)) << (bit + 1)  # where the block begins
        px, py, pxy, weight = (
            np.concatenate([[0.0], np.cumsum(np.where(upper, 0.0, moment[position]))])
            for moment in (p * x, p * y, p * x * y, p)
        )
        rows = np.flatnonzero(upper)
        first, event = start[rows], position[rows]
        terms = (
            x[event] * y[event] * (weight[rows] - weight[first])
            - x[event] * (py[rows] - py[first])
            - y[event] * (px[rows] - px[first])
            + (pxy[rows] - pxy[first])
        )
        rising += float(p[event] @ terms)
        # stable partition: lower halves go to the start of their block, upper ones behind them
        lower = np.concatenate([[0], np.cumsum(~upper)])
        rank = lower[:-1] - lower[start]
        target = np.where(upper, np.arange(len(x)) + (1 << bit) - rank, start + rank)
        parted = np.empty_like(position)
        parted[target] = position
        position = parted
    return float(4 * rising - everything)
