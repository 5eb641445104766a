"""Formulas of branches, computed by a walk over their checked syntax tree.

A formula holds numbers, branch names, ``+ - * / // % **``, comparisons, ``& | ~`` and ``and or
not``, the functions of `FUNCTIONS`, ``jets[:, 0]`` (NaN where missing), ``jets[:, :2]`` and
``jets[mask]``. Names that Python does not know as such stand in backticks.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml.events import is_awkward
from skhep_ml.io._functions import (
    FUNCTIONS,
    as_jagged,
    depth,
    element,
    first_particles,
    leaf_dtype,
    numbers,
    selected,
)
from skhep_ml.io._syntax import (
    check_text,
    exponent,
    is_text,
    nearest,
    of,
    parse_expression,
    particle_key,
)

_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISON: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class Expression:
    """A formula of branches.

    Parameters
    ----------
    text : str
        The formula. If this is, as a whole, the name of a branch, then it means that branch.
    branches : iterable of str
        Branches that there are.

    Attributes
    ----------
    text : str
        The formula as given.
    names : list of str
        Branches that it needs, in the order in which they appear.

    Raises
    ------
    ValueError
        A text that is no formula, something that is not permitted, an unknown function, an unknown
        branch (the message names the nearest).

    Examples
    --------
    >>> import numpy as np
    >>> from skhep_ml.io._expression import Expression
    >>> formula = Expression("log1p(pt) / 2", ["pt", "eta"])
    >>> formula.names, formula({"pt": np.array([0.0, 1.0])}).round(3).tolist()
    (['pt'], [0.0, 0.347])
    """

    def __init__(self, text: str, branches: Iterable[str]) -> None:
        self.text = check_text(text)
        known = set(branches)
        if text in known:
            self.names = [text]
            self._tree: ast.expr = ast.Name(text)
            return
        self._tree, quoted = parse_expression(text)
        self.names = []
        for node in _names(self._tree):
            node.id = quoted.get(node.id, node.id)
            if node.id not in known:
                what = "function" if node.id in FUNCTIONS else "branch"
                hint = (
                    f"functions are called, as in {node.id}(...)"
                    if what == "function"
                    else nearest(node.id, branches)
                )
                msg = f"{of(text)}unknown branch {node.id!r}: {hint}"
                raise ValueError(msg)
            if node.id not in self.names:
                self.names.append(node.id)

    def __call__(self, arrays: Mapping[str, Any]) -> Any:
        """Value of the formula: an array with one entry an event, jagged array, or a number.

        Parameters
        ----------
        arrays : mapping of str to array
            Branches: 1-D ndarrays, awkward arrays, or 2-D ndarrays (a fixed number of particles).

        Raises
        ------
        ValueError
            Operands that do not fit together.
        """
        if isinstance(self._tree, ast.Name):
            return arrays[self._tree.id]
        try:
            with np.errstate(all="ignore"):
                return _value(self._tree, arrays)
        except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError) as error:
            # awkward appends a drawing of the operands
            reason = str(error).strip().partition("\n")[0]
            if reason.startswith("cannot broadcast nested list"):
                reason = "its jagged branches have different numbers of particles in an event"
            msg = f"{of(self.text)}{reason}"
            raise ValueError(msg) from error


def _names(tree: ast.AST) -> list[ast.Name]:
    """Branch names in the order of the text; the names of functions are not among them."""
    if isinstance(tree, ast.Name):
        return [tree]
    if isinstance(tree, ast.Call):
        return [name for argument in tree.args for name in _names(argument)]
    return [name for child in ast.iter_child_nodes(tree) for name in _names(child)]


def _value(node: ast.AST, arrays: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return arrays[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return _binary(node, arrays)
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, arrays)
        if type(node.op) in _SIGNS:
            return _SIGNS[type(node.op)](numbers(inner))
        return np.logical_not(_truth(inner))
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = _truth(_value(node.values[0], arrays))
        for other in node.values[1:]:
            result = join(*_aligned(result, _truth(_value(other, arrays))))
        return result
    if isinstance(node, ast.Compare):
        return _compare(node, arrays)
    if isinstance(node, ast.Call):
        function = FUNCTIONS[node.func.id]  # type: ignore[attr-defined]
        given = [_value(argument, arrays) for argument in node.args]
        if function.n_arguments > 1 or node.func.id == "abs":  # type: ignore[attr-defined]
            given = [numbers(value) if leaf_dtype(value).kind in "iu" else value for value in given]
        return function.call(*_aligned(*given))
    assert isinstance(node, ast.Subscript)
    return _take(node, arrays)


def _binary(node: ast.BinOp, arrays: Mapping[str, Any]) -> Any:
    left = _value(node.left, arrays)
    if isinstance(node.op, ast.Pow):
        return _floats(left) ** exponent(node.right)
    right = _value(node.right, arrays)
    if isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return _bitwise(node.op, *_aligned(left, right))
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)) or not _is_unsigned(left, right):
        left, right = numbers(left), numbers(right)
    left, right = _aligned(left, right)
    return _ARITHMETIC[type(node.op)](left, right)


def _is_unsigned(left: Any, right: Any) -> bool:
    """Whether there is a 64-bit identifier, which division and remainder take as it is."""
    return any(leaf_dtype(side) == np.uint64 for side in (left, right))


def _floats(value: Any) -> Any:
    """Integers as float64: their powers soon leave 64 bits."""
    if leaf_dtype(value).kind in "iub":
        return np.multiply(numbers(value), 1.0)
    return value


def _aligned(*values: Any) -> list[Any]:
    """2-D arrays as awkward ones where they meet numbers that belong to events or jagged arrays."""
    depths = {depth(value) for value in values} - {0}
    if len(depths) > 1 or any(is_awkward(value) for value in values):
        return [
            as_jagged(value) if isinstance(value, np.ndarray) and value.ndim == 2 else value
            for value in values
        ]
    return list(values)


def _truth(value: Any) -> Any:
    return value if leaf_dtype(value).kind == "b" else value != 0


def _bitwise(op: ast.operator, left: Any, right: Any) -> Any:
    kinds = {leaf_dtype(side).kind.replace("u", "i") for side in (left, right)}
    if kinds not in ({"b"}, {"i"}):
        msg = (
            "& and | join two comparisons, or the bits of two integers; put comparisons into "
            "parentheses, as in (a > 1) & (b > 2)"
        )
        raise ValueError(msg)
    return left & right if isinstance(op, ast.BitAnd) else left | right


def _compare(node: ast.Compare, arrays: Mapping[str, Any]) -> Any:
    sides = [
        side.value if is_text(side) else _value(side, arrays)  # type: ignore[attr-defined]
        for side in (node.left, *node.comparators)
    ]
    result = None
    for op, left, right in zip(node.ops, sides[:-1], sides[1:], strict=True):
        one = _compare_two(op, left, right)
        result = one if result is None else np.logical_and(*_aligned(result, one))
    return result


def _compare_two(op: ast.cmpop, left: Any, right: Any) -> Any:
    texts = [isinstance(side, str) or leaf_dtype(side).kind in "UTO" for side in (left, right)]
    if texts[0] != texts[1]:
        msg = "a text can only be compared with a text"
        raise ValueError(msg)
    left, right = _aligned(left, right)
    return _COMPARISON[type(op)](left, right)


def _take(node: ast.Subscript, arrays: Mapping[str, Any]) -> NDArray[Any] | Any:
    value = _value(node.value, arrays)
    if depth(value) != 2:
        msg = "[...] takes particles of a jagged branch, and this has one value an event"
        raise ValueError(msg if depth(value) < 2 else "lists in lists are not supported")
    if isinstance(node.slice, ast.Tuple):
        key = particle_key(node.slice)
        if isinstance(key, slice):
            return first_particles(value, key.start, key.stop)
        return element(value, key)
    mask = _value(node.slice, arrays)
    if depth(mask) != 2 or leaf_dtype(mask).kind != "b":
        msg = (
            "[...] holds a condition on the particles of the same branch; events are selected by "
            "selection="
        )
        raise ValueError(msg)
    return selected(value, mask)
