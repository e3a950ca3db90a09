"""The extended precision floats of INCRBYFLOAT: x87 `long double` (64-bit mantissa), read and printed as Redis does.

Python has no such type, so a number is an exact pair of integers (numerator, denominator), rounded to 64 bits of mantissa
after reading and after adding, as the hardware does. Texts are what C's `strtold` accepts (hexadecimal and infinities
included); output is `%.17Lf` without trailing zeros. Clients compare these bytes, so they must be the same.
"""

import re
from typing import Final

MANTISSA_BITS: Final = 64
EXPONENT_MAX: Final = 16384
EXPONENT_MIN: Final = -16445
"""The largest number is below 2**16384, the smallest above 0 is 2**-16445."""
TEXT_BYTES_MAX: Final = 5 * 1024
DECIMAL_EXPONENT_MAX: Final = 12_000
"""Beyond it, with as many digits as a text may have, a number is zero or infinite anyway."""
INT_DIGITS_MAX: Final = 4000
"""Python refuses to convert longer decimal texts in one piece."""

Number = tuple[int, int]
"""Numerator and denominator (a positive power of two after rounding)."""

_TOO_LONG = 10**INT_DIGITS_MAX
_SCALE = 10**17
_DECIMAL = re.compile(rb"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?", re.DOTALL)
_HEX = re.compile(
    rb"([+-]?)0[xX](?:([0-9a-fA-F]+)(?:\.([0-9a-fA-F]*))?|\.([0-9a-fA-F]+))(?:[pP]([+-]?\d+))?", re.DOTALL
)
_INFINITY = re.compile(rb"([+-]?)inf(?:inity)?", re.IGNORECASE)


def parse(text: bytes) -> Number | float | None:
    """The number; a float infinity if the text says so; None if it is no valid float, or out of range."""
    if len(text) >= TEXT_BYTES_MAX:
        return None
    match = _DECIMAL.fullmatch(text)
    if match:
        return _from_parts(match, 10)
    match = _HEX.fullmatch(text)
    if match:
        return _from_parts(match, 16)
    match = _INFINITY.fullmatch(text)
    if match:
        return float("-inf") if match[1] == b"-" else float("inf")
    return None


def _from_parts(match: re.Match[bytes], base: int) -> Number | None:
    sign, whole, fraction, bare, exponent_text = match.groups()
    fraction = bare if bare is not None else fraction or b""
    digits = (whole or b"") + fraction
    mantissa = _int(digits) if base == 10 else int(digits, 16)
    if mantissa == 0:
        return 0, 1
    if exponent_text is not None and len(exponent_text.lstrip(b"+-0")) > 8:
        return None
    exponent = int(exponent_text or b"0")
    if base == 10:
        exponent -= len(fraction)
        if abs(exponent) > DECIMAL_EXPONENT_MAX:
            return None
        number = (mantissa * 10**exponent, 1) if exponent >= 0 else (mantissa, 10**-exponent)
    else:
        exponent -= 4 * len(fraction)
        if abs(exponent) > 4 * DECIMAL_EXPONENT_MAX:
            return None
        number = (mantissa << exponent, 1) if exponent >= 0 else (mantissa, 1 << -exponent)
    rounded = _rounded(*number)
    if rounded is None or rounded[0] == 0:
        return None
    return (-rounded[0], rounded[1]) if sign == b"-" else rounded


def _rounded(numerator: int, denominator: int) -> Number | None:
    """The nearest `long double` (ties to even) of a non-negative number; None when it is infinite."""
    if numerator == 0:
        return 0, 1
    exponent = numerator.bit_length() - denominator.bit_length()
    if (numerator << max(0, -exponent)) < (denominator << max(0, exponent)):
        exponent -= 1
    # Now 2**exponent <= number < 2**(exponent + 1); `shift` puts the mantissa's last bit at 2**0.
    shift = max(exponent - MANTISSA_BITS + 1, EXPONENT_MIN)
    if shift >= 0:
        denominator <<= shift
    else:
        numerator <<= -shift
    mantissa = _divide(numerator, denominator)
    if mantissa.bit_length() + shift > EXPONENT_MAX:
        return None
    return (mantissa << shift, 1) if shift >= 0 else (mantissa, 1 << -shift)


def _divide(numerator: int, denominator: int) -> int:
    """The quotient, rounded to the nearest integer, ties to even."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def add(a: Number | float, b: Number | float) -> Number | None:
    """The rounded sum; None when it is not a number or infinite."""
    if isinstance(a, float) or isinstance(b, float):
        return None
    numerator = a[0] * b[1] + b[0] * a[1]
    rounded = _rounded(abs(numerator), a[1] * b[1])
    if rounded is None:
        return None
    return (-rounded[0], rounded[1]) if numerator < 0 else rounded


def text_of(number: Number) -> bytes:
    """As `%.17Lf` prints it, without trailing zeros."""
    numerator, denominator = number
    if denominator == 1:
        return b"-" + _text(-numerator) if numerator < 0 else _text(numerator)
    scaled = _divide(abs(numerator) * _SCALE, denominator)
    if scaled == 0:
        return b"0"
    whole, fraction = divmod(scaled, _SCALE)
    digits = _text(whole)
    if fraction:
        digits += b"." + (b"%017d" % fraction).rstrip(b"0")
    return b"-" + digits if numerator < 0 else digits


def _int(digits: bytes) -> int:
    if len(digits) <= INT_DIGITS_MAX:
        return int(digits)
    rest = digits[INT_DIGITS_MAX:]
    head: int = int(digits[:INT_DIGITS_MAX]) * 10 ** len(rest)
    return head + _int(rest)


def _text(number: int) -> bytes:
    if number < _TOO_LONG:
        return b"%d" % number
    high, low = divmod(number, _TOO_LONG)
    return b"%d" % high + (b"%d" % low).rjust(INT_DIGITS_MAX, b"0")
