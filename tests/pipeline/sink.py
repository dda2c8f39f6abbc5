"""A web server on this machine that takes Apprise's JSON messages, or refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "t0ken-that-nobody-may-read"


@dataclass
class Sink:
    """What was sent to it, and how it answers."""

    port: int = 0
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address as Apprise writes it, with a secret in the user, the path and the query."""
        return f"json://ann:{TOKEN}@127.0.0.1:{self.port}/{TOKEN}?-key={TOKEN}"

    def taken(self) -> list[dict[str, Any]]:
        """The messages since the last time this was asked."""
        got, self.got = self.got, []
        return got


@contextmanager
def listening() -> Iterator[Sink]:
    """A sink that listens until the end."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if sink.status < 400:
                sink.got.append(sent)
            self.send_response(sink.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
