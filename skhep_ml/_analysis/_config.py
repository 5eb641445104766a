"""What a file for ``skhep-ml train`` may say, checked as a whole before anything is done."""

import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.pipeline import make_pipeline

from skhep_ml._analysis._build import build_estimator, build_search, build_space
from skhep_ml._analysis._catalog import scorer
from skhep_ml._analysis._toml import Key, read_toml
from skhep_ml._version import __version__
from skhep_ml.io._syntax import nearest, parse_expression


@dataclass
class Process:
    """Files of one process."""

    files: list[str]
    label: int
    cross_section: float | None = None
    scale: float = 1.0
    sum_weights: Any = None
    weight: list[str] | None = None
    selection: str | None = None


@dataclass
class Analysis:
    """What a file asks for."""

    path: Path
    features: dict[str, str]
    processes: dict[str, Process]
    model: Any
    tree: str | None = None
    event_number: list[str] = field(default_factory=list)
    weight: list[str] = field(default_factory=list)
    selection: str | None = None
    max_events: int | None = None
    luminosity: float | None = None
    n_splits: int = 5
    salt: int = 0
    validation_fold: bool = False
    scoring: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path("skhep-ml-output")
    report: bool = True
    signal: int | None = None
    onnx: bool = False
    scores: str = "friend"
    branch: str = "score"
    #: what the models depend on, apart from the events
    fingerprint: str = ""


def read_analysis(path: str | os.PathLike[str]) -> Analysis:
    """Read and check a file.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        All its mistakes, each with line and key.
    """
    content, lines = read_toml(path)
    reader = _Reader(content, Path(path))
    analysis = reader.read()
    if reader.mistakes:
        found = [(lines.of(where) or 1, _key(where), what) for where, what in reader.mistakes]
        name = os.fspath(path)
        listed = [f"{name}:{line}: {key}: {what}" for line, key, what in sorted(found)]
        raise MistakesError(name, listed)
    return analysis


class MistakesError(ValueError):
    """Mistakes in a file, each with its line."""

    def __init__(self, path: str, mistakes: list[str]) -> None:
        many = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
        super().__init__(f"{many} in {path}")
        self.mistakes = mistakes


def _key(path: Key) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "the file"


_TABLES = (
    "input", "features", "processes", "pipeline", "folds", "search", "evaluation", "output",
)  # fmt: skip


