"""A server in front of an S3 server, which does not answer every request as it should."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from urllib.parse import urlsplit

#: of so many requests one is not passed on: the store is busy, or the connection breaks
EVERY = 4
_KEPT = ("content-type", "etag", "last-modified", "content-range", "x-amz-request-id")


@contextmanager
def in_front_of(address: str) -> Iterator[tuple[str, list[str]]]:
    """The address of such a server, and what it did to the requests that it did not pass on."""
    target, number = urlsplit(address).netloc, count(1)
    refused: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            turn = next(number)
            if turn % EVERY == 0:
                refused.append("broken" if turn % (2 * EVERY) else "busy")
                self.close_connection = True
                if refused[-1] == "busy":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name in _KEPT:
                if answer.getheader(name):
                    self.send_header(name, answer.getheader(name))
            told = answer.getheader("content-length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(told or 0))
            self.end_headers()
            self.wfile.write(data)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", refused
        finally:
            server.shutdown()
