"""Histograms and numbers of nominal and varied events; errors know which events they share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml.metrics._ranking import Crossing, RankedEvents, from_zero
from skhep_ml.metrics._significance import asimov_significance

Array = NDArray[np.float64]


class ScoredEvents(NamedTuple):
    """Selected events of one sample.

    Attributes
    ----------
    score, weight : ndarray of shape (n_events,)
        Score of the model and weight.
    process : ndarray of shape (n_events,)
        Number of the process.
    key : ndarray of shape (n_events,)
        Number of the event, the same in all samples.
    bin : ndarray of shape (n_events,)
        Bin of the score.
    """

    score: NDArray[np.floating]
    weight: Array
    process: NDArray[np.intp]
    key: NDArray[np.intp]
    bin: NDArray[np.intp]


class Sums(NamedTuple):
    """Sums of weights in cells, and the variances and covariances of their shifts.

    Attributes
    ----------
    values, sumw2 : ndarray of shape (n_samples, n_cells)
        Sums of weights, and their variances: sums of squares over events.
    shift_sumw2 : ndarray of shape (n_samples - 1, n_cells)
        Variances of the differences from the first sample.
    covariance : ndarray of shape (n_cells,) or None
        Covariance of the differences of the second and third sample.
    """

    values: Array
    sumw2: Array
    shift_sumw2: Array
    covariance: Array | None


def sums_with_shifts(
    samples: list[ScoredEvents], cells: list[NDArray[np.intp]], n_cells: int
) -> Sums:
    r"""Add up weights in cells, event by event, so that what samples share does not fluctuate.

    Every event counts a Poisson number of times of mean 1, the same in all samples: a sum
    :math:`\sum_k s_k` over events k has the variance :math:`\sum_k s_k^2`, a difference of two
    sums that of the differences of each event.
    """
    joint = np.concatenate(
        [sample.key * n_cells + cell for sample, cell in zip(samples, cells, strict=True)]
    )
    places, index = np.unique(joint, return_inverse=True)
    cell_of = places % n_cells
    of_event, start = [], 0
    for sample in samples:
        stop = start + len(sample.key)
        sums = np.bincount(index[start:stop], sample.weight, len(places))
        of_event.append(np.asarray(sums, dtype=np.float64))
        start = stop

    def total(values: Array) -> Array:
        return np.bincount(cell_of, values, n_cells).astype(np.float64, copy=False)

    shifts = [one - of_event[0] for one in of_event[1:]]
    return Sums(
        np.stack([total(one) for one in of_event]),
        np.stack([total(one**2) for one in of_event]),
        np.stack([total(one**2) for one in shifts]) if shifts else np.zeros((0, n_cells)),
        total(shifts[0] * shifts[1]) if len(shifts) == 2 else None,
    )


class Performance:
    """Numbers of one sample, prepared so that replicas with other weights need no second sort.

    Parameters
    ----------
    sample : ScoredEvents
        The events.
    signal : ndarray of shape (n_processes,)
        Whether a process is signal.
    n_bins : int
        Number of bins.
    signal_efficiency : ndarray of shape (n_efficiencies,)
        Where the rejection is evaluated.
    smallest : float
        Smallest background efficiency that the events resolve.
    background_uncertainty : float
        Relative uncertainty of the background in the significance.
    """

    def __init__(
        self,
        sample: ScoredEvents,
        signal: NDArray[np.bool_],
        n_bins: int,
        *,
        signal_efficiency: Array,
        smallest: float,
        background_uncertainty: float,
    ) -> None:
        order = np.argsort(-sample.score, kind="stable")
        positive = signal[sample.process[order]]
        self._ranked = RankedEvents(positive, sample.score[order])
        self._weight = sample.weight[order]
        self._key = sample.key[order]
        self._cell = sample.bin[order] + n_bins * positive
        self._n_bins = n_bins
        self._signal_efficiency = signal_efficiency
        self._smallest = smallest
        self._uncertainty = background_uncertainty

    def __call__(self, counts: Array | None = None) -> Array:
        """AUC, rejections and significance, each event counted ``counts[key]`` times.

        All are NaN where a class has no positive sum of weights.
        """
        weight = self._weight if counts is None else self._weight * counts[self._key]
        signal, background = self._ranked.sums(weight)
        n_numbers = 2 + len(self._signal_efficiency)
        if not (signal[-1] > 0 and background[-1] > 0):
            return np.full(n_numbers, np.nan)
        tpr, fpr = signal / signal[-1], background / background[-1]
        area = np.trapezoid(from_zero(tpr), from_zero(fpr))
        at = Crossing(tpr, self._signal_efficiency, side="left")
        rejection = 1 / np.maximum(at(fpr), self._smallest)
        sums = np.bincount(self._cell, weight, 2 * self._n_bins)
        squares = np.bincount(self._cell, weight * self._weight, 2 * self._n_bins)
        b, s = sums.reshape(2, -1)
        variance = squares[: self._n_bins] + (self._uncertainty * b) ** 2
        used = b > 0
        z = asimov_significance(s[used], b[used], np.sqrt(variance[used]))
        return np.array([area, *rejection, np.sqrt(np.sum(np.square(z)))])


def replicas(performances: list[Performance], n_keys: int, n_replicas: int, seed: int) -> Array:
    """Numbers of all samples in replicas that count an event alike in every sample.

    Returns
    -------
    ndarray of shape (n_replicas, n_samples, n_numbers)
        The numbers.
    """
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n_replicas):
        counts = rng.poisson(1.0, n_keys).astype(np.float64)
        out.append([one(counts) for one in performances])
    return np.array(out)


def relative_shift(
    value: Any, nominal: Any, sumw2: Any, nominal_sumw2: Any, shift_sumw2: Any
) -> tuple[Array, Array]:
    r"""Relative shift V / N - 1 and its statistical error; NaN where N is not positive.

    Notes
    -----
    :math:`\sigma^2 = \sum_k (v_k - r n_k)^2 / N^2` with r = V / N, written with the variances of V,
    N and V - N: a factor on all events has no error.
    """
    nominal = np.where(np.greater(nominal, 0), nominal, np.nan)
    ratio = value / nominal
    covariance = (sumw2 + nominal_sumw2 - shift_sumw2) / 2
    variance = sumw2 + ratio**2 * nominal_sumw2 - 2 * ratio * covariance
    # rounding of terms that cancel is no error
    size = sumw2 + ratio**2 * nominal_sumw2
    variance = np.where(variance > 1e-12 * size, variance, 0.0)
    return ratio - 1, np.sqrt(variance) / nominal


def score_bin(score: NDArray[np.floating], edges: Array) -> NDArray[np.intp]:
    """Bin of each score; what lies outside counts in the outermost bins."""
    return np.clip(np.searchsorted(edges, score, "right") - 1, 0, len(edges) - 2)
