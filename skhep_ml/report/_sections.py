"""The sections on what the models do: performance, cut, training against test, features."""

from typing import Any

import numpy as np

from skhep_ml._format import number, p_value, percent, with_error
from skhep_ml.plotting import (
    CalibrationDisplay,
    ComparisonDisplay,
    ConfusionDisplay,
    PrecisionRecallDisplay,
    RejectionDisplay,
    ScoreDisplay,
    SignificanceDisplay,
)
from skhep_ml.report._blocks import Block, Figure, Section, Table
from skhep_ml.report._numbers import BACKGROUND_UNCERTAINTIES, MIN_EFFECTIVE_BACKGROUND
from skhep_ml.report._study import Study
from skhep_ml.weights import balance_classes


def front_rows(results: dict[str, Any]) -> list[list[str]]:
    """Performance of all models, a row each quantity."""
    models, significance = results["models"], results["significance"]
    first = next(iter(models.values()))
    known: dict[str, Any] = next((s for s in significance.values() if s is not None), {})
    undefined = "too few events"
    rows = [
        ["AUC", *(with_error(**m["auc"]) for m in models.values())],
        *(
            [
                f"Rejection at {100 * float(efficiency):g}% signal efficiency",
                *(with_error(**m["rejection"][efficiency]) for m in models.values()),
            ]
            for efficiency in first["rejection"]
        ),
        *(
            [
                f"Significance, background ± {100 * float(relative):g}%",
                *(
                    undefined if s is None else with_error(**s[relative]["test"])
                    for s in significance.values()
                ),
            ]
            for relative in known
        ),
    ]
    working = f"{results['settings']['working_uncertainty']:g}"
    if known:
        rows.append(
            [
                f"Best cut, background ± {100 * float(working):g}%",
                *(
                    undefined if s is None else f"{s[working]['cut']:.3f}"
                    for s in significance.values()
                ),
            ]
        )
    if any(m["folds"] for m in models.values()):
        rows.append(
            [
                "Spread of the AUC over folds",
                *(
                    number(m["folds"]["spread"], 2) if m["folds"] else "no folds"
                    for m in models.values()
                ),
            ]
        )
    found = results["overtraining"]
    if found is not None:
        rows.append(
            [
                "Overtraining p, signal / background",
                f"{p_value(found['ks']['signal']['pvalue'])} / "
                f"{p_value(found['ks']['background']['pvalue'])}",
                *("not checked" for _ in list(models)[1:]),
            ]
        )
    return rows


def front_tables(study: Study) -> list[Table]:
    """The numbers of the front page."""
    results = study.numbers
    tables = [
        Table(
            ["", *results["models"]],
            front_rows(results),
            f"AUC and background rejection (one over background efficiency): {study.caption()} "
            f"Expected significance (Asimov) and cut: chosen on {study.chosen_on}, quoted on "
            f"{study.quoted_caption()} Errors: statistical, of the simulation.",
        )
    ]
    point = results["working_point"]
    if point is not None:
        rows = [
            [
                name,
                "signal" if row["signal"] else "background",
                with_error(**row["before"]),
                with_error(**row["after"]),
                percent(row["after"]["value"] / row["before"]["value"])
                if row["before"]["value"] > 0
                else "undefined",
                f"{row['raw']:,}",
                number(row["effective"]),
            ]
            for name, row in point["yields"].items()
        ]
        columns = ["process", "class", "before the cut", "after", "efficiency", "raw", "effective"]
        tables.append(
            Table(
                columns,
                rows,
                f"Expected events before and after {study.first.name} score >= "
                f"{point['cut']:.3f}; raw and effective numbers of simulated events after it, "
                f"effective = (sum w)²/sum w². {study.quoted_caption()}",
                text_columns=(0, 1),
            )
        )
    return tables


