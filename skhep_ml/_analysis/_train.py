"""From a file to models, scores and a report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import joblib
import sklearn

from skhep_ml._analysis._config import Analysis, Process
from skhep_ml._analysis._outputs import keep_only, places, score_file
from skhep_ml._analysis._resume import Folds, fit_resuming
from skhep_ml._extras import import_extra
from skhep_ml._files import writable_folder, write_file
from skhep_ml._stages import Stages

MODEL, SCORES, SCORED, ONNX = "model.skml", "scores.json", "scored", "model.onnx"
REPORT = ["report.html", "report.json"]


def run(analysis: Analysis, *, n_jobs: int | None = None, stream: TextIO | None = None) -> Any:
    """Read, fit, score, report and write back; what an earlier run finished is taken over.

    Returns
    -------
    FoldScores
        The scores on events that no model was trained on.

    Raises
    ------
    OSError
        A file or folder cannot be read or written.
    ValueError
        Files that do not hold what is asked for, or events that the model refuses.
    ModuleNotFoundError
        An extra that an output needs is not installed.
    """
    import_extra("skops", extra="save")
    if analysis.report:
        import_extra("matplotlib", "plot,report")
        import_extra("jinja2", "plot,report")
    if analysis.onnx:
        import_extra("skl2onnx", "onnx")
    folder = writable_folder(analysis.folder)
    n_outputs = analysis.report + analysis.onnx + (analysis.scores != "none")
    stage = Stages(3 + n_outputs, stream)
    with sklearn.config_context(enable_metadata_routing=True):
        return _run(analysis, folder, n_jobs, stage)


def _run(analysis: Analysis, folder: Path, n_jobs: int | None, stage: Stages) -> Any:
    from skhep_ml.export import save
    from skhep_ml.model_selection import fold_scores
    from skhep_ml.weights import request_weights

    with stage("read", "reading events"):
        events = read(analysis)
    given = {"sample_weight": events.weight, "groups": events.event_number}
    folds = Folds(folder / "folds")
    with stage("fit", f"rotating cross-validation, {analysis.n_splits} folds"):
        options = {
            "n_splits": analysis.n_splits,
            "salt": analysis.salt,
            "validation_fold": analysis.validation_fold,
            "n_jobs": n_jobs,
        }
        data = {"X": events.data, "y": events.target, **given}
        model = fit_resuming(
            request_weights(analysis.model), options, folds, analysis.fingerprint, data
        )
    how = reading(analysis)
    # a file that is put in the place of another may be older than the scores
    inputs = {file: _stamp(file) for one in analysis.processes.values() for file in one.files}
    made_from = [folds.used(), how, analysis.scores, analysis.branch, inputs]
    record = keep_only(folder, made_from, _outputs(analysis))
    kept: dict[str, Any] = {"reading": how, "events": _digest(events)}
    with stage("score", "scores on events that no model was trained on"):
        try:
            scores = fold_scores(
                model, events.data, events.target, scoring=analysis.scoring, **given
            )
            numbers = {
                name: {"pooled": float(one.pooled), "error": float(one.pooled_error)}
                for name, one in scores.items()
            }
            kept["scores"] = numbers
        finally:
            # a metric that a small fold cannot have takes no trained model away
            save(model, folder / MODEL, metrics=kept, event_id=events.event_number)
        write_file(folder / SCORES, json.dumps(numbers, indent=1) + "\n")
    # what is most likely to fail comes last
    if analysis.scores != "none":
        with stage("write", "scores into files"):
            for name, process in analysis.processes.items():
                for place, files in places(process.files).items():
                    apply_model(
                        model, how, files, folder / SCORED / name / place,
                        branch=analysis.branch, friend=analysis.scores == "friend",
                        overwrite=True, made_from=[record],
                    )  # fmt: skip
    if analysis.report:
        with stage("report", "report"):
            report(analysis, model, events)
    if analysis.onnx:
        with stage("onnx", "ONNX"):
            from skhep_ml.export import to_onnx

            to_onnx(model, folder / ONNX)
    folds.clear()
    return scores


def _stamp(file: str) -> list[int] | None:
    """Size and time of a file; None for one that is not of this machine."""
    if "://" in file:
        return None
    status = Path(file).stat()
    return [status.st_size, status.st_mtime_ns]


def _digest(events: Any) -> str:
    """Hash of all that a model is trained on."""
    parts = (events.data, events.target, events.weight, events.event_number)
    return str(joblib.hash(parts))


def check_same_events(events: Any, kept: dict[str, Any], analysis: Analysis) -> None:
    """Raise a ValueError unless events are those that a model was trained on.

    ``kept`` is what `run` has put beside the model.
    """
    if kept.get("events") not in (None, _digest(events)):
        msg = (
            f"the events of {analysis.path} are not those that {analysis.folder / MODEL} was "
            "trained on: a file or the settings have changed since; run skhep-ml train again"
        )
        raise ValueError(msg)


def _outputs(analysis: Analysis) -> list[str]:
    """Files that a run writes."""
    names = [MODEL, SCORES]
    names += REPORT if analysis.report else []
    names += [ONNX] if analysis.onnx else []
    if analysis.scores != "none":
        for process, one in analysis.processes.items():
            for place, files in places(one.files).items():
                names += [str(Path(SCORED, process, place, score_file(file))) for file in files]
    return names


def read(analysis: Analysis) -> Any:
    """Events of all processes."""
    from skhep_ml.io import read_events

    return read_events(
        None,
        tree=analysis.tree,
        features=analysis.features,
        weight=analysis.weight or None,
        event_number=analysis.event_number or None,
        selection=analysis.selection,
        processes={name: _described(one) for name, one in analysis.processes.items()},
        luminosity=analysis.luminosity,
        max_events=analysis.max_events,
    )


def _described(process: Process) -> dict[str, Any]:
    return {name: value for name, value in vars(process).items() if value is not None}


def reading(analysis: Analysis) -> dict[str, Any]:
    """What it takes to feed the model from other files."""
    return {
        "tree": analysis.tree,
        "features": dict(analysis.features),
        "event_number": list(analysis.event_number),
    }


def report(analysis: Analysis, model: Any, events: Any) -> None:
    """Write the report."""
    from skhep_ml.report import make_report

    make_report(
        model,
        events.data,
        events.target,
        sample_weight=events.weight,
        groups=events.event_number,
        process=events.process,
        pos_label=analysis.signal,
        path=[analysis.folder / name for name in REPORT],
        title=f"Report on {analysis.path.name}",
    )


def apply_model(
    model: Any,
    how: dict[str, Any],
    files: list[str],
    folder: Path,
    *,
    branch: str = "score",
    friend: bool = True,
    overwrite: bool = False,
    made_from: Sequence[Path] = (),
    n_jobs: int | None = None,
) -> list[Path]:
    """Write the scores of a model into files of the same names in a folder, ``n_jobs`` at a time.

    Files that are newer than all of ``made_from``, if any, are finished already.
    """
    from skhep_ml.io import write_scores

    folder.mkdir(parents=True, exist_ok=True)
    finished = {
        file: folder / score_file(file)
        for file in files
        if made_from and _is_newer(folder / score_file(file), made_from)
    }
    left = [file for file in files if file not in finished]
    written = [] if not left else write_scores(
        model, left, folder, tree=how["tree"], features=how["features"],
        event_number=how["event_number"] or None, branch=branch, friend=friend,
        overwrite=overwrite, n_jobs=n_jobs,
    )  # fmt: skip
    return sorted([*finished.values(), *written])


def _is_newer(path: Path, than: Sequence[Path]) -> bool:
    if not path.exists():
        return False
    return path.stat().st_mtime_ns > max(one.stat().st_mtime_ns for one in than)
