"""`whiskyjack migrate`: settings of other servers, and what has no equivalent. Whiskyjack must take every answer."""

from __future__ import annotations

import json
import shlex
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import run

GUNICORN_CONF = """\
import multiprocessing
print("seen on the way")
bind = ["0.0.0.0:8000", "unix:/run/shop.sock"]
backlog = 512
worker_class = "gthread"
threads = 2 * 3
keepalive = 5
graceful_timeout = 20
timeout = 45
pythonpath = "/srv/one,/srv/two"
accesslog = "-"
loglevel = "WARN"
limit_request_line = 0
header_map = "dangerous"
forwarded_allow_ips = "10.0.0.0/8,127.0.0.1"
worker_tmp_dir = "/dev/shm"
logger_class = "shop.logs.Logger"
sendfile = None
daemon = False
reuse_port = True
a_name_of_ones_own = 1

def post_fork(server, worker):
    raise SystemExit("hooks are not called")
"""

UWSGI_INI = """\
[uwsgi]
project = shop
base = /srv/%(project)
chdir = %(base)
module = %(project).wsgi:application
master = true
threads = 4
http-socket = :8080
harakiri = 20
buffer-size = 32768
post-buffering = 8192
vacuum = true
die-on-term = true
need-app = true
enable-threads = true
lazy-apps = true
disable-logging = true
cron = 0 0 -1 -1 -1 true
virtualenv = /srv/venv
if-env = DEBUG
py-autoreload = 1
endif =
"""

COMMANDS = [
    "gunicorn shop:app",
    "gunicorn -w4 -b :80 -b '[::1]:80' -k gthread --threads=8 -t 120 --max-requests 1000 "
    "--max-requests-jitter 50 shop.wsgi",
    "GUNICORN_CMD_ARGS='--bind=unix:/run/a.sock --keep-alive 3' /usr/bin/env gunicorn "
    "'shop:create_app(\"x\")' --log-level=critical",
    "gunicorn -k gevent --worker-connections 2000 -n shop -u www-data -g www-data -m 007 -p "
    "/run/x.pid -e A=1 -D shop:app",
    "python3 -m gunicorn --reload --certfile c.pem --keyfile k.pem --statsd-host localhost:8125 --no-sendfile shop:app",
    "gunicorn --limit-request-field_size 0 --proxy-protocol --forwarded-allow-ips='*' "
    "--access-logfile - --preload shop:app",
    "granian --interface wsgi --host 0.0.0.0 --port 9000 --workers 2 --blocking-threads 4 --backpressure 64 shop:app",
    "granian --uds /run/g.sock --uds-permissions 600 --factory shop:make --workers-max-rss 512 "
    "--workers-lifetime 1h30m",
    "GRANIAN_HOST=0.0.0.0 GRANIAN_LOG_ACCESS_ENABLED=1 granian --no-log --no-http1-keep-alive "
    "--http1-header-read-timeout 5000 a:b",
    "granian --static-path-mount /srv/static --metrics --reload --env-files .env --http 2 --no-ws shop",
    "waitress-serve shop:app",
    "waitress-serve --listen='*:8080' --listen=127.0.0.1:9090 --threads=6 --url-prefix=/shop --ident= --call shop:make",
    "waitress-serve --unix-socket=/run/w.sock --trusted-proxy=127.0.0.1 "
    "--no-clear-untrusted-proxy-headers --app=shop:app",
    "waitress-serve --host=::1 --port=1 --channel-timeout 30 --max-request-body-size=1000 --expose-tracebacks shop:app",
    "uwsgi --http :8000 --wsgi-file shop.py --callable app -p 4 --threads 2 --harakiri 30 --reload-on-rss 300 -M",
    "uwsgi -s /run/u.sock -C664 -w shop:app --uid www-data --gid www-data --touch-reload /srv/touch "
    "--static-map /s=/srv/s",
    "uwsgi --http-socket 127.0.0.1:1 --mount /shop=shop:app --manage-script-name --log-slow 500 "
    "--unheard-of 3 --show-config",
    "uwsgi --socket @abstract --socket 127.0.0.1:3031 --max-requests 500 --worker-reload-mercy 8 shop.py",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)


