"""The work of reading: which files, which branches, which weights; checked before it starts."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skhep_ml.io._expression import Expression
from skhep_ml.io._features import (
    Features,
    as_list,
    check_features,
    condition,
    identifiers,
    per_event,
    real_numbers,
)
from skhep_ml.io._source import compile_all, events_a_step, needed
from skhep_ml.io._sources import find_files, open_source
from skhep_ml.io._syntax import nearest

# bytes of the branches that are in memory at a time while everything is read
READ_STEP = "1 GB"
# more labels than these are a regression target
_MAX_CLASSES = 100
_KEYS = {"files", "tree", "label", "weight", "selection", "scale", "cross_section", "sum_weights"}


@dataclass
class _Process:
    """Files that are read alike."""

    name: str | None
    files: list[str]
    tree: str | None
    label: Any
    weight: list[str]
    selection: str | None
    scale: float = 1.0
    cross_section: float | None = None
    sum_weights: Any = None


@dataclass
class _Block:
    """What was selected of a block of events, ``n_read`` of them."""

    n_read: int
    columns: dict[str, dict[str, Any]]
    weight: NDArray[np.float64]
    target: NDArray[Any] | None
    event_number: NDArray[Any] | None
    process: NDArray[Any] | None


class _Progress:
    """A bar over the files, where one is wanted."""

    def __init__(self, plan: Plan) -> None:
        self._bar: Any = None
        if plan.verbose > 0:
            from tqdm.auto import tqdm

            total = sum(len(process.files) for process in plan.processes)
            self._bar = tqdm(total=total, desc="files", unit="file")

    def update(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass
class Plan:
    """Checked arguments of `read_events` and `iterate_events`."""

    processes: list[_Process]
    features: Features
    event_number: str | list[str] | None
    max_events: int | None
    luminosity: float | None
    verbose: int
    _scales: dict[int, float] = field(default_factory=dict)

    def texts(self, process: _Process) -> list[str]:
        """All expressions that a process needs."""
        texts = [*self.features.texts(), *process.weight, *as_list(self.event_number)]
        return texts + [
            text for text in (process.label, process.selection) if isinstance(text, str)
        ]

    def check_names(self, processes: Sequence[_Process]) -> None:
        """Find every name in the first file of each process, before anything is read."""
        for process in processes:
            with closing(open_source(process.files[0], process.tree)) as source:
                needed(compile_all(self.texts(process), source), process.files[0])

    def blocks(self, step_size: int | str) -> Iterator[_Block]:
        """Selected events, block by block; at the end, errors about the whole.

        Raises
        ------
        ValueError
            No event passed, or all weights are zero.
        """
        n_selected, any_weight = 0, False
        with _Progress(self) as progress:
            for process in self.processes:
                left = self.max_events
                for path in process.files:
                    if left == 0:
                        break
                    for block in self._file_blocks(process, path, step_size, left):
                        if left is not None:
                            left -= block.n_read
                        n_selected += len(block.weight)
                        any_weight = any_weight or bool(block.weight.any())
                        if len(block.weight):
                            yield block
                    progress.update()
        if not n_selected:
            texts = sorted({p.selection for p in self.processes if p.selection is not None})
            what = f"selection={texts[0]!r} passes no event" if texts else "there is no event"
            names = [path for process in self.processes for path in process.files]
            msg = f"{what} in {', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)}"
            raise ValueError(msg)
        if not any_weight:
            msg = (
                f"the weights of all {n_selected} selected events are zero: look at weight= and "
                "at the scales of the processes"
            )
            raise ValueError(msg)

    def _file_blocks(
        self, process: _Process, path: str, step_size: int | str, left: int | None
    ) -> Iterator[_Block]:
        scale = self._scale(process)
        with closing(open_source(path, process.tree)) as source:
            compiled = compile_all(self.texts(process), source)
            names = needed(compiled, path)
            step = events_a_step(step_size, source, names)
            for arrays in source.blocks(names, step if left is None else min(step, left)):
                n_read = len(arrays[names[0]])
                if left is not None:
                    if n_read > left:
                        arrays = {name: array[:left] for name, array in arrays.items()}
                        n_read = left
                    left -= n_read
                yield self._select(process, path, compiled, arrays, n_read, scale)
                if left == 0:
                    break

    def _select(
        self,
        process: _Process,
        path: str,
        compiled: dict[str, Expression],
        arrays: dict[str, Any],
        n_read: int,
        scale: float,
    ) -> _Block:
        n_events = n_read
        if process.selection is not None:
            passed = condition(process.selection, compiled[process.selection](arrays), n_read)
            if not passed.all():
                arrays = {name: array[passed] for name, array in arrays.items()}
                n_events = int(np.count_nonzero(passed))
        weight = np.full(n_events, scale)
        for text in process.weight:
            weight *= real_numbers(text, compiled[text](arrays), n_events)
        if not np.isfinite(weight).all():
            bad = int(np.argmax(~np.isfinite(weight)))
            msg = (
                f"{path!r}: the weight {' * '.join(process.weight)} is {weight[bad]} in selected "
                f"event {bad} of a block: leave such events out by selection="
            )
            raise ValueError(msg)
        target = None
        if isinstance(process.label, str):
            target = per_event(compiled[process.label](arrays), n_events, process.label)
            if target.dtype.kind == "b":
                target = target.astype(np.int64)
        elif process.label is not None:
            target = np.full(n_events, process.label)
        return _Block(
            n_read=n_read,
            columns=self.features.columns(compiled, arrays, n_events),
            weight=weight,
            target=target,
            event_number=identifiers(self.event_number, compiled, arrays, n_events, path),
            process=None if process.name is None else np.full(n_events, process.name),
        )

    def _scale(self, process: _Process) -> float:
        """Factor of the process: luminosity times cross section over the generated weights."""
        if process.cross_section is None:
            return process.scale
        if id(process) not in self._scales:
            total = self._generated(process)
            if not total > 0:
                msg = (
                    f"process {process.name!r}: its generated weights sum to {total:.6g}, which "
                    "no cross section can be divided by: look at weight= or give sum_weights"
                )
                raise ValueError(msg)
            assert self.luminosity is not None
            factor = self.luminosity * process.cross_section / total
            self._scales[id(process)] = process.scale * factor
        return self._scales[id(process)]

    def _generated(self, process: _Process) -> float:
        """Sum of the generated weights, before any selection."""
        if isinstance(process.sum_weights, numbers.Real):
            return float(process.sum_weights)
        total, left = 0.0, self.max_events
        tree, texts = process.tree, process.weight
        if process.sum_weights is not None:
            tree, text = process.sum_weights
            texts, left = [text], None
        for path in process.files:
            if left == 0:
                break
            with closing(open_source(path, tree)) as source:
                compiled = compile_all(texts, source)
                # of events without weights, any branch gives the number
                names = needed(compiled, path) if texts else source.names[:1]
                for arrays in source.blocks(names, events_a_step(READ_STEP, source, names)):
                    n_events = len(arrays[names[0]])
                    weight = np.ones(n_events)
                    for text in texts:
                        weight *= real_numbers(text, compiled[text](arrays), n_events)
                    if left is not None:
                        weight = weight[:left]
                        left -= len(weight)
                    total += float(weight.sum())
        return total

    def bunch(self, blocks: Sequence[_Block], *, fixed: bool = False) -> Bunch:
        """Join blocks to the Bunch that users see."""
        first = blocks[0]
        target = None if first.target is None else _joined([b.target for b in blocks])
        weight = _joined([b.weight for b in blocks])
        made = Bunch(
            data=self.features.build([b.columns for b in blocks], fixed=fixed),
            target=target,
            weight=weight,
            event_number=None
            if first.event_number is None
            else _joined([b.event_number for b in blocks]),
            process=None if first.process is None else _joined([b.process for b in blocks]),
            feature_names=self.features.names,
        )
        if target is not None and target.dtype.kind in "iubUO":
            labels, codes = np.unique(target, return_inverse=True)
            if len(labels) <= _MAX_CLASSES:
                sums = np.bincount(codes, weights=weight, minlength=len(labels))
                made.class_yields = dict(zip(labels.tolist(), sums.tolist(), strict=True))
        if self.luminosity is not None:
            made.luminosity = float(self.luminosity)
        return made


# --- arguments ------------------------------------------------------------------------------------


def make_plan(
    files: Any,
    tree: str | None,
    features: Any,
    *,
    label: Any,
    weight: Any,
    event_number: Any,
    selection: Any,
    processes: Any,
    luminosity: Any,
    max_events: Any,
    max_particles: Any,
    library: Any,
    verbose: int,
) -> Plan:
    """Check everything that can be checked before events are read."""
    if (files is None) == (processes is None):
        msg = "give either files= or processes="
        raise ValueError(msg)
    positive = isinstance(max_events, numbers.Integral) and int(max_events) > 0
    if max_events is not None and not positive:
        msg = f"max_events must be a positive whole number, got {max_events!r}"
        raise ValueError(msg)
    if luminosity is not None and not (_is_real(luminosity) and luminosity > 0):
        msg = f"luminosity must be a positive number, got {luminosity!r}"
        raise ValueError(msg)
    shared = {"tree": tree, "label": label, "weight": weight, "selection": selection}
    if processes is None:
        made = [_process(None, {**shared, "files": files}, luminosity)]
    else:
        if not isinstance(processes, Mapping) or not processes:
            msg = "processes must be a mapping of names to dicts with files, label, ..."
            raise ValueError(msg)
        made = []
        for name, given in processes.items():
            _check_keys(name, given)
            made.append(_process(str(name), {**shared, **given}, luminosity))
        unlabelled = [process.name for process in made if process.label is None]
        if unlabelled and len(unlabelled) < len(made):
            msg = f"process {unlabelled[0]!r} has no label, but others have: give it one"
            raise ValueError(msg)
    return Plan(
        processes=made,
        features=check_features(features, library, max_particles),
        event_number=event_number
        if event_number is None or isinstance(event_number, str)
        else list(event_number),
        max_events=None if max_events is None else int(max_events),
        luminosity=luminosity,
        verbose=verbose,
    )


def _check_keys(name: Any, given: Any) -> None:
    if not isinstance(given, Mapping) or "files" not in given:
        msg = f"process {name!r} must be a dict with files, got {given!r}"
        raise ValueError(msg)
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        msg = f"process {name!r} has the unknown key {unknown[0]!r}: {nearest(unknown[0], _KEYS)}"
        raise ValueError(msg)


def _process(name: str | None, given: Mapping[str, Any], luminosity: Any) -> _Process:
    scale, sigma = given.get("scale", 1.0), given.get("cross_section")
    total = given.get("sum_weights")
    for key, value in (("scale", scale), ("cross_section", sigma)):
        if value is not None and not _is_real(value):
            msg = f"process {name!r}: {key} must be a number, got {value!r}"
            raise ValueError(msg)
    if sigma is not None and luminosity is None:
        msg = f"process {name!r} has a cross section: give luminosity="
        raise ValueError(msg)
    if total is not None and sigma is None:
        msg = f"process {name!r} has sum_weights, but no cross_section to divide by it"
        raise ValueError(msg)
    pair = isinstance(total, (tuple, list)) and len(total) == 2
    if total is not None and not _is_real(total) and not pair:
        msg = f"process {name!r}: sum_weights must be a number or (tree, branch), got {total!r}"
        raise ValueError(msg)
    label = given["label"]
    if label is not None and not isinstance(label, (str, numbers.Real)):
        msg = f"label must be an expression or a number, got {label!r}"
        raise ValueError(msg)
    return _Process(
        name=name,
        files=find_files(given["files"]),
        tree=given["tree"],
        label=int(label) if isinstance(label, bool) else label,
        weight=as_list(given["weight"]),
        selection=given["selection"],
        scale=float(scale),
        cross_section=None if sigma is None else float(sigma),
        sum_weights=total,
    )


def _is_real(value: Any) -> bool:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _joined(parts: Sequence[Any]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
