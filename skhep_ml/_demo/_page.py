"""The demo's report: what stands on the page, and in which words."""

from typing import Any

from skhep_ml._demo._captions import captions
from skhep_ml._demo._closure import TRUTH
from skhep_ml._format import number, p_value, percent, with_error
from skhep_ml.report import Code, Figure, Report, Section, Table

Results = dict[str, Any]
Pictures = dict[str, Figure]


def build_report(results: Results, figures: dict[str, Any]) -> tuple[Report, dict[str, bytes]]:
    """The report, and its pictures as PNG by name."""
    texts = captions(results)
    pictures = {
        name: Figure.from_matplotlib(figures[name], caption=caption, alt=alt)
        for name, (caption, alt) in texts.items()
    }
    sample = results["sample"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    report = Report(
        title="Higgs boson to tau pairs: boosted trees against logistic regression",
        subtitle=(
            f"{sample['events']:,} simulated events, {sample['features']} features, signed event "
            f"weights normalised to {sample['luminosity']:g} fb⁻¹ at 13 TeV"
        ),
        verdict=results["verdict"],
        front=Table(
            ["", *results["models"]],
            front_rows(results),
            "AUC and background rejection (one over background efficiency) of all events, each "
            f"scored by the one of {results['settings']['rotating_folds']} models that did not "
            "see it; significance on test events at the cut chosen on validation events, yields "
            "scaled to the full luminosity. All with signed weights and statistical errors of the "
            "simulation.",
        ),
        warnings=results["warnings"],
        sections=[
            _performance(results, pictures),
            Section("Score by process", [pictures["score"]]),
            _significance(results, pictures),
            _working_point(results, pictures),
            _overtraining(results, pictures),
            _ranking(results, pictures),
            _weights(results, pictures),
            _policies(results, pictures),
            _agreement(results, pictures),
            _search(results),
            _scaling(results),
            _reproduce(results),
        ],
        footer=versions,
    )
    return report, {name: picture.png for name, picture in pictures.items()}


def front_rows(results: Results) -> list[list[str]]:
    """Performance of all models, a row each quantity."""
    models, significance = results["models"].values(), results["significance"].values()
    efficiencies = next(iter(models))["rejection"]
    uncertainties = next(iter(significance))
    return [
        ["AUC", *(with_error(**m["auc"]) for m in models)],
        *(
            [
                f"Rejection at {100 * float(efficiency):g}% signal efficiency",
                *(with_error(**m["rejection"][efficiency]) for m in models),
            ]
            for efficiency in efficiencies
        ),
        *(
            [
                f"Significance, background ± {100 * float(relative):g}%",
                *(with_error(**s[relative]["test"]) for s in significance),
            ]
            for relative in uncertainties
        ),
    ]


def _performance(results: Results, pictures: Pictures) -> Section:
    difference = results["auc_difference"]
    return Section(
        "Performance",
        [
            "Difference of the AUC on the same events: "
            f"{with_error(**difference, sign=True)} (Poisson bootstrap of both together).",
            pictures["roc"],
            pictures["rejection"],
        ],
    )


def _significance(results: Results, pictures: Pictures) -> Section:
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
        for name, by_uncertainty in results["significance"].items()
        for relative, found in by_uncertainty.items()
    ]
    columns = ["model", "b known to", "cut", "Z validation", "Z test", "signal s", "background b"]
    columns += ["raw (eff.)"]
    sample = results["sample"]
    floor = results["settings"]["min_effective_background"]
    return Section(
        "Expected significance",
        [
            "Median discovery significance Z of a counting experiment (Asimov). The cut is chosen "
            f"on {sample['validation']:,} validation events, where at least {floor:g} effective "
            f"background events must pass, and quoted on {sample['test']:,} test events.",
            pictures["significance"],
            Table(
                columns,
                rows,
                f"Signed weights, each class scaled to its yield in {sample['luminosity']:g} fb⁻¹; "
                "raw and effective numbers of background events; errors: "
                "finite simulation. Models fitted on the training part.",
            ),
        ],
    )


