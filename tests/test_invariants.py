"""The invariants of the design, as scans of the sources and of the dependency tree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT

CRATES = ROOT / "crates"

# Invariant 3: the only rooms with unsafe code.
UNSAFE_ROOMS = {
    "whiskyjack-server/src/sys.rs": "system calls",
    "whiskyjack/src/sys.rs": "system calls",
    "whiskyjack-wsgi/src/lease.rs": "the exchange, lent to Python objects for one call",
    "whiskyjack-wsgi/src/raw.rs": "raw C-API calls of the hot path",
}


def sources(*crates: str) -> list[Path]:
    """The Rust sources of these crates, or of all."""
    found = [path for crate in crates or ["*"] for path in CRATES.glob(f"{crate}/src/**/*.rs")]
    assert found
    return sorted(path for path in found if not is_for_tests_only(path))


def is_for_tests_only(path: Path) -> bool:
    """Whether the crate's root has this room only when tests are built."""
    root = next(parent for parent in path.parents if parent.name == "src") / "lib.rs"
    return re.search(rf"#\[cfg\(test\)\]\s*mod {path.stem};", root.read_text()) is not None


def room(path: Path) -> str:
    return path.relative_to(CRATES).as_posix()


def code(path: Path) -> str:
    """A source without comments and without its tests, which stand at its end."""
    text = path.read_text().partition("#[cfg(test)]\nmod tests")[0]
    return re.sub(r"^\s*//.*$|\s//\s.*$", "", text, flags=re.MULTILINE)


def rooms_with(pattern: str, *crates: str) -> set[str]:
    return {room(path) for path in sources(*crates) if re.search(pattern, code(path))}


