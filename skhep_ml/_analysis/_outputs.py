"""What a run leaves in its folder, and what it takes away of an earlier one."""

import json
import os
from pathlib import Path
from typing import Any

from skhep_ml._files import write_file
from skhep_ml.io._sources import suffix_of
from skhep_ml.io._targets import TARGETS

_RECORD = ".made_from.json"


def places(files: list[str]) -> dict[Path, list[str]]:
    """Files by the folder for their scores: by their own folders where names come twice.

    Examples
    --------
    >>> from skhep_ml._analysis._outputs import places
    >>> [(str(folder), files) for folder, files in places(["a/x.root", "b/y.root"]).items()]
    [('.', ['a/x.root', 'b/y.root'])]
    >>> [str(folder) for folder in places(["a/x.root", "b/x.root"])]
    ['a', 'b']
    """
    if len({Path(file).stem for file in files}) == len(files):
        return {Path(): files}
    parents = [
        os.path.dirname("/" + file.replace("://", "/") if "://" in file else os.path.abspath(file))
        for file in files
    ]
    common = os.path.commonpath(parents)
    found: dict[Path, list[str]] = {}
    for parent, file in zip(parents, files, strict=True):
        found.setdefault(Path(os.path.relpath(parent, common)), []).append(file)
    return found


def score_file(file: str) -> str:
    """Name of the file of scores that `write_scores` makes for an input."""
    name = Path(file.partition("?")[0])
    return name.name if suffix_of(name.name) in TARGETS else name.with_suffix(".parquet").name


def keep_only(folder: Path, made_from: Any, outputs: list[str]) -> Path:
    """Take away what a run from something else wrote, so that a folder holds one result.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    made_from : JSON
        What the outputs depend on.
    outputs : list of str
        Files that this run is to write, relative to ``folder``.

    Returns
    -------
    Path
        The record of it; files that are newer belong to it.
    """
    record = folder / _RECORD
    now = {"made_from": made_from, "outputs": outputs}
    before = _read(record)
    if before != now:
        for name in before.get("outputs", []):
            old = folder / name
            if name not in outputs or before.get("made_from") != made_from:
                old.unlink(missing_ok=True)
        write_file(record, json.dumps(now))
    return record


def _read(record: Path) -> dict[str, Any]:
    """An earlier record; of a damaged one, nothing."""
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
        names = before["outputs"]
        inside = all(not os.path.isabs(name) and ".." not in Path(name).parts for name in names)
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return before if inside else {}
