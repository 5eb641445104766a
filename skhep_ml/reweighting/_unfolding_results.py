"""What an unfolding returns: histograms with their covariance, and how the iterations went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml._format import number, percent
from skhep_ml._text_table import html_table, text_table
from skhep_ml.reweighting._unfolding_inputs import Inputs, binned, feature_bins
from skhep_ml.weights._base import effective_sample_size


class UnfoldedHistogram(NamedTuple):
    """A histogram of unfolded events.

    Attributes
    ----------
    counts : ndarray of shape (n_bins,)
        Sums of the unfolded weights.
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins.
    covariance : ndarray of shape (n_bins, n_bins) or None
        Statistical covariance of the counts from the bootstrap replicas of data and simulation;
        None without replicas.
    """

    counts: NDArray[np.float64]
    edges: NDArray[np.float64]
    covariance: NDArray[np.float64] | None

    @property
    def errors(self) -> NDArray[np.float64]:
        """Square roots of the diagonal of the covariance.

        Raises
        ------
        ValueError
            The unfolding was made without replicas.
        """
        if self.covariance is None:
            msg = "there are no errors: OmniFold was fitted without replicas, set n_bootstrap"
            raise ValueError(msg)
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> NDArray[np.float64]:
        """Correlation of the bins, NaN for those without an error.

        Raises
        ------
        ValueError
            The unfolding was made without replicas.
        """
        errors = self.errors
        assert self.covariance is not None
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.covariance / np.outer(errors, errors)


@dataclass(frozen=True, repr=False, eq=False)
class UnfoldingSummary:
    """How the iterations of an unfolding went.

    Attributes
    ----------
    auc : ndarray of shape (n_iterations,)
        Area under the ROC curve of the reconstruction-level classifier between data and the
        simulation that enters each iteration, on held-out events where there are folds: 0.5 where
        the simulation of the iteration before describes the data.
    chi2 : ndarray of shape (n_iterations + 1,)
        Sum over bins of the reconstructed features of the squared difference of data and simulation
        over its variance, over the number of bins, before the first and after each iteration; NaN
        for features that are no table. The fit has seen these data, so it falls below 1.
    change : ndarray of shape (n_iterations,)
        Root mean square of the relative change of the truth weights.
    effective_size : ndarray of shape (n_iterations + 1,)
        (sum w)^2 / sum w^2 of the truth weights.
    total : ndarray of shape (n_iterations + 1,)
        Sum of the truth weights: simulation's before the first iteration, then the unfolded number
        of events.
    data_sum : float
        Sum of the weights of data, after the fakes' share is taken away.
    fake_share : float
        Share of fakes among simulated reconstructed events.
    efficiency : float
        Share of simulated truth events that are reconstructed.

    See Also
    --------
    OmniFold.summary : Makes it.
    """

    auc: NDArray[np.float64]
    chi2: NDArray[np.float64]
    change: NDArray[np.float64]
    effective_size: NDArray[np.float64]
    total: NDArray[np.float64]
    data_sum: float
    fake_share: float
    efficiency: float

    def to_pandas(self) -> Any:
        """Return the numbers as a table.

        Returns
        -------
        DataFrame
            One row an iteration, 0 being simulation as it was, with columns ``auc``, ``chi2``,
            ``change``, ``effective_size`` and ``total``; NaN where one does not apply.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        table = pandas.DataFrame(
            {
                "auc": [np.nan, *self.auc],
                "chi2": self.chi2,
                "change": [np.nan, *self.change],
                "effective_size": self.effective_size,
                "total": self.total,
            }
        )
        table.index.name = "iteration"
        return table

    @property
    def _head(self) -> tuple[str, ...]:
        return ("iteration", "AUC", "chi2 / bins", "change", "effective size", "events")

    def _lines(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for k in range(len(self.total)):
            rows.append(
                (
                    str(k),
                    number(float(self.auc[k - 1]), 4) if k else "",
                    number(float(self.chi2[k])),
                    percent(float(self.change[k - 1])) if k else "",
                    number(float(self.effective_size[k])),
                    number(float(self.total[k]), 4),
                )
            )
        return rows

    def __repr__(self) -> str:
        """Text for the terminal."""
        return (
            f"{text_table(self._head, self._lines())}\n"
            f"data without fakes {number(self.data_sum, 4)}, fakes {percent(self.fake_share)}, "
            f"efficiency {percent(self.efficiency)}"
        )

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return html_table(self._head, self._lines())


class Monitor:
    """Agreement with data and size of the weights, iteration by iteration."""

    def __init__(self, inputs: Inputs, share: NDArray[np.float64]) -> None:
        self._inputs = inputs
        self._both = inputs.both
        self._share = share
        self._weight = inputs.w_data * share
        self._edges = feature_bins(inputs.data) if inputs.data.ndim == 2 else []
        self._before: NDArray[np.float64] | None = None
        self._auc: list[float] = []
        self._chi2: list[float] = []
        self._change: list[float] = []
        self._size: list[float] = []
        self._total: list[float] = []

    def record(self, ratio: NDArray[np.float64], auc: float | None = None) -> None:
        """Note where an iteration ended; ``auc`` is of the step that it began with."""
        weight = self._inputs.w_sim * ratio
        self._chi2.append(self._agreement(weight))
        self._size.append(effective_sample_size(weight))
        self._total.append(float(weight.sum()))
        if auc is not None and self._before is not None:
            used = self._before > 0
            change = ratio[used] / self._before[used] - 1
            share = np.abs(self._inputs.w_sim * self._before)[used]
            self._auc.append(auc)
            self._change.append(float(np.sqrt(np.average(change**2, weights=share))))
        self._before = ratio

    def summary(self) -> UnfoldingSummary:
        """Put the notes together."""
        inputs = self._inputs
        seen = inputs.w_sim[inputs.pass_reco].sum()
        true = inputs.w_sim[inputs.pass_truth].sum()
        return UnfoldingSummary(
            auc=np.array(self._auc),
            chi2=np.array(self._chi2),
            change=np.array(self._change),
            effective_size=np.array(self._size),
            total=np.array(self._total),
            data_sum=float(self._weight.sum()),
            fake_share=float(inputs.w_sim[inputs.fakes].sum() / seen),
            efficiency=float(inputs.w_sim[self._both].sum() / true),
        )

    def _agreement(self, weight: NDArray[np.float64]) -> float:
        """Squared difference of data and simulation over its variance, mean over all bins."""
        reco, w = self._inputs.reco[self._both], weight[self._both]
        total, n_bins = 0.0, 0
        for k, edges in enumerate(self._edges):
            data = binned(self._inputs.data[:, k], edges, self._weight, self._weight**2)
            simulated = binned(reco[:, k], edges, w, w**2)
            variance = data[1] + simulated[1]
            filled = variance > 0
            total += float(np.sum((data[0] - simulated[0])[filled] ** 2 / variance[filled]))
            n_bins += int(filled.sum())
        return total / n_bins if n_bins else np.nan
