#!/usr/bin/env python3
"""Serves a scoreboard as a page that is loaded again each second: page.py PATH [PORT]. Needs nothing but Python.

Whatever a process reports is escaped. Only this machine is served.
"""
import html
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import scoreboard

FIELDS = ["slot", "state", "pid", "life", "requests", "label"]


def page(board):
    columns = [it["name"] for it in board["columns"]]
    heading = "".join(f"<th>{html.escape(name)}" for name in FIELDS + columns)
    rows = []
    for it in board["taken"]:
        cells = [it.get(name, "-") for name in FIELDS] + [it.get("values", {}).get(name, "-") for name in columns]
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells))
    title = html.escape(board["title"] or sys.argv[1])
    return (f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>{title}</title>\n'
            f"<h1>{title}</h1>\n<p>{len(rows)} of {board['slots']} slots are taken\n"
            f"<table><tr>{heading}\n" + "\n".join(rows) + "\n</table>\n")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, page(scoreboard.read(sys.argv[1]))
        except (OSError, ValueError) as error:
            status, text = 503, f"<!doctype html><p>{html.escape(str(error))}\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: page.py PATH [PORT]")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) == 3 else 8000), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