def _working_point(results: Results, pictures: Pictures) -> Section:
    point = results["working_point"]
    rows = [
        [
            name,
            "signal" if row["signal"] else "background",
            with_error(**row["before"]),
            with_error(**row["after"]),
            percent(row["after"]["value"] / row["before"]["value"]),
            f"{row['raw']:,}",
            number(row["effective"]),
        ]
        for name, row in point["yields"].items()
    ]
    columns = ["process", "class", "before the cut", "after", "efficiency", "raw", "effective"]
    return Section(
        "Working point",
        [
            pictures["confusion"],
            Table(
                columns,
                rows,
                f"Expected yields before and after BDT score >= {point['cut']:.3f}, "
                f"{results['sample']['test']:,} test events with signed weights scaled to "
                f"{results['sample']['luminosity']:g} fb⁻¹; raw and effective events after the "
                "cut, effective = (sum w)²/sum w².",
                text_columns=(0, 1),
            ),
        ],
    )


def _overtraining(results: Results, pictures: Pictures) -> Section:
    found = results["overtraining"]
    rows = [
        [name, f"{ks['statistic']:.4f}", p_value(ks["pvalue"])] for name, ks in found["ks"].items()
    ]
    return Section(
        "Training against test",
        [
            f"AUC {found['auc_train']:.4f} on training and {found['auc_test']:.4f} on test "
            "events. A small p says that the two differ in shape; scores of training events are "
            "used nowhere else on this page.",
            pictures["overtraining"],
            Table(["class", "KS distance", "p"], rows, "Weighted Kolmogorov-Smirnov test."),
        ],
    )


def _ranking(results: Results, pictures: Pictures) -> Section:
    rows = [
        [row["feature"], with_error(row["value"], row["std"]), percent(row["gain"])]
        for row in results["ranking"]
    ]
    return Section(
        "Feature ranking",
        [
            "AUC lost when a feature's values are dealt to other events. Features that say the "
            "same share their importance, so a low rank does not mean that a feature is useless.",
            pictures["ranking"],
            Table(
                ["feature", "AUC lost", "share of gain"],
                rows,
                f"All features, {results['sample']['test']:,} test events with signed weights, "
                "five shuffles; gain: loss reduced in training by splits on the feature.",
                folded=True,
            ),
        ],
    )


def _weights(results: Results, pictures: Pictures) -> Section:
    rows = [
        [
            name,
            f"{row['events']:,}",
            percent(row["negative_fraction"]),
            with_error(**row["sum"]),
            number(row["sum_truth"], 4),
            number(row["effective"]),
            number(row["effective_truth"]),
            f"{number(row['smallest'], 2)} to {number(row['largest'], 2)}",
        ]
        for name, row in results["weights"].items()
    ]
    columns = ["process", "events", "negative", "signed yield", "true yield", "effective"]
    columns += ["effective, unsigned", "abs(w)"]
    return Section(
        "Event weights",
        [
            "Background events carry negative weights as from a next-to-leading-order generator. "
            "The unsigned weight of the same events is kept as truth for the closure below.",
            pictures["weights"],
            Table(
                columns,
                rows,
                f"All {results['sample']['events']:,} events; yields in "
                f"{results['sample']['luminosity']:g} fb⁻¹; effective = (sum w)²/sum w².",
            ),
        ],
    )


def _policies(results: Results, pictures: Pictures) -> Section:
    policies = results["closure"]["policies"]
    rows = [
        [
            name,
            with_error(**row["auc"]),
            "reference" if name == TRUTH else with_error(**row["auc_lost"], sign=True),
            "reference" if name == TRUTH else with_error(**row["loss_gained"], sign=True),
            with_error(**row["rejection"]["0.5"]),
            f"{row['histogram']['chi2']:.1f} / {row['histogram']['ndf']}",
        ]
        for name, row in policies.items()
    ]
    columns = ["trained with", "AUC", "AUC lost", "log loss gained", "rejection at 50%"]
    columns += ["χ² / ndf"]
    return Section(
        "Closure of the negative-weight policies",
        [
            "What training does with negative weights, judged where the answer is known. The "
            "signed sum is what refine and keep aim at, keep with all the noise that signs add to "
            "a finite sample; drop and abs aim at another background. Training on the unsigned "
            "weights also has the greater effective size, so it is a bound rather than a target.",
            pictures["policy_shares"],
            pictures["policy_losses"],
            Table(
                columns,
                rows,
                f"Trained on {results['sample']['training']:,} events, evaluated on "
                f"{results['sample']['test']:,} test events with unsigned weights; log loss with "
                "both classes equal; χ² of each score's background histogram with signed against "
                "unsigned test weights.",
                emphasis=(len(rows) - 1,),
            ),
        ],
    )


