"""Every number of the demo, as plain values ready for JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skhep_ml._demo._sample import SEED, Sample, score
from skhep_ml.metrics import (
    asimov_significance,
    background_rejection_score,
    best_cut,
    confusion_matrix,
    effective_sample_size,
    roc_auc_score,
    roc_auc_scorer,
    selected_yields,
)

SIGNAL_EFFICIENCIES = (0.3, 0.5, 0.7)
BACKGROUND_UNCERTAINTIES = (0.0, 0.05, 0.1)
#: Relative background uncertainty at which the working point is chosen.
WORKING_UNCERTAINTY = 0.05
#: Least effective number of background events a cut must leave on validation: 32% error.
MIN_EFFECTIVE_BACKGROUND = 10.0
N_REPLICAS = 200
N_REPEATS = 5

Number = dict[str, float]


def number(value: Any, std: Any) -> Number:
    """A value with its statistical error."""
    return {"value": float(value), "std": float(std)}


def performance(
    y: NDArray[Any], scores: NDArray[np.float64], weight: NDArray[np.float64]
) -> dict[str, Any]:
    """AUC and background rejections with errors."""
    rejection = background_rejection_score(
        y, scores, signal_efficiency=SIGNAL_EFFICIENCIES, sample_weight=weight, return_std=True
    )
    return {
        "auc": number(*roc_auc_score(y, scores, sample_weight=weight, return_std=True)),
        "rejection": {
            f"{efficiency:g}": number(value, std)
            for efficiency, value, std in zip(SIGNAL_EFFICIENCIES, *rejection, strict=True)
        },
    }


def auc_difference(
    y: NDArray[Any],
    scores: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
    weight: NDArray[np.float64],
) -> dict[str, Number]:
    """AUC of some scores minus that of others on the same events.

    The error is the spread over Poisson bootstrap replicas in which both are evaluated, so what
    they share cancels.
    """

    def differences(factors: Any) -> list[float]:
        used = weight * factors
        reference = roc_auc_score(y, scores, sample_weight=used)
        return [reference - roc_auc_score(y, s, sample_weight=used) for s in others.values()]

    rng = np.random.default_rng(SEED)
    replicas = [differences(rng.poisson(1.0, len(y))) for _ in range(N_REPLICAS)]
    std = np.std(replicas, axis=0, ddof=1)
    return {name: number(*pair) for name, *pair in zip(others, differences(1.0), std, strict=True)}


def significance(
    validation: tuple[Sample, NDArray[np.float64]],
    test: tuple[Sample, NDArray[np.float64]],
    class_yields: Mapping[int, float],
) -> dict[str, Any]:
    """Best cut on validation for each background uncertainty, quoted on test."""
    (val, val_score), (held, held_score) = validation, test
    out = {}
    for relative in BACKGROUND_UNCERTAINTIES:
        cut = best_cut(
            val.y,
            val_score,
            metric="asimov",
            sample_weight=val.weight,
            class_yields=class_yields,
            background_uncertainty=relative,
            min_effective_background=MIN_EFFECTIVE_BACKGROUND,
        )
        found = selected_yields(
            held.y,
            held_score >= cut.threshold,
            sample_weight=held.weight,
            class_yields=class_yields,
        )
        out[f"{relative:g}"] = {
            "cut": cut.threshold,
            "validation": cut.value,
            "test": _significance_error(found, relative),
            "signal": number(found.s, found.s_std),
            "background": number(found.b, found.b_std),
            "n_signal": found.n_signal,
            "n_background": found.n_background,
            "effective_background": found.effective_background,
        }
    return out


def _significance_error(found: Any, relative: float) -> Number:
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
    test: Sample, scores: NDArray[np.float64], cut: float, class_yields: Mapping[int, float]
) -> dict[str, Any]:
    """Confusion matrix and yields by process of a cut, scaled to the full luminosity."""
    passed = scores >= cut
    scaled = test.weight.copy()
    for label, expected in class_yields.items():
        scaled[test.y == label] *= expected / scaled[test.y == label].sum()
    shares, std = confusion_matrix(
        test.y, passed.astype(int), sample_weight=scaled, normalize="true", return_std=True
    )
    rows = {}
    for name in test.processes():
        here = test.process == name
        kept = scaled[here & passed]
        rows[name] = {
            "signal": bool(test.y[here][0] == 1),
            "before": number(scaled[here].sum(), np.sqrt(np.sum(scaled[here] ** 2))),
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


def ranking(model: Pipeline, test: Sample, names: list[str]) -> list[dict[str, Any]]:
    """Features by the AUC that is lost when their values are dealt to other events."""
    # imputer and scaler treat each column by itself, so shuffling after them is the same
    table = model[:-1].transform(test.X)
    lost = model[-1].permutation_importances(
        table,
        test.y,
        sample_weight=test.weight,
        scoring=roc_auc_scorer(),
        n_repeats=N_REPEATS,
        random_state=SEED,
    )
    gain = model[-1].importances("total_gain")
    # shuffles spread, and the mean over them is known better by the root of their number
    std = lost.importances_std / np.sqrt(N_REPEATS - 1)
    order = np.argsort(-lost.importances_mean, kind="stable")
    return [
        {"feature": names[k], **number(lost.importances_mean[k], std[k]), "gain": float(gain[k])}
        for k in order
    ]


def weight_table(sample: Sample) -> dict[str, Any]:
    """Negative fraction and effective size of every process."""
    rows = {}
    for name in sample.processes():
        here = sample.process == name
        weight = sample.weight[here]
        rows[name] = {
            "signal": bool(sample.y[here][0] == 1),
            "events": len(weight),
            "negative_fraction": float(np.mean(weight < 0)),
            "sum": number(weight.sum(), np.sqrt(np.sum(weight**2))),
            "sum_truth": float(sample.truth[here].sum()),
            "effective": effective_sample_size(weight),
            "effective_truth": effective_sample_size(sample.truth[here]),
            "smallest": float(np.abs(weight).min()),
            "largest": float(np.abs(weight).max()),
        }
    return rows


def search_table(found: Any) -> dict[str, Any]:
    """Settings tried, with their scores."""
    table = found.cv_results_
    tried = [
        {
            "params": {key.split("__")[1]: value for key, value in params.items()},
            "mean": float(mean),
            "std": float(std),
        }
        for params, mean, std in zip(
            table["params"], table["mean_test_score"], table["std_test_score"], strict=True
        )
    ]
    return {"tried": tried, "best": tried[int(found.best_index_)]}


def scaling_table(model: Pipeline, names: list[str]) -> list[dict[str, str]]:
    """What AutoScaler chose for every feature, and why."""
    scaler = model.named_steps["autoscaler"]
    return [
        {"feature": name, "method": method, "reason": reason}
        for name, method, reason in zip(
            names, scaler.methods_.values(), scaler.reasons_.values(), strict=True
        )
    ]


def overtraining(
    model: Pipeline, train: Sample, test: Sample, ks: Mapping[str, Any]
) -> dict[str, Any]:
    """AUC on both parts and the KS results of a display."""
    return {
        "ks": {name: {"statistic": r.statistic, "pvalue": r.pvalue} for name, r in ks.items()},
        "auc_train": float(roc_auc_score(train.y, score(model, train), sample_weight=train.weight)),
        "auc_test": float(roc_auc_score(test.y, score(model, test), sample_weight=test.weight)),
    }
