"""Reports made from fitted models and events."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_regressor

from skhep_ml._extras import import_extra
from skhep_ml._files import writable_folder, write_file
from skhep_ml.inspection import SystematicsResult
from skhep_ml.plotting import Blind
from skhep_ml.plotting._blind import log_line
from skhep_ml.report import _back, _inputs, _regression, _sections
from skhep_ml.report._blocks import Section, Table
from skhep_ml.report._call import call_text
from skhep_ml.report._events import PARTS, check_class_yields, check_parts, check_sample
from skhep_ml.report._figures import canvas
from skhep_ml.report._measure import measure, split_recorded, visible_recorded
from skhep_ml.report._models import named_models
from skhep_ml.report._report import Report, check_report_path, plain_values
from skhep_ml.report._study import Study
from skhep_ml.report._verdict import verdict, warnings_for

Chapters = Mapping[str, Callable[[Study], Section | None]]

#: Sections that can be left out, in their order.
SECTIONS: Chapters = {
    "Performance": _sections.performance,
    "Score by process": _sections.score,
    "Expected significance": _sections.significance,
    "Working point": _sections.working_point,
    "Training against test": _sections.overtraining,
    "Folds": _sections.folds,
    "Learning curves": _inputs.learning_curves,
    "Recorded events": _back.recorded,
    "Inputs of the model": _inputs.features,
    "Efficiency against other variables": _inputs.variables,
    "Data summary": _back.data_summary,
    "Event weights": _back.weights,
    "Search": _back.search,
    "Models": _back.diagrams,
}


def make_report(
    models: Any,
    X: Any,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = "report.html",
    process: ArrayLike | None = None,
    class_yields: Mapping[Any, float] | None = None,
    pos_label: Any = None,
    train: Mapping[str, Any] | None = None,
    test: Mapping[str, Any] | None = None,
    open_test: str | None = None,
    is_data: ArrayLike | None = None,
    blind: Blind | None = None,
    variables: Mapping[str, ArrayLike] | None = None,
    systematics: Any = None,
    cutflow: Sequence[tuple[str, float]] | None = None,
    feature_names: Sequence[str] | None = None,
    style: str | None = None,
    title: str | None = None,
    subtitle: str = "",
    sections: Sequence[Section] = (),
    skip: Sequence[str] = (),
) -> Report:
    """Report on fitted models: what they do, what that is worth, and what they were made from.

    The first model is the one that the report is about; the others are compared with it. A report
    on regressors has their bias, resolution, response and pulls in place of curves and cuts.

    Parameters
    ----------
    models : estimator, list of estimators, or mapping of name to estimator
        Fitted classifiers, or regressors, of any kind: models, Pipelines, searches, networks,
        rotating models. A rotating model scores each event by the one of its models that did not
        see it; any other must not have been trained on the events of X.
    X : array-like of shape (n_events, ...)
        What the models take.
    y : array-like of shape (n_events,)
        Labels, or the target of regressors; not read for recorded events.
    sample_weight : array-like of shape (n_events,), default=None
        Event weights, of any sign; None counts events. Not read for recorded events.
    groups : array-like of int, shape (n_events,) or (n_events, k), default=None
        Event identifiers, for rotating models, for the halves on which a cut is chosen and
        quoted, and to find events that the training sample shares.
    path : path-like or sequence of path-like, default="report.html"
        Where to write: ``.html`` one self-contained file, ``.md`` Markdown with a folder of
        figures (PNG, PDF) and LaTeX tables, ``.json`` the numbers; several of them at once; None
        writes nothing.
    process : array-like of shape (n_events,), default=None
        Name of the process of each event; None takes the classes.
    class_yields : mapping of label to float, default=None
        Expected events of each class; None takes the sums of the weights of X.
    pos_label : label, default=None
        The signal, all other labels being background; None takes the greater of two labels.
    train : dict, default=None
        The training events, with keys ``X``, ``y`` and, where there are any, ``sample_weight``
        and ``groups``: for the overtraining check of a model that does not rotate.
    test : dict, default=None
        Test events, with the same keys, ``process`` and ``variables``. They are not read unless
        ``open_test`` says why.
    open_test : str, default=None
        Why the test events may be looked at now; goes to the log. The cut is then chosen on X,
        and everything is quoted on the test events.
    is_data : array-like of bool, shape (n_events,), default=None
        Which events of X are recorded ones.
    blind : Blind, default=None
        What of the recorded events is not looked at; needed where there are any.
    variables : mapping of name to array-like of shape (n_events,), default=None
        Variables, such as pT, eta, masses or multiplicities, against which efficiencies are drawn.
    systematics : result of `skhep_ml.inspection.evaluate_systematics`, default=None
        Shown with its table and plot.
    cutflow : sequence of (name, number of events), default=None
        Selection before the models, for the back page.
    feature_names : sequence of str, default=None
        Names of the columns of an array.
    style : str, default=None
        Name of an experiment's style in mplhep, such as "ATLAS" or "CMS", for all pictures.
    title : str, default=None
        Heading; None names the models.
    subtitle : str, default=""
        One line below it.
    sections : sequence of Section, default=()
        Sections of your own, before the description of the models.
    skip : sequence of str, default=()
        Titles of sections to leave out.

        With regressors, arguments about classes, cuts and recorded events are refused:
        ``process``, ``class_yields``, ``pos_label``, ``train``, ``test``, ``open_test``,
        ``is_data``, ``blind`` and ``systematics``.

    Returns
    -------
    Report
        The report; ``report.numbers`` holds all numbers, ``report.write`` writes more formats.

    Raises
    ------
    ModuleNotFoundError
        matplotlib or jinja2 is not installed.
    OSError
        The folder of ``path`` cannot be written to.
    TypeError
        Something that is no fitted model, or ``train`` or ``test`` that is no mapping.
    ValueError
        Wrong lengths, labels, yields or endings of ``path``; recorded events without ``blind``;
        ``open_test`` without test events or without a reason; unknown sections to skip;
        classifiers beside regressors, or arguments that regressors have no use for.

    See Also
    --------
    Report : A report of your own sections.
    skhep_ml.plotting.Blind : Rules for recorded events.

    Notes
    -----
    A cut is chosen on one half of the events, by event number, and quoted on the other, whose
    weights are scaled to the expected yields; with ``open_test`` it is chosen on X and quoted on
    the test events. Where it is chosen it must leave 25 effective background events.

    The overtraining check of a rotating model compares the scores of one half by models that were
    trained on it with those of the other half by models that were not.

    Openings of recorded or test events are kept in a file ``NAME.log`` beside the report, which
    later runs add to.

    Examples
    --------
    >>> from skhep_ml.datasets import make_signed_events
    >>> from skhep_ml.linear_model import LogisticRegression
    >>> from skhep_ml.report import make_report
    >>> train, test = (make_signed_events(2000, random_state=seed) for seed in (0, 1))
    >>> model = LogisticRegression().fit(train.data, train.target, sample_weight=train.weight)
    >>> report = make_report(
    ...     model, test.data, test.target, sample_weight=test.weight, path=None,
    ...     skip=["Inputs of the model"])
    >>> report.verdict.startswith("LogisticRegression: AUC")
    True
    """
    call = call_text(locals())
    paths = _check_paths(path)
    named = named_models(models)
    regression = _are_regressors(named)
    _check_arguments(test, open_test, is_data, blind, skip, systematics)
    if regression:
        refused = {
            "process": process,
            "class_yields": class_yields,
            "pos_label": pos_label,
            "train": train,
            "test": test,
            "is_data": is_data,
            "systematics": systematics,
        }
        _regression.refuse_classifier_arguments(refused)
    _check_skip(skip, _regression.SECTIONS if regression else SECTIONS)
    import_extra("matplotlib", "plot,report")
    if style is not None:
        canvas(style=style)  # an unknown one is an error before any work
    names = None if feature_names is None else [str(name) for name in feature_names]
    if regression:
        target = _regression.regression_sample(X, y, sample_weight, groups)
        study, warnings = _regression.measure_regression(
            named,
            target,
            variables=_check_variables(_named_variables(variables), len(target)),
            feature_names=names,
            style=style,
            with_ranking="Inputs of the model" not in skip,
        )
        results = study.numbers
        results["verdict"] = _regression.regression_verdict(results)
        results["warnings"] = warnings
        front, chapters = _regression.front_tables(study), _regression.SECTIONS
        return _written(
            study, front, chapters, paths, [], title, subtitle, sections, skip, cutflow, call
        )
    given: dict[str, Any] = {
        "y": y,
        "sample_weight": sample_weight,
        "groups": groups,
        "process": process,
        **_named_variables(variables),
    }
    recorded = None
    if is_data is not None:
        X, given, recorded = split_recorded(X, is_data, given)
    sample = check_sample("", X, *(given.pop(key) for key in PARTS[1:]), pos_label=pos_label)
    other, opened = None, []
    if open_test is not None:
        opened.append(log_line("test events opened", open_test))
        parts = check_parts("test", test, extra=("variables",))
        given = _named_variables(parts.pop("variables", None))
        other = check_sample("test", **parts, pos_label=sample.label[sample.signal][0])
    if class_yields is not None:
        class_yields = check_class_yields(class_yields, np.unique(sample.label).tolist())
    study, warnings = measure(
        named,
        sample,
        test=other,
        train=train,
        class_yields=class_yields,
        variables=_check_variables(given, len(other or sample)),
        feature_names=names,
        style=style,
        with_ranking="Inputs of the model" not in skip,
    )
    if recorded is not None and blind is not None:
        study.recorded = visible_recorded(study, *recorded, blind)
        opened += blind.log
    results = study.numbers
    results["recorded"] = _back.recorded_numbers(study)
    results["verdict"] = verdict(results)
    results["warnings"] = [*warnings, *warnings_for(results)]
    front = _sections.front_tables(study)
    mine = [_back.systematics(systematics, study), *sections]
    return _written(
        study, front, SECTIONS, paths, opened, title, subtitle, mine, skip, cutflow, call
    )


def _written(
    study: Study,
    front: list[Table],
    chapters: Chapters,
    paths: list[Path],
    opened: list[str],
    title: str | None,
    subtitle: str,
    sections: Sequence[Section | None],
    skip: Sequence[str],
    cutflow: Sequence[tuple[str, float]] | None,
    call: str,
) -> Report:
    """Make the sections of a report from its numbers, and write it."""
    results = study.numbers
    results["log"] = _logged(paths, opened)
    results["versions"] = _back.versions()
    kept = [make(study) for name, make in chapters.items() if name not in skip]
    models_at = len(kept) - ("Models" not in skip)
    kept[models_at:models_at] = sections
    kept += [*_back.back_page(study, cutflow, call), _back.log_section(results["log"])]
    report = Report(
        title=title or f"Report on {' and '.join(results['models'])}",
        subtitle=subtitle or study.sample.described(),
        verdict=results["verdict"],
        front=front,
        warnings=results["warnings"],
        sections=[section for section in kept if section is not None],
        footer=", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        numbers=plain_values(results),
    )
    for one in paths:
        report.write(one)
    return report


def _check_paths(path: Any) -> list[Path]:
    """The files to write, which must be writable before work starts."""
    given = [] if path is None else [path] if isinstance(path, (str, os.PathLike)) else list(path)
    paths = [check_report_path(one) for one in given]
    for one in paths:
        writable_folder(one.parent)
        if one.suffix == ".html":
            import_extra("jinja2", "plot,report")
    return paths


def _are_regressors(models: Mapping[str, Any]) -> bool:
    """Tell regressors from classifiers; both in one report are refused."""
    regressors = [name for name, model in models.items() if is_regressor(model)]
    if regressors and len(regressors) < len(models):
        others = [name for name in models if name not in regressors]
        msg = f"{regressors} are regressors and {others} are not: make a report of each kind"
        raise ValueError(msg)
    return bool(regressors)


def _check_arguments(
    test: Any,
    open_test: Any,
    is_data: Any,
    blind: Any,
    skip: Sequence[str],
    systematics: Any,
) -> None:
    if open_test is not None and test is None:
        msg = "open_test is given, but no test events: pass test="
        raise ValueError(msg)
    if is_data is not None and blind is None:
        msg = (
            "there are recorded events: say what of them is not looked at, such as "
            'blind=Blind("score > 0.8"); Blind(...).open(reason) shows them all'
        )
        raise ValueError(msg)
    if blind is not None:
        if not isinstance(blind, Blind):
            msg = f"blind must be a Blind, got {blind!r}"
            raise TypeError(msg)
        if is_data is None:
            msg = "blind is given, but not which events are recorded: pass is_data="
            raise ValueError(msg)
        if open_test is not None:
            msg = (
                "recorded events are compared with the simulation that they came with: make one "
                "report on test events and another on recorded ones"
            )
            raise ValueError(msg)
    if systematics is not None and not isinstance(systematics, SystematicsResult):
        msg = f"systematics must be what evaluate_systematics returns, got {systematics!r}"
        raise TypeError(msg)
    if isinstance(skip, str):
        msg = f"skip must be a list of titles, got the string {skip!r}"
        raise TypeError(msg)


def _check_skip(skip: Sequence[str], chapters: Chapters) -> None:
    unknown = [name for name in skip if name not in chapters]
    if unknown:
        msg = f"skip names {unknown}, but the sections are {list(chapters)}"
        raise ValueError(msg)


def _named_variables(variables: Any) -> dict[str, Any]:
    """Variables as arrays, which travel with the events under names of their own."""
    return {f"variable {name}": values for name, values in (variables or {}).items()}


def _check_variables(given: Mapping[str, Any], n_events: int) -> dict[str, NDArray[np.float64]]:
    found = {}
    for key, values in given.items():
        name = key.removeprefix("variable ")
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (n_events,):
            msg = f"variables[{name!r}] has shape {array.shape}, but there are {n_events} events"
            raise ValueError(msg)
        found[name] = array
    return found


def _logged(paths: list[Path], opened: Sequence[str]) -> list[str]:
    """Add what was opened to the log beside the report, and return all of it."""
    if not paths:
        return list(opened)
    file = paths[0].with_suffix(".log")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    new = [line for line in opened if line not in lines]
    if new:
        write_file(file, "".join(f"{line}\n" for line in [*lines, *new]))
    return [*lines, *new]
