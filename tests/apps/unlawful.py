"""Breaks a rule of PEP 3333 where it is asked to."""


def app(environ, start_response):
    headers = [("Content-Type", "text/plain")]
    if environ["PATH_INFO"] == "/hop":
        headers.append(("Keep-Alive", "5"))
    if environ["PATH_INFO"] == "/short":
        headers.append(("Content-Length", "5"))
    body = environ["wsgi.input"].read()
    start_response("200 OK", headers)
    return [body or b"body"]
