"""TOML with the line of every key, so that a mistake can be pointed at."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Key = tuple[str | int, ...]


class Lines:
    """Where the keys of a TOML text stand."""

    def __init__(self, text: str) -> None:
        self._line: dict[Key, int] = {}
        for path, line in _positions(text):
            for n in range(1, len(path) + 1):  # tables that no line of their own begins, too
                self._line.setdefault(path[:n], line)

    def of(self, path: Key) -> int | None:
        """Line of a key, or of the nearest table that holds it; None for the whole file."""
        while path and path not in self._line:
            path = path[:-1]
        return self._line.get(path)


def read_toml(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Lines]:
    """Read a file and the positions of its keys.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not TOML; the message has line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows begins with a mark
        return tomllib.loads(text), Lines(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"{os.fspath(path)} is not TOML: {error}"
        raise ValueError(msg) from error


def _positions(text: str) -> Iterator[tuple[Key, int]]:
    table: Key = ()
    n_tables: dict[Key, int] = {}
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            read = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a string or an array that goes on in the next line
        if statement.lstrip().startswith("["):
            table = _numbered(_single_path(read), n_tables)
            if statement.lstrip().startswith("[["):
                n_tables[table] = n_tables.get(table, -1) + 1
                table = (*table, n_tables[table])
            yield table, start
        else:
            for path in _paths(read):
                yield (*table, *path), start
        statement, start = "", number + 1


def _single_path(read: Any) -> Key:
    path: Key = ()
    while isinstance(read, (dict, list)) and read:
        if isinstance(read, list):
            read = read[0]
            continue
        ((key, read),) = read.items()
        path = (*path, key)
    return path


def _numbered(path: Key, n_tables: dict[Key, int]) -> Key:
    """Path with the number of the last table of each array of tables on its way."""
    out: Key = ()
    for key in path[:-1]:
        out = (*out, key)
        if out in n_tables:
            out = (*out, n_tables[out])
    return (*out, *path[-1:])


def _paths(value: Any, path: Key = ()) -> Iterator[Key]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from _paths(item, (*path, key))
