"""Files by name: globs, formats, and opening."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from skhep_ml.io._array_sources import CsvSource, Hdf5Source, NumpySource
from skhep_ml.io._source import Source, check_address
from skhep_ml.io._syntax import nearest
from skhep_ml.io._tree_sources import ParquetSource, RootSource

_FORMATS: dict[str, Any] = {
    ".root": RootSource,
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
    ".h5": Hdf5Source,
    ".hdf5": Hdf5Source,
    ".csv": CsvSource,
    ".npz": NumpySource,
    ".npy": NumpySource,
}


def find_files(files: Any) -> list[str]:
    """Paths, globs expanded and sorted; remote ones as they are.

    Raises
    ------
    ValueError
        No file, or one that comes twice.
    FileNotFoundError
        A path or a glob without a file; the message names the nearest.
    """
    given = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    found: list[str] = []
    for item in given:
        path = os.fspath(item)
        if "://" in path or os.path.exists(path):
            found.append(path)
        elif glob.has_magic(path) and (matches := sorted(glob.glob(path, recursive=True))):
            found.extend(matches)
        else:
            name, colon, tree = path.rpartition(":")
            if colon and os.path.exists(name):
                msg = f"there is no file {path!r}: give the tree apart, as tree={tree!r}"
                raise FileNotFoundError(msg)
            folder = Path(path).parent
            beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
            what = "no file matches" if glob.has_magic(path) else "there is no file"
            hint = nearest(Path(path).name, beside) if beside else f"{str(folder)!r} has no files"
            msg = f"{what} {path!r}: {hint}"
            raise FileNotFoundError(msg)
    if not found:
        msg = f"files={files!r} names no file"
        raise ValueError(msg)
    seen: dict[str, str] = {}
    for path in found:
        place = path if "://" in path else os.path.realpath(path)
        if place in seen:
            other = "" if seen[place] == path else f" (as {seen[place]!r}, too)"
            msg = f"{path!r} comes twice in files{other}: its events would count twice"
            raise ValueError(msg)
        seen[place] = path
    return found


def suffix_of(path: str) -> str:
    """Format by the end of the name, ``.gz`` and the like left out."""
    suffixes = [suffix.lower() for suffix in Path(path.partition("?")[0]).suffixes]
    if suffixes and suffixes[-1] in (".gz", ".bz2", ".xz", ".zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_source(path: str, tree: str | None = None) -> Source:
    """Open a file by the end of its name.

    Raises
    ------
    ValueError
        An unknown format, a tree that is not there or not told.
    OSError
        A file that cannot be read; the message names it.
    ModuleNotFoundError
        A package for the format or the address is not installed.
    """
    suffix = suffix_of(path)
    if suffix not in _FORMATS:
        msg = f"{path!r}: the format {suffix!r} is not known; there are {', '.join(_FORMATS)}"
        raise ValueError(msg)
    opener = _FORMATS[suffix]
    if tree is not None and opener not in (RootSource, Hdf5Source):
        msg = f"{path!r} has no trees: leave tree={tree!r} out"
        raise ValueError(msg)
    # pandas opens web addresses by itself
    if "://" in path and not (opener is CsvSource and path.startswith(("http://", "https://"))):
        check_address(path)
    return opener(path, tree)
