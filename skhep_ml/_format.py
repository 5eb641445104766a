"""Numbers as text."""

import math


def with_error(value: float | None, std: float | None, *, sign: bool = False) -> str:
    """Value and error, the error to two significant digits.

    Examples
    --------
    >>> from skhep_ml._format import with_error
    >>> with_error(0.912345, 0.00312), with_error(41234.5, 312.4)
    ('0.9123 ± 0.0031', '41,230 ± 310')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    plus = "+" if sign else ""
    if std is None or not math.isfinite(std):
        return f"{value:{plus},.4g}"
    if std < 1e-12 * abs(value):  # rounding of floats
        std = 0.0
    digits = 2 if std == 0 else 1 - math.floor(math.log10(std))
    # 0.0996 rounds up to 0.10: two significant digits then end one place earlier
    if std and round(std, digits) >= 10 ** (2 - digits):
        digits -= 1
    value, std, places = round(value, digits), round(std, digits), max(digits, 0)
    return f"{value:{plus},.{places}f} ± {std:,.{places}f}"


def number(value: float | None, digits: int = 3) -> str:
    """Value to some significant digits, thousands separated and without exponent up to 1e7.

    Examples
    --------
    >>> from skhep_ml._format import number
    >>> number(1234567.8), number(0.01234), number(None)
    ('1,234,568', '0.0123', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent <= 7:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def p_value(value: float | None) -> str:
    """Probability to two digits, or as a bound where it is tiny.

    Examples
    --------
    >>> from skhep_ml._format import p_value
    >>> p_value(0.1234), p_value(1e-7), p_value(1.0)
    ('0.12', '< 0.0001', '1.00')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    if value < 1e-4:
        return "< 0.0001"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def percent(value: float | None) -> str:
    """Share in percent.

    Examples
    --------
    >>> from skhep_ml._format import percent
    >>> percent(0.1234), percent(0.0)
    ('12.3%', '0%')
    """
    if value is None or not math.isfinite(value):
        return "undefined"
    return "0%" if value == 0 else f"{100 * value:.1f}%"
