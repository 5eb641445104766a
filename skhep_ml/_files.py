"""Files that appear whole or not at all, and folders checked before work starts."""

import glob
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name to write to, renamed to ``path`` at the end; an error leaves nothing behind.

    What processes of this machine that were killed have left of the same file is taken away.
    """
    path = Path(path)
    start = f".{path.name}.{platform.node()}."
    for other in path.parent.glob(f"{glob.escape(start)}*.tmp"):
        number = other.name[len(start) : -len(".tmp")]
        if number.isdecimal() and not _is_running(int(number)):
            other.unlink(missing_ok=True)
    temporary = path.with_name(f"{start}{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # a signal would end it there
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file under a temporary name beside its place, then rename it.

    A reader sees the old content or the new one, never a part.
    """
    with new_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder where there is none and check that files can be written to it.

    Raises
    ------
    OSError
        It cannot be made, or not be written to; the message is for users.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"cannot write to the output directory {str(folder)!r} ({reason}): choose another"
        raise OSError(msg) from error
    return folder
