"""What one changed import brings: the same script on `wsgiref.simple_server` and on ours.

    python bench/simple_server.py [SECONDS]

Each server is a process of its own and is loaded by wrk over 16 connections, in turns; the best of several rounds
counts. Told are requests a second, and the CPU time of the server's process for each. The server's log goes to
/dev/null. The same is measured with the application under the validator of the same package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

ROUNDS = 3

SCRIPT = """
from {package}.simple_server import make_server
from {package}.validate import validator

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]

with make_server("127.0.0.1", 0, {application}) as httpd:
    print(httpd.server_port, flush=True)
    httpd.serve_forever()
"""

WAYS = {
    "wsgiref": ("wsgiref", "application"),
    "whiskyjack.wsgiref": ("whiskyjack.wsgiref", "application"),
    "wsgiref, validator": ("wsgiref", "validator(application)"),
    "whiskyjack.wsgiref, validator": ("whiskyjack.wsgiref", "validator(application)"),
}


@dataclass(frozen=True)
class Measured:
    rate: float  # requests a second
    cost: float  # microseconds of CPU time a request


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(wrk: str, package: str, application: str, seconds: float) -> Measured:
    script = SCRIPT.format(package=package, application=application)
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
            command = [wrk, "-t1", "-c16", f"-d{max(1, round(seconds))}s", url]
            before = cpu_seconds(server.pid)
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            spent = cpu_seconds(server.pid) - before
        finally:
            server.terminate()
    requests = re.search(r"(\d+) requests in ([\d.]+)(ms|s)", told)
    if requests is None or "Non-2xx" in told:
        raise SystemExit(f"{package}: wrk got other answers than the application's:\n{told}")
    count, took = int(requests[1]), float(requests[2]) * (0.001 if requests[3] == "ms" else 1)
    return Measured(count / took, spent / count * 1e6)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    found: dict[str, list[Measured]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, (package, application) in WAYS.items():
            found[name].append(measure(wrk, package, application, seconds))
    for name, all_measured in found.items():
        best = max(all_measured, key=lambda measured: measured.rate)
        least = min(measured.cost for measured in all_measured)
        print(f"{name:32} {best.rate:10,.0f} requests/s   {least:8.1f} us of CPU a request")


if __name__ == "__main__":
    main()
