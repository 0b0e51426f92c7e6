"""Response headers as a mapping."""

from __future__ import annotations

import re

from whiskyjack._whiskyjack import wsgiref as _wsgiref

__all__ = ["Headers"]

# what makes quotes necessary around a parameter's value; here as in the original, for those who import it
tspecials = re.compile(r'[ ()<>@,;:\\"/\[\]?=]')

Headers = _wsgiref.Headers
