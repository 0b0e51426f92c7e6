"""`manage.py serve`: hands the project to the command `whiskyjack`, with all options of that. Serves nothing itself."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from whiskyjack import _whiskyjack


class Command(BaseCommand):  # type: ignore[misc]
    help = "Serves the project for production. Beside these options it takes those of the command whiskyjack."

    def create_parser(self, prog_name: str, subcommand: str, **keywords: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **keywords)
        known, show = parser.parse_known_args, parser.print_help

        def parse_args(args: Any = None, namespace: Any = None) -> Any:
            options, options.args = known(args, namespace)
            return options

        def print_help(file: Any = None) -> None:
            show(file)
            print("\nOptions of whiskyjack, which is given the application:\n", file=file, flush=True)
            _whiskyjack.main(["whiskyjack", "--help"])

        parser.parse_args, parser.print_help = parse_args, print_help
        return parser

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--allow-debug", action="store_true", help="Serves although settings.DEBUG is True.")

    def handle(self, *words: str, **options: Any) -> None:
        if settings.DEBUG and not options["allow_debug"]:
            raise CommandError(
                "settings.DEBUG is True, so that errors show source code and settings to whoever asks: "
                f"set DEBUG = False in {settings.SETTINGS_MODULE}, or say --allow-debug."
            )
        if not settings.DEBUG and not settings.ALLOWED_HOSTS:
            raise CommandError(
                "settings.ALLOWED_HOSTS is empty, so that every request is answered with 400: "
                f"name the hosts of the site in {settings.SETTINGS_MODULE}."
            )
        command = [sys.executable, "-m", "whiskyjack", _application(), *words]
        # Another program in this process: workers are forked from one that has loaded nothing of the project.
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, command, _environment(options.get("pythonpath")))


def _application() -> str:
    """The setting WSGI_APPLICATION, as whiskyjack writes it."""
    path = settings.WSGI_APPLICATION
    if path is None:
        return "django.core.wsgi:get_wsgi_application()"
    module, _, name = path.rpartition(".")
    if not module:
        raise CommandError(f"settings.WSGI_APPLICATION is {path!r}: write it as 'package.module.attribute'.")
    return f"{module}:{name}"


def _environment(pythonpath: str | None) -> dict[str, str]:
    """This process's variables, in which modules are found where this process finds them."""
    # The directory of manage.py, which need not be the current one.
    places = [pythonpath, sys.path[0], os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place)}
