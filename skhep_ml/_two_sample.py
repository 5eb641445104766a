"""Classifiers that tell two weighted samples apart, judged on events they did not see."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.metadata_routing import get_routing_for_object

from skhep_ml._compat import routing_enabled
from skhep_ml._hashing import (
    check_no_empty_fold,
    content_identifiers,
    event_fold,
    event_hash,
    mostly_repeated,
)
from skhep_ml._routing import fit_param_path, splits_without_groups
from skhep_ml.metrics import roc_auc_score
from skhep_ml.weights._request import request_weights

# probabilities are known to this much: log odds stay finite
SMALLEST_PROBABILITY = 1e-12


def default_classifier(
    seed: int,
    *,
    n_jobs: int | None = None,
    negative_weights: str = "refine",
    n_events: int | None = None,
) -> Any:
    """Boosted trees that stop when they learn no more, with leaves that `n_events` can fill."""
    from skhep_ml.ensemble import BDTClassifier

    return BDTClassifier(
        500,
        max_depth=4,
        min_child_weight=least_leaf(20, n_events),
        early_stopping_rounds=20,
        negative_weights=negative_weights,
        n_jobs=n_jobs,
        random_state=seed,
    )


def least_leaf(usual: float, n_events: int | None) -> float:
    """Least sum of second derivatives in a leaf, each event having up to a quarter.

    In small samples it is that of one event in 12: with the usual number nothing would be learned.
    """
    return usual if n_events is None else max(min(usual, n_events / 50), 1.0)


def fit_weighted(
    estimator: Any, X: Any, y: NDArray[Any], weight: NDArray[np.float64], *, groups: Any = None
) -> Any:
    """Fit a clone with weights, by whatever way they reach the model; equal ones are left out.

    Identifiers reach what takes some, such as early stopping, and nothing else.
    """
    model = clone(estimator)
    given: dict[str, Any] = {}
    if np.ptp(weight) > 1e-12 * np.abs(weight).max():
        if fit_param_path(model, "sample_weight") is None:
            msg = (
                f"{type(model).__name__} takes no sample_weight in fit, but the samples have "
                "weights or different numbers of events: use a classifier that does"
            )
            raise ValueError(msg)
        given["sample_weight"] = weight
    if groups is not None and fit_param_path(model, "groups") is not None:
        given["groups"] = groups
    if not routing_enabled() and splits_without_groups(model):
        given.pop("groups", None)  # there they reach the splitter alone, which would warn
    if not given:
        return model.fit(X, y)
    if not routing_enabled():
        return model.fit(X, y, **{str(fit_param_path(model, name)): v for name, v in given.items()})
    model = request_weights(model, groups="groups" in given)
    wanted = get_routing_for_object(model).consumes("fit", given)
    return model.fit(X, y, **{name: given[name] for name in wanted | (given.keys() - {"groups"})})


def log_odds(model: Any, X: Any) -> NDArray[np.float64]:
    """Logarithm of the odds of class 1."""
    p = np.asarray(model.predict_proba(X), dtype=np.float64)
    if not np.isfinite(p).all():
        msg = f"{type(model).__name__} predicts probabilities that are NaN or infinite"
        raise ValueError(msg)
    return np.log(np.maximum(p[:, 1], SMALLEST_PROBABILITY)) - np.log(
        np.maximum(p[:, 0], SMALLEST_PROBABILITY)
    )


def cross_fit_folds(
    table: NDArray[Any], n_splits: int, kind: str, *, groups: Any = None
) -> NDArray[np.intp]:
    """Folds by identifiers, or else by the content of rows: not by their order.

    Equal rows share a fold, unless most rows equal others: then their copies are spread, since a
    fold with values of its own would tell nothing.
    """
    fold = event_fold(row_identifiers(table) if groups is None else groups, n_splits, kind)
    check_no_empty_fold(fold, n_splits)
    return fold


def row_identifiers(table: NDArray[Any]) -> NDArray[np.uint64]:
    """Identifiers of rows by their content; copies have different ones where most rows repeat."""
    groups = content_identifiers(table)
    _, first, count = np.unique(event_hash(groups), return_inverse=True, return_counts=True)
    if not mostly_repeated(count):
        return groups
    order = np.argsort(first, kind="stable")
    start = np.cumsum(count) - count
    copy = np.empty(len(table), dtype=np.uint64)
    copy[order] = np.arange(len(table)) - np.repeat(start, count)
    return np.column_stack([groups, copy])


class TwoSampleFit(NamedTuple):
    """One classifier a fold that tells a second sample (label 1) from a first one (label 0).

    Attributes
    ----------
    models : list of classifiers
        ``models[k]`` was not trained on fold k.
    fold : ndarray of shape (n_events,)
        Fold of every event of both samples.
    label : ndarray of shape (n_events,)
        0 for the first sample, 1 for the second.
    weight : ndarray of shape (n_events,)
        Weights; both samples have the same sum.
    """

    models: list[Any]
    fold: NDArray[np.intp]
    label: NDArray[np.intp]
    weight: NDArray[np.float64]

    def score(self, table: NDArray[Any]) -> NDArray[np.float64]:
        """Log odds of the second sample for each event, from the model that did not see it."""
        score = np.empty(len(table))
        for k, model in enumerate(self.models):
            test = self.fold == k
            score[test] = log_odds(model, table[test])
        return score

    def fold_areas(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area under the ROC curve in each fold."""
        areas = []
        for k in range(len(self.models)):
            test = self.fold == k
            area = roc_auc_score(self.label[test], score[test], sample_weight=self.weight[test])
            areas.append(area)
        return np.array(areas)

    def auc(self, score: NDArray[np.float64], seed: int) -> tuple[float, float]:
        r"""Area under the ROC curve, mean over the folds, and its statistical error.

        Two models learn each the fluctuations of the other one's test fold: without a difference
        between the samples, the sum over folds counts every pair of events in different folds
        twice, and the error is :math:`\sqrt 2` times that of independent folds, whatever their
        number, for a linear model; a little less for trees. With a difference it is an upper bound.
        """
        areas = []
        for k in range(len(self.models)):
            test = self.fold == k
            areas.append(
                roc_auc_score(
                    self.label[test],
                    score[test],
                    sample_weight=self.weight[test],
                    return_std=True,
                    random_state=seed,
                )
            )
        values, errors = np.array(areas).T
        return float(values.mean()), float(np.sqrt(2) * np.linalg.norm(errors) / len(areas))


