"""The call that makes a report again."""

import inspect
from collections.abc import Mapping
from typing import Any

from skhep_ml.plotting import Blind

#: Arguments that are shown as they are; others are arrays or tables and keep their names.
_SHOWN = ("models", "path", "class_yields", "cutflow", "skip", "feature_names", "blind")


def call_text(arguments: Mapping[str, Any]) -> str:
    """Text of the call of ``make_report`` with these arguments; arrays keep their names."""
    lines = ["from skhep_ml.report import make_report", "", "make_report("]
    for name, value in arguments.items():
        if value is None or (name in ("sections", "skip", "subtitle") and not value):
            continue
        shown = name in _SHOWN or isinstance(value, (str, int, float))
        text = construction(value) if shown else name
        lines.append(f"    {text}," if name in ("models", "X", "y") else f"    {name}={text},")
    return "\n".join([*lines, ")"])


def construction(value: Any) -> str:
    """Code that constructs a model with what was changed from the defaults, or another value."""
    if isinstance(value, type) or inspect.isfunction(value):
        return value.__name__
    if hasattr(value, "get_params"):
        known = inspect.signature(type(value).__init__).parameters
        changed = []
        for name, one in value.get_params(deep=False).items():
            text = construction(one)
            # a net takes the parameters of its module and optimizer by such names
            is_own = name not in known and "__" in name
            if is_own or (name in known and text != construction(known[name].default)):
                changed.append(f"{name}={text}")
        return f"{type(value).__name__}({', '.join(changed)})"
    if isinstance(value, Blind) and value.is_open:
        return f"{value!r}.open({value.log[-1].rpartition(': ')[2]!r})"
    if isinstance(value, Mapping):
        items = (f"{key!r}: {construction(one)}" for key, one in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(construction(one) for one in value)}]"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        inside = ", ".join(construction(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return " ".join(repr(value).split())
