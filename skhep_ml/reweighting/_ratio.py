"""Density ratios of weighted samples by cross-fitted classifiers: the step of an unfolding."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from skhep_ml._two_sample import fit_weighted, log_odds
from skhep_ml.metrics import roc_auc_score

# every event is seen by, and asks, the one model there is
NO_FOLD = -1


class Sample(NamedTuple):
    """Events of one side of a ratio.

    Attributes
    ----------
    X : ndarray of shape (n_events, ...)
        Features.
    weight : ndarray of shape (n_events,)
        Weights.
    fold : ndarray of shape (n_events,)
        Fold of each event.
    event : ndarray of shape (n_events,)
        Hashed identifier of each event.
    """

    X: NDArray[Any]
    weight: NDArray[np.float64]
    fold: NDArray[np.intp]
    event: NDArray[np.uint64]


class Ratio(NamedTuple):
    """Ratio of the second sample's weights over the first's, as a function of the features.

    Attributes
    ----------
    models : list of classifiers
        ``models[k]`` was not trained on fold k.
    factor : float
        Factor on the odds.
    limit : float
        Largest absolute log odds.
    names : ndarray of str or None
        Names of the columns, for models that select by name.
    """

    models: list[Any]
    factor: float
    limit: float
    names: NDArray[Any] | None

    def __call__(
        self, X: NDArray[Any], fold: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Ratio from the model of each event's fold, or the mean of all models."""
        if fold is None or len(self.models) == 1:
            every = [self._odds(model, X) for model in self.models]
            return self.factor * np.mean(every, axis=0)
        out = np.empty(len(X))
        for k, model in enumerate(self.models):
            rows = np.flatnonzero(fold == k)
            if len(rows):
                out[rows] = self._odds(model, X[rows])
        return self.factor * out

    def _odds(self, model: Any, X: NDArray[Any]) -> NDArray[np.float64]:
        if not len(X):
            return np.empty(0)
        return np.exp(np.clip(log_odds(model, named_table(X, self.names)), -self.limit, self.limit))

    def auc(self, first: Sample, second: Sample) -> float:
        """How well the models tell the samples apart, in the folds that they did not see."""
        ratios = [self(sample.X, sample.fold) for sample in (first, second)]
        areas = []
        for k in range(len(self.models)):
            rows = [
                slice(None) if len(self.models) == 1 else sample.fold == k
                for sample in (first, second)
            ]
            score = [ratio[row] for ratio, row in zip(ratios, rows, strict=True)]
            weight = [one.weight[row] for one, row in zip((first, second), rows, strict=True)]
            label = np.repeat([0, 1], [len(one) for one in score])
            areas.append(
                roc_auc_score(label, np.concatenate(score), sample_weight=np.concatenate(weight))
            )
        return float(np.mean(areas))


def fit_ratio(
    estimator: Any,
    first: Sample,
    second: Sample,
    n_models: int,
    *,
    clip: float,
    names: NDArray[Any] | None = None,
) -> Ratio:
    """Train one classifier a fold on both samples in all others, each with half of the weight.

    The factor is such that the first sample, weighted with the ratio, has the sum of the second.
    """
    models = []
    for k in range(n_models):
        X, weight, event = [], [], []
        for name, sample in (("first", first), ("second", second)):
            train = (sample.weight != 0) & ((sample.fold != k) | (n_models == 1))
            total = sample.weight[train].sum()
            if not total > 0:
                msg = (
                    f"the weights of the {name} sample sum to {total:.6g} outside fold {k} of "
                    f"n_splits={n_models}: a ratio needs a positive sum on both sides; use fewer "
                    "folds or more events"
                )
                raise ValueError(msg)
            X.append(sample.X[train])
            weight.append(sample.weight[train] / total)
            event.append(sample.event[train])
        label = np.repeat([0, 1], [len(one) for one in weight])
        size = np.concatenate(weight) * (len(label) / 2)
        table = named_table(np.concatenate(X), names)
        # both copies of an event on one side of an early stopping, or it would stop at once
        models.append(fit_weighted(estimator, table, label, size, groups=np.concatenate(event)))
    ratio = Ratio(models, 1.0, float(-logit(clip)) if clip else np.inf, names)
    reweighted = float(first.weight @ ratio(first.X, first.fold))
    if not reweighted > 0:
        msg = (
            f"the reweighted sample sums to {reweighted:.6g}: its negative weights prevail where "
            "the other sample lies; take another policy for negative_weights, or merge more events"
        )
        raise ValueError(msg)
    return ratio._replace(factor=float(second.weight.sum()) / reweighted)


def named_table(table: NDArray[Any], names: NDArray[Any] | None) -> Any:
    """Return a DataFrame where the columns have names."""
    if names is None or importlib.util.find_spec("pandas") is None:
        return table
    import pandas

    return pandas.DataFrame(table, columns=names, copy=False)


def product_of_ratios(
    ratios: list[Ratio], truth: NDArray[Any], fold: NDArray[np.intp] | None
) -> NDArray[np.float64]:
    """Weight of all iterations together, the mean over the chains of models without folds."""
    n_models = len(ratios[0].models)
    if fold is not None or n_models == 1:
        return np.prod([ratio(truth, fold) for ratio in ratios], axis=0)
    chains = [
        np.prod([ratio(truth, np.full(len(truth), k)) for ratio in ratios], axis=0)
        for k in range(n_models)
    ]
    return np.mean(chains, axis=0)
