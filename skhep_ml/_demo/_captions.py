"""Captions and alternative texts of the demo's pictures."""

from typing import Any

from skhep_ml._demo._closure import POLICIES, TRUTH
from skhep_ml._format import p_value, percent, with_error


def captions(results: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Caption and alternative text of every picture."""
    sample, settings = results["sample"], results["settings"]
    folds = settings["rotating_folds"]
    rotated = (
        f"All {sample['events']:,} events with signed weights, each scored by the one of {folds} "
        "models that did not see it."
    )
    held = f"{sample['test']:,} test events with signed weights, yields scaled to "
    held += f"{sample['luminosity']:g} fb⁻¹"
    relative = f"{100 * settings['working_uncertainty']:g}%"
    cut = f"{results['working_point']['cut']:.3f}"
    models = results["models"]
    auc = " and ".join(f"{name} {with_error(**m['auc'])}" for name, m in models.items())
    half = " and ".join(
        f"{name} {with_error(**m['rejection']['0.5'])}" for name, m in models.items()
    )
    significance = ", ".join(
        f"{with_error(**found['test'])} at {100 * float(key):g}%"
        for key, found in results["significance"]["BDT"].items()
    )
    confusion = results["working_point"]["confusion"]["shares"]
    top = results["ranking"][:3]
    leaders = ", ".join(row["feature"] for row in top)
    policies = results["closure"]["policies"]
    lost = ", ".join(f"{name} {with_error(**policies[name]['auc_lost'])}" for name in POLICIES)
    most = policies[TRUTH]["shares"][-1]["value"]
    three = ", ".join(
        f"{name} {policies[name]['shares'][-1]['value'] / most:.2f}" for name in POLICIES
    )
    ks = results["overtraining"]["ks"]
    agreement = results["closure"]["score"]
    return {
        "roc": (
            f"ROC curves. {rotated} Bands: statistical error of the background efficiency.",
            f"ROC curves with error bands; area under the curve: {auc}.",
        ),
        "rejection": (
            f"Background rejection against signal efficiency. {rotated} Bands: statistical error.",
            f"Rejection falling with signal efficiency; at 50%: {half}.",
        ),
        "score": (
            f"Expected events in {sample['luminosity']:g} fb⁻¹. {rotated} Background stacked, "
            "signal as lines; bars and hatches: sqrt(sum w²).",
            "Stacked histogram of the BDT score on a logarithmic axis: backgrounds fall towards "
            "score 1, signal rises.",
        ),
        "significance": (
            f"Expected significance against the cut on the BDT score. {held}. Line: the cut at "
            f"{cut}, best on the {sample['validation']:,} validation events for a background "
            f"known to {relative}.",
            f"Significance against the cut for three background uncertainties; at the best cuts: "
            f"{significance}.",
        ),
        "confusion": (
            f"Confusion matrix at the cut {cut}; each row sums to 1. {sample['test']:,} test "
            "events with signed weights.",
            f"Confusion matrix: {percent(confusion[1][1])} of the signal and "
            f"{percent(confusion[0][1])} of the background pass.",
        ),
        "overtraining": (
            f"Shape of the BDT score in {sample['training']:,} training and {sample['test']:,} "
            "test events, signed weights; the model of the search, fitted on the training part. "
            "Weighted Kolmogorov-Smirnov test, p by permutation where weights are negative.",
            "Training and test score of signal and background; KS p "
            f"{p_value(ks['signal']['pvalue'])} and {p_value(ks['background']['pvalue'])}.",
        ),
        "ranking": (
            f"The {min(15, len(results['ranking']))} leading features by permutation importance "
            f"on {sample['test']:,} test events with signed weights; bars: spread of the mean over "
            "five shuffles.",
            f"Bars of permutation importance; the first three features are {leaders}.",
        ),
        "weights": (
            f"Size of the event weights by process, all {sample['events']:,} events; positive "
            "weights upwards, negative ones dashed and downwards.",
            "Histograms of the logarithm of abs(w) by process, positive upwards, negative "
            "downwards.",
        ),
        "policy_losses": (
            f"The same BDT trained on {sample['training']:,} events under each policy, minus "
            f"training on their unsigned weights; evaluated on {sample['test']:,} test events "
            "with unsigned weights. Errors: paired on the same test events. Zero is as good as "
            "without negative weights.",
            f"AUC lost against training on unsigned weights: {lost}.",
        ),
        "policy_shares": (
            "Part of the background's training weight by number of jets under each policy, over "
            f"that of the unsigned weights. {sample['training']:,} training events; the fraction "
            "of negative weights rises with the number of jets, 6%, 22% and 45%. Band: statistical "
            "error of the signed weights themselves.",
            f"Ratios to the truth; at 3 or more jets: {three}.",
        ),
        "signed_score": (
            f"Background score with signed weights and with the unsigned truth. {rotated} Errors: "
            "of the sum of (w signed - w unsigned), since the same events carry both.",
            f"Signed and unsigned background histogram; chi-squared {agreement['chi2']:.1f} for "
            f"{agreement['ndf']} bins.",
        ),
    }
