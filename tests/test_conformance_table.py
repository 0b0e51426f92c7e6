"""The list of cases in docs/conformance-table.md is what the index of the corpus says. No server is asked."""

from __future__ import annotations

import csv
import re
import subprocess
import sys

from tests.support.server import DEADLINE, ROOT
from tests.test_corpus import REQUESTS

PAGE = ROOT / "docs" / "conformance-table.md"
ANEW = "`make conformance ARGS=--cases` writes the list anew"
ROW = re.compile(r"\| \[(\S+)\]\((\S+)\) \| (served|[45]\d\d) \| (RFC [^|]+) \| (.+) \|")


def test_the_list_of_cases_is_current() -> None:
    with (REQUESTS / "rules.tsv").open(newline="", encoding="utf-8") as rows:
        index = {
            (row["name"], row["expected"].replace("ok", "served"), row["rule"])
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        }
    _, _, listed = PAGE.read_text(encoding="utf-8").partition("## The cases\n")
    assert {(name, answer, rule) for name, _, answer, rule, _ in ROW.findall(listed)} == index, ANEW


def test_every_case_in_the_list_is_a_link_to_its_file() -> None:
    for name, path, *_ in ROW.findall(PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / path).is_file(), name


def test_the_program_would_write_the_same_list() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "conformance/run.py"), "--check"],
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
