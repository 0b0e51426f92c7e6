"""The pages of the project."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import path

from site_of_tests import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("form/", views.form),
    path("stream/", views.stream),
    path("file/", views.file),
    path("upload/", views.upload),
    path("crash/", views.crash),
    *staticfiles_urlpatterns(),
]
