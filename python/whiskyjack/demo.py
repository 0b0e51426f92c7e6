"""The application that `make serve` shows: the environ of the request that asks for it.

It shows that and nothing else: no file, no setting, no other request. Do not put it on a public
address all the same: behind a proxy an environ can hold what the proxy added.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["application"]


class Row(NamedTuple):
    """One line of the page: an environ key and its value, both fit to be shown."""

    name: str
    value: str


class Group(NamedTuple):
    """A titled table of rows."""

    title: str
    note: str
    rows: list[Row]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers any request with its own environ, in the form that its Accept field prefers."""
    received = _drain(environ)
    form = negotiate(str(environ.get("HTTP_ACCEPT", "*/*")))
    if form == "text/html":
        text = _html(environ, received)
    elif form == "application/json":
        text = _json(environ, received)
    else:
        text = _plain(environ, received)
    body = text.encode("utf-8")
    # application/json has no charset parameter: RFC 8259 11.
    charset = "" if form == "application/json" else "; charset=utf-8"
    start_response(
        "200 OK",
        [
            ("Content-Type", form + charset),
            ("Content-Length", str(len(body))),
            ("Vary", "Accept"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
        ],
    )
    # RFC 9110 9.3.2: HEAD has the fields that GET would have, and no body.
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


# In our order of preference: a client that takes anything, as curl does, sits in a terminal.
_OFFERS = ("text/plain", "text/html", "application/json")


def negotiate(accept: str) -> str:
    """The offered media type that an Accept field (RFC 9110 12.5.1) prefers.

    Between types of the same quality, the one that the client named more precisely wins. Where it
    accepts none of them it gets plain text: that helps it more than a 406.
    """
    best, best_rank = _OFFERS[0], (0.0, -1)
    for offer in _OFFERS:
        rank = _rank(offer, accept)
        if rank[0] > 0 and rank > best_rank:
            best, best_rank = offer, rank
    return best


def _rank(offer: str, accept: str) -> tuple[float, int]:
    """The quality that `accept` gives to `offer`, and how precisely it names it.

    The precision is 2 for a type, 1 for `text/*`, 0 for `*/*`.
    """
    precisions = {offer: 2, offer.partition("/")[0] + "/*": 1, "*/*": 0}
    quality, precision = 0.0, -1
    # A quoted comma would split a range in two: worth no parser, the worst is the wrong form.
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        found = precisions.get(media_range, -1)
        if found > precision:
            quality, precision = _quality(parameters), found
    return quality, precision


def _quality(parameters: list[str]) -> float:
    """The value of `q`: 1 where there is none, 0 where it is not a number from 0 to 1."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            digits = value.strip()
            # float() also reads `nan`, `1e-1` and `1_0`, which are not in the grammar.
            if not digits.replace(".", "", 1).isdecimal():
                return 0.0
            quality = float(digits)
            return quality if quality <= 1 else 0.0
    return 1.0


def _drain(environ: WSGIEnvironment) -> int:
    """Reads the request's body to its end, keeps nothing of it, and says how long it was."""
    stream = environ["wsgi.input"]
    announced = str(environ.get("CONTENT_LENGTH") or "0")
    # Without the key, a read past Content-Length may wait for ever on some servers.
    endless = bool(environ.get("wsgi.input_terminated"))
    left = int(announced) if announced.isdecimal() else 0
    size = 0
    while endless or left > 0:
        block = stream.read(65536 if endless else min(left, 65536))
        if not block:
            break
        size += len(block)
        left -= len(block)
    return size


_REQUEST = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_URI",
    "RAW_URI",
    "SERVER_PROTOCOL",
)
_BODY = ("CONTENT_TYPE", "CONTENT_LENGTH")
_CONNECTION = (
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REMOTE_HOST",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_SOFTWARE",
    "GATEWAY_INTERFACE",
)


def _shown(environ: WSGIEnvironment) -> dict[str, Any]:
    """The environ without the process's own environment, which may hold secrets.

    Whiskyjack puts nothing of it there, but wsgiref's server copies it into every environ.
    """
    known = {*_REQUEST, *_BODY, *_CONNECTION}
    return {
        key: value
        for key, value in sorted(environ.items())
        if key in known or key.startswith(("HTTP_", "wsgi.")) or os.environ.get(key) != value
    }


