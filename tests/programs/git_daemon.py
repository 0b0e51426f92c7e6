"""dulwich's web daemon, as its main() makes it. Its handler class overrides handle()."""

import sys
from pathlib import Path
from typing import Any

from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_server, make_wsgi_chain

path = Path(sys.argv[1])
repository = Repo(str(path)) if path.exists() else Repo.init_bare(str(path), mkdir=True)
repositories: Any = {"/": repository}
app = make_wsgi_chain(DictBackend(repositories))
server = make_server("127.0.0.1", 0, app, handler_class=WSGIRequestHandlerLogger, server_class=WSGIServerLogger)
print(server.server_port, WSGIServerLogger.__mro__[1].__module__, flush=True)
server.serve_forever()
