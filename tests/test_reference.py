"""docs/reference.md is what the program says of its settings."""

from __future__ import annotations

from tests.support.server import ROOT, run

REFERENCE = ROOT / "docs" / "reference.md"


def test_the_reference_page_is_current() -> None:
    done = run("--print-reference")
    assert done.returncode == 0, done.stderr
    assert REFERENCE.read_text(encoding="utf-8") == done.stdout, "`make reference` writes it anew"
