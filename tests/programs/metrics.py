"""prometheus_client's server of metrics. Its server class has the ThreadingMixIn."""

import sys

import prometheus_client.exposition
from prometheus_client import Counter, start_http_server

orders = Counter("orders", "Orders that came in.")
orders.inc(3)
server, thread = start_http_server(0, "127.0.0.1")
print(server.server_port, vars(prometheus_client.exposition)["WSGIServer"].__module__, flush=True)
sys.stdin.read()
server.shutdown()
server.server_close()
thread.join()
