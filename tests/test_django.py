"""A Django project: admin, CSRF, static files, streams, files and uploads."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests

from tests.conftest import start, stop_all
from tests.support.client import CLIENTS, ask, curl
from tests.support.server import APPS, Server, environment
from tests.support.wire import conversation, get

PROJECT = APPS / "django_site"
CONTENT = random.Random(7).randbytes(20 * 1024 * 1024)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "content.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Iterator[Server]:
    """The project as it is found by its manage.py, with a database of its own and one administrator."""
    variables = {
        "SITE_DATA": str(tmp_path_factory.mktemp("django")),
        "FILE": str(file),
        "DJANGO_SUPERUSER_PASSWORD": "correct horse",
    }
    for command in (
        ["migrate", "--verbosity", "0"],
        ["createsuperuser", "--noinput", "--username", "admin", "--email", "admin@test.example"],
    ):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=PROJECT, env=environment(variables), check=True, timeout=120
        )
    server = start(None, "--threads", "4", cwd=PROJECT, env=variables)
    yield server
    stop_all([server])


def token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def test_the_project_is_found_without_being_named(site: Server) -> None:
    assert "site_of_tests" in site.log()


def test_an_administrator_logs_in_adds_a_user_and_logs_out(site: Server) -> None:
    admin = site.url + "/admin/"
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(admin, timeout=60)
        assert page.url.endswith("/admin/login/?next=/admin/")
        data = {"username": "admin", "password": "correct horse", "next": "/admin/"}
        page = session.post(page.url, data={**data, "csrfmiddlewaretoken": token_in(page.text)}, timeout=60)
        assert "Site administration" in page.text
        page = session.get(admin + "auth/user/add/", timeout=60)
        added = {"username": "zoë", "password1": "a long password 1", "password2": "a long password 1"}
        page = session.post(
            page.url,
            data={**added, "usable_password": "true", "csrfmiddlewaretoken": token_in(page.text)},
            timeout=60,
        )
        assert "zoë" in page.text and "was added successfully" in page.text
        assert "zoë" in session.get(admin + "auth/user/", timeout=60).text
        page = session.post(
            admin + "logout/", data={"csrfmiddlewaretoken": token_in(session.get(admin, timeout=60).text)}, timeout=60
        )
        assert "Thanks for spending some quality time" in page.text


def test_httpx_logs_in_over_one_connection(site: Server) -> None:
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(trust_env=False, timeout=60, follow_redirects=True, limits=limits) as client:
        page = client.get(site.url + "/admin/")
        data = {"username": "admin", "password": "correct horse", "next": "/admin/"}
        page = client.post(str(page.url), data={**data, "csrfmiddlewaretoken": token_in(page.text)})
        assert "Site administration" in page.text


def test_a_wrong_password_is_told(site: Server) -> None:
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(site.url + "/admin/login/", timeout=60)
        data = {"username": "admin", "password": "wrong", "csrfmiddlewaretoken": token_in(page.text)}
        assert "Please enter the correct username and password" in session.post(page.url, data=data, timeout=60).text


@pytest.mark.parametrize("client", CLIENTS)
def test_a_form_without_its_token_is_refused_by_django(site: Server, client: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(client, site.url + "/form/", method="POST", body=b"said=hello", fields=form).status == 403


@pytest.mark.parametrize("client", CLIENTS)
def test_a_form_with_its_token_is_taken(site: Server, client: str) -> None:
    page = ask(client, site.url + "/form/")
    cookie = page.fields["set-cookie"].partition(";")[0]
    form = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": cookie,
        "X-CSRFToken": page.body.decode(),
    }
    answer = ask(client, site.url + "/form/", method="POST", body="said=hélló".encode(), fields=form)
    assert json.loads(answer.body) == {"said": "hélló"}


@pytest.mark.parametrize("client", CLIENTS)
def test_static_files_are_those_of_the_admin(site: Server, client: str) -> None:
    import django.contrib.admin

    path = Path(django.contrib.admin.__file__).parent / "static/admin/css/base.css"
    answer = ask(client, site.url + "/static/admin/css/base.css")
    assert answer.fields["content-type"].startswith("text/css")
    assert answer.body == path.read_bytes()
    unchanged = {"If-Modified-Since": answer.fields["last-modified"]}
    again = ask(client, site.url + "/static/admin/css/base.css", fields=unchanged)
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_streaming_response_arrives_whole(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/stream/?rows=2000")
    assert answer.body.decode().splitlines() == [f"{number},{number * number}" for number in range(2000)]


def test_a_streaming_response_is_one_chunk_a_row(site: Server) -> None:
    with conversation(site.port, get("/stream/?rows=3")) as opened:
        assert opened.read_response().chunks == [b"0,0\n", b"1,1\n", b"2,4\n"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_response_is_the_file(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/file/")
    assert answer.fields["content-length"] == str(len(CONTENT))
    assert answer.fields["content-disposition"] == 'attachment; filename="a file.bin"'
    assert hashlib.sha256(answer.body).hexdigest() == SHA256


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_an_upload_of_20_megabytes_arrives_whole(site: Server, client: str, coding: str, file: Path) -> None:
    url = site.url + "/upload/"
    boundary = "a-boundary-of-the-tests"
    body = b"".join(
        [
            f"--{boundary}\r\n".encode(),
            b'Content-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n',
            CONTENT,
            f"\r\n--{boundary}--\r\n".encode(),
        ]
    )
    fields = {"Content-Type": f"multipart/form-data; boundary={boundary}"}

    def pieces() -> Iterator[bytes]:
        for first in range(0, len(body), 1_000_003):
            yield body[first : first + 1_000_003]

    if client == "curl":
        chunked = ["--header", "Transfer-Encoding: chunked"] if coding == "chunked" else []
        told = json.loads(curl(*chunked, "--form", f"file=@{file};filename=large.bin", url))
    elif client == "requests":
        told = requests.post(url, data=pieces() if coding == "chunked" else body, headers=fields, timeout=60).json()
    else:
        told = httpx.post(
            url, content=pieces() if coding == "chunked" else body, headers=fields, timeout=60, trust_env=False
        ).json()
    assert told == {"file": {"filename": "large.bin", "length": len(CONTENT), "sha256": SHA256}}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_fault_of_a_view_is_djangos_page(site: Server, client: str) -> None:
    answer = ask(client, site.url + "/crash/")
    assert answer.status == 500
    assert b"a fault of the view" in answer.body
