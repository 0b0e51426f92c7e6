"""A Django project in one file, with a project template's middleware and a view that renders a template."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a bench has no secrets",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

PAGE = engines["django"].from_string("<h1>Bird {{ number }}</h1>{% for name in names %}<p>{{ name }}</p>{% endfor %}\n")


def bird(request: HttpRequest, number: int) -> HttpResponse:
    """A small page."""
    return HttpResponse(PAGE.render({"number": number, "names": ["whiskyjack", "Perisoreus canadensis"]}, request))


urlpatterns = [path("birds/<int:number>", bird)]
app = WSGIHandler()