def migrated(source: str | Path, directory: Path) -> dict[str, Any]:
    ended = run("migrate", "--json", str(source), cwd=directory)
    assert ended.returncode in (0, 1), ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == (1 if told["missing"] else 0)
    told["values"] = {row["name"]: row["value"] for row in told["settings"]}
    told["lacks"] = {row["written"]: row["why"] for row in told["missing"]}
    return told


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(textwrap.dedent(text))
    return path


def resolved(directory: Path, *arguments: str) -> dict[str, Any]:
    """What whiskyjack makes of its own command line, without what nobody said."""
    ended = run(*arguments, "--print-config=json", cwd=directory)
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(ended.stdout).items()
    return {name: row["value"] for name, row in rows if row["from"] != "default"}


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    write(tmp_path, "gunicorn_shop.py", GUNICORN_CONF)
    write(tmp_path, "shop.ini", UWSGI_INI)
    return ["gunicorn_shop.py", "shop.ini", *COMMANDS]


def test_whiskyjack_takes_every_answer_as_a_file_and_as_a_command(sources: list[str], tmp_path: Path) -> None:
    for source in sources:
        told = migrated(source, tmp_path)
        assert told["values"], source
        answer = run("migrate", source, cwd=tmp_path).stdout
        values = {name: None if value == "" else value for name, value in tomllib.loads(answer).items()}
        assert values == told["values"], source
        path = write(tmp_path, "answer.toml", answer)
        assert resolved(tmp_path, "-c", path.name) == told["values"], source
        command = run("migrate", "--as", "command", source, cwd=tmp_path).stdout
        words = shlex.split(command.replace("\\\n", " "), comments=True)
        assert words[0] == "whiskyjack"
        assert resolved(tmp_path, *words[1:]) == told["values"], source


def test_a_gunicorn_file_is_run_and_each_name_has_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "conf.py", GUNICORN_CONF)
    told = migrated(path, tmp_path)
    values = told["values"]
    assert values["bind"] == ["0.0.0.0:8000", "unix:/run/shop.sock"]
    assert (values["threads"], values["backlog"], values["keep-alive"]) == (6, 512, "5s")
    assert (values["graceful-timeout"], values["timeout"]) == ("20s", "45s")
    assert values["pythonpath"] == ["/srv/one", "/srv/two"]
    assert (values["access-log"], values["log-level"], values["header-map"]) == ("-", "warning", "allow")
    assert values["limit-request-line"] == "16M"
    assert values["forwarded-allow-ips"] == ["10.0.0.0/8", "127.0.0.1"]
    assert set(told["lacks"]) == {"post_fork = <function>", "logger_class = 'shop.logs.Logger'"}
    assert {row["written"] for row in told["needless"]} >= {"worker_tmp_dir = '/dev/shm'", "reuse_port = True"}
    assert any("was run to read it" in remark for remark in told["remarks"])


def test_what_a_gunicorn_file_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    path = write(tmp_path, "conf.py", GUNICORN_CONF)
    ended = run("migrate", str(path), cwd=tmp_path)
    assert "seen on the way" in ended.stderr and "seen on the way" not in ended.stdout


