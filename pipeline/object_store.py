"""A folder in an object store (S3, Google Cloud Storage, Azure): every call is one request that was done, or failed.

An object appears whole or not at all, and a put can depend on what is there. Publication asks no more of a store.
Who we are and where the store listens is in the environment, as obstore reads it: AWS_*, GOOGLE_*, AZURE_*.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from pipeline.errors import ShortlistError

if TYPE_CHECKING:
    from obstore import Attributes, PutMode, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PROBE = ".probe-"
"""How the name of the object begins with which `probe` tries a store; what a killed one left is swept."""

RETRY: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(minutes=2)}
"""Of one request that was not answered, or answered with "later"."""

_TYPES = {".parquet": "application/vnd.apache.parquet", ".json": "application/json", ".yaml": "application/yaml"}
Version: TypeAlias = "UpdateVersion"
"""Of one object, as a store tells it: a put can be made to depend on it."""


@dataclass(frozen=True)
class Read:
    """An object's bytes, and which version that is; both None where there is none."""

    data: bytes | None
    version: Version | None


@dataclass(frozen=True)
class Folder:
    """Objects whose names begin with a folder's; paths are relative to it.

    Every method raises ShortlistError, which names the object, where the store refuses or cannot be reached.
    """

    url: str
    _store: ObjectStore = field(repr=False)

    @classmethod
    def at(cls, url: str) -> Folder:
        """The folder `s3://bucket/folder`, `gs://…` or `az://…`; nothing is asked of the store yet."""
        with _explained(url, "opening the store"):
            return cls(url, from_url(url, client_options=_client(), retry_config=RETRY))

    def list(self) -> dict[str, int]:
        """All objects with their bytes, in subfolders too."""
        with _explained(self.url, "listing the objects"):
            return {one["path"]: one["size"] for one in obstore.list(self._store).collect()}

    def read(self, path: str) -> Read:
        """A small object."""
        with _explained(f"{self.url}/{path}", "reading it"):
            try:
                found = obstore.get(self._store, path)
            except FileNotFoundError:
                return Read(None, None)
            return Read(bytes(found.bytes()), _version(found.meta["e_tag"], found.meta["version"]))

    def sha256(self, path: str) -> str:
        """Of every byte that the store hands out, a piece at a time."""
        digest = hashlib.sha256()
        with _explained(f"{self.url}/{path}", "reading it"):
            for piece in obstore.get(self._store, path):
                digest.update(piece)
        return digest.hexdigest()

    def put(self, path: str, file: Path) -> None:
        """Put a file of ours there, whatever is there."""
        kind = _TYPES.get(file.suffix, "application/octet-stream")
        with _explained(f"{self.url}/{path}", "putting it there"):
            obstore.put(self._store, path, file, attributes={"Content-Type": kind}, use_multipart=False)

    def put_if(self, path: str, data: bytes, version: Version | None) -> Version | None:
        """Put a few bytes if that version is there, or nothing if it is None. Returns the new version; None: it is not.

        They are text, and no cache on the way may keep them.
        """
        mode: PutMode = "create" if version is None else version
        gone = () if version is None else (FileNotFoundError,)  # without a version it is the bucket that is not there
        with _explained(f"{self.url}/{path}", "putting it there on a condition"):
            try:
                done = obstore.put(self._store, path, data, mode=mode, attributes=_POINTER)
            except (AlreadyExistsError, PreconditionError, *gone):
                return None
        return _version(done["e_tag"], done["version"])

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects that are there."""
        if paths:
            with _explained(f"{self.url}/{paths[0]}", f"deleting it (and {len(paths) - 1} more)"):
                obstore.delete(self._store, list(paths))

    def probe(self) -> bool | None:
        """Try with an object of our own whether the store keeps conditions; returns whether it keeps deleted versions.

        None: it does not say.

        Some that speak S3, and some proxies, do not know the headers, and let every put succeed: two publications at
        once would overwrite each other's CURRENT without a word.

        Raises:
            ShortlistError: It does not keep them. Nothing of the probe is left, and nothing else was touched.
        """
        path = f"{PROBE}{secrets.token_hex(8)}"
        first = self.put_if(path, b"first\n", None)
        try:
            if first is None:
                raise self._refusal("it refuses a new object, as if the name were taken (If-None-Match: *)")
            if self.put_if(path, b"taken\n", None) is not None:
                raise self._refusal("it lets an object that is there be created again (If-None-Match: *)")
            if self.put_if(path, b"second\n", first) is None:
                raise self._refusal("it refuses to replace the very version that is there (If-Match)")
            if self.put_if(path, b"third\n", first) is not None:
                raise self._refusal("it lets a version be replaced that is not there any more (If-Match)")
        finally:
            self.delete([path])
        if self.url.startswith("gs:"):
            return None  # every object has a generation, whether or not old ones are kept
        return first.get("version") not in {None, "null"}

    def _refusal(self, found: str) -> ShortlistError:
        return ShortlistError(
            f"{self.url}: this store does not keep the conditions of a put: {found}. Publication needs them, so that "
            "two at once do not overwrite each other's CURRENT. Use a store (or a proxy, or a version of it) that "
            "knows conditional writes, or take it out of publish.stores."
        )


def _client() -> ClientConfig:
    """How long to wait: ten minutes for a file, which goes in one put and so leaves no pieces where it is cut off.

    obstore does not read its own variables where it is told anything here, so we read the one that matters.
    """
    allowed = {os.environ.get(f"{prefix}_ALLOW_HTTP", "").lower() for prefix in ("AWS", "GOOGLE", "AZURE")}
    return {
        "allow_http": not allowed.isdisjoint({"true", "1", "yes", "on"}),
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(minutes=10),
    }


_POINTER: Attributes = {"Content-Type": "text/plain", "Cache-Control": "no-cache"}


def _version(tag: str | None, version: str | None) -> Version:
    told: Version = {}
    if tag is not None:
        told["e_tag"] = tag
    if version is not None:
        told["version"] = version
    return told


@contextmanager
def _explained(where: str, doing: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise ShortlistError(f"{where}: {doing} failed: {_said(error)}.") from None


def _said(error: Exception) -> str:
    """What obstore says, less its debug output, and less queries of addresses: Azure's may hold a signature."""
    text = str(error).partition("\n\nDebug source:")[0]
    said = re.sub(r"\?[^\s\"']*", "?…", " ".join(text.split())).rstrip(".: ")
    return f"{said} (is that endpoint http? AWS_ALLOW_HTTP=true allows it)" if said.endswith("builder error") else said
