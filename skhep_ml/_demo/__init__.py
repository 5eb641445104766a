"""The demo: search, rotate, measure and report on the embedded events."""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Iterator
from typing import Any, TextIO

import sklearn
from threadpoolctl import threadpool_limits

from skhep_ml import __version__
from skhep_ml._extras import import_extra
from skhep_ml._files import writable_folder, write_file

PACKAGES = ("numpy", "scipy", "scikit-learn", "xgboost", "matplotlib")
N_ESTIMATORS = 120
#: Threads of a fit: a fixed number, since sums of floats in another order give other trees.
N_THREADS = 2
#: Threads that share fewer events wait for each other longer than they work.
EVENTS_PER_THREAD = 10_000


class Stages:
    """Progress on a stream, and the seconds of every stage."""

    def __init__(self, total: int, stream: TextIO | None) -> None:
        self.total = total
        self.stream = stream
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str, what: str) -> Iterator[None]:
        self._print(f"[{len(self.seconds) + 1}/{self.total}] {what} ...")
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            self._print("\n")
            raise
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self._print(f" {self.seconds[name]:.1f} s\n")

    def _print(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(text)
            self.stream.flush()


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

    stage = Stages(9, stream)
    results, figures = _analyse(n_jobs, max_events, n_estimators, stage)
    with stage("write", f"writing {folder}"):
        from skhep_ml._demo._page import build_report

        report, pictures = build_report(results, figures)
        for name, png in pictures.items():
            write_file(plots / f"{name}.png", png)
        report.write(folder / "report.html")
        write_file(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    return results


def _analyse(
    n_jobs: int, max_events: int | None, n_estimators: int, stage: Stages
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All numbers and figures."""
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
) -> tuple[dict[str, Any], dict[str, Any]]:
    from skhep_ml._demo import _closure, _figures, _numbers, _sample
    from skhep_ml._demo._verdict import verdict, warnings_for
    from skhep_ml.datasets._files import DATA

    n_jobs = settings["n_jobs"]
    names, yields = events.feature_names, events.class_yields
    figures: dict[str, Any] = {}
    with stage("search", "grid search of the BDT by event-number folds"):
        train, validation, test = sample.split()
        pipeline = _sample.bdt_pipeline(settings["n_estimators"], settings["n_threads"])
        found = _sample.search(pipeline, train, n_jobs)
        best = found.best_estimator_
    with stage("rotate", "rotating cross-validation of BDT and logistic regression"):
        logistic = _sample.logistic_pipeline()
        scores = {
            "BDT": _sample.rotate(best, sample, n_jobs),
            # in this process, whose threads are limited: the same numbers for any n_jobs
            "logistic regression": _sample.rotate(logistic, sample, n_jobs=1),
        }
        models = {
            name: _numbers.performance(sample.y, values, sample.weight)
            for name, values in scores.items()
        }
        other = {"logistic regression": scores["logistic regression"]}
        difference = _numbers.auc_difference(sample.y, scores["BDT"], other, sample.weight)
    with stage("significance", "significance, working point"):
        fitted = {"BDT": best, "logistic regression": _sample.fit(logistic, train)}
        held = {
            name: [(part, _sample.score(model, part)) for part in (validation, test)]
            for name, model in fitted.items()
        }
        significance = {
            name: _numbers.significance(parts[0], parts[1], yields) for name, parts in held.items()
        }
        cut = significance["BDT"][f"{_numbers.WORKING_UNCERTAINTY:g}"]["cut"]
        test_score = held["BDT"][1][1]
        point = _numbers.working_point(test, test_score, cut, yields)
        figures["significance"] = _figures.significance_scan(test, test_score, yields, cut)
        figures["confusion"] = _figures.confusion(test, test_score, cut)
    with stage("overtraining", "training against test"):
        display = _figures.train_and_test(best, train, test)
        figures["overtraining"] = display.figure_
        ks = {"signal": display.ks_signal, "background": display.ks_background}
        overtraining = _numbers.overtraining(best, train, test, ks)
    with stage("ranking", "feature ranking"):
        ranking = _numbers.ranking(best, test, names)
        figures["ranking"] = _figures.ranking(ranking)
    with stage("closure", "negative-weight policies against the unsigned truth"):
        policies, _ = _closure.closure(best, train, test, names.index("n_jets"))
        features = _closure.feature_agreement(sample, names)
        figures["policy_losses"] = _figures.policy_losses(policies)
        figures["policy_shares"] = _figures.policy_shares(policies)
        figures["signed_score"] = _figures.signed_against_truth(sample, scores["BDT"])
    with stage("figures", "plots"):
        figures.update(_figures.curves(sample, scores))
        figures["score"] = _figures.by_process(sample, scores["BDT"])
        figures["weights"] = _figures.weights(sample)

    results = {
        "skhep_ml": __version__,
        "sample": {
            "events": len(sample),
            "training": len(train),
            "validation": len(validation),
            "test": len(test),
            "features": len(names),
            "luminosity": float(events.luminosity),
            "class_yields": {str(k): float(v) for k, v in yields.items()},
            "sha256": hashlib.sha256((DATA / "higgs.npz").read_bytes()).hexdigest(),
        },
        "settings": {
            **settings,
            "random_state": _sample.SEED,
            "salt": 0,
            "search_folds": _sample.SEARCH_FOLDS,
            "rotating_folds": _sample.ROTATING_FOLDS,
            "fractions": list(_sample.FRACTIONS),
            "working_uncertainty": _numbers.WORKING_UNCERTAINTY,
            "min_effective_background": _numbers.MIN_EFFECTIVE_BACKGROUND,
        },
        "search": _numbers.search_table(found),
        "models": models,
        "auc_difference": difference["logistic regression"],
        "significance": significance,
        "working_point": point,
        "overtraining": overtraining,
        "ranking": ranking,
        "weights": _numbers.weight_table(sample),
        "closure": {
            "policies": policies,
            "score": _closure.signed_agreement(scores["BDT"], sample, _closure.SCORE_EDGES),
            "features": features,
            "smallest": _closure.smallest_pvalue(features),
        },
        "scaling": _numbers.scaling_table(best, names),
        "seconds": stage.seconds,
        "versions": {
            "python": platform.python_version(),
            "skhep_ml": __version__,
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }
    results["verdict"] = verdict(results)
    results["warnings"] = warnings_for(results)
    return _finite(results), figures


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(results: dict[str, Any]) -> str:
    """Short table for the terminal."""
    from skhep_ml._demo._page import front_rows

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
