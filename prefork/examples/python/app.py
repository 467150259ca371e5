"""A WSGI application that shows what becomes of Python in children."""

import ctypes
import gc
import os
import random
import sys
import time

# Loaded once, in the parent, and shared by all children as long as nobody writes to it.
SQUARES = {number: number * number for number in range(200_000)}
LOADED_BY = os.getpid()


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        text = f"{SQUARES[123]}\n"
    elif path == "/random":
        # Seeded again in each child, by PyOS_AfterFork_Child.
        text = f"{os.getpid()} {random.random()}\n"
    elif path == "/loaded":
        text = f"{os.getpid()} by {LOADED_BY}, {gc.get_freeze_count()} objects frozen\n"
    elif path == "/sleep":
        time.sleep(1)
        text = "slept\n"
    elif path == "/crash":
        # As an extension written in C does that has a fault.
        ctypes.string_at(0)
    elif path == "/echo":
        text = environ["wsgi.input"].read().decode()
    elif path == "/error":
        raise RuntimeError("as asked")
    elif path == "/exit":
        sys.exit(1)
    else:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not found\n"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
