"""A server in front of an S3 server, which counts, waits, or does not answer as it should."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from urllib.parse import urlsplit

_KEPT = ("content-type", "etag", "last-modified", "content-range", "x-amz-request-id")


@dataclass
class Seen:
    """Attributes:
    requests: how many of each method were passed on.
    sent, received: bytes of their bodies, to the store and from it.
    refused: what was done to each request that was not passed on.
    """

    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def in_front_of(
    address: str, *, refuse_every: int | None = None, delay: float = 0
) -> Iterator[tuple[str, Seen]]:
    """The address of such a server, and what it saw.

    Args:
        address: of the S3 server.
        refuse_every: of so many requests one is not passed on: the store is busy, or the
            connection breaks, in turns.
        delay: seconds after which each request is answered, at the least.
    """
    target, number, seen = urlsplit(address).netloc, count(1), Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            turn = next(number)
            if refuse_every and turn % refuse_every == 0:
                seen.refused.append("broken" if turn % (2 * refuse_every) else "busy")
                self.close_connection = True
                if seen.refused[-1] == "busy":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                return
            time.sleep(delay)
            connection = http.client.HTTPConnection(target, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            seen.requests[self.command] += 1
            seen.sent += len(body)
            seen.received += len(data)
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
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