class _Reader:
    def __init__(self, content: dict[str, Any], path: Path) -> None:
        self.content = content
        self.path = path
        self.mistakes: list[tuple[Key, str]] = []

    def read(self) -> Any:
        self._keys((), self.content, _TABLES)
        given: dict[str, Any] = {"path": self.path}
        given |= self._plain(
            "input",
            tree=_text, event_number=_texts, weight=_formulas, selection=_formula,
            max_events=_positive_int, luminosity=_positive,
        )  # fmt: skip
        if "event_number" not in self._table("input"):
            self._mistake(
                ("input", "event_number"),
                "is needed: name the branches that identify an event, by which it is scored by "
                "the model that has not seen it",
            )
        given["features"] = self._features(self._table("features"))
        given["processes"] = self._processes(self._table("processes"))
        given |= self._plain("folds", n_splits=_splits, salt=_int, validation_fold=_bool)
        labels = sorted({process.label for process in given["processes"].values()})
        given["scoring"] = self._scorers(len(labels))
        model = self._model()
        given["model"] = self._search(model, len(labels)) if "search" in self.content else model
        output = self._plain(
            "output",
            folder=_text, report=_bool, signal=_int, onnx=_bool, scores=_scores, branch=_name,
        )  # fmt: skip
        self._check_signal(labels, output)
        output["folder"] = self.path.parent / output.get("folder", Analysis.folder)
        used: dict[str, Any] = {n: self.content.get(n) for n in ("pipeline", "folds", "search")}
        used["versions"] = _versions()
        return None if self.mistakes else Analysis(**given, **output, fingerprint=repr(used))

    def _check_signal(self, labels: list[int], output: dict[str, Any]) -> None:
        signal = output.get("signal")
        if signal is not None and signal not in labels:
            self._mistake(("output", "signal"), f"no process has this label: there are {labels}")
        elif signal is None and len(labels) > 2 and output.get("report", True):
            self._mistake(
                ("output", "signal"),
                f"is needed for the report, with {len(labels)} labels: name that of the signal, "
                "against which all others are background; or leave it out by report = false",
            )

    def _mistake(self, path: Key, what: str) -> None:
        self.mistakes.append((path, what))

    def _try(self, path: Key, convert: Callable[..., Any], *args: Any) -> Any:
        """Value of ``convert(*args)``; what it refuses is a mistake of this key."""
        try:
            return convert(*args)
        except (ValueError, TypeError) as error:
            self._mistake(path, " ".join(str(error).split()))
            return None

    def _keys(self, path: Key, table: dict[str, Any], allowed: Any) -> None:
        for key in table:
            if key not in allowed:
                self._mistake((*path, key), f"unknown key: {nearest(key, allowed)}")

    def _table(self, name: str) -> dict[str, Any]:
        table = self.content.get(name, {})
        if not isinstance(table, dict):
            self._mistake((name,), f"must be a table [{name}]")
            return {}
        return table

    def _plain(self, name: str, **allowed: Callable[[Any], Any]) -> dict[str, Any]:
        return self._values((name,), self._table(name), allowed)

    def _values(
        self, path: Key, table: dict[str, Any], allowed: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any]:
        """Values of a table that are right."""
        self._keys(path, table, allowed)
        known = {key: value for key, value in table.items() if key in allowed}
        right = {key: self._try((*path, key), allowed[key], known[key]) for key in known}
        return {key: value for key, value in right.items() if value is not None}

    def _features(self, table: dict[str, Any]) -> dict[str, str]:
        if not table:
            self._mistake(("features",), "name at least one: [features] holds NAME = FORMULA")
        return {name: self._try(("features", name), _formula, text) for name, text in table.items()}

    def _processes(self, table: dict[str, Any]) -> dict[str, Process]:
        out = {}
        for name, process in table.items():
            path: Key = ("processes", name)
            if not isinstance(process, dict):
                self._mistake(path, f"must be a table [processes.{name}]")
                continue
            checks = {
                "files": self._files, "label": _label, "cross_section": _positive,
                "scale": _positive, "sum_weights": _sum_weights, "weight": _formulas,
                "selection": _formula,
            }  # fmt: skip
            for needed in ("files", "label"):
                if needed not in process:
                    self._mistake(path, f"has no {needed!r}")
            found = self._values(path, process, checks)
            if name in ("", ".", "..") or "/" in name or "\\" in name:
                self._mistake(path, f"the name {name!r} cannot be that of a folder")
            if "sum_weights" in found and "cross_section" not in found:
                self._mistake((*path, "sum_weights"), "needs cross_section, which it divides")
            if "cross_section" in found and "luminosity" not in self._table("input"):
                self._mistake(
                    (*path, "cross_section"), "needs luminosity in [input], in inverse units"
                )
            if {"files", "label"} <= set(found):
                out[name] = Process(**found)
        labels = {process.label for process in out.values()}
        if len(out) == len(table) and len(labels) < 2:
            what = f"all have the label {labels.pop()}" if labels else "name at least two"
            self._mistake(("processes",), f"{what}: a classifier needs two labels")
        return out

    def _files(self, value: Any) -> list[str]:
        found: list[str] = []
        for pattern in _texts(value):
            if "://" in pattern:
                found.append(pattern)
                continue
            matches = sorted(glob.glob(str(self.path.parent / pattern)))
            if not matches:
                msg = f"no file matches {pattern!r} (seen from {str(self.path.parent)!r})"
                raise ValueError(msg)
            found += matches
        return found

    def _scorers(self, n_labels: int) -> dict[str, Any]:
        table = self._table("evaluation")
        self._keys(("evaluation",), table, ["scoring"])
        usual = ["roc_auc", "background_rejection"] if n_labels <= 2 else ["roc_auc"]
        asked = table.get("scoring", usual)
        if not isinstance(asked, list) or not asked:
            self._mistake(("evaluation", "scoring"), "must be a list of scorers")
            return {}
        found = [
            self._try(("evaluation", "scoring", k), scorer, one, n_labels)
            for k, one in enumerate(asked)
        ]
        return dict(pair for pair in found if pair is not None)

    def _model(self) -> Any:
        steps = self.content.get("pipeline", [])
        if not isinstance(steps, list) or not steps:
            self._mistake(("pipeline",), 'name at least one step: [[pipeline]] with class = "..."')
            return None
        built = [
            self._try(("pipeline", k), build_estimator, step, self._at(("pipeline", k)))
            for k, step in enumerate(steps)
        ]
        if any(step is None for step in built):
            return None
        model = self._try(("pipeline",), make_pipeline, *built) if len(built) > 1 else built[0]
        if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
            name = type(built[-1]).__name__
            self._mistake(
                ("pipeline", len(built) - 1), f"the last step must classify, {name} does not"
            )
            return None
        return model

    def _search(self, model: Any, n_labels: int) -> Any:
        """Search around a model; without one, because of mistakes, check what can be checked."""
        options = self._plain(
            "search",
            method=_method, scoring=_any, space=_any, n_iter=_positive_int, n_splits=_splits,
            time_limit=_positive, random_state=_int,
        )  # fmt: skip
        asked = options.get("scoring", "roc_auc")
        found = self._try(("search", "scoring"), scorer, asked, n_labels)
        if model is None:
            return None
        where: Key = ("search", "space")
        asked, method = options.get("space", "auto"), options.get("method", "bayes")
        space = self._try(where, build_space, model, asked, method, self._at(where))
        if self.mistakes:
            return None
        options |= {"space": space, "scoring": found[1]}
        return self._try(("search",), build_search, model, options)

    def _at(self, path: Key) -> Callable[[Key, str], None]:
        """Takes mistakes at paths below this one."""
        return lambda below, what: self._mistake((*path, *below), what)


