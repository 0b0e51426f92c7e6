"""Whiskyjack, a WSGI server written in Rust."""

from whiskyjack._whiskyjack import __version__

__all__ = ["__version__"]
