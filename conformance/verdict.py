"""What a server did with a case, beside what the index says of it."""

from __future__ import annotations

from enum import Enum

from client import Answer, Heard
from corpus import Case


class Verdict(Enum):
    """The value is what the tables call it."""

    AS_INDEXED = "as the index says"
    OTHER_STATUS = "refused, with another status"
    ACCEPTED = "accepted what the index refuses"
    REFUSED = "refused what the index accepts"
    MISREAD = "accepted, and read otherwise"
    SMUGGLED = "answered a request after a refusal, or one that is none"
    CLOSED = "closed without a (whole) answer"
    HUNG = "silent until the timeout"


def judge(case: Case, heard: Heard, mark_was_seen: bool) -> Verdict:
    """The first thing that differs, the gravest first where order does not say."""
    wanted = case.requests
    refused_at = next((at for at, answer in enumerate(heard.answers) if not answer.by_application), None)
    if refused_at is not None and (
        any(answer.by_application for answer in heard.answers[refused_at:])
        # nothing but the refusal has come, and still the application has had the request behind it
        or (mark_was_seen and not case.accepted and refused_at == len(wanted))
    ):
        return Verdict.SMUGGLED
    for at, understood in enumerate(wanted):
        if at == len(heard.answers):
            return _missing(heard)
        answer = heard.answers[at]
        if not answer.by_application:
            return Verdict.REFUSED
        if not _is(answer, understood, case):
            return Verdict.MISREAD
    further = heard.answers[len(wanted) :]
    if case.accepted:
        if further:
            return Verdict.SMUGGLED if further[0].by_application else Verdict.REFUSED
        return _end(heard)
    if not further:
        return _missing(heard)
    if further[0].by_application:
        return Verdict.ACCEPTED
    if str(further[0].status) != case.expected:
        return Verdict.OTHER_STATUS
    return _end(heard)


def _missing(heard: Heard) -> Verdict:
    return Verdict.CLOSED if heard.ended else Verdict.HUNG


def _end(heard: Heard) -> Verdict:
    """All that was wanted has come: then the connection ends, and nothing else comes before that."""
    if not heard.ended:
        return Verdict.HUNG
    return Verdict.CLOSED if heard.rest else Verdict.AS_INDEXED


def _is(answer: Answer, understood: str, case: Case) -> bool:
    """Whether the application saw this request: `method target length`, a long target cut with dots."""
    method, target, length = understood.split(" ")
    if method == "HEAD":
        return answer.status == 200
    saw = answer.saw
    if saw is None or saw["method"] != method or saw["length"] != int(length):
        return False
    if saw["target"] is not None:
        beginning, cut, _ = target.partition("...")
        if not (saw["target"].startswith(beginning) if cut else saw["target"] == target):
            return False
    return case.holds_body(saw["length"], saw["sha256"])
