"""A Flask application as people write them: sessions, forms, uploads, streams, files, errors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from flask import (
    Flask,
    Response,
    abort,
    flash,
    get_flashed_messages,
    jsonify,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

app = Flask(__name__)
app.secret_key = "a key for tests only"


@app.get("/")
def index() -> str:
    return f"Hello, {session.get('name', 'stranger')}!"


@app.post("/login")
def login() -> BaseResponse:
    session["name"] = request.form["name"]
    flash("welcome")
    return redirect(url_for("index"))


@app.get("/messages")
def messages() -> BaseResponse:
    return jsonify(get_flashed_messages())


@app.post("/logout")
def logout() -> BaseResponse:
    session.clear()
    return redirect(url_for("index"))


@app.get("/stream")
def stream() -> BaseResponse:
    def lines() -> Iterator[str]:
        for number in range(int(request.args["lines"])):
            yield f"line {number}\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")


@app.get("/events")
def events() -> BaseResponse:
    def told() -> Iterator[str]:
        for number in range(3):
            yield f"data: {json.dumps({'number': number})}\n\n"

    return Response(told(), mimetype="text/event-stream")


@app.post("/upload")
def upload() -> BaseResponse:
    """What came of each file of a form."""
    return jsonify(
        {
            name: {
                "filename": file.filename,
                "type": file.mimetype,
                "sha256": hashlib.sha256(content := file.read()).hexdigest(),
                "length": len(content),
            }
            for name, file in request.files.items()
        }
        | request.form.to_dict()
    )


@app.put("/raw")
def raw() -> BaseResponse:
    """What came of a body that is no form, read as a stream."""
    digest, length = hashlib.sha256(), 0
    while piece := request.stream.read(10_000):
        digest.update(piece)
        length += len(piece)
    return jsonify(sha256=digest.hexdigest(), length=length, announced=request.content_length)


@app.route("/json", methods=["POST", "PATCH", "DELETE"])
def echo_json() -> BaseResponse:
    return jsonify(method=request.method, got=request.get_json())


@app.get("/file")
def file() -> BaseResponse:
    return send_file(os.environ["FILE"], mimetype="application/octet-stream", conditional=True, etag=True)


@app.get("/about/<path:name>")
def about(name: str) -> BaseResponse:
    return jsonify(name=name, query=request.args.to_dict(), root=request.url_root, address=request.remote_addr)


@app.get("/crash")
def crash() -> str:
    raise RuntimeError("a secret of the application")


@app.get("/teapot")
def teapot() -> str:
    abort(418)


@app.errorhandler(404)
def missing(error: Exception) -> tuple[str, int]:
    return "nothing here, said the application", 404


def create_app() -> Flask:
    return app
