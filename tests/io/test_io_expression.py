import ast
import math
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.io._expression import Expression
from skhep_ml.io._functions import FUNCTIONS, depth
from skhep_ml.io._syntax import parse_expression

ak = pytest.importorskip("awkward")

A = np.array([1.0, -2.0, 3.5], dtype=np.float32)
B = np.array([4.0, 0.5, -1.0])
N = np.array([1, 0, 3], dtype=np.uint32)
E = np.array([2**63 + 1, 7, 8], dtype=np.uint64)
T = np.array(["s", "b", "s"])
PT = ak.Array([[50.0, 20.0], [], [40.0]])
ETA = ak.Array([[0.5, -1.0], [], [2.0]])
FLAG = ak.Array([[1, 3], [], [2]])
ARRAYS = {
    "a": A, "b": B, "n": N, "event": E, "t": T, "pt": PT, "eta": ETA, "flag": FLAG,
    "M": np.arange(6.0).reshape(3, 2), "jet.pt": B, "in/px": A,
}  # fmt: skip


def value(text):
    result = Expression(text, ARRAYS)(ARRAYS)
    return result.to_list() if isinstance(result, ak.Array) else np.asarray(result).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + 2 * b", A + 2 * B),
        ("-a ** 2", -(A**2)),
        ("(a - b) / (a + b)", (A - B) / (A + B)),
        ("a // 2 + a % 2", A // 2 + A % 2),
        ("sqrt(abs(a))", np.sqrt(np.abs(A))),
        ("log1p(abs(b)) + log10(exp(b))", np.log1p(np.abs(B)) + np.log10(np.exp(B))),
        ("hypot(a, b) + arctan2(a, b)", np.hypot(A, B) + np.arctan2(A, B)),
        ("where(a > 0, a, 0)", np.where(A > 0, A, 0)),
        ("minimum(a, b) < maximum(a, b)", np.minimum(A, B) < np.maximum(A, B)),
        ("0 < a < 3", (A > 0) & (A < 3)),
        ("(a > 0) & (b > 0) | ~(b > 0)", (A > 0) & (B > 0) | ~(B > 0)),
        ("a > 0 and not b > 0 or b == 0.5", (A > 0) & ~(B > 0) | (B == 0.5)),
        ("n - 2", [-1, -2, 1]),
        ("(a > 0) + (b > 0)", [2, 1, 1]),
        ("n & 1", [1, 0, 1]),
        ("event % 2", [1, 1, 0]),
        ("n ** -1 * 2", [2, math.inf, 2 / 3]),
        ("t == 's'", T == "s"),
        ("'b' != t", T != "b"),
        ("`jet.pt` * 2", B * 2),
        ("`in/px` + a", A + A),
        ("in/px", A),
        ("sin(a)**2 + cos(a)**2", np.sin(A) ** 2 + np.cos(A) ** 2),
        ("delta_phi(3.0, -3.0) + 0 * b", np.full(3, 6 - 2 * np.pi)),
        ("delta_r(a, b, a, b)", np.zeros(3)),
        ("isnan(b / 0 * 0)", [True] * 3),
        ("M[:, 1]", [1.0, 3.0, 5.0]),
        ("sum(M)", [1.0, 5.0, 9.0]),
        ("M[:, 5]", [np.nan] * 3),
    ],
)  # fmt: skip
def test_numbers(text, expected):
    np.testing.assert_allclose(value(text), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt[:, 0]", [50, np.nan, 40]),
        ("pt[:, 1]", [20, np.nan, np.nan]),
        ("pt[:, -1]", [20, np.nan, 40]),
        ("flag[:, 0]", [1, np.nan, 2]),
        ("sum(pt)", [70, 0, 40]),
        ("sum(pt > 30)", [1, 0, 1]),
        ("max(pt) - min(pt)", [30, np.nan, 0]),
        ("mean(pt)", [35, np.nan, 40]),
        ("count(pt) + len(eta)", [4, 0, 2]),
        ("any(pt > 45)", [1, 0, 0]),
        ("all(pt > 30)", [0, 1, 1]),
        ("sum(pt[abs(eta) < 1.5])", [70, 0, 0]),
        ("sum(pt[:, :1] * cosh(eta[:, :1]))", [50 * np.cosh(0.5), 0, 40 * np.cosh(2.0)]),
        ("eta[pt == max(pt)][:, 0]", [0.5, np.nan, 2.0]),
        ("sum((flag & 2) == 2)", [1, 0, 1]),
        ("sum(delta_phi(pt, a))", [None] * 3),
        ("sum(where(eta > 0, pt, 0))", [50, 0, 40]),
        ("sum(pt / sum(pt))", [1, 0, 1]),
    ],
)
def test_particles(text, expected):
    if expected[0] is None:
        wrapped = (np.array([50, 20, 40]) - np.array([1, 1, 3.5]) + np.pi) % (2 * np.pi) - np.pi
        expected = [wrapped[0] + wrapped[1], 0, wrapped[2]]
    np.testing.assert_allclose(value(text), expected, rtol=1e-6)


