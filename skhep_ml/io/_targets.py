"""Files that scores are written to: new columns, or columns beside those of the input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skhep_ml._extras import import_extra
from skhep_ml.io._source import Source
from skhep_ml.io._tree_sources import ParquetSource, RootSource


class Target(Protocol):
    """An open output file."""

    def write(self, columns: Mapping[str, Any], block: Any) -> None:
        """Append new columns, and the block of the input that belongs to them, or None."""

    def finish(self) -> None:
        """Write what comes after the events."""

    def close(self) -> None:
        """Close the file."""


class RootTarget:
    """A tree of the scores alone, or of the branches of a file and the scores.

    Parameters
    ----------
    path : Path
        File to write.
    tree : str
        Name of the tree.
    source : RootSource or None
        File whose tree, and whatever else it holds, is copied.
    """

    def __init__(self, path: Path, tree: str, source: RootSource | None) -> None:
        self._uproot = import_extra("uproot", "root")
        self._name = tree
        self._source = source
        self._counters = {} if source is None else counters(source)
        self._file = self._uproot.recreate(path)
        self._tree: Any = None

    def write(self, columns: Mapping[str, Any], block: Any) -> None:
        """Append events; ``block`` holds the branches of the input."""
        data = {**self._grouped(block or {}), **columns}
        if self._tree is None:
            self._tree = self._new_tree(self._name, data)
        self._tree.extend(data)

    def _new_tree(self, name: str, data: Mapping[str, Any]) -> Any:
        return self._file.mktree(
            name,
            {key: _type(value) for key, value in data.items()},
            # groups of jagged branches stand under "_" and the name of their counter
            counter_name=lambda group: group[1:],
            field_name=lambda group, branch: branch,
        )

    def _grouped(self, block: Mapping[str, Any]) -> dict[str, Any]:
        """Jagged branches by their counter; the counters themselves are written with them."""
        ak = import_extra("awkward", "root") if self._counters else None
        groups: dict[str, dict[str, Any]] = {}
        out = {}
        for name, array in block.items():
            if name in self._counters:
                groups.setdefault(self._counters[name], {})[name] = array
            elif name not in self._counters.values():
                out[name] = array
        if ak is not None:
            out.update({f"_{counter}": ak.zip(fields) for counter, fields in groups.items()})
        return out

    def finish(self) -> None:
        """Copy what else the input holds."""
        if self._source is not None:
            copy_rest(self._source, self._file, self._copy_tree)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _copy_tree(self, source: RootSource, name: str) -> None:
        """Copy another tree of the input."""
        self._counters = counters(source)
        tree = None
        for _, block in source.copies([], max(source.n_events, 1)):
            data = self._grouped(block)
            tree = self._new_tree(name, data) if tree is None else tree
            tree.extend(data)


def _type(values: Any) -> Any:
    """Type of a branch, as uproot takes it."""
    if isinstance(values, np.ndarray):
        return np.dtype((values.dtype, values.shape[1:]))
    return values.type.content


def counters(source: RootSource) -> dict[str, str]:
    """Name of the branch that counts the particles of each jagged branch.

    Raises
    ------
    ValueError
        A tree that cannot be written again; the message names the branch.
    """
    uproot = import_extra("uproot", "root")
    found = {}
    for name in source.names:
        branch = source.tree[name]
        kind = getattr(branch, "interpretation", None)
        jagged = isinstance(kind, uproot.AsJagged) and isinstance(kind.content, uproot.AsDtype)
        if not jagged and not isinstance(kind, uproot.AsDtype):
            msg = (
                f"{source.path!r}: branch {name!r} of type {getattr(branch, 'typename', '?')} "
                "cannot be copied to a new tree: write a friend tree, with friend=True"
            )
            raise ValueError(msg)
        if jagged:
            count = branch.member("fLeaves")[0].member("fLeafCount")
            # a vector has no branch that counts it, and gets one
            found[name] = f"n{name}" if count is None else count.member("fName")
    return found


def copy_rest(source: RootSource, file: Any, copy_tree: Any) -> None:
    """Copy the other objects of a ROOT file, its trees by ``copy_tree``."""
    taken = source.tree.object_path.strip("/").partition(";")[0]
    classes = source.file.classnames(cycle=False, recursive=True)
    plain = {name for name, kind in classes.items() if _is_plain(kind)}
    if plain:
        file.copy_from(source.file, filter_name=lambda name: name in plain)
        if ";1" in file.keys():  # noqa: SIM118, uproot 5.7 makes a folder without a name
            del file[";1"]
    for name, kind in classes.items():
        if kind == "TTree" and name != taken:
            with RootSource(source.path, name) as other:
                copy_tree(other, name)


def _is_plain(kind: str) -> bool:
    """Whether uproot copies objects of this class as they are."""
    return kind != "TTree" and not kind.endswith("RNTuple") and not kind.startswith("TDirectory")


class ParquetTarget:
    """A Parquet file of the scores alone, or of the columns of a file and the scores."""

    def __init__(self, path: Path, tree: str, source: ParquetSource | None) -> None:
        self._parquet = import_extra("pyarrow.parquet", "root")
        self._arrow = import_extra("pyarrow", "root")
        self._path = path
        self._writer: Any = None

    def write(self, columns: Mapping[str, Any], block: Any) -> None:
        """Append events; ``block`` is a table of the input."""
        table = self._arrow.table({name: self._arrow.array(v) for name, v in columns.items()})
        if block is not None:
            for name in reversed(block.column_names):
                table = table.add_column(0, block.schema.field(name), block.column(name))
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def finish(self) -> None:
        """Nothing comes after the events."""

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


TARGETS: dict[str, Any] = {".root": RootTarget, ".parquet": ParquetTarget, ".pq": ParquetTarget}


def check_copy(source: Source, names: list[str], suffix: str) -> None:
    """Whether a source can be copied to this format beside new columns of these names."""
    kinds = {RootTarget: RootSource, ParquetTarget: ParquetSource}
    if not isinstance(source, kinds[TARGETS[suffix]]):
        msg = (
            f"{source.path!r}: a copy is made of ROOT files to ROOT and of Parquet files to "
            "Parquet; for others write the scores alone, with friend=True"
        )
        raise ValueError(msg)
    if isinstance(source, RootSource):
        counters(source)
    clash = [name for name in names if name in source.names]
    if clash:
        msg = f"{source.path!r} has a branch {clash[0]!r} already: give another branch="
        raise ValueError(msg)
