"""What Django's runserver serves with, around the project of the tests."""

import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "site_of_tests.settings"
sys.path.insert(0, sys.argv[1])

from django.core.servers import basehttp

httpd = basehttp.ThreadedWSGIServer(("127.0.0.1", 0), basehttp.WSGIRequestHandler, ipv6=False)
httpd.daemon_threads = True
httpd.set_app(basehttp.get_internal_wsgi_application())
print(httpd.server_port, basehttp.WSGIServer.__mro__[1].__module__, flush=True)
httpd.serve_forever()
