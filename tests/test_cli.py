"""The command line: which application, which address, which settings, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import curl
from tests.support.server import APPS, run
from tests.support.sockets import leave_stale, listening, port_of
from tests.support.wire import Truncated, conversation, get, send

FREE = ["-b", "127.0.0.1:0"]
HELLO = """\
def {name}(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{name} of {file}"]
"""


def write(directory: Path, file: str, name: str = "application", source: str | None = None) -> Path:
    path = directory / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HELLO.format(name=name, file=file) if source is None else textwrap.dedent(source))
    return path


# Which application


@pytest.mark.parametrize(
    ("spec", "body"),
    [
        ("hello", b"Hello, world!"),
        ("hello:app", b"Hello, world!"),
        ("hello:holder.inner", b"Hello, world!"),
        ("hello:saying('hi')", b"hi"),
        ('hello:saying("hi", 2)', b"hihi"),
        ("hello:saying('hi', times=3, loud=True)", b"HIHIHI"),
        ("hello.py", b"Hello, world!"),
        ("./hello.py:app", b"Hello, world!"),
        ("../apps/hello.py:saying('from a file')", b"from a file"),
        (str(APPS / "hello.py") + ":app", b"Hello, world!"),
    ],
)
def test_an_application_is_named_in_every_form(serve: Serve, spec: str, body: bytes) -> None:
    assert send(serve(spec).port, get()).body == body


@pytest.mark.parametrize("name", ["application", "app"])
def test_without_an_attribute_the_usual_names_are_tried(serve: Serve, tmp_path: Path, name: str) -> None:
    write(tmp_path, "shop.py", name)
    assert send(serve("shop", cwd=tmp_path).port, get()).body == f"{name} of shop.py".encode()


@pytest.mark.parametrize("factory", ["create_app", "make_app"])
def test_without_an_attribute_a_factory_is_called_last(serve: Serve, tmp_path: Path, factory: str) -> None:
    write(
        tmp_path,
        "shop.py",
        source=HELLO.format(name="inner", file="shop.py") + f"\ndef {factory}():\n    return inner\n",
    )
    assert send(serve("shop", cwd=tmp_path).port, get()).body == b"inner of shop.py"


def test_an_application_in_a_package_is_found(serve: Serve, tmp_path: Path) -> None:
    write(tmp_path, "shop/__init__.py", source="")
    write(
        tmp_path,
        "shop/web.py",
        source=HELLO.format(name="page", file="web.py") + "\nclass Site:\n    wsgi = staticmethod(page)\n",
    )
    assert send(serve("shop.web:Site.wsgi", cwd=tmp_path).port, get()).body == b"page of web.py"


@pytest.mark.parametrize(("file", "name"), [("wsgi.py", "application"), ("app.py", "app")])
def test_without_app_the_usual_files_are_served(serve: Serve, tmp_path: Path, file: str, name: str) -> None:
    write(tmp_path, file, name)
    assert send(serve(None, cwd=tmp_path).port, get()).body == f"{name} of {file}".encode()


def test_without_app_the_project_of_manage_py_is_served(serve: Serve, tmp_path: Path) -> None:
    shutil.copytree(APPS / "django_site", tmp_path / "site")
    server = serve(None, cwd=tmp_path / "site", env={"SITE_DATA": str(tmp_path)})
    assert send(server.port, get("/stream/?rows=1")).body == b"0,0\n"


def test_chdir_is_where_modules_are_looked_for(serve: Serve, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "shop.py")
    server = serve("shop", "--chdir", "elsewhere", cwd=tmp_path)
    assert send(server.port, get()).body == b"application of shop.py"


def test_modules_may_be_imported_from_pythonpath(serve: Serve, tmp_path: Path) -> None:
    write(tmp_path / "library", "shop.py")
    server = serve("shop", "--pythonpath", "library", cwd=tmp_path)
    assert send(server.port, get()).body == b"application of shop.py"


def test_the_application_may_start_threads_and_processes_when_it_is_imported(serve: Serve, tmp_path: Path) -> None:
    source = """
        import subprocess, sys, threading
        seen = []
        threading.Thread(target=seen.append, args=("thread",)).start()
        seen.append(subprocess.run([sys.executable, "-c", "print('process')"], capture_output=True, text=True).stdout)
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [repr(sorted(seen)).encode()]
    """
    write(tmp_path, "busy.py", source=source)
    assert send(serve("busy", cwd=tmp_path).port, get()).body == b"['process\\n', 'thread']"


# Applications that can't be served


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("no_such_module", "no_such_module"),
        ("no_such_module:app", "no_such_module"),
        ("no_such_package.module:app", "no_such_package"),
        ("hello:no_such_attribute", "no_such_attribute"),
        ("hello:holder.no_such_attribute", "no_such_attribute"),
        ("hello:not_an_application", "not_an_application"),
        ("hello:saying(1, 2, 3, 4)", "saying"),
        ("no/such/file.py", "no/such/file.py"),
    ],
)
def test_an_application_that_cannot_be_found_is_3_and_names_what_was_looked_for(spec: str, named: str) -> None:
    done = run(*FREE, spec)
    assert (done.returncode, done.stdout) == (3, "")
    assert named in done.stderr
    assert "whiskyjack/" not in done.stderr.replace("bin/whiskyjack", ""), "no traceback of ours"


def test_a_directory_without_an_application_says_what_was_looked_for_and_where(tmp_path: Path) -> None:
    done = run(*FREE, cwd=tmp_path)
    assert done.returncode == 3
    for named in ["wsgi.py", "app.py", "manage.py", str(tmp_path)]:
        assert named in done.stderr


def test_a_module_without_an_application_says_which_names_were_tried(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", source="pass\n")
    done = run(*FREE, "shop", cwd=tmp_path)
    assert done.returncode == 3
    for named in ["application", "app", "create_app", "make_app", "shop"]:
        assert named in done.stderr


def test_an_attribute_with_a_slip_in_it_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "shop.py")
    done = run(*FREE, "shop:aplication", cwd=tmp_path)
    assert done.returncode == 3 and "`application`" in done.stderr.replace("'", "`")


def test_an_error_in_the_application_shows_its_traceback_and_not_ours(tmp_path: Path) -> None:
    write(tmp_path, "inner.py", source="def work():\n    raise LookupError('the users own fault')\n")
    write(tmp_path, "shop.py", source="import inner\n\ninner.work()\n")
    done = run(*FREE, "shop", cwd=tmp_path)
    assert done.returncode == 3
    assert "LookupError: the users own fault" in done.stderr
    files = re.findall(r'File "([^"]+)", line', done.stderr)
    assert [Path(file).name for file in files] == ["shop.py", "inner.py"]


def test_a_syntax_error_in_the_application_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", source="def broken(:\n    pass\n")
    done = run(*FREE, "shop", cwd=tmp_path)
    assert done.returncode == 3
    assert "SyntaxError" in done.stderr and "shop.py" in done.stderr and "def broken(:" in done.stderr


def test_an_import_that_fails_inside_the_application_names_the_inner_module(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", source="import a_module_that_is_missing\n")
    done = run(*FREE, "shop", cwd=tmp_path)
    assert done.returncode == 3
    assert "No module named 'a_module_that_is_missing'" in done.stderr
    assert [Path(file).name for file in re.findall(r'File "([^"]+)", line', done.stderr)] == ["shop.py"]


def test_an_application_that_exits_on_import_is_3(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", source="import sys\nsys.exit(0)\n")
    assert run(*FREE, "shop", cwd=tmp_path).returncode == 3


# Addresses


def test_a_port_in_use_is_3_and_names_the_address() -> None:
    with listening() as taken:
        done = run("-b", f"127.0.0.1:{port_of(taken)}", "hello")
        assert done.returncode == 3
        assert f"127.0.0.1:{port_of(taken)}" in done.stderr


def test_every_address_that_is_given_is_served(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("hello", "-b", f"unix:{path}", "--bind", "[::1]:0")
    server.wait_for_log(re.escape(f"unix:{path}"))
    six = server.wait_for_log(r"http://\[::1\]:(\d+)")
    assert send(server.port, get()).body == send(path, get()).body == b"Hello, world!"
    assert curl("--globoff", f"http://[::1]:{six[1]}/") == b"Hello, world!"


def test_a_name_may_be_bound(serve: Serve) -> None:
    server = serve("hello", bind="localhost:0")
    assert curl(f"http://localhost:{server.port}/") == b"Hello, world!"


def test_port_moves_the_default(serve: Serve) -> None:
    with listening() as once:
        port = port_of(once)
    server = serve("hello", bind=None, env={"PORT": str(port)})
    assert server.port == port
    assert "0.0.0.0" in server.log()
    assert send(port, get()).body == b"Hello, world!"


def test_a_unix_socket_has_its_mode_and_is_removed_at_the_end(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("hello", "--unix-socket-mode", "600", bind=f"unix:{path}")
    assert server.path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert send(path, get()).body == b"Hello, world!"
    assert curl("--unix-socket", str(path), "http://test.example/") == b"Hello, world!"
    server.stop()
    assert not path.exists()


def test_a_client_of_a_unix_socket_has_no_address(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    serve("environs:show", bind=f"unix:{path}")
    told = json.loads(send(path, get()).body)["values"]
    assert told["SERVER_NAME"], "PEP 3333 wants a name that is not empty"
    assert told["SERVER_PORT"], "PEP 3333 wants a port that is not empty"
    assert isinstance(told.get("REMOTE_ADDR", ""), str)


def test_a_stale_unix_socket_is_replaced(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    leave_stale(path)
    serve("hello", bind=f"unix:{path}")
    assert send(path, get()).body == b"Hello, world!"


def test_a_live_unix_socket_is_refused_and_left_alone(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    serve("hello", bind=f"unix:{path}")
    done = run("-b", f"unix:{path}", "hello")
    assert done.returncode == 3 and str(path) in done.stderr
    assert send(path, get()).body == b"Hello, world!"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    done = run("-b", f"unix:{path}", "hello")
    assert done.returncode == 3 and str(path) in done.stderr
    assert path.read_text() == "precious"


def test_a_socket_may_be_inherited(serve: Serve) -> None:
    with listening() as inherited:
        server = serve("hello", bind=f"fd://{inherited.fileno()}", pass_fds=[inherited.fileno()])
        assert server.port == port_of(inherited)
        assert send(server.port, get()).body == b"Hello, world!"


def test_a_descriptor_that_is_no_socket_is_3(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        address = f"fd://{file.fileno()}"
        done = run("-b", address, "hello", pass_fds=[file.fileno()])
    assert done.returncode == 3 and address in done.stderr


# Settings


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("--thread", "--threads"),
        ("--blind", "--bind"),
        ("--kep-alive", "--keep-alive"),
        ("--acces-log", "--access-log"),
    ],
)
def test_a_wrong_flag_is_2_and_names_the_nearest(flag: str, nearest: str) -> None:
    done = run(flag, "1", "hello")
    assert done.returncode == 2
    assert flag in done.stderr and re.search(rf"{nearest}\b", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--threads", "many"], "threads"),
        (["--threads", "0"], "threads"),
        (["--keep-alive", "soon"], "keep-alive"),
        (["--bind", "http://x"], "bind"),
        (["--bind", "127.0.0.1:99999"], "bind"),
        (["--threads"], "threads"),
        (["hello", "hello"], "hello"),
    ],
)
def test_a_wrong_value_is_2_and_names_its_setting(flags: list[str], named: str) -> None:
    done = run(*flags)
    assert done.returncode == 2 and named in done.stderr
    assert "Traceback" not in done.stderr


def printed(*flags: str, cwd: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """The line of each setting that --print-config shows."""
    done = run("--print-config", *flags, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"[a-z-]+\s*=", line)]
    return {line.partition("=")[0].strip(): line.partition("=")[2].strip() for line in lines}


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "whiskyjack.toml").write_text("threads = 3\nbacklog = 33\nkeep-alive = 30\n")
    environment = {"WHISKYJACK_THREADS": "4", "WHISKYJACK_BACKLOG": "44"}
    found = printed("--threads", "5", cwd=tmp_path, env=environment)
    for name, value, origin in [
        ("threads", "5", "--threads"),
        ("backlog", "44", "WHISKYJACK_BACKLOG"),
        ("keep-alive", "30", "whiskyjack.toml"),
        ("head-timeout", "", "default"),
    ]:
        assert value in found[name] and origin in found[name], found[name]


def test_pyproject_is_read_where_there_is_no_file_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.whiskyjack]\nthreads = 6\n[tool.other]\nthreads = 7\n")
    assert "6" in printed(cwd=tmp_path)["threads"]
    (tmp_path / "whiskyjack.toml").write_text("backlog = 9\n")
    found = printed(cwd=tmp_path)
    assert "default" in found["threads"] and "9" in found["backlog"]


def test_config_names_another_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("threads = 11\n")
    (tmp_path / "whiskyjack.toml").write_text("threads = 12\n")
    assert "11" in printed("--config", "other.toml", cwd=tmp_path)["threads"]
    assert "11" in printed("-c", "other.toml", cwd=tmp_path)["threads"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("thread = 3\n", "threads"),
        ("threads = 'many'\n", "threads"),
        ("threads = \n", "whiskyjack.toml"),
        ("[table]\n", "table"),
    ],
)
def test_a_wrong_file_is_2_and_says_where(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "whiskyjack.toml").write_text(text)
    done = run("--print-config", cwd=tmp_path)
    assert done.returncode == 2 and named in done.stderr and "whiskyjack.toml" in done.stderr


def test_a_missing_file_that_was_asked_for_is_2(tmp_path: Path) -> None:
    done = run("-c", "missing.toml", "--print-config", cwd=tmp_path)
    assert done.returncode == 2 and "missing.toml" in done.stderr


def test_a_file_can_say_all_that_is_needed(serve: Serve, tmp_path: Path) -> None:
    write(tmp_path, "shop.py")
    (tmp_path / "whiskyjack.toml").write_text('app = "shop"\nbind = ["127.0.0.1:0"]\nthreads = 2\n')
    assert send(serve(None, bind=None, cwd=tmp_path).port, get()).body == b"application of shop.py"


def test_every_setting_has_a_flag_in_the_help(tmp_path: Path) -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in printed(cwd=tmp_path):
        assert name == "app" or f"--{name}" in done.stdout, name
    assert "APP" in done.stdout and "[default: 65s]" in done.stdout.replace("default 65s", "[default: 65s]")
    for heading in ["Application", "Addresses", "Concurrency", "Timeouts", "Limits", "Logs"]:
        assert re.search(rf"^{heading}", done.stdout, re.MULTILINE), heading


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    done = run("--version")
    assert done.returncode == 0 and version("whiskyjack") in done.stdout


def test_the_command_is_installed_beside_the_interpreter() -> None:
    import subprocess

    command = Path(sys.executable).parent / "whiskyjack"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == run("--version").stdout


def test_the_command_serves_what_the_module_serves(serve: Serve) -> None:
    server = serve("hello", command=[str(Path(sys.executable).parent / "whiskyjack")])
    assert send(server.port, get()).body == b"Hello, world!"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_printed(shell: str) -> None:
    done = run("--completions", shell)
    assert done.returncode == 0
    assert "whiskyjack" in done.stdout and "keep-alive" in done.stdout


def test_check_config_imports_the_application_and_binds_nothing(tmp_path: Path) -> None:
    write(tmp_path, "shop.py", source="print('imported')\ndef app(environ, start_response): ...\n")
    with listening() as taken:
        done = run("--check-config", "-b", f"127.0.0.1:{port_of(taken)}", "shop", cwd=tmp_path)
    assert done.returncode == 0 and "imported" in done.stdout + done.stderr
    write(tmp_path, "shop.py", source="raise LookupError('on import')\n")
    done = run("--check-config", "shop", cwd=tmp_path)
    assert done.returncode == 3 and "LookupError: on import" in done.stderr


def test_check_config_tells_of_wrong_settings_too() -> None:
    assert run("--check-config", "--threads", "many", "hello").returncode == 2


def test_start_up_says_what_matters(serve: Serve) -> None:
    server = serve("hello:app", "--threads", "3")
    send(server.port, get())
    log = server.log()
    python = ".".join(str(number) for number in sys.version_info[:3])
    for text in [server.url, "hello:app", "3 threads", python, "GIL"]:
        assert text in log, text
    assert len(log.splitlines()) <= 6, "briefly"


def test_with_the_log_level_error_start_up_is_silent(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("hello", "--threads", "2")
    assert server.log()
    done = run("--log-level", "errors", "hello")
    assert done.returncode == 2 and "error" in done.stderr
    assert not path.exists()


# The access log


COMMON = (
    r"^127\.0\.0\.1 - - \[\d\d/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
)


def test_the_access_log_is_a_line_a_request_on_standard_output(serve: Serve) -> None:
    server = serve("stage:application", "--access-log", "-")
    send(server.port, get("/responses/one?a=b"))
    send(server.port, get("/misuse/raises", method="POST"))
    send(server.port, get("/responses/one", method="HEAD"), head=True)
    with conversation(server.port, b"GET /refused HTTP/1.1\r\n\r\n") as opened:
        opened.read_response()
    server.stdout.wait_for(COMMON + r'"GET /responses/one\?a=b HTTP/1\.1" 200 9$')
    server.stdout.wait_for(COMMON + r'"POST /misuse/raises HTTP/1\.1" 500 \d+$')
    server.stdout.wait_for(COMMON + r'"HEAD /responses/one HTTP/1\.1" 200 -$')
    server.stdout.wait_for(COMMON + r'".*" 400 (?:\d+|-)$')
    server.stop()
    assert len(server.stdout.text().splitlines()) == 4


def test_the_access_log_is_appended_to_a_file_and_cannot_be_forged(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("an earlier line\n")
    server = serve("stage:application", "--access-log", str(path))
    send(server.port, get('/responses/one?"', method="GET"))
    with pytest.raises(Truncated):
        send(server.port, get("/responses/breaks?1000"))
    server.stop()
    lines = path.read_text().splitlines()
    assert lines[0] == "an earlier line" and len(lines) == 3
    assert re.search(r'\\x22 HTTP/1\.1" (200|400) ', lines[1]) or re.search(r'" 400 ', lines[1])
    assert re.match(COMMON + r'"GET /responses/breaks\?1000 HTTP/1\.1" 200 15$', lines[2])


def test_without_an_access_log_nothing_is_written_for_a_request(serve: Serve) -> None:
    server = serve("hello")
    before = server.log()
    for _ in range(5):
        send(server.port, get())
    assert server.log() == before and server.stdout.text() == ""


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_under_way_and_takes_nothing_new(serve: Serve, number: signal.Signals) -> None:
    server = serve("stage:application", "--threads", "2")
    with conversation(server.port, get("/slow/linger")) as opened, conversation(server.port) as idle:
        idle.send(get("/responses/one"))
        assert idle.read_response().body == b"one piece"
        server.wait_for_log("lingering")
        server.signal(number)
        answer = opened.read_response()
        assert answer.body == b"finished what was under way"
        assert answer.closes
        idle.expect_end()
    assert server.wait() == 0, server.log()


def test_a_large_answer_under_way_is_finished_after_a_signal(serve: Serve) -> None:
    server = serve("stage:application", "--threads", "2")
    with conversation(server.port, get("/slow/large")) as opened:
        opened.read_exactly(1000, "the beginning")
        server.signal(signal.SIGTERM)
        rest = opened.read_to_end()
    assert server.wait() == 0, server.log()
    assert len(rest) > 32 * 1024 * 1024 - 1000


def test_a_second_signal_stops_at_once(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = serve("stage:application", "-b", f"unix:{path}", "--graceful-timeout", "1h")
    with conversation(server.port, get("/slow/hang")) as opened:
        server.wait_for_log("hanging")
        server.signal(signal.SIGINT)
        server.wait_for_log(r"(?i)again|finish|stopping|draining|shutting")
        server.signal(signal.SIGINT)
        server.wait()
        assert opened.read_to_end() == b""
    assert not path.exists(), "no socket file is left behind"


def test_the_graceful_timeout_ends_the_waiting(serve: Serve) -> None:
    server = serve("stage:application", "--graceful-timeout", "200ms")
    with conversation(server.port, get("/slow/hang")) as opened:
        server.wait_for_log("hanging")
        server.signal(signal.SIGTERM)
        server.wait()
        assert opened.read_to_end() == b""


def test_atexit_functions_and_threads_of_the_application_end_in_order(serve: Serve, tmp_path: Path) -> None:
    source = """
        import atexit, pathlib
        atexit.register(pathlib.Path("ended").write_text, "in order")
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"x"]
    """
    write(tmp_path, "shop.py", source=source)
    server = serve("shop", cwd=tmp_path)
    send(server.port, get())
    server.stop()
    assert (tmp_path / "ended").read_text() == "in order"


def test_the_process_has_few_files_open(serve: Serve) -> None:
    server = serve("hello")
    before = len(os.listdir(f"/proc/{server.worker}/fd"))
    for _ in range(30):
        send(server.port, get("/", "Connection: close"))
    with conversation(server.port, get()) as opened:
        opened.read_response()
        assert len(os.listdir(f"/proc/{server.worker}/fd")) <= before + 2, "connections that ended are let go"
