"""Trees of ROOT files, and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skhep_ml._extras import import_extra
from skhep_ml.io._source import (
    Closing,
    check_names,
    from_awkward,
    opened,
    remote_handle,
    unreadable,
)
from skhep_ml.io._syntax import nearest

# events that tell the size of all
_SAMPLE = 100


class RootSource(Closing):
    """A TTree or RNTuple of a ROOT file."""

    def __init__(self, path: str, tree: str | None = None) -> None:
        uproot = import_extra("uproot", "root")
        self.path = path
        # a mapping, so that a colon in the path is no tree; nothing is read twice: no cache
        self.file = opened(path, lambda: uproot.open({path: None}, array_cache=None))
        try:
            self.tree = _opened_tree(self.file, path, tree)
            self.names = opened(path, lambda: list(self.tree.keys(recursive=False)))
            self.n_events = opened(path, lambda: int(self.tree.num_entries))
        except BaseException:
            self.file.close()
            raise

    def inside(self, text: str) -> str:
        """End of a message about an expression that names a part of a split branch."""
        for path in self.tree.keys(recursive=True):
            _, split, name = path.rpartition("/")
            if split and name in text:
                return (
                    f" ({path!r} is a part of a split object, and only plain branches are read: "
                    f"write the array that uproot gives, tree[{path!r}].array(), to a new file)"
                )
        return ""

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes of an event before compression."""
        branches = [self.tree[name] for name in names]
        if all(hasattr(branch, "uncompressed_bytes") for branch in branches):
            return sum(b.uncompressed_bytes for b in branches) / max(self.n_events, 1)
        # fields of an RNTuple do not tell: look at the first events
        few = self.tree.arrays(
            filter_name=lambda name: name in names, entry_stop=_SAMPLE, library="ak"
        )
        return few.nbytes / max(len(few), 1)

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Blocks of the tree."""
        check_names(self.path, names, self.names)
        ak = None if self._flat(names) else import_extra("awkward", "root")
        for block in self._safely(names, step, "np" if ak is None else "ak"):
            arrays = {name: block[name] for name in names}
            if ak is not None:
                arrays = {name: from_awkward(ak, array) for name, array in arrays.items()}
            yield arrays

    def _safely(self, names: Sequence[str], step: int, library: str) -> Iterator[Any]:
        """`_iterate`, with an error that names the file and the entry."""
        done = 0
        try:
            for block in self._iterate(set(names), step, library):
                yield block
                done += len(block[names[0]])
        except Exception as error:
            entry = self._first_unreadable(names, done)
            raise unreadable(self.path, error, f" from entry {entry} on") from error

    def copies(
        self, names: Sequence[str], step: int
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Blocks of some branches, and of all of them as they are to be written again."""
        ak = import_extra("awkward", "root")
        for block in self._safely(self.names, step, "ak"):
            everything = {}
            for name in self.names:
                array = block[name]
                regular = "var" not in str(array.type)
                everything[name] = ak.to_numpy(array) if regular else array
            yield {name: from_awkward(ak, block[name]) for name in names}, everything

    def _iterate(self, names: set[str], step: int, library: str) -> Iterator[Any]:
        if step >= self.n_events:  # one call is faster than an iteration of one step
            yield self.tree.arrays(filter_name=lambda name: name in names, library=library)
        else:
            yield from self.tree.iterate(
                filter_name=lambda name: name in names, step_size=step, library=library
            )

    def _flat(self, names: Sequence[str]) -> bool:
        uproot = import_extra("uproot", "root")
        kinds = [getattr(self.tree[name], "interpretation", None) for name in names]
        return all(isinstance(kind, uproot.AsDtype) and kind.inner_shape == () for kind in kinds)

    def _first_unreadable(self, names: Sequence[str], start: int) -> int:
        """First entry of the first basket that cannot be read."""
        first = self.n_events
        for name in names:
            branch = self.tree[name]
            for k in range(getattr(branch, "num_baskets", 0)):
                entry = int(branch.entry_offsets[k])
                if branch.entry_offsets[k + 1] <= start or entry >= first:
                    continue
                try:
                    branch.basket(k)
                except Exception:  # whatever a damaged basket raises is the answer
                    first = entry
        return max(first if first < self.n_events else start, start)


def _opened_tree(file: Any, path: str, tree: str | None) -> Any:
    """The tree of this name, or the only one."""
    classes = opened(path, lambda: file.classnames(cycle=False))
    trees = [
        name
        for name, kind in classes.items()
        if kind in ("TTree", "TNtuple", "TNtupleD") or kind.endswith("RNTuple")
    ]
    if tree is None:
        if len(trees) == 1:
            return opened(path, lambda: file[trees[0]])
        what = f"has the trees {', '.join(trees)}: give tree=" if trees else "has no tree"
        msg = f"{path!r} {what}"
        raise ValueError(msg)
    if tree.partition(";")[0] not in trees:
        msg = f"{path!r} has no tree {tree!r}: {nearest(tree, trees)}"
        raise ValueError(msg)
    return opened(path, lambda: file[tree])


class ParquetSource(Closing):
    """A Parquet file."""

    def __init__(self, path: str, tree: str | None = None) -> None:
        parquet = import_extra("pyarrow.parquet", "root")
        self.path = path
        self._handle = remote_handle(path)
        self.file = opened(path, lambda: parquet.ParquetFile(self._handle or path))
        self.names = list(self.file.schema_arrow.names)
        self.n_events = int(self.file.metadata.num_rows)

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes of an event before compression."""
        meta, wanted = self.file.metadata, set(names)
        total = 0
        for group in range(meta.num_row_groups):
            row_group = meta.row_group(group)
            for k in range(row_group.num_columns):
                column = row_group.column(k)
                if column.path_in_schema.partition(".")[0] in wanted:
                    total += column.total_uncompressed_size
        return total / max(self.n_events, 1)

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Blocks of the table."""
        for table in self._tables(names, step):
            yield {name: _from_arrow(table.column(name)) for name in names}

    def copies(self, names: Sequence[str], step: int) -> Iterator[tuple[dict[str, Any], Any]]:
        """Blocks of some columns, and of all of them as they are to be written again."""
        for table in self._tables(self.names, step):
            yield {name: _from_arrow(table.column(name)) for name in names}, table

    def _tables(self, names: Sequence[str], step: int) -> Iterator[Any]:
        check_names(self.path, names, self.names)
        arrow = import_extra("pyarrow", "root")
        done = 0
        try:
            if step >= self.n_events:
                yield self.file.read(columns=list(names))
                return
            for batch in self.file.iter_batches(batch_size=step, columns=list(names)):
                yield arrow.Table.from_batches([batch])
                done += batch.num_rows
        except Exception as error:
            raise unreadable(self.path, error, f" from entry {done} on") from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        if self._handle is not None:
            self._handle.close()


def _from_arrow(column: Any) -> Any:
    """A column of numbers or texts as an ndarray, of lists as an awkward array."""
    pa = import_extra("pyarrow", "root")
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=str)
    nested = pa.types.is_nested(kind)
    if not nested and not column.null_count:
        return column.to_numpy()
    ak = import_extra("awkward", "root")
    return from_awkward(ak, ak.from_arrow(column))
