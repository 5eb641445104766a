"""Syntax of expressions: parsed by ``ast``, and refused unless every node is on a list."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections.abc import Iterable
from typing import Any

from skhep_ml.io._functions import FUNCTIONS

_MAX_LENGTH, _MAX_DEPTH, _MAX_EXPONENT = 4000, 60, 100
_INT64_MAX = 2**63 - 1
_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr)
_COMPARISON = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_HINTS = {
    ast.Attribute: "attributes are not looked up; a branch name with a dot stands in backticks",
    ast.IfExp: "write where(condition, yes, no)",
    ast.Is: "compare with ==",
    ast.In: "compare with == and join by |",
    ast.BitXor: "a power is written **",
    ast.keyword: "arguments are given by position",
}


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message about an unknown name: what was probably meant, or what there is."""
    known = list(known)
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(lower[other]) for other in close)}?"
    more = f", and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there are {', '.join(known[:12])}{more}" if known else "there are none"


def parse_expression(text: str) -> tuple[ast.expr, dict[str, str]]:
    """Syntax tree of permitted nodes, and what names in backticks stand for in it.

    Raises
    ------
    ValueError
        A text that is no formula, or that holds what is not permitted.
    """
    check_text(text)
    quoted: dict[str, str] = {}
    prefix = "_q"
    while prefix in text:
        prefix += "q"

    def stand_in(match: re.Match[str]) -> str:
        name = f"{prefix}{len(quoted)}"
        quoted[name] = match[1]
        return name

    plain = re.sub(r"`([^`]+)`", stand_in, text).strip()
    if "`" in plain:
        msg = f"{of(text)}a backtick has no partner"
        raise ValueError(msg)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks of the parser on what is refused anyway
            tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error) or "it is nested too deeply"
        hint = "; conditions are joined by & and |" if "&&" in text or "||" in text else ""
        msg = f"{of(text)}this is no formula ({reason}){hint}"
        raise ValueError(msg) from error
    try:
        _check(tree, 0)
    except ValueError as error:
        msg = f"{of(text)}{error}"
        raise ValueError(msg) from None
    return tree, quoted


def of(text: str) -> str:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return f"in the expression {shown!r}: "


def check_text(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        msg = f"an expression is a text such as 'sqrt(px**2 + py**2)', got {text!r}"
        raise ValueError(msg)
    if len(text) > _MAX_LENGTH:
        msg = f"{of(text)}it has {len(text)} characters, more than {_MAX_LENGTH}"
        raise ValueError(msg)
    return text


def _check(node: ast.AST, level: int) -> None:
    """Refuse every node that is not on the list."""
    if level > _MAX_DEPTH:
        msg = f"it is nested more than {_MAX_DEPTH} deep"
        raise ValueError(msg)
    children: list[ast.AST]
    if isinstance(node, ast.Name):
        return
    if isinstance(node, ast.Constant):
        _check_constant(node.value)
        return
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        exponent(node.right)
        children = [node.left]
    elif isinstance(node, ast.BinOp) and (isinstance(node.op, _BINARY)):
        children = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp):
        children = [node.operand]
    elif isinstance(node, ast.BoolOp):
        children = list(node.values)
    elif isinstance(node, ast.Compare):
        children = _compared(node)
    elif isinstance(node, ast.Call):
        children = _arguments(node)
    elif isinstance(node, ast.Subscript):
        children = _subscript(node)
    else:
        what: ast.AST = node.op if isinstance(node, ast.BinOp) else node
        _refuse(what)
    for child in children:
        _check(child, level + 1)


def _refuse(node: ast.AST) -> None:
    hint = _HINTS.get(type(node), "numbers, branches, operators and listed functions are")
    msg = f"{type(node).__name__} is not permitted: {hint}"
    raise ValueError(msg)


def _check_constant(value: Any) -> None:
    if not isinstance(value, (bool, int, float)):
        msg = f"{value!r} is no real number; a text may only be compared with a branch, by == or !="
        raise ValueError(msg)
    if isinstance(value, int) and value > _INT64_MAX:
        msg = f"the integer {str(value)[:24]}... does not fit into 64 bits"
        raise ValueError(msg)


def exponent(node: ast.AST) -> float:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = inner.value if isinstance(inner, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value > _MAX_EXPONENT:
        msg = f"the exponent after ** must be a number of at most {_MAX_EXPONENT}"
        raise ValueError(msg)
    return -value if negative else value


def _compared(node: ast.Compare) -> list[ast.AST]:
    sides = [node.left, *node.comparators]
    for op in node.ops:
        if not isinstance(op, _COMPARISON):
            _refuse(op)
    if len(node.ops) > 1:
        for side in sides[1:-1]:
            if isinstance(side, ast.BinOp) and isinstance(side.op, (ast.BitAnd, ast.BitOr)):
                # a > 1 & b < 2 is a > (1 & b) < 2
                msg = "& and | bind stronger than comparisons: put each of these into parentheses"
                raise ValueError(msg)
    if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
        texts = [side for side in sides if is_text(side)]
        if len(texts) == 1:
            return [side for side in sides if side is not texts[0]]
    return list(sides)


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _arguments(node: ast.Call) -> list[ast.AST]:
    if not isinstance(node.func, ast.Name):
        _refuse(node.func)
    name = getattr(node.func, "id", "")
    if name not in FUNCTIONS:
        close = difflib.get_close_matches(name, FUNCTIONS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        msg = f"unknown function {name!r}: {hint}there are {', '.join(sorted(FUNCTIONS))}"
        raise ValueError(msg)
    if node.keywords:
        _refuse(node.keywords[0])
    expected = FUNCTIONS[name].n_arguments
    if len(node.args) != expected:
        msg = f"{name}() takes {expected} argument{'s' * (expected > 1)}, got {len(node.args)}"
        raise ValueError(msg)
    return list(node.args)


def _subscript(node: ast.Subscript) -> list[ast.AST]:
    """Check ``[:, 0]`` and ``[:, a:b]``; a mask is an expression by itself."""
    key = node.slice
    if not isinstance(key, ast.Tuple):
        if isinstance(key, (ast.Slice, ast.Constant, ast.UnaryOp)) and not _is_mask(key):
            msg = "[...] holds a mask of the particles, or :, and an index, as in jets[:, 0]"
            raise ValueError(msg)
        return [node.value, key]
    particle_key(key)
    return [node.value]


def _is_mask(key: ast.AST) -> bool:
    return isinstance(key, ast.UnaryOp) and isinstance(key.op, (ast.Invert, ast.Not))


def particle_key(key: ast.Tuple) -> int | slice:
    """Index or slice of the particles in ``[:, ...]``."""
    first = key.elts[0] if len(key.elts) == 2 else None
    everything = isinstance(first, ast.Slice) and (first.lower, first.upper, first.step) == (
        None,
        None,
        None,
    )
    if everything:
        second = key.elts[1]
        if not isinstance(second, ast.Slice):
            return _whole(second)
        if second.step is None:
            ends = [None if end is None else _whole(end) for end in (second.lower, second.upper)]
            return slice(*ends)
    msg = "particles are taken by [:, index] or [:, first:last]"
    raise ValueError(msg)


def _whole(node: ast.AST) -> int:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    value = inner.value if isinstance(inner, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int) or value > 1_000_000:
        msg = "the index of a particle must be a whole number of at most a million"
        raise ValueError(msg)
    return -value if negative else value
