"""The whiskyjack command, also as `python -m whiskyjack`."""

from __future__ import annotations

import sys

from whiskyjack import _whiskyjack


def main() -> int:
    return _whiskyjack.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