def performance(study: Study) -> Section:
    """ROC, rejection, calibration."""
    sample = study.sample
    models = study.numbers["models"]
    scores = {one.name: one.score for one in study.models}
    blocks: list[Block] = []
    difference = study.numbers["auc_difference"]
    if difference is not None:
        best, second = difference["models"]
        blocks.append(
            f"AUC of {best} less that of {second} on the same events: "
            f"{with_error(difference['value'], difference['std'], sign=True)} (bootstrap of both "
            "together)."
        )
    auc = ", ".join(f"{name} {with_error(**found['auc'])}" for name, found in models.items())
    half = ", ".join(
        f"{name} {with_error(**found['rejection']['0.5'])}" for name, found in models.items()
    )
    several = len(scores) > 1

    def curves(kind: Any, height: float, weight: Any, *, ratio: bool) -> Any:
        display = kind.from_scores(
            sample.signal,
            scores,
            sample_weight=weight,
            ratio=ratio,
            **study.look(6.6, height),
        )
        return display.figure_

    blocks += [
        Figure.from_matplotlib(
            ComparisonDisplay(displays=study.roc).plot(**study.look()).figure_,
            caption=f"ROC curves. {study.caption()} Bands: statistical error of the background "
            "efficiency.",
            alt=f"ROC curves with error bands; area under the curve: {auc}.",
        ),
        Figure.from_matplotlib(
            curves(RejectionDisplay, 5.6 if several else 4.7, sample.weight, ratio=several),
            caption="Background rejection against signal efficiency. "
            f"{study.caption()} Bands: statistical error.",
            alt=f"Rejection falling with signal efficiency; at 50%: {half}.",
        ),
        Figure.from_matplotlib(
            curves(PrecisionRecallDisplay, 4.7, study.expected, ratio=False),
            caption="Purity (precision) against signal efficiency (recall), for the expected "
            f"yields. {study.caption()} Bands: statistical error.",
            alt="Purity against signal efficiency with error bands.",
        ),
    ]
    probable = [one for one in study.models if one.probability]
    if probable:
        look = study.look()
        for one in probable:
            display = CalibrationDisplay.from_predictions(
                sample.signal.astype(int),
                np.clip(one.score, 0.0, 1.0),
                sample_weight=balance_classes(sample.signal, sample.weight, total=1.0),
                name=one.name,
                **look,
            )
        blocks.append(
            Figure.from_matplotlib(
                display.figure_,
                caption="Fraction of signal against the predicted probability, both classes "
                f"scaled to equal sums. {study.caption()}",
                alt="Reliability curves; the diagonal is a calibrated probability.",
            )
        )
    return Section("Performance", blocks)


def score(study: Study) -> Section:
    """Score by process."""
    sample = study.sample
    signal = [name for name in sample.processes() if sample.signal[sample.process == name][0]]
    display = ScoreDisplay.from_predictions(
        study.first.score,
        sample.process,
        sample_weight=study.expected,
        signal=signal,
        name=study.first.name,
        **study.look(),
    )
    return Section(
        "Score by process",
        [
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Expected events against the score of {study.first.name}. "
                f"{study.caption()} Background stacked, signal as lines; bars and hatches: "
                "sqrt(sum w²).",
                alt=f"Stacked histogram of the score on a logarithmic axis, signal "
                f"{', '.join(signal)} as lines.",
            )
        ],
    )


