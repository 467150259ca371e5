"""What stands between a WSGI application (PEP 3333) and the program that embeds Python."""

import gc
import importlib
import io
import os
import sys


def load(name):
    """Loads MODULE:CALLABLE before the fork."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    # No garbage is collected while much is loaded. Where a collection has freed some, new objects would be put there after
    # the fork, and each such page be copied.
    gc.disable()
    application = importlib.import_module(module)
    for part in (attribute or "application").split("."):
        application = getattr(application, part)
    # What is there now is never looked at again: the collector writes to each object that it looks at.
    gc.freeze()
    os.register_at_fork(after_in_child=gc.enable)
    return application


def call(application, environ, body):
    """Returns the whole answer to one request, as bytes."""
    environ.update(
        {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
    )
    started = []
    written = []

    def start_response(status, headers, exc_info=None):
        # Nothing was sent yet, whatever has failed.
        if started and exc_info is None:
            raise AssertionError("start_response was called twice")
        started[:] = [status, headers]
        return written.append

    result = application(environ, start_response)
    try:
        written.extend(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = started
    answer = b"".join(written)
    head = [f"HTTP/1.1 {status}"]
    head += [f"{name}: {value}" for name, value in headers if name.lower() not in ("content-length", "connection")]
    head += [f"Content-Length: {len(answer)}", "Connection: close", "", ""]
    if environ["REQUEST_METHOD"] == "HEAD":
        answer = b""
    return "\r\n".join(head).encode("latin-1") + answer