def _agreement(results: Results, pictures: Pictures) -> Section:
    found = results["closure"]
    rows = [
        [
            row["feature"],
            f"{row['chi2']:.1f} / {row['ndf']}",
            p_value(row["pvalue"]),
        ]
        for row in found["features"]
    ]
    low, total = found["smallest"], found["score"]
    return Section(
        "Signed against unsigned histograms",
        [
            f"BDT score: χ²/ndf = {total['chi2']:.1f}/{total['ndf']}, p = "
            f"{p_value(total['pvalue'])}. Of {len(rows)} features the smallest p is "
            f"{p_value(low['pvalue'])} ({low['feature']}); one as small or smaller is expected "
            f"with probability {p_value(low['global_pvalue'])} if all agree and were independent.",
            pictures["signed_score"],
            Table(
                ["feature", "χ² / ndf", "p"],
                rows,
                f"Background of all {results['sample']['events']:,} events in ten bins of equal "
                "numbers and one of missing values; errors: of the sum of weight differences.",
                folded=True,
            ),
        ],
    )


def _search(results: Results) -> Section:
    found, settings = results["search"], results["settings"]
    names = list(found["best"]["params"])
    rows = [
        [*(f"{row['params'][name]:g}" for name in names), with_error(row["mean"], row["std"])]
        for row in found["tried"]
    ]
    best = found["tried"].index(found["best"])
    means = [row["mean"] for row in found["tried"]]
    text = "The setting of the greatest mean rejection is taken."
    if max(means) - min(means) < found["best"]["std"]:
        text += (
            " All settings agree within the spread over folds, so the search does not prefer the "
            "chosen one significantly."
        )
    return Section(
        "Grid search",
        [
            text,
            Table(
                [*names, "rejection at 50%"],
                rows,
                f"{results['sample']['training']:,} training events with signed weights, mean and "
                f"spread over {settings['search_folds']} folds by event number; "
                f"{settings['n_estimators']} trees each. The chosen setting stands out.",
                emphasis=(best,),
            ),
        ],
    )


def _scaling(results: Results) -> Section:
    rows = [[row["feature"], row["method"], row["reason"]] for row in results["scaling"]]
    return Section(
        "Scaling of the inputs",
        [
            Table(
                ["feature", "scaling", "why"],
                rows,
                "What AutoScaler chose on the training events, after missing values were replaced "
                "by the median.",
                text_columns=(0, 1, 2),
            )
        ],
    )


def _reproduce(results: Results) -> Section:
    settings, sample = results["settings"], results["sample"]
    train, validation, test = (percent(x) for x in settings["fractions"])
    seconds = sum(results["seconds"].values())
    return Section(
        "Reproduce",
        [
            Code(
                f'pip install "skhep-ml[plot,report]=={results["skhep_ml"]}"\n'
                f"skhep-ml demo --n-jobs {settings['n_jobs']}"
            ),
            f"Data file sha256 {sample['sha256'][:16]}…; random_state {settings['random_state']}; "
            f"every split by a hash of (run, event) with salt {settings['salt']}: training, "
            f"validation and test {train}, {validation} and {test}. All numbers of this page are "
            "in results.json.",
            Table(
                ["stage", "seconds"],
                [[name, f"{value:.1f}"] for name, value in results["seconds"].items()]
                + [["all before writing", f"{seconds:.1f}"]],
                f"Measured in this run, with --n-jobs {settings['n_jobs']} and "
                f"{settings['n_threads']} threads a fit.",
            ),
        ],
    )
