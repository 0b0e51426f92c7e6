"""What kind of interpreter the tests, and the servers that they start, run on."""

from __future__ import annotations

import sys

# Whether threads take turns, so that one that does not let go holds all others.
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