def test_types_and_names():
    assert Expression("a * 2", ARRAYS)(ARRAYS).dtype == np.float32
    assert Expression("event", ARRAYS)(ARRAYS) is E
    assert Expression("max(pt) + b - pt[:, 0] + b", ARRAYS).names == ["pt", "b"]
    assert Expression("`in/px`", ARRAYS).names == ["in/px"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.real", "Attribute is not permitted"),
        ("a.__class__", "Attribute is not permitted"),
        ("().__class__.__bases__", "Attribute"),
        ("__import__('os')", "unknown function '__import__'"),
        ("eval('1')", "unknown function 'eval'"),
        ("open('f')", "unknown function 'open'"),
        ("sqr(a)", "did you mean 'sqrt'"),
        ("(lambda: 1)()", "Lambda is not permitted"),
        ("[x for x in a]", "ListComp is not permitted"),
        ("f'{a}'", "JoinedStr is not permitted"),
        ("(a := 1)", "NamedExpr is not permitted"),
        ("a if b else n", "where"),
        ("a is b", "compare with =="),
        ("a ^ b", "written"),
        ("a << 3", "not permitted"),
        ("9**9**9", "exponent"),
        ("a**1000", "exponent"),
        ("2**a", "exponent"),
        ("a**True", "exponent"),
        ("99999999999999999999999", "64 bits"),
        ("a + 'text'", "real number"),
        ("1j * a", "real number"),
        ("sqrt(a, b)", "takes 1 argument"),
        ("sqrt(x=a)", "keyword is not permitted"),
        ("sqrt(*a)", "Starred is not permitted"),
        ("a b", "no formula"),
        ("a = 1", "no formula"),
        ("a > 1 && b > 2", "joined by &"),
        ("import os", "no formula"),
        ("(" * 300 + "a" + ")" * 300, "no formula"),
        ("-" * 200 + "a", "nested"),
        ("-" * 3999 + "a", "no formula|nested"),
        ("a + " * 1500 + "a", "characters"),
        ("a\0", "no formula"),
        ("`a", "no partner"),
        ("   ", "text such as"),
        ("mot", "unknown branch 'mot'"),
        ("sqrt + a", "functions are called"),
        ("a > 1 & b < 2", "parentheses"),
        ("pt[0]", r"\[:, index\]|holds a mask"),
        ("pt[:, 0:2:2]", r"\[:, index\]"),
        ("pt[0, 0]", r"\[:, index\]"),
        ("pt[:, 99999999]", "whole number"),
        ("pt[:, n]", "whole number"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Expression(text, ARRAYS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a & b", "parentheses"),
        ("(a > 0) & n", "parentheses"),
        ("t > 3", "text"),
        ("t + 1", "expression 't"),
        ("sum(a)", "particles of a jagged branch"),
        ("min(a)", "minimum"),
        ("a[:, 0]", "one value an event"),
        ("pt[a > 1]", "condition on the particles"),
        ("pt[eta]", "condition on the particles"),
        ("pt[M > 3]", "of one collection"),
        ("1 / 0 + a", "division by zero"),
        ("2.0**100 ** 100 * a", "expression"),
    ],
)
def test_refused_with_values(text, message):
    with pytest.raises(ValueError, match=message):
        Expression(text, ARRAYS)(ARRAYS)


def test_nearest_branch_is_named():
    with pytest.raises(ValueError, match="did you mean 'Jet_pt'"):
        Expression("jet_pT * 2", ["Jet_pt", "Muon_eta"])
    with pytest.raises(ValueError, match=r"must|text such as"):
        Expression(None, ["x"])


_LEAVES = st.sampled_from(["a", "b", "n", "event", "t", "pt", "eta", "flag", "M", "1", "0", "2.5"])


def _nodes(inner):
    return st.one_of(
        st.tuples(
            inner,
            st.sampled_from(
                ["+", "-", "*", "/", "//", "%", "&", "|", "<", "<=", "==", "!=", "and", "or"]
            ),
            inner,
        ).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(inner, st.sampled_from(["-1", "2", "0.5", "100"])).map(
            lambda parts: f"({parts[0]})**{parts[1]}"
        ),
        inner.map(lambda text: f"(~{text})"),
        inner.map(lambda text: f"{text}[:, 0]"),
        st.tuples(inner, inner).map(lambda parts: f"{parts[0]}[{parts[1]}]"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner, inner, inner, inner).map(
            lambda parts: f"{parts[0]}({', '.join(parts[1 : 1 + FUNCTIONS[parts[0]].n_arguments])})"
        ),
    )


@settings(max_examples=300)
@given(st.recursive(_LEAVES, _nodes, max_leaves=6))
def test_any_formula_gives_numbers_or_a_value_error(text):
    try:
        result = Expression(text, ARRAYS)(ARRAYS)
    except ValueError:
        return
    else:
        assert depth(result) == 0 or len(result) == 3


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(string.printable, max_size=60),
        st.lists(
            st.sampled_from([*"ab()[]:,.`'\"+-*/%<>=&|~^@!\\ \n\t0123", "**", "__", "lambda", "pt",
                             "sum", "not", "if", "else", "for", "in", "0x", "1e", "{", "}", "f'"]),
            max_size=25,
        ).map("".join),
    )
)  # fmt: skip
def test_any_text_is_parsed_or_refused(text):
    try:
        tree, _ = parse_expression(text)
    except ValueError:
        return
    permitted = (
        ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call,
        ast.Subscript, ast.Slice, ast.Tuple, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
        ast.expr_context,
    )  # fmt: skip
    assert all(isinstance(node, permitted) for node in ast.walk(tree))
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert set(calls) <= set(FUNCTIONS)