def significance(study: Study) -> Section | None:
    """Significance against the cut."""
    results = study.numbers
    known = {name: found for name, found in results["significance"].items() if found is not None}
    if not known:
        return None
    rows = [
        [
            name,
            f"{100 * float(relative):g}%",
            f"{found['cut']:.3f}",
            number(found["validation"]),
            with_error(**found["test"]),
            with_error(**found["signal"]),
            with_error(**found["background"]),
            f"{found['n_background']:,} ({number(found['effective_background'])})",
        ]
        for name, by_uncertainty in known.items()
        for relative, found in by_uncertainty.items()
    ]
    columns = ["model", "b known to", "cut", "Z where chosen", "Z", "signal s", "background b"]
    columns += ["raw (eff.)"]
    blocks: list[Block] = [
        "Median discovery significance Z of a counting experiment (Asimov). The cut is chosen on "
        f"{study.chosen_on}, where at least {MIN_EFFECTIVE_BACKGROUND:g} effective background "
        f"events must pass, and quoted on {int(study.quoted.sum()):,} other events."
    ]
    point = results["working_point"]
    if point is not None:
        here = study.quoted
        relative = 100 * results["settings"]["working_uncertainty"]
        display = SignificanceDisplay.from_predictions(
            study.sample.signal[here],
            study.first.score[here],
            sample_weight=study.quoted_expected[here],
            background_uncertainties=BACKGROUND_UNCERTAINTIES,
            cut=point["cut"],
            name=study.first.name,
            **study.look(),
        )
        values = ", ".join(
            f"{with_error(**found['test'])} at {100 * float(key):g}%"
            for key, found in known[study.first.name].items()
        )
        blocks.append(
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Expected significance against the cut on {study.first.name}. "
                f"{study.quoted_caption()} Line: the cut at {point['cut']:.3f}, chosen for a "
                f"background known to {relative:g}%.",
                alt="Significance against the cut for several background uncertainties; at the "
                f"best cuts: {values}.",
            )
        )
    blocks.append(
        Table(
            columns,
            rows,
            "Raw and effective numbers of background events; errors: finite simulation. "
            f"{study.quoted_caption()}",
        )
    )
    return Section("Expected significance", blocks)


def working_point(study: Study) -> Section | None:
    """Confusion matrix of the cut."""
    point = study.numbers["working_point"]
    if point is None:
        return None
    names, here = np.array(["background", "signal"]), study.quoted
    display = ConfusionDisplay.from_predictions(
        names[study.sample.signal[here].astype(int)],
        names[(study.first.score[here] >= point["cut"]).astype(int)],
        sample_weight=study.quoted_expected[here],
        labels=names.tolist(),
        normalize="true",
        **study.look(4.8, 4.0, "compressed"),
    )
    shares = point["confusion"]["shares"]
    return Section(
        "Working point",
        [
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Confusion matrix of {study.first.name} score >= {point['cut']:.3f}; "
                f"each row sums to 1. {study.quoted_caption()}",
                alt=f"Confusion matrix: {percent(shares[1][1])} of the signal and "
                f"{percent(shares[0][1])} of the background pass.",
            ),
            "The yields of every process are on the front page.",
        ],
    )


def overtraining(study: Study) -> Section | None:
    """Score of training events against that of others."""
    if study.overtraining is None:
        return None
    found = study.numbers["overtraining"]
    rows = [
        [name, f"{ks['statistic']:.4f}", p_value(ks["pvalue"])] for name, ks in found["ks"].items()
    ]
    ks = found["ks"]
    return Section(
        "Training against test",
        [
            f"AUC {found['auc_train']:.4f} on training and {found['auc_test']:.4f} on other "
            "events. A small p says that the two differ in shape; scores of training events are "
            "used nowhere else on this page.",
            Figure.from_matplotlib(
                study.overtraining.figure_,
                caption=f"Shape of the score of {study.first.name}. {study.overtraining_how} "
                f"{study.sample.described()}.",
                alt="Training and test score of signal and background; KS p "
                f"{p_value(ks['signal']['pvalue'])} and {p_value(ks['background']['pvalue'])}.",
            ),
            Table(
                ["class", "KS distance", "p"],
                rows,
                "Weighted Kolmogorov-Smirnov test, p by permutation where weights are negative. "
                f"{study.overtraining_how}",
            ),
        ],
    )


def folds(study: Study) -> Section | None:
    """AUC of every fold."""
    found = {
        name: model["folds"] for name, model in study.numbers["models"].items() if model["folds"]
    }
    if not found:
        return None
    rows = [
        [name, str(row["fold"]), f"{row['events']:,}", with_error(**row["auc"])]
        for name, one in found.items()
        for row in one["folds"]
    ]
    spreads = "; ".join(
        f"{name}: mean {one['mean']:.4f}, spread {number(one['spread'], 2)}"
        for name, one in found.items()
    )
    return Section(
        "Folds",
        [
            f"AUC by fold. {spreads}. The spread of folds that agree is about the error of one.",
            Table(["model", "fold", "events", "AUC"], rows, study.caption()),
        ],
    )
