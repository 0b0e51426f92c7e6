"""A Flask application with one JSON route."""

from __future__ import annotations

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/birds/<int:number>")
def bird(number: int) -> Response:
    """A small document, as an API gives it."""
    return jsonify(id=number, name="whiskyjack", latin="Perisoreus canadensis", grams=[65, 84])
