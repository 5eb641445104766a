"""Checks of parameters that several generative models have."""

from __future__ import annotations

import math
import numbers
from typing import Any


def check_count(name: str, value: Any, *, least: int = 1) -> None:
    """Refuse anything but an integer of at least ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or int(value) < least:
        msg = f"{name} must be an integer of at least {least}, got {value!r}"
        raise ValueError(msg)


def check_number(name: str, value: Any, *, least: float = 0.0, above: bool = False) -> None:
    """Refuse anything but a finite number of at least, or above, ``least``."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < least or (above and value == least):
        words = "above" if above else "of at least"
        msg = f"{name} must be a finite number {words} {least:g}, got {value!r}"
        raise ValueError(msg)
