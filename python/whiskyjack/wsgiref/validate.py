"""A wrapper that holds an application, and the server that calls it, to PEP 3333.

    from whiskyjack.wsgiref.validate import validator

    application = validator(application)

What breaks a rule raises an AssertionError. Where the standard library's validator has a check, the error has its
words, and its cause is a `Violation` that says which rule was broken, how, and by which code; for all other rules the
`Violation`, which is an AssertionError too, is the error itself.
"""

from __future__ import annotations

import re
from typing import Any

from whiskyjack._whiskyjack import wsgiref as _wsgiref

__all__ = ["Violation", "validator"]

# these two are here as in the original, for those who import them
header_re = re.compile(r"^[a-zA-Z][a-zA-Z0-9\-_]*$")
bad_header_value_re = re.compile(r"[\000-\037]")

WSGIWarning = _wsgiref.WSGIWarning
Violation = _wsgiref.Violation
validator = _wsgiref.validator

InputWrapper = _wsgiref.InputWrapper
ErrorWrapper = _wsgiref.ErrorWrapper
WriteWrapper = _wsgiref.WriteWrapper
PartialIteratorWrapper = _wsgiref.PartialIteratorWrapper
IteratorWrapper = _wsgiref.IteratorWrapper

check_environ = _wsgiref.check_environ
check_input = _wsgiref.check_input
check_errors = _wsgiref.check_errors
check_status = _wsgiref.check_status
check_headers = _wsgiref.check_headers
check_content_type = _wsgiref.check_content_type
check_exc_info = _wsgiref.check_exc_info
check_iterator = _wsgiref.check_iterator


def assert_(cond: object, *args: Any) -> None:
    """Raise an AssertionError with these arguments, unless the condition is true."""
    if not cond:
        raise AssertionError(*args)


def check_string_type(value: Any, title: str) -> str:
    """Return the value if it is a str, and no subclass of it."""
    if type(value) is str:
        return value
    raise AssertionError(f"{title} must be of type str (got {value!r})")
