"""The result in words, made from the numbers."""

from typing import Any

from skhep_ml._format import number, p_value, with_error

#: Differences below this many standard errors are not told apart.
DISTINCT = 3.0
#: KS probabilities below this show that training and test differ.
KS_LIMIT = 0.01
#: Effective sizes below this have errors above 10%.
FEW_EVENTS = 100.0


def verdict(results: dict[str, Any]) -> str:
    """One line: who wins, by how much, what it is worth, and whether it is overtrained."""
    return f"{_comparison(results)}; {_expectation(results)}; {_overtraining(results)}."


def _comparison(results: dict[str, Any]) -> str:
    auc = {name: with_error(**found["auc"]) for name, found in results["models"].items()}
    difference = results["auc_difference"]
    pull = difference["value"] / difference["std"]
    first, second = auc
    if abs(pull) < DISTINCT:
        return (
            f"{first} and {second} cannot be told apart: AUC {auc[first]} against {auc[second]} "
            f"({abs(pull):.1f} standard errors)"
        )
    if pull < 0:
        first, second = second, first
    return (
        f"{first} beats {second}: AUC {auc[first]} against {auc[second]} "
        f"({abs(pull):.1f} standard errors on the same events)"
    )


def _expectation(results: dict[str, Any]) -> str:
    found = results["significance"]["BDT"]
    relative = results["settings"]["working_uncertainty"]
    return (
        f"expected significance {with_error(**found['0']['test'])} for a background known exactly, "
        f"{with_error(**found[f'{relative:g}']['test'])} for one known to {100 * relative:g}%"
    )


def _overtraining(results: dict[str, Any]) -> str:
    found = results["overtraining"]
    p = {name: ks["pvalue"] for name, ks in found["ks"].items()}
    text = f"KS p = {p_value(p['signal'])} signal, {p_value(p['background'])} background"
    if min(p.values()) >= KS_LIMIT:
        return f"no sign of overtraining ({text})"
    return (
        f"scores of training events are too good ({text}), so every number here is from events "
        "the model did not see"
    )


def warnings_for(results: dict[str, Any]) -> list[str]:
    """What a reader must know before using the numbers."""
    out = []
    for name, row in results["weights"].items():
        if row["effective"] < FEW_EVENTS:
            error = 100 / max(row["effective"], 1e-9) ** 0.5
            out.append(
                f"{name}: {row['events']:,} simulated events count as "
                f"{number(row['effective'], 2)} unweighted ones, so what is said of this process "
                f"alone is uncertain by {error:.0f}%."
            )
    point = results["working_point"]["yields"]
    few = [
        f"{name} ({number(row['effective'], 2)})"
        for name, row in point.items()
        if 0 < row["effective"] < 10
    ]
    if few:
        out.append(
            "At the working point fewer than 10 effective test events are left of "
            f"{', '.join(few)}."
        )
    gone = [name for name, row in point.items() if row["after"]["value"] <= 0]
    if gone:
        out.append(
            f"At the working point the signed yield of {', '.join(gone)} is not positive: "
            "too few events are left to know it."
        )
    if results["settings"]["max_events"] is not None:
        out.append(f"A reduced sample of {results['sample']['events']:,} events was used.")
    return out
