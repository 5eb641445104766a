"""Closure of the policies for negative weights against the unsigned truth."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skhep_ml._demo._sample import SEED, Sample, fit, score
from skhep_ml.exceptions import BiasedWeightsWarning
from skhep_ml.metrics._base import efficiency_error
from skhep_ml.report._numbers import auc_difference, number, performance
from skhep_ml.weights import apply_negative_weights, balance_classes

POLICIES = ("refine", "keep", "drop", "abs")
TRUTH = "unsigned truth"
#: Bins with fewer events are left out of chi-squared, whose terms are then not Gaussian.
MIN_EVENTS = 20
SCORE_EDGES = np.linspace(0.0, 1.0, 21)


def closure(
    model: Pipeline, train: Sample, test: Sample, column: int
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Train with every policy and with the unsigned weights; evaluate all on unsigned weights.

    ``column`` is the number of jets, on which the probability of a negative weight depends.
    Returns the numbers and the scores of the test events by policy.
    """
    scores = {}
    shares = {TRUTH: _shares(train, train.truth, column)}
    with warnings.catch_warnings():
        # the bias that these two are announced with is what is measured here
        warnings.simplefilter("ignore", BiasedWeightsWarning)
        for policy in POLICIES:
            own = clone(model).set_params(bdtclassifier__negative_weights=policy)
            scores[policy] = score(fit(own, train), test)
            weight = apply_negative_weights(
                train.X,
                train.y,
                train.weight,
                policy,
                groups=train.groups,
                random_state=SEED,
                n_jobs=model[-1].n_jobs,
            )
            shares[policy] = _shares(train, weight, column)
    scores[TRUTH] = score(fit(model, train, train.truth), test)

    others = {name: s for name, s in scores.items() if name != TRUTH}
    lost = auc_difference(test.y, scores[TRUTH], others, test.truth)
    loss = {name: _log_loss_terms(test.y, s) for name, s in scores.items()}
    weight = balance_classes(test.y, test.truth, total=1.0)
    rows = {}
    for name, values in scores.items():
        rows[name] = {
            **performance(test.y, values, test.truth),
            "auc_lost": lost.get(name, number(0.0, 0.0)),
            "loss_gained": _mean_difference(loss[name] - loss[TRUTH], weight),
            "histogram": signed_agreement(values, test, SCORE_EDGES),
            "shares": shares[name],
        }
    return rows, scores


def _shares(sample: Sample, weight: NDArray[np.float64], column: int) -> list[dict[str, float]]:
    """Parts of the background's weight with 0, 1, 2, 3 or more jets."""
    background = sample.y == 0
    n_jets = np.clip(sample.X[background, column], 0, 3).astype(int)
    weight = weight[background]
    sums, squares = (np.bincount(n_jets, weight**power, 4) for power in (1, 2))
    share = sums / sums.sum()
    std = efficiency_error(squares, squares.sum(), sums.sum(), share)
    return [number(*pair) for pair in zip(share, std, strict=True)]


def _log_loss_terms(y: NDArray[Any], p: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-12, None))


def _mean_difference(terms: NDArray[np.float64], weight: NDArray[np.float64]) -> dict[str, float]:
    """Weighted mean and its error, for weights that sum to 1."""
    mean = float(np.dot(weight, terms))
    return number(mean, np.sqrt(np.sum((weight * (terms - mean)) ** 2)))


def signed_difference(
    values: NDArray[np.floating], sample: Sample, edges: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Background histogram with signed minus with unsigned weights.

    The same events carry both weights, so the error is that of a sum of differences,
    sqrt(sum (w_signed - w_truth)^2), not of two independent histograms. Missing values count in
    a last bin of their own.
    """
    background = sample.y == 0
    values = values[background]
    signed, truth = sample.weight[background], sample.truth[background]
    n_bins = len(edges) - 1
    index = np.clip(np.searchsorted(edges, values, "right") - 1, 0, n_bins - 1)
    index = np.where(np.isnan(values), n_bins, index)

    def fill(weight: NDArray[np.float64] | None = None) -> NDArray[Any]:
        return np.bincount(index, weight, n_bins + 1)

    return {
        "events": fill(),
        "signed": fill(signed),
        "truth": fill(truth),
        "error": np.sqrt(fill((signed - truth) ** 2)),
    }


def signed_agreement(
    values: NDArray[np.floating], sample: Sample, edges: NDArray[np.float64]
) -> dict[str, float]:
    """Chi-squared of signed against unsigned background, over bins with enough events."""
    found = signed_difference(values, sample, edges)
    used = (found["events"] >= MIN_EVENTS) & (found["error"] > 0)
    pull = (found["signed"] - found["truth"])[used] / found["error"][used]
    total, ndf = float(np.sum(pull**2)), int(used.sum())
    return {"chi2": total, "ndf": ndf, "pvalue": float(chi2.sf(total, ndf)) if ndf else 1.0}


def feature_agreement(sample: Sample, names: list[str]) -> list[dict[str, Any]]:
    """Signed against unsigned background in ten bins of every feature."""
    rows = []
    for k, name in enumerate(names):
        values = sample.X[:, k]
        known = values[(sample.y == 0) & ~np.isnan(values)]
        edges = np.unique(np.quantile(known.astype(np.float64), np.linspace(0, 1, 11)))
        rows.append({"feature": name, **signed_agreement(values, sample, edges)})
    return rows


def smallest_pvalue(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Smallest p of several, and the chance of one as small among as many independent ones."""
    low = min(rows, key=lambda row: row["pvalue"])
    return {
        "feature": low["feature"],
        "pvalue": low["pvalue"],
        "global_pvalue": 1 - (1 - low["pvalue"]) ** len(rows),
    }
