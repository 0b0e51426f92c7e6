"""The cases of the corpus and their index. Knows no server."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUESTS = ROOT / "crates/whiskyjack-proto/tests/requests"

# 413, 414, 431: what is too much is the operator's choice.
TOO_MUCH = ("413", "414", "431")
LIMITS = "Limits"

CHAPTERS = {
    "RFC 9112 2": "Message",
    "RFC 9112 3": "Request line",
    "RFC 9112 5": "Field syntax",
    "RFC 9112 6": "Message body",
    "RFC 9112 7": "Transfer codings",
    "RFC 9112 9": "Connection management",
    "RFC 9112 C": "Changes between versions",
    "RFC 9110 2": "Versions",
    "RFC 9110 4": "Identifiers",
    "RFC 9110 5": "Fields",
    "RFC 9110 6": "Trailers",
    "RFC 9110 7": "Routing",
    "RFC 9110 8": "Representations, Content-Length",
    "RFC 9110 9": "Methods",
    "RFC 9110 10": "Expect, TE",
    "RFC 3986 2": "Percent-encoding",
    "RFC 3986 3": "Parts of a URI",
    "RFC 6265 5": "Cookies",
    "RFC 9113 3": "Upgrade to HTTP/2",
}

# Between two chunks: the end of the data and the next size.
BETWEEN_CHUNKS = re.compile(rb"\r\n[0-9A-Fa-f]+\r\n")


@dataclass(frozen=True)
class Case:
    """A row of the index: a file, the status that refuses it or `ok`, the rule, what is understood of it, and why."""

    name: str
    expected: str
    rule: str
    outcome: str
    note: str

    @property
    def accepted(self) -> bool:
        return self.expected == "ok"

    @cached_property
    def bytes(self) -> bytes:
        folder = "accepted" if self.accepted else "refused"
        return (REQUESTS / folder / f"{self.name}.http").read_bytes()

    @property
    def mark(self) -> str:
        """The path of a request that is sent behind a refused one, and which nobody may answer."""
        return f"/behind-{self.name}"

    @property
    def requests(self) -> list[str]:
        """The requests that reach the application, each as `method target length`; an error at the end is no such."""
        return [understood for understood in self.outcome.split(", ") if " " in understood]

    @property
    def is_of_limits(self) -> bool:
        """Whether the verdict depends on how a limit is set."""
        return self.expected in TOO_MUCH or "the limit" in self.note

    @property
    def group(self) -> str:
        """The chapter of its rule. What limits decide stands apart."""
        if self.is_of_limits:
            return LIMITS
        chapter = self.rule.partition(".")[0]
        return f"{chapter}, {CHAPTERS[chapter]}" if chapter in CHAPTERS else chapter

    def holds_body(self, length: int, digest: str) -> bool:
        """Whether a body is a run of this case's bytes, the lines between its chunks left out."""
        for text in (self.bytes, BETWEEN_CHUNKS.sub(b"", self.bytes)):
            for start in range(len(text) - length + 1):
                if hashlib.sha256(text[start : start + length]).hexdigest() == digest:
                    return True
        return False


def read() -> list[Case]:
    """All of them, in the index's order."""
    with (REQUESTS / "rules.tsv").open(newline="", encoding="utf-8") as rows:
        return [Case(**row) for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)]


def groups(cases: list[Case]) -> list[str]:
    """The groups that these cases have, by number, limits last."""

    def order(group: str) -> tuple[bool, list[int], str]:
        # an appendix (`C`) comes after the numbers
        chapter = group.partition(",")[0].replace(" C", " 99")
        return group == LIMITS, [int(number) for number in re.findall(r"\d+", chapter)], group

    return sorted({case.group for case in cases}, key=order)
