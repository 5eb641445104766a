import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skhep_ml._format import number, p_value, percent, with_error


@pytest.mark.parametrize(
    ("value", "std", "text"),
    [
        (0.91234, 0.00312, "0.9123 ± 0.0031"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (12345.0, 996.0, "12,300 ± 1,000"),
        (-0.5, 0.25, "-0.50 ± 0.25"),
        (36.04, 9.22, "36.0 ± 9.2"),
        (1.0, 0.0, "1.00 ± 0.00"),
        (math.nan, 1.0, "undefined"),
        (None, None, "undefined"),
        (math.inf, math.nan, "undefined"),
        (1234.5, None, "1,234"),
    ],
)
def test_with_error(value, std, text):
    assert with_error(value, std) == text


def test_with_error_shows_the_sign_when_asked():
    assert with_error(0.02, 0.01, sign=True) == "+0.020 ± 0.010"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e5))
def test_with_error_rounds_to_two_digits_of_the_error(value, std):
    shown, error = (float(part.replace(",", "")) for part in with_error(value, std).split(" ± "))
    # half a unit of the second digit, which is at most a twentieth
    assert abs(error - std) <= 0.0501 * std
    assert abs(shown - value) <= 0.0501 * max(std, error) + 1e-9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.8, "1,234,568"),
        (0.01234, "0.0123"),
        (0, "0"),
        (1e-5, "1.00e-05"),
        (5e9, "5.00e+09"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_probabilities_and_percentages():
    assert [p_value(p) for p in (0.5, 0.012, 1e-5, None)] == [
        "0.50",
        "0.012",
        "< 0.0001",
        "undefined",
    ]
    assert [percent(x) for x in (0.1234, 0.0, -0.05, math.nan)] == [
        "12.3%",
        "0%",
        "-5.0%",
        "undefined",
    ]
