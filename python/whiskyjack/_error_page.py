"""What a developer sees of an exception: its traceback with the source around it, what led to it, and the request.

HTML for browsers and plain text for others. All that is shown is escaped, and what is secret in a request is not shown.
Knows no server and no application.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

# Lines that are shown before and behind the one that was running.
AROUND = 5

# Longer values are cut off.
LONGEST = 1000

# Of keys and fields with one of these in their names, only the names are shown.
_SECRETS = ("authorization", "cookie", "password", "secret", "token", "api-key", "csrf", "session", "client-cert")

_HIDDEN = "(hidden)"


class Page(NamedTuple):
    """What goes into a response."""

    content_type: str
    body: bytes

    def headers(self) -> list[tuple[str, str]]:
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            # Nothing on the page comes from elsewhere or runs, whatever an exception's text may hold.
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
            ("X-Content-Type-Options", "nosniff"),
        ]


def page(title: str, error: BaseException | None, text: str, environ: Mapping[str, Any]) -> Page:
    """The page for what `title` says. Without an exception the text tells what is wrong."""
    if "text/html" in str(environ.get("HTTP_ACCEPT", "")):
        return Page("text/html; charset=utf-8", _html(title, error, text, environ).encode("utf-8", "backslashreplace"))
    said = text if error is None else "".join(traceback.format_exception(error))
    return Page("text/plain; charset=utf-8", f"{title}\n\n{said.rstrip()}\n".encode("utf-8", "backslashreplace"))


def _html(title: str, error: BaseException | None, text: str, environ: Mapping[str, Any]) -> str:
    if error is None:
        headline, what = title, f'<pre class="said">{escape(text)}</pre>'
    else:
        headline = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        what = "\n".join(_exceptions(error))
    fields, rest = _told(environ)
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    asked = f"{environ.get('REQUEST_METHOD', '')} {_text(path)}{query}"
    return _PAGE.format(
        style=_STYLE,
        headline=escape(headline.splitlines()[0][:200]),
        title=escape(title),
        what=what,
        asked=escape(asked),
        fields=_table(fields),
        environ=_table(rest),
    )


def _exceptions(error: BaseException) -> Iterator[str]:
    """A section for each exception: the last one first, then those that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    link = ""
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        summary = traceback.TracebackException.from_exception(current)
        said = "".join(summary.format_exception_only()).rstrip()
        frames = [_frame(frame) for frame in summary.stack if not _is_of_the_machinery(frame.filename)]
        yield f'<section>{link}<pre class="said">{escape(said)}</pre>{"".join(frames)}</section>'
        if current.__cause__ is not None:
            current, link = current.__cause__, '<p class="link">which was raised because of</p>'
        else:
            current = None if current.__suppress_context__ else current.__context__
            link = '<p class="link">which was raised while this was handled</p>'


def _is_of_the_machinery(filename: str) -> bool:
    ours = filename.replace("\\", "/").endswith("/whiskyjack/_development.py")
    return ours or filename.startswith("<frozen importlib")


def _frame(frame: traceback.FrameSummary) -> str:
    linecache.checkcache(frame.filename)
    at = frame.lineno or 0
    lines = []
    for number in range(max(1, at - AROUND), at + AROUND + 1):
        line = linecache.getline(frame.filename, number)
        if line:
            kind = ' class="at"' if number == at else ""
            lines.append(f"<span{kind}><i>{number:>5}</i> {escape(line.rstrip())}\n</span>")
    source = f'<pre class="source">{"".join(lines)}</pre>' if lines else ""
    where = f"<b>{escape(frame.name)}</b> <code>{escape(frame.filename)}:{at}</code>"
    return f"<article><p>{where}</p>{source}</article>"


def _told(environ: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The fields of the request, and the rest of its environ."""
    fields: dict[str, str] = {}
    rest: dict[str, str] = {}
    for key in sorted(str(key) for key in environ):
        name = key.removeprefix("HTTP_").replace("_", "-").lower()
        is_field = key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")
        value = environ[key]
        if any(secret in name for secret in _SECRETS):
            shown = _HIDDEN
        elif isinstance(value, str):
            shown = _text(value) if is_field or key == "PATH_INFO" else value
        else:
            shown = _written(value)
        (fields if is_field else rest)[name if is_field else key] = shown[:LONGEST]
    return fields, rest


def _written(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr() raises {type(error).__name__}>"


def _text(native: str) -> str:
    """PEP 3333's text, a character for each byte, as the UTF-8 that it mostly is."""
    try:
        return native.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return native


def _table(rows: Mapping[str, str]) -> str:
    cells = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


_STYLE = """\
:root { color-scheme: light dark; --ink: #22262b; --soft: #5d6670; --paper: #fbfaf8; --box: #fff; --line: #dedad3;
  --mark: #fdeecb; --red: #a3262a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e5e8; --soft: #9aa3ad; --paper: #17191c; --box: #1f2226;
  --line: #343940; --mark: #4a3d1a; --red: #ff9a94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 2rem 1.2rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .2rem; color: var(--red); font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .5rem; font-size: 1.05rem; }
p { margin: .3rem 0; } .soft, .link, footer { color: var(--soft); } .link { margin: 1.8rem 0 .3rem; }
article { margin: .9rem 0; } code, pre, td, th { font: 13px/1.55 ui-monospace, Menlo, Consolas, monospace; }
pre { margin: .3rem 0; padding: .6rem .8rem; overflow-x: auto; background: var(--box); border: 1px solid var(--line);
  border-radius: 6px; }
pre.said { border-left: 4px solid var(--red); white-space: pre-wrap; overflow-wrap: anywhere; }
pre.source { padding: .4rem 0; } pre.source span { display: block; padding: 0 .8rem; min-width: max-content; }
pre.source i { color: var(--soft); font-style: normal; user-select: none; }
pre.source .at { background: var(--mark); font-weight: 600; }
table { border-collapse: collapse; width: 100%; } tr + tr { border-top: 1px solid var(--line); }
th { width: 15rem; padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; font-weight: 600; }
td { padding: .25rem 0; overflow-wrap: anywhere; } footer { margin-top: 2.5rem; font-size: .85rem; }
"""

_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{headline}</title><style>{style}</style>
<h1>{headline}</h1><p class="soft">{title}</p>
{what}
<h2>Request</h2><p><code>{asked}</code></p>{fields}
<h2>Environ</h2>{environ}
<footer>Whiskyjack shows this page in development mode only.</footer></html>
"""
