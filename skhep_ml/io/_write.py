"""Predictions of a model back into files."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from skhep_ml._files import new_file, writable_folder
from skhep_ml._routing import last_model
from skhep_ml.io._features import Features, as_list, check_features, identifiers
from skhep_ml.io._source import check_step, compile_all, events_a_step, needed
from skhep_ml.io._sources import find_files, open_source, suffix_of
from skhep_ml.io._targets import TARGETS, check_copy

# tree of a friend file
_FRIEND_TREE = "scores"


def write_scores(
    model: Any,
    files: Any,
    out: str | os.PathLike[str],
    *,
    tree: str | None = None,
    features: Any = None,
    event_number: str | Sequence[str] | None = None,
    branch: str = "score",
    friend: bool = True,
    overwrite: bool = False,
    step_size: int | str = "100 MB",
    max_particles: int | Mapping[str, int] | None = None,
    library: str | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> list[Path]:
    """Write a model's predictions for every event of some files, in the order of the events.

    Parameters
    ----------
    model : fitted estimator
        Its ``predict_proba``, or else ``decision_function``, or else ``predict`` is written.
    files : path or list of paths
        Input, as in `read_events`.
    out : path
        File to write, ``.root`` or ``.parquet``; with several input files the folder for one file
        each, of the same name.
    tree : str, default=None
        Tree of a ROOT file, or group of an HDF5 file.
    features : list of str, mapping of str to str, or mapping of str to lists, default=None
        What the model reads, as in `read_events`. None takes the columns that it was fitted on.
    event_number : str or list of str, default=None
        Branches that identify an event. A rotating model takes for every event the model that has
        not seen it; a friend tree keeps these branches beside the scores.
    branch : str, default="score"
        Name of the new branch. For two classes it holds the probability of the second one; for
        more there is one branch a class, ``score_<class>``.
    friend : bool, default=True
        Write the scores alone: to ROOT as a tree ``scores`` with as many entries as the input, a
        friend tree. False writes a copy of the file with the new branches in its tree.
    overwrite : bool, default=False
        Replace files that exist.
    step_size : int or str, default="100 MB"
        Events, or memory of the branches, to handle at a time.
    max_particles : int or mapping of str to int, default=None
        Length of clouds; needed where the model takes some.
    library : {"pandas", "numpy", "awkward"}, default=None
        What the model is given. None stands for ``"pandas"`` where the model was fitted on named
        columns or takes several inputs, and else for ``"numpy"``.
    n_jobs : int, default=None
        Files at a time, by joblib; under ``joblib.parallel_config("dask")`` on the workers of a
        Dask client, which must see the same folders. Each holds ``step_size`` in memory.
    verbose : int, default=0
        Above 0: a progress bar over the files.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        An unknown tree, branch or format, a rotating model without identifiers, a copy in another
        format, a new branch that is there already, branches that cannot be copied.
    FileExistsError
        An output exists and ``overwrite`` is off; nothing has been written then.
    OSError
        An input that cannot be read, or a folder that cannot be written to.

    See Also
    --------
    read_events : Events for training.
    skhep_ml.model_selection.RotatingClassifier : Models that predict what they have not seen.

    Notes
    -----
    A file is written under a temporary name and renamed when it is complete, so that an
    interrupted run leaves nothing under the final name; files finished before stay. A process that
    is killed leaves its temporary file, a hidden one, which the next that writes the same file on
    the same machine takes away; the file of a Dask worker that dies is written by another worker.

    A copy of a ROOT file is written anew: every branch of numbers and of lists of numbers keeps
    its name, values and type, except that branches which count others become 32-bit integers;
    other trees and objects are copied too, folders are not.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skhep_ml.io import read_events, write_scores
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "events.npz"
    ...     np.savez(path, x=np.arange(4.0), y=2 * np.arange(4.0))
    ...     events = read_events(path, features=["x"], label="y")
    ...     model = LinearRegression().fit(events.data, events.target)
    ...     out = write_scores(model, path, path.with_name("scores.root"))
    ...     read_events(out, features=["score"]).data["score"].round(4).tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    check_step(step_size)
    paths = find_files(files)
    outputs = _outputs(paths, out, overwrite)
    if not isinstance(branch, str) or not re.fullmatch(r"[A-Za-z_]\w*", branch):
        msg = f"branch must be a name of letters, digits and _, got {branch!r}"
        raise ValueError(msg)
    names = getattr(model, "feature_names_in_", None)
    if features is None:
        if names is None:
            msg = (
                f"{type(model).__name__} was fitted without names of columns: give features=, in "
                "the order of its fit"
            )
            raise ValueError(msg)
        features = list(names)
    wanted = check_features(features, library or "pandas", max_particles)
    if library is None and names is None and not wanted.named:
        wanted.library = "numpy"
    score = _Score(model, branch, given=event_number is not None)
    for path in paths:  # all of them, before anything is written
        with closing(open_source(path, tree)) as source:
            needed(compile_all([*wanted.texts(), *as_list(event_number)], source), path)
            if not friend:
                check_copy(source, score.names, suffix_of(os.fspath(outputs[path])))
    written = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_write_one)(
            # workers elsewhere may start in another folder
            score, path if "://" in path else os.path.abspath(path), outputs[path].absolute(),
            tree, wanted, event_number, friend=friend, step_size=step_size,
        )
        for path in paths
    )  # fmt: skip
    for _ in _progress(written, len(paths), verbose):
        pass
    return list(outputs.values())


