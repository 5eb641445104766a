"""Finished trials of a search, in a file that survives a killed run."""

import json
import os
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skhep_ml._files import write_file

_FORMAT = {"format": "skhep_ml search", "version": 1}


class TrialFile:
    """Append batches of trials to a file, one line each, and read them back.

    A line is the CRC-32 of its JSON and the JSON. The first names the search, so that trials of
    another one are refused. Reading stops at the first line that is not whole.

    Parameters
    ----------
    path : path-like
        The file; it is made when the first batch is written.
    search : dict of str to str
        What makes the search what it is; all must agree for the trials to be used.
    """

    def __init__(self, path: str | os.PathLike[str], search: dict[str, str]) -> None:
        self.path = Path(path)
        self.search = search
        if not self.path.parent.is_dir():
            msg = f"checkpoint={str(self.path)!r}: the folder {self.path.parent} does not exist"
            raise FileNotFoundError(msg)
        if self.path.is_dir():
            msg = f"checkpoint={str(self.path)!r} is a folder: name a file"
            raise IsADirectoryError(msg)

    def read(self) -> list[dict[str, Any]]:
        """Return the batches in the file; none if there is no file.

        Raises
        ------
        ValueError
            The file is not one of finished trials, or those of another search.

        Warns
        -----
        UserWarning
            The end of the file is damaged; the trials before it are used.
        """
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        entries = list(_whole_entries(text))
        if not entries:
            # a run killed within its very first line leaves a part of it and no trial
            if not text or _line(self._header()).startswith(text.strip("\n")):
                self.path.unlink()
                return []
            msg = (
                f"checkpoint={str(self.path)!r} holds no trials that can be read: it is left as it "
                "is; give another file, or remove it to start again"
            )
            raise ValueError(msg)
        header, *batches = entries
        self._check_header(header)
        n_lines = text.count("\n")
        if n_lines != len(entries) or not text.endswith("\n"):
            msg = (
                f"checkpoint={str(self.path)!r} is damaged after {len(batches)} batches of trials: "
                "the search goes on from there"
            )
            warnings.warn(msg, UserWarning, stacklevel=2)
            write_file(self.path, "".join(_line(entry) for entry in entries))
        return batches

    def append(self, batch: dict[str, Any]) -> None:
        """Write a batch so that it is on disk when this returns."""
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if new:
                file.write(_line(self._header()))
            file.write(_line(batch))
            file.flush()
            os.fsync(file.fileno())

    def _header(self) -> dict[str, Any]:
        return {**_FORMAT, "search": self.search}

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("format") != _FORMAT["format"] or header.get("version") != 1:
            msg = f"checkpoint={str(self.path)!r} was not written by this version of BayesSearchCV"
            raise ValueError(msg)
        theirs = header["search"]
        differing = [name for name in self.search if theirs.get(name) != self.search[name]]
        if differing:
            msg = (
                f"checkpoint={str(self.path)!r} belongs to another search (other "
                f"{', '.join(differing)}): it is left as it is. Give this search a file of its own"
            )
            raise ValueError(msg)


def recorded_seed(path: str | os.PathLike[str]) -> int | None:
    """Seed of the search whose trials a file holds; None without a readable file."""
    path = Path(path)
    if not path.is_file():
        return None
    for header in _whole_entries(path.read_text(encoding="utf-8", errors="replace")):
        seed = header.get("search", {}).get("random_state", "")
        return int(seed) if seed.isdigit() else None
    return None


def _line(entry: dict[str, Any]) -> str:
    content = json.dumps(entry, default=_plain)
    return f"{zlib.crc32(content.encode()):08x} {content}\n"


def _whole_entries(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines(keepends=True):
        checksum, _, content = line.rstrip("\n").partition(" ")
        if not line.endswith("\n") or f"{zlib.crc32(content.encode()):08x}" != checksum:
            return
        yield json.loads(content)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{type(value).__name__} cannot be written to a checkpoint"
    raise TypeError(msg)
