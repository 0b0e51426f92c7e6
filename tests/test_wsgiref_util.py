"""`whiskyjack.wsgiref.util` beside the standard library's."""

from __future__ import annotations

import io
import random
import sys
import wsgiref.types
import wsgiref.util as original
from collections import UserDict
from typing import Any

import pytest

from tests.support.original import outcome, same
from whiskyjack.wsgiref import types, util

SEGMENTS = ["", "", ".", "..", "a", "b c", "Å", "€", "%41", "a;b=1,2", "\x7f", "~user", "\udc80", "..."]


def path(chance: random.Random) -> str:
    return chance.choice(["", "/", "/", "//"]) + "/".join(chance.choices(SEGMENTS, k=chance.randrange(6)))


def environ(chance: random.Random) -> dict[str, Any]:
    """Some of what an environ has, right and wrong."""
    choices: dict[str, list[Any]] = {
        "wsgi.url_scheme": ["http", "https", "https", "ftp"],
        "HTTP_HOST": ["example.org", "example.org:8080", "", None, 5],
        "SERVER_NAME": ["localhost", "[::1]", None],
        "SERVER_PORT": ["80", "443", "8000", 80],
        "SCRIPT_NAME": [path(chance), "", None],
        "PATH_INFO": [path(chance), path(chance), "", "no-slash"],
        "QUERY_STRING": ["", "a=b&c", "%E4", None],
        "HTTPS": ["on", "1", "yes", "off", "ON"],
    }
    return {name: chance.choice(values) for name, values in choices.items() if chance.random() < 0.85}


@pytest.mark.parametrize("seed", range(300))
def test_every_function_gives_what_the_original_gives(seed: int) -> None:
    chance = random.Random(seed)
    given = environ(chance)
    same(util.guess_scheme, original.guess_scheme, given)
    same(util.application_uri, original.application_uri, given)
    same(util.request_uri, original.request_uri, given)
    same(util.request_uri, original.request_uri, given, include_query=False)


@pytest.mark.parametrize("seed", range(600))
def test_shifting_a_path_to_its_end_goes_as_in_the_original(seed: int) -> None:
    chance = random.Random(seed)
    ours = {"SCRIPT_NAME": path(chance), "PATH_INFO": path(chance)}
    if chance.random() < 0.1:
        del ours["SCRIPT_NAME"]
    theirs = dict(ours)
    for _ in range(8):
        shifted = outcome(lambda: util.shift_path_info(ours))
        assert (shifted, ours) == (outcome(lambda: original.shift_path_info(theirs)), theirs)
        if shifted[1] is None:
            break


def test_a_path_without_a_slash_cannot_be_shifted() -> None:
    assert same(util.shift_path_info, original.shift_path_info, {"PATH_INFO": "x"}) == "list index out of range"


def test_what_a_uri_lacks_is_named_as_in_the_original() -> None:
    assert same(util.application_uri, original.application_uri, {}) == "'wsgi.url_scheme'"
    assert same(util.application_uri, original.application_uri, {"wsgi.url_scheme": "http"}) == "'SERVER_NAME'"
    same(util.request_uri, original.request_uri, {"wsgi.url_scheme": "http", "HTTP_HOST": "a", "PATH_INFO": b"/"})


@pytest.mark.parametrize(
    "start", [{}, {"HTTPS": "on"}, {"wsgi.url_scheme": "ftp"}, {"PATH_INFO": "/x", "HTTP_HOST": "a"}]
)
@pytest.mark.parametrize("kind", [dict, UserDict])
def test_testing_defaults_are_the_originals(start: dict[str, str], kind: Any) -> None:
    ours, theirs = kind(start), kind(start)
    util.setup_testing_defaults(ours)
    original.setup_testing_defaults(theirs)
    assert list(ours) == list(theirs)
    streams = "wsgi.input", "wsgi.errors"
    for name in theirs:
        if name in streams:
            assert type(ours[name]) is type(theirs[name])
        else:
            assert (ours[name], type(ours[name])) == (theirs[name], type(theirs[name])), name


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "KEEP-ALIVE",
        "te",
        "Trailers",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Date",
        "\u212aeep-Alive",
        "",
        b"te",
        1,
    ],
)
def test_hop_by_hop_fields_are_the_originals(name: Any) -> None:
    same(util.is_hop_by_hop, original.is_hop_by_hop, name)


def test_a_file_wrapper_reads_blocks_and_closes_what_it_wraps() -> None:
    source = io.BytesIO(b"xyz" * 50)
    wrapper = util.FileWrapper(source, 120)
    assert iter(wrapper) is wrapper
    assert [len(block) for block in wrapper] == [120, 30]
    assert not source.closed
    wrapper.close()
    assert source.closed
    assert (wrapper.filelike, wrapper.blksize) == (source, 120)
    assert util.FileWrapper(source).blksize == original.FileWrapper(source).blksize == 8192


def test_a_file_wrapper_has_no_close_where_there_is_none() -> None:
    class Readable:
        def read(self, size: int) -> bytes:
            return b""

    assert not hasattr(util.FileWrapper(Readable()), "close")
    assert list(util.FileWrapper(filelike=Readable(), blksize=1)) == []


def test_a_file_wrapper_can_be_subclassed() -> None:
    class Named(util.FileWrapper):
        def __init__(self, name: str, source: io.BytesIO) -> None:
            super().__init__(source, blksize=2)
            self.name = name

        def __next__(self) -> bytes:
            return super().__next__().upper()

    wrapper = Named("a", io.BytesIO(b"abc"))
    assert list(wrapper) == [b"AB", b"C"] and wrapper.name == "a"


def test_nothing_of_a_file_wrapper_leaks() -> None:
    import gc
    import weakref

    source = io.BytesIO()
    wrapper = util.FileWrapper(source)
    source.wrapper = wrapper  # type: ignore[attr-defined]
    gone = weakref.ref(wrapper)
    del wrapper, source
    gc.collect()
    assert gone() is None


def test_the_public_names_are_the_originals() -> None:
    # 3.11 leaves is_hop_by_hop out of its list
    assert set(util.__all__) == {*original.__all__, "is_hop_by_hop"}
    assert sorted(types.__all__) == sorted(wsgiref.types.__all__)
    for name in original.__all__:
        assert getattr(util, name).__doc__, name


def test_the_standard_wsgiref_is_not_imported() -> None:
    import subprocess

    program = (
        "import sys, whiskyjack.wsgiref.headers, whiskyjack.wsgiref.types, whiskyjack.wsgiref.util\n"
        "print([name for name in sys.modules if name.startswith('wsgiref')])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
