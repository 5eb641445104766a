"""The demo: search, rotate, measure and report on the embedded events."""

import hashlib
import json
import os
from typing import Any, TextIO

import sklearn
from threadpoolctl import threadpool_limits

from skhep_ml import __version__
from skhep_ml._extras import import_extra
from skhep_ml._files import writable_folder, write_file
from skhep_ml._stages import Stages

N_ESTIMATORS = 120
#: Threads of a fit: a fixed number, since sums of floats in another order give other trees.
N_THREADS = 2
#: Threads that share fewer events wait for each other longer than they work.
EVENTS_PER_THREAD = 10_000


def run_demo(
    out: str | os.PathLike[str],
    n_jobs: int = 1,
    *,
    max_events: int | None = None,
    n_estimators: int = N_ESTIMATORS,
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """Run the whole analysis and write report.html, results.json and plots/ into ``out``.

    Parameters
    ----------
    out : path-like
        Folder of the results, made where there is none.
    n_jobs : int, default=1
        Fits of the BDT in parallel, -1 for all cores; the numbers do not depend on it.
    max_events : int, default=None
        Use a random part of the events.
    n_estimators : int, default=120
        Trees of every model.
    stream : text stream, default=None
        Where progress is shown.

    Returns
    -------
    dict
        What results.json holds.

    Raises
    ------
    OSError
        The folder cannot be written to.
    ModuleNotFoundError
        matplotlib or jinja2 is not installed.
    ValueError
        The data file is damaged, or n_jobs is not a number of processes.
    """
    if n_jobs == 0 or n_jobs < -1:
        msg = f"n_jobs must be a positive number of processes, or -1 for all cores, got {n_jobs}"
        raise ValueError(msg)
    import_extra("matplotlib", "plot,report")
    import_extra("jinja2", "plot,report")
    folder = writable_folder(out)
    plots = writable_folder(folder / "plots")

    stage = Stages(7, stream)
    results, report = _analyse(n_jobs, max_events, n_estimators, stage)
    with stage("write", f"writing {folder}"):
        from skhep_ml.report import Figure

        for section in report.sections:
            for k, block in enumerate(section.blocks):
                if isinstance(block, Figure):
                    write_file(plots / f"{section.anchor}-{k + 1}.png", block.png)
        report.write(folder / "report.html")
        write_file(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    return results


def _analyse(
    n_jobs: int, max_events: int | None, n_estimators: int, stage: Stages
) -> tuple[dict[str, Any], Any]:
    """All numbers, and the report."""
    import xgboost  # noqa: F401  its threads can be limited once it is loaded

    from skhep_ml._demo._sample import load_sample

    with stage("load", "embedded events"):
        sample, events = load_sample(max_events)
    n_threads = min(N_THREADS, max(1, len(sample) // EVENTS_PER_THREAD))
    settings = {
        "n_jobs": n_jobs,
        "n_threads": n_threads,
        "max_events": max_events,
        "n_estimators": n_estimators,
    }
    # threads and routing of this run only: the user's own configuration stays as it is
    with (
        threadpool_limits(n_threads, user_api="openmp"),
        sklearn.config_context(enable_metadata_routing=True),
    ):
        return _measure(sample, events, settings, stage)


def _measure(
    sample: Any, events: Any, settings: dict[str, Any], stage: Stages
) -> tuple[dict[str, Any], Any]:
    from skhep_ml._demo import _closure, _figures, _numbers, _page, _sample
    from skhep_ml.datasets._files import DATA
    from skhep_ml.report import make_report
    from skhep_ml.report._numbers import search_table
    from skhep_ml.report._report import plain_values

    n_jobs = settings["n_jobs"]
    names = events.feature_names
    with stage("search", "grid search of the BDT by event-number folds"):
        train, validation, test = sample.split()
        pipeline = _sample.bdt_pipeline(settings["n_estimators"], settings["n_threads"])
        found = _sample.search(pipeline, train, n_jobs)
        best = found.best_estimator_
    with stage("rotate", "rotating cross-validation of BDT and logistic regression"):
        models = {
            "BDT": _sample.rotate(best, sample, n_jobs),
            # in this process, whose threads are limited: the same numbers for any n_jobs
            "logistic regression": _sample.rotate(_sample.logistic_pipeline(), sample, n_jobs=1),
        }
    with stage("closure", "negative-weight policies against the unsigned truth"):
        policies, _ = _closure.closure(best, train, test, names.index("n_jets"))
        features = _closure.feature_agreement(sample, names)
        score = models["BDT"].predict_proba(sample.X, groups=sample.groups)[:, 1]
        closure = {
            "policies": policies,
            "score": _closure.signed_agreement(score, sample, _closure.SCORE_EDGES),
            "features": features,
            "smallest": _closure.smallest_pvalue(features),
            "truth": _numbers.truth_table(sample),
        }
        figures = {
            "policy_losses": _figures.policy_losses(policies),
            "policy_shares": _figures.policy_shares(policies),
            "signed_score": _figures.signed_against_truth(sample, score),
        }
    with stage("report", "performance, significance, features, plots"):
        report = make_report(
            models,
            sample.X,
            sample.y,
            sample_weight=sample.weight,
            groups=sample.groups,
            path=None,
            process=sample.process,
            class_yields=events.class_yields,
            variables={"visible_mass": sample.X[:, names.index("visible_mass")]},
            feature_names=names,
            title="Higgs boson to tau pairs: boosted trees against logistic regression",
            subtitle=(
                f"{len(sample):,} simulated events, {len(names)} features, signed event weights "
                f"normalised to {events.luminosity:g} fb⁻¹ at 13 TeV"
            ),
            skip=["Data summary", "Search"],
        )
    with stage("sections", "closure, search and scaling"):
        results = {**report.numbers, "skhep_ml": __version__}
        results["sample"] = {
            **results["sample"],
            "training": len(train),
            "validation": len(validation),
            "test": len(test),
            "features": len(names),
            "luminosity": float(events.luminosity),
            "class_yields": {str(k): float(v) for k, v in events.class_yields.items()},
            "sha256": hashlib.sha256((DATA / "higgs.npz").read_bytes()).hexdigest(),
        }
        results["settings"] = {
            **results["settings"],
            **settings,
            "random_state": _sample.SEED,
            "search_folds": _sample.SEARCH_FOLDS,
            "rotating_folds": _sample.ROTATING_FOLDS,
            "fractions": list(_sample.FRACTIONS),
        }
        results["search"] = search_table(found)
        results["closure"] = closure
        results["scaling"] = _numbers.scaling_table(best, names)
        if settings["max_events"] is not None:
            results["warnings"] += [f"A reduced sample of {len(sample):,} events was used."]
        place = [section.title for section in report.sections].index("Models")
        report.sections[place:place] = _page.sections(results, figures)
    results["seconds"] = stage.seconds
    report.sections.append(_page.run_section(results))
    report.warnings = results["warnings"]
    results = plain_values(results)
    report.numbers = results
    return results, report


def table(results: dict[str, Any]) -> str:
    """Short table for the terminal."""
    from skhep_ml.report._sections import front_rows

    names = list(results["models"])
    rows = [["", *names], *front_rows(results)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
    return "\n".join([*lines, "", results["verdict"]])


__all__ = ["run_demo", "table"]
