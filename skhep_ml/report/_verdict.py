"""The result in words, made from the numbers."""

from typing import Any

from skhep_ml._format import number, p_value, with_error

#: Differences below this many standard errors are not told apart.
DISTINCT = 3.0
#: KS probabilities below this show that training and test differ.
KS_LIMIT = 0.01
#: Effective numbers of background below this, where a cut is quoted, have errors above 32%.
FEW_BACKGROUND = 10.0
#: Effective sizes below this have errors above 10%.
FEW_EVENTS = 100.0


def verdict(results: dict[str, Any]) -> str:
    """One line: who wins, by how much, what it is worth, and whether it is overtrained."""
    parts = [_comparison(results), _expectation(results), _overtraining(results)]
    return "; ".join(part for part in parts if part) + "."


def _comparison(results: dict[str, Any]) -> str:
    models = results["models"]
    auc = {name: with_error(**found["auc"]) for name, found in models.items()}
    best, *others = sorted(models, key=lambda name: -models[name]["auc"]["value"])
    if not others:
        return f"{best}: AUC {auc[best]}"
    second = others[0]
    difference = results["auc_difference"]
    pull = difference["value"] / difference["std"] if difference["std"] else 0.0
    if abs(pull) < DISTINCT:
        return (
            f"{best} and {second} cannot be told apart: AUC {auc[best]} against {auc[second]} "
            f"({abs(pull):.1f} standard errors)"
        )
    return (
        f"{best} beats {second}: AUC {auc[best]} against {auc[second]} "
        f"({abs(pull):.1f} standard errors on the same events)"
    )


def _expectation(results: dict[str, Any]) -> str:
    name = next(iter(results["models"]))
    found = results["significance"].get(name)
    if found is None:
        return "too few events for an expected significance"
    relative = results["settings"]["working_uncertainty"]
    whose = f" of {name}" if len(results["models"]) > 1 else ""
    return (
        f"expected significance{whose} {with_error(**found['0']['test'])} for a background known "
        f"exactly, {with_error(**found[f'{relative:g}']['test'])} for one known to "
        f"{100 * relative:g}%"
    )


def _overtraining(results: dict[str, Any]) -> str:
    found = results["overtraining"]
    if found is None:
        return "overtraining not checked"
    p = {name: ks["pvalue"] for name, ks in found["ks"].items()}
    first = p_value(p["signal"])
    equals = "" if first.startswith("<") else "= "
    text = f"KS p {equals}{first} signal, {p_value(p['background'])} background"
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
    point = results["working_point"]
    if point is not None:
        relative = f"{results['settings']['working_uncertainty']:g}"
        found = results["significance"][next(iter(results["models"]))][relative]
        if found["effective_background"] < FEW_BACKGROUND:
            out.append(
                f"The cut leaves {number(found['effective_background'], 2)} effective background "
                "events where it is quoted: the significance there is a fluctuation more than an "
                "expectation."
            )
    rows = {} if point is None else point["yields"]
    few = [
        f"{name} ({number(row['effective'], 2)})"
        for name, row in rows.items()
        if 0 < row["effective"] < 10
    ]
    if few:
        out.append(
            f"At the working point fewer than 10 effective events are left of {', '.join(few)}."
        )
    gone = [name for name, row in rows.items() if row["after"]["value"] <= 0]
    if gone:
        out.append(
            f"At the working point the signed yield of {', '.join(gone)} is not positive: "
            "too few events are left to know it."
        )
    return out
