"""The standard library's `wsgiref`, under the same names, with Whiskyjack beneath.

* util: functions and wrappers for WSGI environments
* headers: response headers as a mapping
* handlers: base classes for servers and gateways, and CGI
* validate: a wrapper that holds an application, and its server, to PEP 3333
* types: names for annotations
"""
