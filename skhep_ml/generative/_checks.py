"""Checks of parameters that several generative models have."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuse a value that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        msg = f"{name} must be one of {tuple(choices)}, got {value!r}"
        raise ValueError(msg)


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


def check_widths(name: str, value: Any) -> None:
    """Refuse anything but a non-empty sequence of positive integers."""
    good = isinstance(value, (tuple, list)) and len(value) > 0
    if not good or not all(isinstance(k, numbers.Integral) and int(k) > 0 for k in value):
        msg = f"{name} must be a tuple of positive numbers of nodes, got {value!r}"
        raise ValueError(msg)
