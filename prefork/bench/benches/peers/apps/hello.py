import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]
