"""What Django is told of the application. Knows no server."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.management import get_commands

_STATIC_FILES = "django.contrib.staticfiles"


class WhiskyjackConfig(AppConfig):  # type: ignore[misc]
    name = "whiskyjack.contrib.django"
    label = "whiskyjack"
    verbose_name = "Whiskyjack"

    def ready(self) -> None:
        # Of several commands of one name Django takes the one that is installed first. Ours does what that of static
        # files does too, so that it may stand behind it.
        commands = get_commands()
        if commands.get("runserver") == _STATIC_FILES and apps.is_installed(_STATIC_FILES):
            commands["runserver"] = self.name
