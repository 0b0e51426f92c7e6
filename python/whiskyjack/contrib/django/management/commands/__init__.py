"""`runserver` and `serve`."""