def tree(crate: str) -> str:
    done = subprocess.run(
        ["cargo", "tree", "--offline", "--locked", "-p", crate, "-e", "normal,build", "--prefix", "none"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("crate", ["whiskyjack-proto", "whiskyjack-server"])
def test_there_is_no_python_below_the_gateway(crate: str) -> None:
    assert "pyo3" not in tree(crate)


def test_the_server_has_an_example_that_serves_without_python() -> None:
    assert (CRATES / "whiskyjack-server/examples/hello.rs").is_file()


@pytest.mark.parametrize(
    ("crate", "above"),
    [
        ("whiskyjack-proto", ["whiskyjack-server", "whiskyjack-wsgi", "whiskyjack "]),
        ("whiskyjack-server", ["whiskyjack-wsgi", "whiskyjack "]),
        ("whiskyjack-wsgi", ["whiskyjack "]),
    ],
)
def test_imports_run_down_only(crate: str, above: list[str]) -> None:
    names = tree(crate).splitlines()[1:]
    assert not [line for line in names if any(line.startswith(name) for name in above)]


def test_the_rules_know_no_socket_no_clock_no_thread_and_no_unsafe_code() -> None:
    root = CRATES / "whiskyjack-proto/src/lib.rs"
    assert "#![forbid(unsafe_code)]" in root.read_text()
    needs = r"std::(net|os|thread|fs|process|env)\b|\bInstant\b|SystemTime::now|\.elapsed\("
    assert not rooms_with(needs, "whiskyjack-proto")
    manifest = (CRATES / "whiskyjack-proto/Cargo.toml").read_text()
    assert not re.search(r"^(mio|rustix|libc|socket2|tokio|log)\b", manifest, re.MULTILINE)


def test_unsafe_code_stands_in_named_rooms_only() -> None:
    assert rooms_with(r"\bunsafe\s*(\{|fn\b|impl\b|extern\b|trait\b)") <= UNSAFE_ROOMS.keys()


@pytest.mark.parametrize("name", UNSAFE_ROOMS)
def test_every_unsafe_block_says_why_it_is_safe(name: str) -> None:
    lines = (CRATES / name).read_text().splitlines()
    for number, line in enumerate(lines):
        if not re.search(r"\bunsafe\s*(\{|impl\b)", line) or line.lstrip().startswith("//"):
            continue
        before = number - 1
        while before >= 0 and not lines[before].lstrip().startswith("//") and number - before < 6:
            before -= 1
        comment = before
        while comment >= 0 and lines[comment].lstrip().startswith("//"):
            comment -= 1
        said = "\n".join(lines[comment + 1 : number + 1])
        assert "SAFETY:" in said, f"{name}:{number + 1}: {line.strip()}"


def test_only_framing_and_write_spell_the_framing_fields() -> None:
    allowed = {"whiskyjack-proto/src/framing.rs", "whiskyjack-proto/src/write.rs"}
    assert rooms_with(r'(?i)b"(content-length|transfer-encoding)') <= allowed


def test_only_environ_and_its_table_spell_cgi_names() -> None:
    names = (
        r'"(HTTP_[A-Z_]*|SCRIPT_NAME|PATH_INFO|QUERY_STRING|REQUEST_METHOD|REQUEST_URI|RAW_URI|CONTENT_TYPE|CONTENT_LENGTH'
        r'|SERVER_NAME|SERVER_PORT|SERVER_PROTOCOL|REMOTE_ADDR|REMOTE_PORT|wsgi\.(?!py\b)[a-z_]+)"'
    )
    # wsgiref's twin is about environs that others made: what it reads and sets there are its very subject.
    rooms = {room for room in rooms_with(names) if not room.startswith("whiskyjack-wsgiref/")}
    assert rooms == {"whiskyjack-wsgi/src/environ.rs", "whiskyjack-wsgi/src/names.rs"}


def test_only_settings_names_a_default() -> None:
    assert not rooms_with(r"impl Default for (Config|HeadLimits|BodyLimits|Settings)\b")
    assert not rooms_with(r"derive\([^)]*\bDefault\b[^)]*\)\]\s*pub struct (Config|HeadLimits|BodyLimits|Settings)\b")
    assert not rooms_with(r"default_value")


def test_nothing_that_runs_unwraps() -> None:
    assert not rooms_with(r"\.unwrap\(\)|\btodo!|\bunimplemented!|\bdbg!")


def test_what_bytes_from_outside_reach_does_not_panic_by_name() -> None:
    assert not rooms_with(r"\bpanic!|\bunreachable!", "whiskyjack-proto")


def test_the_machine_sleeps_nowhere() -> None:
    assert not rooms_with(r"thread::sleep")


def test_python_holds_no_protocol_logic() -> None:
    package = ROOT / "python/whiskyjack"
    # The classes of the first two are subclasses of http.server's, the third waits for their connections, the fourth
    # binds a port, and the last two hand over one that is bound; none of them parses.
    faces = [package / "wsgiref/simple_server.py", package / "werkzeug/serving.py", package / "werkzeug/_answer.py"]
    faces += [package / "testing.py"]
    faces += [package / "contrib/django/server.py", package / "contrib/django/management/commands/runserver.py"]
    for path in set(package.rglob("*.py")) - set(faces):
        text = path.read_text()
        assert not re.search(
            r"^\s*(import|from) (socket|select|selectors|http\.server|asyncio)\b", text, re.MULTILINE
        ), path


def test_no_test_opens_its_own_socket_or_sleeps() -> None:
    tests = Path(__file__).parent
    for path in tests.glob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) socket\b|\bopen_connection\b", text, re.MULTILINE), path
        assert not re.search(r"^\s*time\.sleep\(", text, re.MULTILINE), path


def test_no_room_has_outgrown_its_noun() -> None:
    """600 lines without the tests is where a second noun is looked for; some way beyond it there is one."""
    long = {room(path): lines for path in sources() if (lines := len(code(path).splitlines())) > 700}
    assert not long


def test_the_package_imports_nothing_but_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"whiskyjack", "_whiskyjack"}
    package = ROOT / "python/whiskyjack"
    # pytest loads its plugin, and frameworks what is theirs; nothing else does.
    theirs = {package / "pytest_plugin.py", *(package / "contrib").rglob("*.py")}
    for path in set(package.rglob("*.py")) - theirs:
        for line in path.read_text().splitlines():
            # integrations may import what they integrate, inside a function
            if found := re.match(r"(?:import|from) ([a-z_0-9]+)", line):
                assert found[1] in allowed, f"{path}: {line}"
            assert not re.match(r"\s*(?:import|from) whiskyjack\.contrib", line), f"{path}: {line}"
