"""Arrays of HDF5 and NumPy files, and text files of columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._extras import import_extra
from skhep_ml.io._source import Closing, check_names, opened, remote_handle, unreadable
from skhep_ml.io._syntax import nearest

# lines read of a text file to learn its columns and the size of a row
_CSV_SAMPLE = 1000


class Hdf5Source(Closing):
    """Data sets of an HDF5 file, named by their paths, or the fields of one compound data set."""

    def __init__(self, path: str, tree: str | None = None) -> None:
        h5py = import_extra("h5py", "root")
        self.path = path
        self._handle = remote_handle(path)
        self.file = opened(path, lambda: h5py.File(self._handle or path, "r"))
        groups: list[str] = []
        self._sets: dict[str, tuple[Any, str | None]] = {}

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset):
                groups.append(name)
            elif item.dtype.names:
                groups.append(name)
                if name == tree:
                    self._sets.update({field: (item, field) for field in item.dtype.names})
            elif item.ndim and (tree is None or name.startswith(f"{tree}/")):
                short = name if tree is None else name[len(tree) + 1 :]
                self._sets[short] = (item, None)

        opened(path, lambda: self.file.visititems(visit))
        self.names = list(self._sets)
        if tree is not None and not self._sets:
            self.close()
            msg = f"{path!r} has no group {tree!r}: {nearest(tree, groups)}"
            raise ValueError(msg)

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes of an event."""
        check_names(self.path, names, self.names)
        total = 0.0
        for name in names:
            data, field = self._sets[name]
            size = (data.dtype if field is None else data.dtype[field]).itemsize
            total += size * float(np.prod(data.shape[1:]))
        return total

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Blocks of the data sets."""
        check_names(self.path, names, self.names)
        lengths = {name: int(self._sets[name][0].shape[0]) for name in names}
        n_events = lengths[names[0]]
        for name, length in lengths.items():
            if length != n_events:
                msg = f"{self.path!r}: {names[0]!r} has {n_events} entries, {name!r} {length}"
                raise ValueError(msg)
        for start in range(0, n_events, step):
            try:
                block = {name: self._read(name, start, start + step) for name in names}
            except Exception as error:
                raise unreadable(self.path, error, f" from entry {start} on") from error
            yield block

    def _read(self, name: str, start: int, stop: int) -> Any:
        data, field = self._sets[name]
        values = data[start:stop] if field is None else data.fields(field)[start:stop]
        if values.dtype.kind == "O":  # texts and lists of variable length
            if len(values) and isinstance(values[0], np.ndarray):
                ak = import_extra("awkward", "root")
                counts = [len(item) for item in values]
                return ak.unflatten(ak.from_numpy(np.concatenate(list(values))), counts)
            return np.array([item.decode() for item in values], dtype=str)
        if values.dtype.kind == "S":
            return np.char.decode(values)
        return values

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        if self._handle is not None:
            self._handle.close()


class CsvSource(Closing):
    """A text file of columns, the first line their names."""

    def __init__(self, path: str, tree: str | None = None) -> None:
        self._pandas = import_extra("pandas", "root")
        self.path = path
        sample = opened(path, lambda: self._pandas.read_csv(path, nrows=_CSV_SAMPLE))
        self.names = [str(name) for name in sample.columns]
        if all(_is_number(name) for name in self.names):
            msg = f"{path!r} has no line with the names of its columns: add one"
            raise ValueError(msg)
        self._sample = sample
        self._check_end()

    def _check_end(self) -> None:
        """A last line with too few columns is what a broken copy leaves; pandas fills it up."""
        if "://" in self.path or Path(self.path).suffix.lower() != ".csv":
            return
        with open(self.path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            lines = file.read().splitlines()
        last = next((line for line in reversed(lines) if line.strip()), b"")
        if b'"' not in last and last.count(b",") + 1 != len(self.names):
            where = f" in its last line ({last.count(b',') + 1} of {len(self.names)} columns)"
            raise unreadable(self.path, ValueError("the line ends early"), where)

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes of an event, of the first ones."""
        check_names(self.path, names, self.names)
        used = self._sample[list(names)].memory_usage(index=False, deep=True).sum()
        return float(used) / max(len(self._sample), 1)

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Blocks of lines."""
        check_names(self.path, names, self.names)
        done = 0
        try:
            with self._pandas.read_csv(
                self.path, usecols=list(names), chunksize=step, low_memory=False
            ) as reader:
                for frame in reader:
                    yield {name: _from_series(frame[name]) for name in names}
                    done += len(frame)
        except Exception as error:
            raise unreadable(self.path, error, f" from entry {done} on") from error

    def close(self) -> None:
        """Nothing stays open."""


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return True
    return False


def _from_series(series: Any) -> NDArray[Any]:
    values = np.asarray(series)
    return values.astype(str) if values.dtype.kind not in "fiub" else values


class NumpySource(Closing):
    """Arrays of ``.npz``, fields of a structured ``.npy``, or one array called ``data``."""

    def __init__(self, path: str, tree: str | None = None) -> None:
        self.path = path
        if Path(path).suffix.lower() == ".npy":
            self.file = opened(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        else:
            handle = remote_handle(path) or open(path, "rb")  # noqa: SIM115, closed with the archive
            try:
                self.file = opened(path, lambda: np.load(handle, allow_pickle=False))
            except OSError:
                handle.close()
                raise
            self._handle = handle
        if isinstance(self.file, np.ndarray):
            fields = self.file.dtype.names
            self.names = list(fields) if fields else ["data"]
        else:
            self.names = list(self.file.files)

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes of an event."""
        arrays = [self._array(name) for name in names]
        return sum(array.nbytes / max(len(array), 1) for array in arrays)

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Blocks of the arrays; an ``.npz`` file gives them only as a whole."""
        check_names(self.path, names, self.names)
        try:
            arrays = {name: self._array(name) for name in names}
        except Exception as error:
            raise unreadable(self.path, error) from error
        n_events = len(arrays[names[0]])
        for name, array in arrays.items():
            if len(array) != n_events:
                msg = f"{self.path!r}: {names[0]!r} has {n_events} entries, {name!r} {len(array)}"
                raise ValueError(msg)
        for start in range(0, n_events, step):
            yield {name: np.asarray(array[start : start + step]) for name, array in arrays.items()}

    def _array(self, name: str) -> NDArray[Any]:
        if isinstance(self.file, np.ndarray):
            return self.file if name == "data" and not self.file.dtype.names else self.file[name]
        return self.file[name]

    def close(self) -> None:
        """Close the archive."""
        if not isinstance(self.file, np.ndarray):
            self.file.close()
            self._handle.close()
