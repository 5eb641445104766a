"""Progress of long commands, stage by stage."""

import contextlib
import time
from collections.abc import Iterator
from typing import TextIO


class Stages:
    """Progress on a stream, and the seconds of every stage."""

    def __init__(self, total: int, stream: TextIO | None) -> None:
        self.total = total
        self.stream = stream
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str, what: str) -> Iterator[None]:
        self._print(f"[{len(self.seconds) + 1}/{self.total}] {what} ...")
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            self._print("\n")
            raise
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self._print(f" {self.seconds[name]:.1f} s\n")

    def _print(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(text)
            self.stream.flush()
