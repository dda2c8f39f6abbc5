"""An S3 server on this machine, moto's, with a door before it: it notes, refuses, breaks off or spoils requests."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline import object_store

Start = Callable[..., Any]
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class Silent(WSGIRequestHandler):
    """Says nothing of the requests that it answers."""

    def log(self, *_: object) -> None:
        """Nothing."""


@dataclass
class Door:
    """Lets one request through at a time, which makes moto's conditional put the one step that S3's is."""

    application: Callable[[dict[str, Any], Start], Iterable[bytes]] = field(
        default_factory=lambda: DomainDispatcherApplication(create_backend_app)
    )
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    dies_at: int | None = None
    """From the request of this number on, nothing is answered any more; that one is done all the same."""
    blind_to: tuple[str, ...] = ()
    """Headers that the store does not know."""
    refuses: str = ""
    """A header that no request may have."""
    deaf_to: str = ""
    """A method to which the store says yes, and does nothing."""
    meanwhile: Callable[[str, str], None] | None = None
    """Done after each request, before its answer is seen."""

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """One request."""
        with self.lock:
            self.made.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            left = len(self.made) if self.dies_at is None else self.dies_at + 1 - len(self.made)
            if left < 0:
                return self._gone(start)
            if self.refuses in environ:
                start("412 Precondition Failed", [("Content-Length", "0")])
                return [b""]
            if environ["REQUEST_METHOD"] == self.deaf_to:
                start("200 OK", [("Content-Type", "application/xml")])
                return [b"<DeleteResult><Deleted><Key>any</Key></Deleted></DeleteResult>"]
            for header in self.blind_to:
                environ.pop(header, None)
            answer = list(self.application(environ, start if left else lambda *_: None))
        if self.meanwhile:
            self.meanwhile(*self.made[-1])
        return answer if left else self._gone(start)

    @staticmethod
    def _gone(start: Start) -> Iterable[bytes]:
        start("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]


@dataclass(frozen=True)
class Bucket:
    """One bucket of the server, read from moto's own memory: nothing of what is tested helps here."""

    address: str
    name: str
    door: Door

    @property
    def url(self) -> str:
        """The folder for `publish.stores`."""
        return f"s3://{self.name}/tables"

    def ask(self, method: str, key: str = "", data: bytes | None = None) -> bytes | None:
        """The answer to a request over HTTP; None where there is no such object."""
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=reader/20261101/us-east-1/s3/aws4_request"}
        headers = {**signed, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.address}/{self.name}{key}", data, headers, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def get(self, path: str) -> bytes | None:
        """An object of the rankings."""
        found = self._objects.get(f"tables/rankings/{path}")
        return bytes(found.value) if found is not None else None

    @property
    def _objects(self) -> Mapping[str, Any]:
        (backend,) = s3_backends["123456789012"].values()
        objects: Mapping[str, Any] = backend.buckets[self.name].keys
        return objects

    @property
    def keys(self) -> list[str]:
        """The names of all objects."""
        return sorted(self._objects)

    @property
    def serves(self) -> str | None:
        """What CURRENT names."""
        data = self.get("CURRENT")
        return data.decode().removesuffix("\n") if data is not None else None

    @property
    def snapshots(self) -> list[str]:
        """The snapshots that have any object."""
        found = (key.split("/") for key in self.keys)
        return sorted({parts[3] for parts in found if parts[:3] == ["tables", "rankings", "snapshots"]})

    def is_whole(self, name: str) -> bool:
        """Whether a reader finds every file of a snapshot as its manifest describes it, and no other."""
        folder = f"snapshots/{name}"
        data = self.get(f"{folder}/manifest.json")
        if data is None:
            return False
        files = {file["path"]: file["sha256"] for file in json.loads(data)["files"]}
        found = {path: self.get(f"{folder}/{path}") for path in files}
        there = {key.partition(f"{folder}/")[2] for key in self.keys if f"/{folder}/" in key}
        return there == {*files, "manifest.json"} and all(
            part is not None and hashlib.sha256(part).hexdigest() == files[path] for path, part in found.items()
        )

    def people(self) -> list[str]:
        """Whoever has a list in any Parquet file of people."""
        found: set[str] = set()
        for key in self.keys:
            if "/people/" in key:
                found |= set(pq.read_table(io.BytesIO(self._objects[key].value))["person_id"].to_pylist())
        return sorted(found)

    @contextmanager
    def watched(self, **how: Any) -> Iterator[Door]:
        """The door, counting from none, and with these ways until the end of the block."""
        before = {name: getattr(self.door, name) for name in how}
        self.door.made.clear()
        try:
            for name, value in how.items():
                setattr(self.door, name, value)
            yield self.door
        finally:
            for name, value in before.items():
                setattr(self.door, name, value)


@contextmanager
def server() -> Iterator[tuple[str, Door]]:
    """The address of a server on this machine alone, and its door."""
    door = Door()
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(patch: pytest.MonkeyPatch, address: str) -> None:
    """What a user sets, so that obstore finds the server; and no patience with it."""
    variables = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "very-secret-indeed",
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    patch.setitem(object_store.RETRY, "max_retries", 0)
