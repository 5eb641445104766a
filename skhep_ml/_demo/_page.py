"""What the demo adds to its report, and in which words."""

from typing import Any

from skhep_ml._demo._closure import POLICIES, TRUTH
from skhep_ml._format import number, p_value, percent, with_error
from skhep_ml.report import Code, Figure, Section, Table
from skhep_ml.report._back import search_section

Results = dict[str, Any]


def sections(results: Results, figures: dict[str, Any]) -> list[Section]:
    """Closure of the policies, agreement of histograms, search and scaling."""
    found = search_section(
        {"BDT": results["search"]},
        f"{results['sample']['training']:,} training events with signed weights, rejection at "
        "50% signal efficiency.",
    )
    parts = [
        _policies(results, figures),
        _agreement(results, figures),
        found,
        _scaling(results),
    ]
    return [part for part in parts if part is not None]


def _policies(results: Results, figures: dict[str, Any]) -> Section:
    sample, policies = results["sample"], results["closure"]["policies"]
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
    lost = ", ".join(f"{name} {with_error(**policies[name]['auc_lost'])}" for name in POLICIES)
    most = policies[TRUTH]["shares"][-1]["value"]
    three = ", ".join(
        f"{name} {policies[name]['shares'][-1]['value'] / most:.2f}" for name in POLICIES
    )
    shares = Figure.from_matplotlib(
        figures["policy_shares"],
        caption="Part of the background's training weight by number of jets under each policy, "
        f"over that of the unsigned weights. {sample['training']:,} training events; the fraction "
        "of negative weights rises with the number of jets, 6%, 22% and 45%. Band: statistical "
        "error of the signed weights themselves.",
        alt=f"Ratios to the truth; at 3 or more jets: {three}.",
    )
    losses = Figure.from_matplotlib(
        figures["policy_losses"],
        caption=f"The same BDT trained on {sample['training']:,} events under each policy, minus "
        f"training on their unsigned weights; evaluated on {sample['test']:,} test events with "
        "unsigned weights. Errors: paired on the same test events. Zero is as good as without "
        "negative weights.",
        alt=f"AUC lost against training on unsigned weights: {lost}.",
    )
    return Section(
        "Closure of the negative-weight policies",
        [
            "Background events carry negative weights as from a next-to-leading-order generator; "
            "the unsigned weight of the same events is kept as truth.",
            "What training does with negative weights, judged where the answer is known. The "
            "signed sum is what refine and keep aim at, keep with all the noise that signs add to "
            "a finite sample; drop and abs aim at another background. Training on the unsigned "
            "weights also has the greater effective size, so it is a bound rather than a target.",
            shares,
            losses,
            Table(
                columns,
                rows,
                f"Trained on {sample['training']:,} events, evaluated on {sample['test']:,} test "
                "events with unsigned weights; log loss with both classes equal; χ² of each "
                "score's background histogram with signed against unsigned test weights.",
                emphasis=(len(rows) - 1,),
            ),
        ],
    )


def _agreement(results: Results, figures: dict[str, Any]) -> Section:
    found, events = results["closure"], results["sample"]["events"]
    rows = [
        [row["feature"], f"{row['chi2']:.1f} / {row['ndf']}", p_value(row["pvalue"])]
        for row in found["features"]
    ]
    low, total = found["smallest"], found["score"]
    truth = [
        [
            name,
            with_error(**results["weights"][name]["sum"]),
            number(row["sum"], 4),
            number(results["weights"][name]["effective"]),
            number(row["effective"]),
        ]
        for name, row in found["truth"].items()
    ]
    return Section(
        "Signed against unsigned histograms",
        [
            f"BDT score: χ²/ndf = {total['chi2']:.1f}/{total['ndf']}, p = "
            f"{p_value(total['pvalue'])}. Of {len(rows)} features the smallest p is "
            f"{p_value(low['pvalue'])} ({low['feature']}); one as small or smaller is expected "
            f"with probability {p_value(low['global_pvalue'])} if all agree and were independent.",
            Figure.from_matplotlib(
                figures["signed_score"],
                caption="Background score with signed weights and with the unsigned truth. All "
                f"{events:,} events, each scored by the one of "
                f"{results['settings']['rotating_folds']} models that did not see it. Errors: of "
                "the sum of (w signed - w unsigned), since the same events carry both.",
                alt=f"Signed and unsigned background histogram; chi-squared {total['chi2']:.1f} "
                f"for {total['ndf']} bins.",
            ),
            Table(
                ["process", "signed yield", "true yield", "effective", "effective, unsigned"],
                truth,
                f"All {events:,} events; effective = (sum w)²/sum w².",
            ),
            Table(
                ["feature", "χ² / ndf", "p"],
                rows,
                f"Background of all {events:,} events in ten bins of equal numbers and one of "
                "missing values; errors: of the sum of weight differences.",
                folded=True,
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
                f"What AutoScaler chose on the {results['sample']['training']:,} training events, "
                "after missing values were replaced by the median.",
                text_columns=(0, 1, 2),
            )
        ],
    )


def run_section(results: Results) -> Section:
    """How the demo was run, and how long that took."""
    settings, sample = results["settings"], results["sample"]
    train, validation, test = (percent(x) for x in settings["fractions"])
    seconds = results["seconds"]
    return Section(
        "This run",
        [
            Code(
                f'pip install "skhep-ml[plot,report]=={results["skhep_ml"]}"\n'
                f"skhep-ml demo --n-jobs {settings['n_jobs']}"
            ),
            f"Data file sha256 {sample['sha256'][:16]}…; random_state {settings['random_state']}; "
            f"every split by a hash of (run, event) with salt {settings['salt']}: training, "
            f"validation and test {train}, {validation} and {test} for search and closure. All "
            "numbers of this page are in results.json.",
            Table(
                ["stage", "seconds"],
                [[name, f"{value:.1f}"] for name, value in seconds.items()]
                + [["all before writing", f"{sum(seconds.values()):.1f}"]],
                f"Measured in this run, with --n-jobs {settings['n_jobs']} and "
                f"{settings['n_threads']} threads a fit.",
            ),
        ],
    )
