"""A form behind CSRF, a stream, a file, an upload and an error."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt


def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse({"said": request.POST["said"]})
    return HttpResponse(get_token(request))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def rows() -> Iterator[str]:
        for number in range(int(request.GET["rows"])):
            yield f"{number},{number * number}\n"

    return StreamingHttpResponse(rows(), content_type="text/csv")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(os.environ["FILE"], "rb"), as_attachment=True, filename="a file.bin")


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    """What came of each file: large ones go through a temporary file of Django's."""
    told = {}
    for name, uploaded in request.FILES.items():
        digest = hashlib.sha256()
        for piece in uploaded.chunks():
            digest.update(piece)
        told[name] = {"filename": uploaded.name, "length": uploaded.size, "sha256": digest.hexdigest()}
    return JsonResponse(told)


def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a fault of the view")