def _groups(environ: WSGIEnvironment, received: int) -> list[Group]:
    """The environ in the order in which people ask for it."""
    left = _shown(environ)

    def take(keys: Iterable[str]) -> list[Row]:
        return [Row(key, _readable(left.pop(key))) for key in keys if key in left]

    request = take(_REQUEST)
    query = [Row(_printable(name), _printable(value)) for name, value in _query(environ)]
    body = [*take(_BODY), Row("bytes received", f"{received:,}")]
    headers = take([key for key in left if key.startswith("HTTP_")])
    connection = take(_CONNECTION)
    gateway = take([key for key in left if key.startswith("wsgi.")])
    others = take(list(left))
    groups = [
        Group("Request", "the request line, taken apart", request),
        Group("Query", "the query string, decoded", query),
        Group("Header fields", "HTTP_ and the field's name", headers),
        Group("Body", "read to its end, not kept", body),
        Group("Connection", "both ends, and who serves", connection),
        Group("Gateway", "what PEP 3333 promises", gateway),
        Group("Extensions", "keys of this server alone", others),
    ]
    return [group for group in groups if group.rows]


def _query(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    try:
        return parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []  # more than 100 fields: QUERY_STRING itself is shown


def _readable(value: object) -> str:
    """A value as a person wants to see it."""
    if isinstance(value, str):
        return _printable(_decoded(value))
    if isinstance(value, (bool, int, float, tuple, list)):
        return _printable(repr(value))
    return _kind(value)


def _decoded(value: str) -> str:
    """PEP 3333 strings carry bytes as latin-1; nearly always these bytes are UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _printable(text: str) -> str:
    """Escapes control characters, so that no request commands the terminal that shows it."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "replace").decode("ascii")
        for letter in text
    )


def _kind(value: object) -> str:
    """The type of an object whose value means nothing to a reader."""
    if callable(value) and hasattr(value, "__qualname__"):
        return f"<{getattr(value, '__module__', None) or 'built-in'}.{value.__qualname__}>"
    kind = type(value)
    return f"<{kind.__module__}.{kind.__qualname__} object>"


def _plain(environ: WSGIEnvironment, received: int) -> str:
    groups = _groups(environ, received)
    width = max(min(len(row.name), 32) for group in groups for row in group.rows)
    parts = ["Whiskyjack is serving. This is the environ of your request.\n"]
    for group in groups:
        parts.append(f"\n{group.title}\n")
        parts.extend(f"  {row.name:<{width}}  {row.value}".rstrip() + "\n" for row in group.rows)
    return "".join(parts)


def _json(environ: WSGIEnvironment, received: int) -> str:
    """The environ as it is: strings are not decoded again, since a program can do that itself."""
    plain = (str, bool, int, float, tuple, list, type(None))
    values = {key: value if isinstance(value, plain) else _kind(value) for key, value in _shown(environ).items()}
    document = {"environ": values, "body": {"bytes": received}}
    return json.dumps(document, indent=2, default=_kind) + "\n"


def _html(environ: WSGIEnvironment, received: int) -> str:
    sections = "".join(_section(group) for group in _groups(environ, received))
    method = escape(_readable(environ["REQUEST_METHOD"]))
    path = escape(_readable(str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))))
    protocol = escape(_readable(environ.get("SERVER_PROTOCOL", "")))
    software = escape(_readable(environ.get("SERVER_SOFTWARE", "a WSGI server")))
    url = escape(_url(environ))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{method} {path} · Whiskyjack</title>
<link rel="icon" href="data:image/svg+xml,{quote(_BIRD)}">
<style>{_STYLE}</style>
</head>
<body>
<header>
<div class="bird">{_BIRD}</div>
<div>
<h1>Whiskyjack is serving</h1>
<p class="line"><b>{method}</b> <span>{path}</span> <small>{protocol}</small></p>
<p>Below is the environ that your request became: what a Python application gets to see of it.</p>
</div>
</header>
<main>
{sections}</main>
<aside>
<h2>The same, elsewhere</h2>
<pre><span>curl {url}</span>
<span>curl -H 'Accept: application/json' {url}</span>
<span>curl --data-binary @some-file {url}</span></pre>
</aside>
<footer>{software} · this page shows your own request only and keeps nothing</footer>
</body>
</html>
"""


def _section(group: Group) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_cell(value)}</td></tr>\n' for name, value in group.rows
    )
    title, note = escape(group.title), escape(group.note)
    return f"<section>\n<h2>{title} <small>{note}</small></h2>\n<table>\n{rows}</table>\n</section>\n"


def _cell(value: str) -> str:
    return escape(value) if value else '<i class="empty">empty</i>'


def _url(environ: WSGIEnvironment) -> str:
    """The server's address as the client named it (PEP 3333, URL Reconstruction), for a shell."""
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return quote(f"{environ['wsgi.url_scheme']}://{host}/", safe=":/[]")


