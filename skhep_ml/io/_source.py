"""What the sources of all formats share."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from skhep_ml._extras import import_extra
from skhep_ml.io._expression import Expression
from skhep_ml.io._syntax import nearest

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class Source(Protocol):
    """An open file.

    Attributes
    ----------
    path : str
        Where it lies.
    names : list of str
        Its branches.
    """

    path: str
    names: list[str]

    def entry_bytes(self, names: Sequence[str]) -> float:
        """Bytes that an event takes in memory, roughly."""

    def blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Any]]:
        """Events in blocks of at most ``step``: ndarrays, or awkward arrays where jagged."""

    def close(self) -> None:
        """Close the file."""


def check_names(path: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Raise a ValueError for a branch that the file does not have."""
    have = set(known)
    for name in names:
        if name not in have:
            msg = f"{path!r} has no branch {name!r}: {nearest(name, known)}"
            raise ValueError(msg)


def unreadable(path: str, error: BaseException, where: str = "") -> OSError:
    """Error that names the file, and the entry where it is known."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    msg = (
        f"{path!r} cannot be read{where} ({type(error).__name__}: {reason[:160]}): the file is "
        "damaged or incomplete; copy it again, or leave it out"
    )
    return OSError(msg)


def opened(path: str, call: Callable[[], Any]) -> Any:
    """What ``call`` returns; whatever a library says of a damaged file becomes an OSError."""
    try:
        return call()
    except (FileNotFoundError, PermissionError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise unreadable(path, error) from error


class Closing:
    """What a ``with`` statement needs."""

    file: Any

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def from_awkward(ak: Any, array: Any) -> Any:
    """Flat arrays as ndarrays, NaN where missing; jagged ones without options."""
    if array.ndim == 1 and not array.fields:
        if "string" in str(array.type):
            return np.array(array.to_list(), dtype=str)
        flat: Any = ak.to_numpy(array, allow_missing=True)
        if np.ma.isMaskedArray(flat):
            if np.ma.getmaskarray(flat).any():
                kind = flat.dtype if flat.dtype.kind == "f" else np.dtype(np.float64)
                return np.ma.filled(flat.astype(kind), np.nan)
            return flat.data
        return flat
    if array.fields or array.ndim > 2:
        return array
    if "?" in str(array.type):
        array = ak.fill_none(ak.fill_none(array, [], axis=0), np.nan, axis=None)
    return ak.from_regular(array, axis=1)


# packages that fsspec needs for an address
_PACKAGES = {
    "gs": "gcsfs",
    "http": "aiohttp requests",
    "https": "aiohttp requests",
    "root": "fsspec-xrootd xrootd",
    "s3": "s3fs",
}


def check_address(path: str) -> None:
    """Refuse an address that fsspec cannot open, before anything is tried.

    Raises
    ------
    ModuleNotFoundError
        A package for it is not installed.
    ValueError
        There is no such kind of address.
    """
    fsspec = import_extra("fsspec", "root")
    for kind in path.partition("://")[0].split("::"):
        try:
            fsspec.get_filesystem_class(kind)
        except ImportError as error:
            package = _PACKAGES.get(kind)
            what = f"pip install {package}" if package else str(error)
            msg = f"{path!r} cannot be read without the package for {kind}:// addresses: {what}"
            raise ModuleNotFoundError(msg) from error
        except ValueError as error:
            known = nearest(kind, fsspec.available_protocols())
            msg = f"{path!r}: there are no addresses {kind}://: {known}"
            raise ValueError(msg) from error


def remote_handle(path: str) -> Any:
    """Open an address with ``://`` through fsspec; None for a local path."""
    return import_extra("fsspec", "root").open(path, "rb").open() if "://" in path else None


def check_step(step_size: int | str) -> float:
    """Number of events, or bytes, that a step size stands for."""
    if isinstance(step_size, numbers.Integral) and not isinstance(step_size, bool):
        if int(step_size) > 0:
            return float(step_size)
    elif isinstance(step_size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]+)\s*", step_size)
        if match and match[2].lower() in _UNITS and float(match[1]) > 0:
            return float(match[1]) * _UNITS[match[2].lower()]
    msg = f'step_size must be a number of events or a size such as "100 MB", got {step_size!r}'
    raise ValueError(msg)


def events_a_step(step_size: int | str, source: Source, names: Sequence[str]) -> int:
    """Events of a source to read at a time."""
    size = check_step(step_size)
    if isinstance(step_size, str):
        size /= max(source.entry_bytes(names), 1.0)
    return max(1, int(size))


def compile_all(texts: Sequence[str], source: Source) -> dict[str, Expression]:
    """Expressions on the branches of a file.

    Raises
    ------
    ValueError
        A wrong expression; the message names the file.
    """
    compiled = {}
    for text in texts:
        try:
            compiled[text] = Expression(text, source.names)
        except ValueError as error:
            inside = getattr(source, "inside", lambda text: "")(text)
            msg = f"{source.path!r}: {error}{inside}"
            raise ValueError(msg) from error
    return compiled


def needed(compiled: Mapping[str, Expression], path: str) -> list[str]:
    """Branches that the expressions need, each once."""
    names = list(dict.fromkeys(name for one in compiled.values() for name in one.names))
    if not names:
        msg = f"{path!r}: features and selection name no branch"
        raise ValueError(msg)
    return names
