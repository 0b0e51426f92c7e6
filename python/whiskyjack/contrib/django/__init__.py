"""For INSTALLED_APPS: `runserver` on Whiskyjack's engine, and `serve` for production. See `docs/django.md`."""