_BIRD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" role="img"'
    ' aria-label="a whiskyjack">'
    '<path d="M8 104q30-8 104-6" fill="none" stroke="#8a6a4c" stroke-width="5"'
    ' stroke-linecap="round"/>'
    '<path d="M30 70 10 118l11 0 20-34z" fill="#4d5966"/>'
    '<path d="M29 66C28 40 48 24 68 24c22 0 34 14 33 32-1 26-20 44-42 44-18 0-29-12-30-34z"'
    ' fill="#c9ced4"/>'
    '<path d="M29 62c2 24 14 34 34 30-6-18-16-30-34-30z" fill="#66727f"/>'
    '<path d="M52 29c2-15 16-23 30-21 14 2 22 13 20 26-2 14-14 22-28 20-14-2-23-12-22-25z"'
    ' fill="#fbfbfa"/>'
    '<path d="M52 30c0-14 12-24 26-22-6 4-8 9-8 15 0 8-4 17-10 21-5-3-8-8-8-14z"'
    ' fill="#39434d"/>'
    '<path d="M101 27l15 6-16 6z" fill="#59636d"/>'
    '<circle cx="87" cy="26" r="4.6" fill="#1b1f23"/>'
    '<circle cx="88.5" cy="24.6" r="1.4" fill="#fff"/>'
    '<path d="M60 98v7m-4 0h9M73 96v8m-4 0h9" fill="none" stroke="#59636d" stroke-width="3"'
    ' stroke-linecap="round"/>'
    "</svg>"
)

_STYLE = """
:root {
  --back: #f3f4f2; --card: #fff; --ink: #22282e; --soft: #5d6873; --edge: #dde1e0;
  --accent: #8a4b14;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14181b; --card: #1d2327; --ink: #e4e8ea; --soft: #9aa6af; --edge: #30383d;
    --accent: #f0b070;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1rem 3rem; max-width: 64rem;
  background: var(--back); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
header { display: flex; gap: 1.5rem; align-items: center; margin-bottom: 2rem; }
.bird { flex: none; width: 7.5rem; }
.bird svg { display: block; width: 100%; }
h1 { margin: 0; font-size: clamp(1.5rem, 5vw, 2.25rem); line-height: 1.15; letter-spacing: -.02em; }
header p { margin: .4rem 0 0; color: var(--soft); }
header .line { color: var(--ink); overflow-wrap: anywhere; }
.line, td, th, pre {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
.line b { color: var(--accent); }
small { color: var(--soft); font-weight: normal; }
section, aside {
  margin: 0 0 1rem; padding: .9rem 1.1rem 1rem;
  background: var(--card); border: 1px solid var(--edge); border-radius: .6rem;
}
h2 { margin: 0 0 .5rem; font-size: 1rem; }
h2 small { margin-left: .4rem; font-size: .85rem; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: .85rem; }
tr + tr { border-top: 1px solid var(--edge); }
th, td { padding: .35rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { width: 17rem; padding-right: 1rem; color: var(--soft); font-weight: normal; }
td { white-space: pre-wrap; }
.empty { color: var(--soft); opacity: .7; }
pre {
  margin: 0; font-size: .85rem; line-height: 1.7; white-space: pre-wrap; overflow-wrap: anywhere;
}
pre span::before { content: "$ "; color: var(--accent); }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .85rem; text-align: center; }
@media (max-width: 40rem) {
  header { align-items: flex-start; gap: 1rem; }
  .bird { width: 4.5rem; }
  th, td { display: block; width: auto; }
  th { padding: .45rem 0 0; font-size: .75rem; }
  td { padding: 0 0 .45rem; }
}
"""

# Should a value ever slip through unescaped, no browser would run or load anything for it.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
