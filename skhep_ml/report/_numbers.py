"""Every number of a report, as plain values ready for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml.metrics import (
    asimov_significance,
    background_rejection_score,
    best_cut,
    bootstrap,
    confusion_matrix,
    effective_sample_size,
    roc_auc_score,
    selected_yields,
)
from skhep_ml.report._events import Sample

SIGNAL_EFFICIENCIES = (0.3, 0.5, 0.7)
BACKGROUND_UNCERTAINTIES = (0.0, 0.05, 0.1)
#: Least effective number of background events a cut must leave where it is chosen: 20% error. The
#: best of many cuts goes to this floor, and with fewer the quoted significance is a fluctuation.
MIN_EFFECTIVE_BACKGROUND = 25.0
N_REPLICAS = 100

Number = dict[str, float]
#: Signal mask, scores and weights.
Judged = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


def number(value: Any, std: Any) -> Number:
    """A value with its statistical error."""
    return {"value": float(value), "std": float(std)}


def performance(
    signal: NDArray[Any],
    score: NDArray[np.float64],
    weight: NDArray[np.float64],
    auc: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """AUC, if it is not known with its error, and background rejections with errors."""
    if auc is None:
        auc = roc_auc_score(signal, score, sample_weight=weight, return_std=True)
    rejection = background_rejection_score(
        signal, score, signal_efficiency=SIGNAL_EFFICIENCIES, sample_weight=weight, return_std=True
    )
    return {
        "auc": number(*auc),
        "rejection": {
            f"{efficiency:g}": number(value, std)
            for efficiency, value, std in zip(SIGNAL_EFFICIENCIES, *rejection, strict=True)
        },
    }


def auc_difference(
    signal: NDArray[Any],
    score: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    weight: NDArray[np.float64],
    groups: ArrayLike | None = None,
) -> dict[str, Number]:
    """AUC of some scores minus that of others on the same events.

    The error is the spread over bootstrap replicas in which all are evaluated, so what they share
    cancels.
    """

    def differences(*arrays: Any, sample_weight: Any) -> list[float]:
        aucs = [roc_auc_score(arrays[0], s, sample_weight=sample_weight) for s in arrays[1:]]
        return [aucs[0] - auc for auc in aucs[1:]]

    found = bootstrap(
        differences,
        signal,
        score,
        *others.values(),
        sample_weight=weight,
        groups=groups,
        n_replicas=N_REPLICAS,
        random_state=0,
    )
    return {name: number(*pair) for name, *pair in zip(others, found.value, found.std, strict=True)}


def fold_spread(
    signal: NDArray[Any],
    score: NDArray[np.float64],
    weight: NDArray[np.float64],
    fold: NDArray[np.intp],
) -> dict[str, Any]:
    """AUC in every fold of a rotating model, with their mean and spread."""
    aucs: list[dict[str, Any]] = []
    for k in np.unique(fold):
        here = fold == k
        value, std = roc_auc_score(
            signal[here], score[here], sample_weight=weight[here], return_std=True
        )
        row = {"fold": int(k), "events": int(here.sum()), "auc": number(value, std)}
        aucs.append(row)
    values = [row["auc"]["value"] for row in aucs]
    return {
        "folds": aucs,
        "mean": float(np.mean(values)),
        "spread": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
    }


def significance(chosen: Judged, quoted: Judged) -> dict[str, Any]:
    """Best cut on some events for each background uncertainty, quoted on others.

    The weights are expected events: their sums are the yields.
    """
    out = {}
    for relative in BACKGROUND_UNCERTAINTIES:
        signal, score, weight = chosen
        cut = best_cut(
            signal,
            score,
            metric="asimov",
            sample_weight=weight,
            background_uncertainty=relative,
            min_effective_background=MIN_EFFECTIVE_BACKGROUND,
        )
        signal, score, weight = quoted
        found = selected_yields(signal, score >= cut.threshold, sample_weight=weight)
        out[f"{relative:g}"] = {
            "cut": cut.threshold,
            "validation": cut.value,
            "test": significance_error(found, relative),
            "signal": number(found.s, found.s_std),
            "background": number(found.b, found.b_std),
            "n_signal": found.n_signal,
            "n_background": found.n_background,
            "effective_background": found.effective_background,
        }
    return out


def significance_error(found: Any, relative: float) -> Number:
    """Expected significance with the error that the finite simulation gives it."""

    def value(s: float, b: float) -> float:
        return float(asimov_significance(s, b, relative * max(b, 0.0)))

    centre = value(found.s, found.b)
    # a yield may not be varied below nothing
    steps = [
        value(found.s + found.s_std, found.b) - value(max(found.s - found.s_std, 0.0), found.b),
        value(found.s, found.b + found.b_std)
        - value(found.s, max(found.b - found.b_std, 1e-3 * found.b)),
    ]
    return number(centre, np.hypot(steps[0], steps[1]) / 2)


def working_point(
    sample: Sample, score: NDArray[np.float64], weight: NDArray[np.float64], cut: float
) -> dict[str, Any]:
    """Confusion matrix and yields by process of a cut; the weights are expected events."""
    passed = score >= cut
    shares, std = confusion_matrix(
        sample.signal.astype(int),
        passed.astype(int),
        sample_weight=weight,
        normalize="true",
        return_std=True,
    )
    rows = {}
    for name in sample.processes():
        here = sample.process == name
        kept = weight[here & passed]
        rows[name] = {
            "signal": bool(sample.signal[here][0]),
            "before": number(weight[here].sum(), np.sqrt(np.sum(weight[here] ** 2))),
            "after": number(kept.sum(), np.sqrt(np.sum(kept**2))),
            "raw": len(kept),
            "effective": effective_sample_size(kept),
        }
    return {
        "cut": cut,
        "confusion": {
            "labels": ["background", "signal"],
            "shares": shares.tolist(),
            "std": std.tolist(),
        },
        "yields": rows,
    }


def weight_table(sample: Sample, weight: NDArray[np.float64]) -> dict[str, Any]:
    """Yield, negative fraction and effective size of every process."""
    rows = {}
    for name in sample.processes():
        here = sample.process == name
        part = weight[here]
        rows[name] = {
            "signal": bool(sample.signal[here][0]),
            "events": len(part),
            "negative_fraction": float(np.mean(part < 0)),
            "sum": number(part.sum(), np.sqrt(np.sum(part**2))),
            "effective": effective_sample_size(part),
            "smallest": float(np.abs(part).min()),
            "largest": float(np.abs(part).max()),
        }
    return rows


def overtraining(train: Judged, test: Judged, ks: Mapping[str, Any]) -> dict[str, Any]:
    """AUC on events that were trained on and on others, and the KS results of a display."""
    auc = [
        float(roc_auc_score(signal, score, sample_weight=weight))
        for signal, score, weight in (train, test)
    ]
    return {
        "ks": {
            name: {"statistic": float(one.statistic), "pvalue": float(one.pvalue)}
            for name, one in ks.items()
        },
        "auc_train": auc[0],
        "auc_test": auc[1],
        "n_train": len(train[0]),
        "n_test": len(test[0]),
    }


def search_table(search: Any, by_fold: Sequence[Any] = ()) -> dict[str, Any]:
    """Settings tried in a search, with their scores, and what others of its kind chose."""
    table = search.cv_results_
    # several scores: the one that chose, if one did
    key = "score" if "mean_test_score" in table else None
    if key is None and isinstance(search.refit, str):
        key = search.refit
    if key is None:
        key = next(name for name in table if name.startswith("mean_test_"))[len("mean_test_") :]
    tried = [
        {
            "params": dict(params),
            "mean": float(mean),
            "std": float(std),
        }
        for params, mean, std in zip(
            table["params"], table[f"mean_test_{key}"], table[f"std_test_{key}"], strict=True
        )
    ]
    return {
        "kind": type(search).__name__,
        "score": key,
        "folds": int(search.n_splits_),
        "tried": tried,
        "best": int(search.best_index_),
        "by_fold": [found["tried"][found["best"]] for found in map(search_table, by_fold)],
    }
