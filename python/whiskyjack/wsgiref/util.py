"""Functions and wrappers for WSGI environments."""

from __future__ import annotations

from whiskyjack._whiskyjack import wsgiref as _wsgiref

__all__ = [
    "FileWrapper",
    "application_uri",
    "guess_scheme",
    "is_hop_by_hop",
    "request_uri",
    "setup_testing_defaults",
    "shift_path_info",
]

FileWrapper = _wsgiref.FileWrapper
application_uri = _wsgiref.application_uri
guess_scheme = _wsgiref.guess_scheme
is_hop_by_hop = _wsgiref.is_hop_by_hop
request_uri = _wsgiref.request_uri
setup_testing_defaults = _wsgiref.setup_testing_defaults
shift_path_info = _wsgiref.shift_path_info