def test_a_gunicorn_file_that_raises_is_told_with_its_traceback(tmp_path: Path) -> None:
    path = write(tmp_path, "conf.py", "workers = 1\nbind = 1 / 0\n")
    ended = run("migrate", str(path), cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    assert f'{path}", line 2' in ended.stderr and "ZeroDivisionError" in ended.stderr


def test_the_command_line_of_gunicorn_wins_over_its_variable_and_that_over_its_file(tmp_path: Path) -> None:
    write(tmp_path, "gunicorn.conf.py", "bind = ':1'\nbacklog = 1\nkeepalive = 1\n")
    command = "GUNICORN_CMD_ARGS='--backlog 2 --keep-alive 2' gunicorn --keep-alive 3 shop:app"
    values = migrated(command, tmp_path)["values"]
    assert (values["bind"], values["backlog"], values["keep-alive"]) == (["0.0.0.0:1"], 2, "3s")


def test_a_sync_worker_has_one_thread(tmp_path: Path) -> None:
    told = migrated("gunicorn shop:app", tmp_path)
    assert told["values"] == {"app": "shop:app", "threads": 1}
    assert told["settings"][1]["from"] == "gunicorn's default, worker_class sync"


def test_green_threads_have_no_equivalent(tmp_path: Path) -> None:
    told = migrated("gunicorn -k gevent --worker-connections 500 shop:app", tmp_path)
    assert "threads" not in told["values"] and told["values"]["limit-connections"] == 500
    assert "green threads" in told["lacks"]["-k gevent"]


def test_a_uwsgi_file_is_read_with_what_it_refers_to(tmp_path: Path) -> None:
    path = write(tmp_path, "shop.ini", UWSGI_INI)
    told = migrated(path, tmp_path)
    values = told["values"]
    assert (values["app"], values["chdir"]) == ("shop.wsgi:application", "/srv/shop")
    assert (values["bind"], values["threads"], values["timeout"]) == (["0.0.0.0:8080"], 4, "20s")
    assert (values["limit-request-head"], values["body-in-memory"]) == ("32k", "8k")
    assert "access-log" not in values
    assert set(told["lacks"]) == {"cron = 0 0 -1 -1 -1 true", "if-env = DEBUG", "py-autoreload = 1"}
    needless = {row["written"]: row["why"] for row in told["needless"]}
    assert "/srv/venv/bin/whiskyjack" in needless["virtualenv = /srv/venv"]


def test_the_uwsgi_protocol_becomes_http_with_a_word_about_the_proxy(tmp_path: Path) -> None:
    told = migrated("uwsgi --socket /run/shop.sock --module shop:app", tmp_path)
    assert told["values"]["bind"] == ["unix:/run/shop.sock"]
    (bind,) = (row for row in told["settings"] if row["name"] == "bind")
    assert "proxy_pass" in bind["remark"]


def test_the_defaults_of_waitress_are_kept(tmp_path: Path) -> None:
    values = migrated("waitress-serve --call shop:make", tmp_path)["values"]
    assert values == {"app": "shop:make()", "bind": ["0.0.0.0:8080"], "threads": 4}


def test_who_loads_before_the_fork_does_so_here(tmp_path: Path) -> None:
    assert migrated("gunicorn --preload shop:app", tmp_path)["values"]["preload"] is True
    assert migrated("uwsgi -p 4 --http :80 --module shop", tmp_path)["values"]["preload"] is True
    assert "preload" not in migrated("uwsgi -p 4 --lazy-apps --http :80 --module shop", tmp_path)["values"]
    watching = migrated("uwsgi -p 4 --py-autoreload 2 --http :80 --module shop", tmp_path)["values"]
    assert watching["reload"] is True and "preload" not in watching


def test_what_tells_of_changed_files_is_taken_over(tmp_path: Path) -> None:
    flags = "--reload --reload-engine inotify --reload-extra-file a.html --reload-extra-file b.html"
    values = migrated(f"gunicorn {flags} shop:app", tmp_path)["values"]
    assert (values["reload"], values["reload-engine"]) == (True, "auto")
    assert values["reload-include"] == ["a.html", "b.html"]
    values = migrated("granian --interface wsgi --reload --reload-ignore-dirs build shop:app", tmp_path)["values"]
    assert (values["reload"], values["reload-exclude"]) == (True, ["build"])


def test_what_this_version_has_no_setting_for_says_so(tmp_path: Path) -> None:
    told = migrated("gunicorn --ssl-version 5 --unheard-of shop:app", tmp_path)
    assert told["lacks"]["--unheard-of"] == "no such setting of gunicorn is known"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere.conf.py", "there is no file nowhere.conf.py"),
        ("hypercorn shop:app", "no command of gunicorn"),
        ("gunicorn 'shop:app", "a quotation mark is not closed"),
        ("gunicorn -c nowhere.py shop:app", "there is no file"),
        ("gunicorn shop:app && echo done", "belongs to a shell"),
        ("README.md", "is neither a gunicorn.conf.py nor a uwsgi.ini"),
    ],
)
def test_what_cannot_be_read_is_an_error(source: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, "README.md", "")
    ended = run("migrate", source, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