def _any(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        msg = f"must be a text, got {value!r}"
        raise ValueError(msg)
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        msg = f"must be a text or a list of texts, got {value!r}"
        raise ValueError(msg)
    return [_text(one) for one in value]


def _name(value: Any) -> str:
    if not _text(value).isidentifier():
        msg = f"must be a name of letters, digits and _, got {value!r}"
        raise ValueError(msg)
    return value


def _formula(value: Any) -> str:
    parse_expression(_text(value))
    return value


def _formulas(value: Any) -> list[str]:
    return [_formula(one) for one in _texts(value)]


def _sum_weights(value: Any) -> Any:
    if isinstance(value, list):
        if len(value) == 2:
            return _text(value[0]), _formula(value[1])
    elif not isinstance(value, str):
        return _positive(value)
    msg = f'must be a number, or a tree and a branch, as in ["Runs", "genEventSumw"], got {value!r}'
    raise ValueError(msg)


def _versions() -> list[str]:
    """Versions of what models are made with: their folds are not taken over by others."""
    import sklearn
    import torch
    import xgboost

    return [__version__, *(str(one.__version__) for one in (sklearn, torch, xgboost))]


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        msg = f"must be true or false, got {value!r}"
        raise ValueError(msg)
    return value


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"must be an integer, got {value!r}"
        raise ValueError(msg)
    return value


def _label(value: Any) -> int:
    if _int(value) < 0:
        msg = f"must be an integer from 0 (0 for background, 1 for signal), got {value!r}"
        raise ValueError(msg)
    return value


def _positive_int(value: Any) -> int:
    if _int(value) < 1:
        msg = f"must be at least 1, got {value!r}"
        raise ValueError(msg)
    return value


def _splits(value: Any) -> int:
    if _int(value) < 2:
        msg = f"must be at least 2, got {value!r}"
        raise ValueError(msg)
    return value


def _positive(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e300:
        msg = f"must be a positive number, got {value!r}"
        raise ValueError(msg)
    return float(value)


def _scores(value: Any) -> str:
    if value not in ("friend", "copy", "none"):
        msg = f'must be "friend", "copy" or "none", got {value!r}'
        raise ValueError(msg)
    return value


def _method(value: Any) -> str:
    if value not in ("bayes", "random", "grid"):
        msg = f'must be "bayes", "random" or "grid", got {value!r}'
        raise ValueError(msg)
    return value