def _write_one(
    score: _Score,
    path: str,
    out: Path,
    tree: str | None,
    features: Features,
    event_number: Any,
    *,
    friend: bool,
    step_size: int | str,
) -> None:
    """Scores of one file."""
    kind = TARGETS[suffix_of(os.fspath(out))]
    with closing(open_source(path, tree)) as source, new_file(out) as temporary:
        if friend:
            target = kind(temporary, _FRIEND_TREE, None)
        else:
            target = kind(temporary, _tree_name(source), source)
        with closing(target):
            for columns, everything in _scored(
                score, source, features, event_number, friend=friend, step_size=step_size
            ):
                target.write(columns, everything)
            target.finish()


def _scored(
    score: _Score,
    source: Any,
    features: Features,
    event_number: Any,
    *,
    friend: bool,
    step_size: int | str,
) -> Iterator[tuple[dict[str, NDArray[Any]], Any]]:
    """New branches of a file, block by block, and beside them all of the input for a copy."""
    identifying = as_list(event_number) or None
    compiled = compile_all([*features.texts(), *as_list(event_number)], source)
    names = needed(compiled, source.path)
    step = events_a_step(step_size, source, names if friend else source.names)
    if friend:
        blocks = ((block, None) for block in source.blocks(names, step))
    else:
        blocks = source.copies(names, step)
    for arrays, everything in blocks:
        n_events = len(arrays[names[0]])
        ids = identifiers(identifying, compiled, arrays, n_events, source.path)
        if n_events:
            columns = features.columns(compiled, arrays, n_events)
            scores = score(features.build([columns], fixed=True), ids)
        else:
            scores = {name: np.empty(0, dtype=np.float32) for name in score.names}
        if friend and identifying is not None and ids is not None:
            kept = zip(identifying, np.ascontiguousarray(ids.T), strict=True)
            scores = {**dict(kept), **scores}
        yield scores, everything


class _Score:
    """What a model says of events, by branch.

    Attributes
    ----------
    names : list of str
        Branches, as far as they are known before the first event.
    """

    def __init__(self, model: Any, branch: str, *, given: bool) -> None:
        self._branch = branch
        methods = ("predict_proba", "decision_function", "predict")
        method = next((name for name in methods if hasattr(model, name)), None)
        if method is None:
            msg = f"{type(model).__name__} cannot predict: give a fitted classifier or regressor"
            raise ValueError(msg)
        self._predict = getattr(model, method)
        self._is_probability = method == "predict_proba"
        last = last_model(model)
        self._takes_groups = "groups" in inspect.signature(getattr(last, method)).parameters
        needs = getattr(last, "n_id_columns_", 0) and getattr(last, "id_columns", None) is None
        if needs and not given and getattr(last, "unidentified", "raise") == "raise":
            msg = (
                f"this {type(last).__name__} chooses the model of an event by its identifiers: "
                "give event_number=, the same branches as in fit"
            )
            raise ValueError(msg)
        classes = [] if method == "predict" else list(getattr(model, "classes_", []))
        self.names = [branch]
        if len(classes) > 2:
            self.names = [f"{branch}_{re.sub(r'[^0-9A-Za-z_]', '_', str(c))}" for c in classes]
            if len(set(self.names)) < len(self.names):
                self.names = [f"{branch}_{k}" for k in range(len(classes))]

    def __call__(self, X: Any, ids: NDArray[Any] | None) -> dict[str, NDArray[np.float32]]:
        """Scores of events."""
        more = {"groups": ids} if self._takes_groups and ids is not None else {}
        values = np.asarray(self._predict(X, **more))
        if values.dtype.kind not in "fiub":
            msg = f"the model predicts {values.dtype}, only numbers can be written"
            raise ValueError(msg)
        if self._is_probability and values.ndim == 2 and values.shape[1] == 2:
            values = values[:, 1]
        table = values.reshape(len(values), -1).astype(np.float32, copy=False)
        names = self.names
        if len(names) != table.shape[1]:
            names = [f"{self._branch}_{k}" for k in range(table.shape[1])]
        return {name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(names)}


def _tree_name(source: Any) -> str:
    tree = getattr(source, "tree", None)
    return "" if tree is None else tree.object_path.strip("/").partition(";")[0]


def _outputs(paths: Sequence[str], out: Any, overwrite: bool) -> dict[str, Path]:
    """Output of every input, checked before work starts."""
    out = Path(out)
    if out.suffix.lower() in TARGETS:
        if len(paths) > 1:
            msg = f"{len(paths)} files cannot be written to one, {str(out)!r}: give a folder"
            raise ValueError(msg)
        outputs = {paths[0]: out}
    elif out.suffix and not out.is_dir():
        msg = f"out={str(out)!r} must end in one of {', '.join(TARGETS)}, or be a folder"
        raise ValueError(msg)
    else:
        outputs = {}
        for path in paths:
            name = Path(path.partition("?")[0])
            suffix = name.suffix if name.suffix.lower() in TARGETS else ".parquet"
            outputs[path] = out / name.with_suffix(suffix).name
    given = list(outputs.values())
    for target in given:
        if given.count(target) > 1:
            msg = f"several files would be written to {str(target)!r}: score them in several calls"
            raise ValueError(msg)
        if target.exists() and any(os.path.exists(p) and target.samefile(p) for p in paths):
            msg = f"out={str(target)!r} is an input: write elsewhere"
            raise ValueError(msg)
        if target.exists() and not overwrite:
            msg = f"{str(target)!r} exists: pass overwrite=True to replace it"
            raise FileExistsError(msg)
    for folder in {target.parent for target in given}:
        writable_folder(folder)
    return outputs


def _progress(written: Any, n_files: int, verbose: int) -> Any:
    if verbose <= 0:
        return written
    from tqdm.auto import tqdm

    return tqdm(written, total=n_files, desc="files", unit="file")
