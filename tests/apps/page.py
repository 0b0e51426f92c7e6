"""A page for a browser: sub-resources, a form, and a script that downloads and uploads. Its DOM has the results."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import bodies

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PICTURES = 12
LONG = "whiskyjack " * 20_000

HTML = f"""<!DOCTYPE html>
<html lang="en">
<title>Bodies</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style">
<iframe name="answer"></iframe>
<form id="form" action="form" method="post" enctype="multipart/form-data" target="answer">
<input name="word" value="grüß dich"><textarea name="long">{LONG}</textarea>
</form>
<!-- Answered once the script has written its results: the page counts as loaded only then. -->
<img src="loaded" alt="">
{"".join(f'<img class="picture" src="picture?{number}" alt="">' for number in range(PICTURES))}
<pre id="results"></pre>
<script src="script"></script>
"""

STYLE = "#results { color: rgb(1, 2, 3); }" + "\n/* a style sheet of some length */" * 3000

SCRIPT = """
const results = {};
const told = async (bytes) => {
    const digest = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
    return `${bytes.byteLength}-${digest.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
};
const loaded = (picture) => new Promise((resolve) => {
    if (picture.complete) resolve();
    else picture.onload = picture.onerror = resolve;
});
const story = async () => {
    const pictures = Array.from(document.querySelectorAll(".picture"));
    await Promise.all(pictures.map(loaded));
    results.pictures = pictures.filter((picture) => picture.naturalWidth === 2).length;
    results.color = getComputedStyle(document.getElementById("results")).color;

    const frame = document.querySelector("iframe");
    const answered = new Promise((resolve) => { frame.onload = resolve; });
    document.getElementById("form").submit();
    await answered;
    results.form = JSON.parse(frame.contentDocument.body.textContent);

    const bytes = await (await fetch("/get/pieces/1000/1000000")).arrayBuffer();
    results.downloaded = await told(bytes);
    const upload = await fetch("/echo/pieces", { method: "POST", body: bytes });
    results.uploaded = upload.headers.get("X-Received");
    results.echoed = await told(await upload.arrayBuffer());
    results.head = (await fetch("/get/length/0/500000", { method: "HEAD" })).headers.get("Content-Length");
    results.none = (await fetch("/empty/204", { method: "DELETE" })).status;
};
story()
    .catch((error) => { results.error = String(error); })
    .then(() => { document.getElementById("results").textContent = JSON.stringify(results); })
    .then(() => fetch("done", { method: "POST" }));
"""

PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="2" height="3"></svg>'

_ports: Counter[str] = Counter()
_done = threading.Event()
_guard = threading.Lock()


def loaded(body: bytes) -> str:
    assert _done.wait(60), "the script of the page has not come to its end"
    return PICTURE


def done(body: bytes) -> str:
    _done.set()
    return ""


def form(body: bytes) -> str:
    """What the form brought, each value by its name; of the long one its length."""
    parts = [part.removesuffix(b"\r\n").partition(b"\r\n\r\n") for part in body.split(body.partition(b"\r\n")[0])[1:-1]]
    values = {re.findall(rb'name="([^"]*)"', head)[0].decode(): value.decode() for head, _, value in parts}
    return json.dumps({"word": values["word"], "long": len(values["long"])})


def ports(body: bytes) -> str:
    """The ports that the browser came from, and how many requests each connection has carried."""
    with _guard:
        return json.dumps(_ports)


ANSWERS: dict[str, tuple[str, Callable[[bytes], str]]] = {
    "": ("text/html; charset=utf-8", lambda body: HTML),
    "style": ("text/css", lambda body: STYLE),
    "script": ("text/javascript", lambda body: SCRIPT),
    "picture": ("image/svg+xml", lambda body: PICTURE),
    "loaded": ("image/svg+xml", loaded),
    "form": ("text/html; charset=utf-8", form),
    "done": ("text/plain", done),
    "ports": ("application/json", ports),
}


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """/page/... is the page, all else is of `bodies`."""
    with _guard:
        _ports[environ["REMOTE_PORT"]] += 1
    prefix, _, name = environ["PATH_INFO"].removeprefix("/").partition("/")
    if prefix != "page":
        return bodies.application(environ, start_response)
    kind, answer = ANSWERS[name]
    text = answer(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", kind), ("Cache-Control", "no-store")])
    return [text.encode()]