def fit_two_samples(
    first: NDArray[Any],
    second: NDArray[Any],
    w_first: NDArray[np.float64],
    w_second: NDArray[np.float64],
    *,
    estimator: Any,
    fold: NDArray[np.intp],
    n_splits: int,
) -> tuple[TwoSampleFit, NDArray[Any]]:
    """Train one classifier a fold on all others, and return the joined table too."""
    table = np.concatenate([first, second])
    label = np.repeat([0, 1], [len(first), len(second)])
    weight = np.concatenate([w * (len(table) / 2 / w.sum()) for w in (w_first, w_second)])
    models = []
    for k in range(n_splits):
        train = fold != k
        models.append(fit_weighted(estimator, table[train], label[train], weight[train]))
    return TwoSampleFit(models, fold, label, weight), table


def two_sample_folds(
    first: NDArray[Any], second: NDArray[Any], groups: Any, second_groups: Any, n_splits: int
) -> NDArray[np.intp]:
    """Fold of every event of both samples, by identifiers where there are any."""
    if groups is None and second_groups is None:
        return cross_fit_folds(np.concatenate([first, second]), n_splits, "closure")
    return np.concatenate(
        [
            cross_fit_folds(first, n_splits, "closure", groups=groups),
            cross_fit_folds(second, n_splits, "closure", groups=second_groups),
        ]
    )
