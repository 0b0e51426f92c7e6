"""`whiskyjack.wsgiref.validate`: the original's checks in its words, and what the original does not look at."""

from __future__ import annotations

import gc
import io
import re
import sys
import warnings
import weakref
import wsgiref.validate as original
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.support.original import outcome
from whiskyjack.wsgiref import validate
from whiskyjack.wsgiref.util import setup_testing_defaults
from whiskyjack.wsgiref.validate import Violation, WSGIWarning, validator

TEXT = ("Content-Type", "text/plain")
App = Callable[..., Any]


def environ(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1"}
    setup_testing_defaults(made)
    for name, value in changes.items():
        made[name.replace("__", ".")] = value
    return made


class Server:
    """What a server does with an application, step by step, in memory."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.body: list[bytes] = []

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and any(self.body):
            raise exc_info[1].with_traceback(exc_info[2])
        self.status, self.headers = status, headers
        return self.body.append

    def run(self, app: App, given: dict[str, Any]) -> bytes:
        result = app(given, self.start_response)
        try:
            for item in result:
                self.body.append(item)
        finally:
            result.close()
        return b"".join(self.body)


def serve(app: App, module: Any = validate, **changes: Any) -> bytes:
    return Server().run(module.validator(app), environ(**changes))


def answering(
    status: Any = "200 OK", headers: Any = None, body: Any = (b"body",), write: Any = None, exc_info: Any = ()
) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        writer = start_response(status, [TEXT] if headers is None else headers, *exc_info)
        if write is not None:
            writer(write)
        return list(body) if type(body) is tuple else body

    return app


def violation(error: BaseException | None) -> Violation:
    """The violation behind what was raised."""
    found = error if isinstance(error, Violation) else error.__cause__ if error is not None else None
    assert isinstance(found, Violation), repr(error)
    return found


def broken(app: App, **changes: Any) -> Violation:
    with pytest.raises(AssertionError) as caught:
        serve(app, **changes)
    return violation(caught.value)


def test_a_right_application_is_handed_through_unchanged() -> None:
    server = Server()
    headers = [TEXT, ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("Content-Length", "4")]
    given = environ()
    assert server.run(validator(answering(headers=headers)), given) == b"body"
    assert (server.status, server.headers) == ("200 OK", headers)
    assert server.headers is headers


class Text:
    """An input that gives text."""

    def read(self, *size: int) -> str:
        return "text"

    readline = read

    def readlines(self, *hint: int) -> list[str]:
        return ["text"]

    def __iter__(self) -> Iterator[str]:
        return iter(["text"])


# What the original finds too: as (application, changes of the environ).
STREAM = io.BytesIO
COMMON: dict[str, tuple[App, dict[str, Any]]] = {
    "status is bytes": (answering(b"200 OK"), {}),
    "status has a short code": (answering("20 OK"), {}),
    "status code is below 100": (answering("099 OK"), {}),
    "headers are a tuple": (answering(headers=(TEXT,)), {}),
    "a header is a list": (answering(headers=[list(TEXT)]), {}),
    "a header has three parts": (answering(headers=[(*TEXT, "more")]), {}),
    "a name is bytes": (answering(headers=[(b"Content-Type", "text/plain")]), {}),
    "a value is an int": (answering(headers=[TEXT, ("X-Count", 1)]), {}),
    "a header is called Status": (answering(headers=[TEXT, ("Status", "200")]), {}),
    "a name has a colon": (answering(headers=[TEXT, ("X:", "a")]), {}),
    "a name has a line feed": (answering(headers=[TEXT, ("X\n", "a")]), {}),
    "a name has a space": (answering(headers=[TEXT, ("X Y", "a")]), {}),
    "a name ends in a hyphen": (answering(headers=[TEXT, ("X-", "a")]), {}),
    "a name ends in an underscore": (answering(headers=[TEXT, ("X_", "a")]), {}),
    "a value has a line feed": (answering(headers=[TEXT, ("X", "a\nb")]), {}),
    "a value has a tab": (answering(headers=[TEXT, ("X", "a\tb")]), {}),
    "there is no Content-Type": (answering(headers=[]), {}),
    "a 204 has a Content-Type": (answering("204 No Content", body=()), {}),
    "a 304 has a Content-Type": (answering("304 Not Modified", body=()), {}),
    "exc_info is a list": (answering(exc_info=([1, 2, 3],)), {}),
    "start_response with one argument": (lambda e, s: s("200 OK"), {}),
    "start_response with four arguments": (lambda e, s: s("200 OK", [TEXT], None, None), {}),
    "start_response with keywords": (lambda e, s: s("200 OK", [TEXT], exc_info=None), {}),
    "None is returned": (lambda e, s: None, {}),
    "False is returned": (lambda e, s: False, {}),
    "a str is returned": (answering(body="text"), {}),
    "bytes are returned": (answering(body=b"bytes"), {}),
    "an item is a str": (answering(body=("text",)), {}),
    "an item is a bytearray": (answering(body=(bytearray(b"a"),)), {}),
    "no start_response": (lambda e, s: [b"body"], {}),
    "write is given a str": (answering(write="text"), {}),
    "read without a size": (lambda e, s: e["wsgi.input"].read(), {}),
    "read with two arguments": (lambda e, s: e["wsgi.input"].read(1, 2), {}),
    "readline with two arguments": (lambda e, s: e["wsgi.input"].readline(1, 2), {}),
    "readlines with two arguments": (lambda e, s: e["wsgi.input"].readlines(1, 2), {}),
    "input is closed": (lambda e, s: e["wsgi.input"].close(), {}),
    "errors is closed": (lambda e, s: e["wsgi.errors"].close(), {}),
    "bytes go to errors": (lambda e, s: e["wsgi.errors"].write(b"a"), {}),
    "bytes go to errors as lines": (lambda e, s: e["wsgi.errors"].writelines([b"a"]), {}),
    "input gives text": (lambda e, s: e["wsgi.input"].read(3), {"wsgi__input": Text()}),
    "input gives lines of text": (lambda e, s: list(e["wsgi.input"]), {"wsgi__input": Text()}),
    "input gives a list of text": (lambda e, s: e["wsgi.input"].readlines(), {"wsgi__input": Text()}),
    "input has no methods": (answering(), {"wsgi__input": object()}),
    "errors has no methods": (answering(), {"wsgi__errors": object()}),
    "a field has the wrong variable": (answering(), {"HTTP_CONTENT_TYPE": "a"}),
    "a variable is no str": (answering(), {"REMOTE_PORT": 5}),
    "version is a list": (answering(), {"wsgi__version": [1, 0]}),
    "scheme is unknown": (answering(), {"wsgi__url_scheme": "gopher"}),
    "script name has no slash": (answering(), {"SCRIPT_NAME": "a"}),
    "path has no slash": (answering(), {"PATH_INFO": "a"}),
    "script name is a slash": (answering(), {"SCRIPT_NAME": "/"}),
    "length is negative": (answering(), {"CONTENT_LENGTH": "-5"}),
}


@pytest.mark.parametrize("name", COMMON)
def test_what_the_original_finds_is_found_in_its_words(name: str) -> None:
    app, changes = COMMON[name]
    expected = outcome(lambda: serve(app, original, **changes))
    assert expected[0] == "AssertionError", "the original does not find it"
    given = outcome(lambda: serve(app, **changes))
    # the object itself stands in some words
    assert [re.sub("0x[0-9a-f]+", "0x", str(part)) for part in given] == [
        re.sub("0x[0-9a-f]+", "0x", str(part)) for part in expected
    ]
    found = broken(app, **changes)
    assert found.section.startswith(("PEP 3333, ", "RFC 9110 ")) and found.rule and found.found
    assert found.party == ("server" if changes else "application"), found
    assert found.where is not None and f"{__file__}:" in found.where, found.where


@pytest.mark.parametrize("key", ["REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "wsgi.version", "wsgi.errors"])
def test_a_missing_variable_is_named_as_by_the_original(key: str) -> None:
    def without(module: Any) -> tuple[str, object]:
        given = environ()
        del given[key]
        return outcome(lambda: Server().run(module.validator(answering()), given))

    assert without(validate) == without(original) == ("AssertionError", f"Environment missing required key: {key!r}")


def test_the_environ_is_a_dict_and_the_call_positional() -> None:
    class Other(dict[str, Any]):
        pass

    for module in (validate, original):
        app = module.validator(answering())
        with pytest.raises(AssertionError, match=r"Environment is not of the right type: <class .*Other'>"):
            app(Other(environ()), None)
        with pytest.raises(AssertionError, match="Two arguments required"):
            app(environ())
        with pytest.raises(AssertionError, match="No keyword arguments allowed"):
            app(environ(), None, more=1)


def raised_again(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """Catches what start_response raises for exc_info, and goes on."""
    start_response("200 OK", [TEXT])
    yield b"sent"
    try:
        raise KeyError
    except KeyError:
        try:
            start_response("500 Error", [TEXT], sys.exc_info())
        except KeyError:
            pass
    yield b"more"


def written_late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT])(b"late")
    yield b"body"


def started_twice(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [TEXT])
    start_response("200 OK", [TEXT])
    return []


# What the original lets pass: as (application, changes of the environ, what the violation says).
FURTHER: dict[str, tuple[App, dict[str, Any], str]] = {
    "hop-by-hop": (answering(headers=[TEXT, ("Connection", "close")]), {}, "a hop-by-hop field is given: Connection"),
    "transfer coding": (answering(headers=[TEXT, ("transfer-encoding", "chunked")]), {}, "hop-by-hop"),
    "DEL in a value": (answering(headers=[TEXT, ("X", "a\x7f")]), {}, "the value of X has a control character"),
    "wide value": (answering(headers=[TEXT, ("X", "€")]), {}, "the value of X has a character above U.00FF"),
    "wide status": (answering("200 €"), {}, "the status has a character above U.00FF"),
    "status with a line": (answering("200 OK\r\nA: b"), {}, "the status has a control character"),
    "status with space around": (answering("200 OK "), {}, "the status has space around it"),
    "status without a code": (answering("abc OK"), {}, "the status has no code"),
    "interim status": (answering("100 Continue"), {}, "the status is '100 Continue'"),
    "length twice": (
        answering(headers=[TEXT, ("Content-Length", "4"), ("content-length", "4")]),
        {},
        "content-length is given twice",
    ),
    "type twice": (answering(headers=[TEXT, TEXT]), {}, "Content-Type is given twice"),
    "length is no number": (answering(headers=[TEXT, ("Content-Length", "+4")]), {}, "the Content-Length is '.4'"),
    "204 with a length": (
        answering("204 Gone", [("Content-Length", "0")], ()),
        {},
        "a 204 response has a Content-Length",
    ),
    "204 with a body": (answering("204 Gone", [], (b"", b"a")), {}, "a 204 response has a body"),
    "304 with a body": (answering("304 Same", [("Content-Length", "9")]), {}, "a 304 response has a body"),
    "too long": (answering(headers=[TEXT, ("Content-Length", "3")]), {}, "has 4 bytes or more, and .* is 3"),
    "too long by write": (answering(headers=[TEXT, ("Content-Length", "3")], write=b"four"), {}, "has 4 bytes or more"),
    "too short": (answering(headers=[TEXT, ("Content-Length", "5")]), {}, "the body has 4 bytes, and .* is 5"),
    "HEAD, and half a body": (
        answering(headers=[TEXT, ("Content-Length", "5")]),
        {"REQUEST_METHOD": "HEAD"},
        "the body has 4 bytes",
    ),
    "started twice": (started_twice, {}, "start_response was called again without an exception"),
    "never started": (lambda e, s: [], {}, "the body has ended, and start_response was not called"),
    "exc_info of numbers": (answering(exc_info=((1, 2, 3),)), {}, "exc_info is .1, 2, 3."),
    "exc_info kept": (raised_again, {}, "more of the body came after start_response had raised"),
    "write within the body": (written_late, {}, "write.. was called after the application had returned"),
    "a number is returned": (answering(body=5), {}, "the application returned 5"),
    "protocol is missing": (answering(), {"SERVER_PROTOCOL": None}, "SERVER_PROTOCOL is no str: None"),
    "wide variable": (answering(), {"PATH_INFO": "/€"}, "PATH_INFO has a character above U.00FF"),
    "port is empty": (answering(), {"SERVER_PORT": ""}, "SERVER_PORT is no number"),
    "method is empty": (answering(), {"REQUEST_METHOD": ""}, "REQUEST_METHOD is empty"),
    "version is another": (answering(), {"wsgi__version": (2, 0)}, "wsgi.version is .2, 0."),
    "length is text": (answering(), {"CONTENT_LENGTH": "many"}, "CONTENT_LENGTH is no number: 'many'"),
}


@pytest.mark.parametrize("name", FURTHER)
def test_what_the_original_lets_pass_is_found(name: str) -> None:
    app, changes, words = FURTHER[name]
    found = broken(app, **changes)
    assert re.search(words, found.found), found.found
    assert str(found).startswith(f"{found.where}: {found.found} ({found.section}: {found.rule})")
    assert found.where is not None and f"{__file__}:" in found.where
    server = (changes and "REQUEST_METHOD" not in changes) or name == "method is empty"
    assert found.party == ("server" if server else "application")


def test_a_key_that_is_no_str_is_found() -> None:
    given: dict[Any, Any] = {**environ(), 5: "five"}
    with pytest.raises(Violation, match="a key that is no str: 5"):
        validator(answering())(given, None)


def test_missing_scheme_and_protocol_are_named() -> None:
    for key in ("wsgi.url_scheme", "SERVER_PROTOCOL"):
        given = environ()
        del given[key]
        with pytest.raises(AssertionError, match=f"Environment missing required key: '{key}'"):
            validator(answering())(given, None)


def test_old_style_text_is_told_what_to_change() -> None:
    assert "return a list of bytes, such as [text.encode()]" in broken(answering(body="text")).found
    assert "encode it, for example with .encode()" in broken(answering(body=("text",))).found
    assert "encode it" in broken(answering(write="text")).found


def test_the_place_is_that_of_the_code_that_did_it() -> None:
    def line_of(text: str) -> int:
        source = open(__file__, encoding="utf-8").read().splitlines()  # noqa: SIM115
        return next(number for number, line in enumerate(source, 1) if text in line and "line_of" not in line)

    def helper(start_response: Any) -> None:
        start_response("200 OK", [TEXT, ("Upgrade", "h2")])  # the line of the call

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        helper(start_response)
        return []

    where = broken(app).where
    assert where is not None and where.endswith("in test_the_place_is_that_of_the_code_that_did_it.<locals>.helper")
    assert f"{__file__}:{line_of('# the line of the call')} " in where

    def generator(environ: dict[str, Any], start_response: Any) -> Iterator[Any]:
        start_response("200 OK", [TEXT])
        yield "text"  # the line of the item

    where = broken(generator).where
    assert where is not None and f"{__file__}:{line_of('# the line of the item')} in " in where

    class Body:
        def __init__(self, environ: dict[str, Any], start_response: Any) -> None:
            start_response("200 OK", [TEXT])

        def __iter__(self) -> Iterator[Any]:  # the line of the method
            return iter(["text"])

    where = broken(Body).where
    assert where is not None and f"{__file__}:{line_of('# the line of the method')} in " in where


def test_a_wrapped_application_is_looked_for_beneath_its_wrappings() -> None:
    import functools

    class App:
        def __call__(self, more: int, environ: Any, start_response: Any) -> Any:
            return None

    where = broken(functools.partial(App(), 1)).where
    assert where is not None and where.endswith("App.__call__")
    where = broken(validator(functools.partial(App(), 1))).where
    assert where is not None and where.endswith("App.__call__")


def test_an_application_without_python_code_has_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert broken(print).where == "print"


@pytest.mark.parametrize(
    ("app", "changes", "words"),
    [
        (answering("200"), {}, "The status string ('200') should be a three-digit integer"),
        (answering(), {"REQUEST_METHOD": "BREW"}, "Unknown REQUEST_METHOD: 'BREW'"),
        (answering("600 Odd"), {}, "the status is '600 Odd'"),
        (answering(), {"SERVER_NAME": ""}, "SERVER_NAME is empty"),
        (answering(exc_info=((None, None, None),)), {}, "exc_info tells of no exception"),
        (
            lambda e, s: [e["wsgi.input"].read(9), *answering()(e, s)],
            {"CONTENT_LENGTH": "4", "wsgi__input": STREAM(b"bodymore")},
            "9 bytes were asked for where CONTENT_LENGTH leaves 4",
        ),
    ],
)
def test_what_is_unusual_is_warned_of(app: App, changes: dict[str, Any], words: str) -> None:
    with pytest.warns(WSGIWarning, match=re.escape(words)):
        serve(app, **changes)


def test_a_missing_query_is_warned_of_in_the_originals_words() -> None:
    said = []
    for module in (validate, original):
        given = environ()
        del given["QUERY_STRING"]
        with pytest.warns(module.WSGIWarning) as caught:
            Server().run(module.validator(answering()), given)
        said.append([str(warning.message) for warning in caught])
    assert said[0] == said[1]


def test_nothing_is_warned_of_where_nothing_is_wrong() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        got = [stream.read(2), stream.readline(), *stream.readlines(), *stream, stream.read(0)]
        print("to the log", file=environ["wsgi.errors"])
        environ["wsgi.errors"].writelines(["a", "b"])
        environ["wsgi.errors"].flush()
        start_response("200 OK", [TEXT])(b"")
        return [b"", *got]

    errors = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = {"wsgi__input": STREAM(b"a\nb\nc\n"), "CONTENT_LENGTH": "6", "wsgi__errors": errors}
        assert serve(app, **given) == b"a\nb\nc\n"
        assert serve(answering(headers=[TEXT, ("Content-Length", "4")], body=()), REQUEST_METHOD="HEAD") == b""
        assert serve(answering("304 Not Modified", [("Content-Length", "9")], ())) == b""
    assert errors.getvalue() == "to the log\nab"


def test_reading_without_a_size_is_right_where_the_input_ends() -> None:
    """`wsgi.input_terminated` says that it does, as every request's does here."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return [environ["wsgi.input"].read()]

    assert serve(app, wsgi__input=STREAM(b"all"), wsgi__input_terminated=True) == b"all"


def test_input_that_gives_too_much_is_the_servers_fault() -> None:
    class Generous(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b"too much"

    found = broken(lambda e, s: e["wsgi.input"].read(3), wsgi__input=Generous())
    assert found.party == "server" and "8 bytes where 3 were asked for" in found.found


def test_the_input_cannot_be_read_after_the_request() -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        kept.append(environ["wsgi.input"])
        start_response("200 OK", [TEXT])
        return []

    serve(app)
    with pytest.raises(Violation, match="read after the request was over"):
        kept[0].read(1)


def test_an_error_is_answered_anew_while_nothing_is_sent() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [TEXT, ("Content-Length", "99")])
        try:
            raise KeyError
        except KeyError:
            start_response("500 Error", [TEXT], sys.exc_info())
        return [b"error"]

    server = Server()
    assert server.run(validator(app), environ()) == b"error"
    assert server.status == "500 Error"


def test_a_server_must_raise_exc_info_again_and_return_a_writer() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"sent"
        try:
            raise KeyError
        except KeyError:
            start_response("500 Error", [TEXT], sys.exc_info())

    def lenient(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        return lambda data: None

    result = validator(app)(environ(), lenient)
    assert next(result) == b"sent"
    with pytest.raises(Violation, match="took exc_info although a part of the body is sent") as caught:
        next(result)
    assert caught.value.party == "server"
    result.close()
    with pytest.raises(Violation, match="start_response returned None"):
        validator(answering())(environ(), lambda *arguments: None)


def test_what_is_returned_is_closed_and_not_read_after() -> None:
    closed: list[str] = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append("closed")

    result = validator(answering(body=Body([b"a"])))(environ(), Server().start_response)
    result.close()
    assert closed == ["closed"] and result.closed
    with pytest.raises(AssertionError, match="Iterator read after closed"):
        next(result)
    with pytest.warns(WSGIWarning, match="a second time"):
        result.close()
    assert closed == ["closed", "closed"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_never_closed_is_told_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda caught: told.append(caught.exc_value))
    for module in (validate, original):
        result = module.validator(answering())(environ(), Server().start_response)
        del result
        gc.collect()
    words = "Iterator garbage collected without being closed"
    assert capsys.readouterr().err == words * 2
    assert [str(error) for error in told] == [words, words]
    assert "never called" in violation(told[0]).found


def test_nothing_leaks() -> None:
    """A call's objects refer to each other in circles, as a generator that is not closed shows."""

    class Marked(dict[str, Any]):
        pass

    marked = Marked()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        kept = marked_of(environ)
        start_response("200 OK", [TEXT])
        yield b"a"
        yield kept["never"]

    def marked_of(environ: dict[str, Any]) -> Marked:
        found = environ["test.marked"]
        assert isinstance(found, Marked)
        return found

    marked["self"] = marked
    result = validator(app)(environ(test__marked=marked), Server().start_response)
    assert next(result) == b"a"
    result.close()
    gone = weakref.ref(marked)
    del result, app, marked
    gc.collect()
    assert gone() is None


def test_the_wrappers_stand_alone_as_the_originals_do() -> None:
    for module in (validate, original):
        stream: Any = module.InputWrapper(STREAM(b"a\nb"))
        assert list(stream) == [b"a\n", b"b"] and stream.input.tell() == 3
        body: Any = module.PartialIteratorWrapper([b"a"])
        items = iter(body)
        assert list(items) == [b"a"]
        items.close()
        written: list[bytes] = []
        module.WriteWrapper(written.append)(b"a")
        assert written == [b"a"]
        started: list[None] = []
        items = module.IteratorWrapper([b"a"], started)
        with pytest.raises(AssertionError, match="start_response has not yet been called"):
            next(items)
        items.close()


def test_the_application_can_be_found_in_what_holds_it() -> None:
    import inspect

    app = answering()
    assert inspect.unwrap(validator(app)) is app


def test_the_names_of_the_original_are_there() -> None:
    public = {name for name, value in vars(original).items() if not name.startswith("_")} - {"re", "sys", "warnings"}
    assert public <= set(vars(validate))
    assert validate.header_re.pattern == original.header_re.pattern  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ("check_environ", environ(), {}),
        ("check_input", STREAM(), 5),
        ("check_errors", io.StringIO(), 5),
        ("check_status", "200 OK", "2000 OK"),
        ("check_headers", [TEXT], [5]),
        ("check_exc_info", None, 5),
        ("check_iterator", [], "text"),
        ("assert_", True, False),
    ],
)
def test_each_check_can_be_called_alone(check: str, right: Any, wrong: Any) -> None:
    for value in (right, wrong):
        given = outcome(lambda value=value: getattr(validate, check)(value))  # type: ignore[misc]
        assert given == outcome(lambda value=value: getattr(original, check)(value))  # type: ignore[misc]
    assert outcome(lambda: validate.check_content_type("200 OK", [])) == outcome(
        lambda: original.check_content_type("200 OK", [])  # type: ignore[attr-defined]
    )
    assert validate.check_string_type("a", "Text") == "a"
