"""Native ids in, pseudonyms out: HMAC-SHA-256 with a purpose prefix, cut to 64 bits.

Without the key nobody can get from a pseudonym to an id, or test a guess (ENISA 2019: a plain hash can be
brute-forced). 64 bits keep ids fast everywhere; among 10 million people a collision has a chance of 3 in a million.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import disk, secret, swap
from pipeline.config import DEVELOPMENT_KEY, Config
from pipeline.errors import ConfigurationError
from pipeline.lake import Lake

Purpose = Literal["visitor", "customer", "email", "session", "order"]

KEY_CHECK = "key_check"
"""The file in the vault that says which key the lake was made with, but not the key."""

_MINIMUM_KEY = 16
_BYTES = 8
_BLOCK = 64
_BETWEEN = ","


@dataclass(frozen=True)
class Pseudonyms:
    """A keyed one-way map from native ids to int64.

    `key` was the first; after a rotation each of the `newer` ones (oldest first) is applied to what came before it.
    """

    key: bytes = field(repr=False)
    newer: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, config: Config) -> Pseudonyms:
        """With the key that the lake was made with; a lake that holds nothing yet remembers this one.

        The key is in the environment, else in the secrets backend of the Airflow whose task this is.

        Raises:
            ConfigurationError: There is no key, it is too short to protect anybody, or the lake has another one.
        """
        ids, lake = cls.configured(config), Lake.of(config)
        swap.finish(lake)
        ids.require(lake)
        if lake.root.is_dir() and not ids.fits(lake):
            ids.remember(lake)
        return ids

    @classmethod
    def configured(cls, config: Config) -> Pseudonyms:
        """With the key that is configured, whatever the lake was made with."""
        name = config.project.id_key_env
        key = secret.read(name)
        if not key and config.project.development_key:
            key = DEVELOPMENT_KEY
            _warn_in_airflow(name)
        return cls.parse(key, name)

    @classmethod
    def parse(cls, text: str, name: str) -> Pseudonyms:
        """With the key(s) of a text, newest first and separated by commas.

        Raises:
            ConfigurationError: A key is too short. The message names `name`, the variable, and no key.
        """
        oldest, *newer = (key.encode() for key in reversed(text.split(_BETWEEN)))
        shortest = min(len(key) for key in text.split(_BETWEEN))
        if shortest < _MINIMUM_KEY:
            found = f"{shortest} characters" if text else "nothing"
            raise ConfigurationError(
                f"the environment variable {name} must hold the secret key for pseudonyms (at least {_MINIMUM_KEY} "
                f"characters; found {found}). Make one with `openssl rand -hex 32` and keep it: "
                "with another key the same person gets another pseudonym."
            )
        return cls(oldest, tuple(newer))

    def one(self, native: str, purpose: Purpose) -> int:
        """The pseudonym of one id; e-mails are compared without case and surrounding space."""
        found = hmac.digest(self.key, f"{purpose}\0{_plain(native, purpose)}".encode(), "sha256")[:_BYTES]
        for key in self.newer:
            found = _next(found, key)
        return int.from_bytes(found, "big", signed=True)

    def column(self, native: pa.ChunkedArray | pa.Array, purpose: Purpose) -> pa.Array:
        """A column of ids (string, nulls stay null) as int64; each distinct id is hashed once."""
        encoded = native.combine_chunks() if isinstance(native, pa.ChunkedArray) else native
        encoded = pc.dictionary_encode(encoded)
        hashed = _hashed(self.key, purpose, _plain_bytes(encoded.dictionary, purpose))
        for key in self.newer:
            hashed = rotate(hashed, key)
        return pc.take(pa.array(hashed), encoded.indices)

    def rotated(self, key: bytes) -> Pseudonyms:
        """After a rotation to `key`: `rotate(one(x), key)` is this one's `one(x)`."""
        return replace(self, newer=(*self.newer, key))

    # ------------------------------------------------------------ which key a lake was made with

    def fits(self, lake: Lake) -> bool | None:
        """Whether the lake was made with this key; None where nothing says so."""
        file = lake.vault / KEY_CHECK
        return hmac.compare_digest(file.read_text(), self._check()) if file.is_file() else None

    def require(self, lake: Lake) -> None:
        """Raise ConfigurationError when the lake was made with another key; one that holds nothing may have any."""
        if self.fits(lake) is False and lake.versions():
            raise ConfigurationError(
                f"the lake {lake.root} was made with another key: with this one everybody would be somebody else. "
                "Restore the key that it was made with, or rotate to a new one with `shortlist rotate-key` "
                "(afterwards both are given, <new>,<old>). See docs/guides/keys.md."
            )

    def remember(self, lake: Lake) -> None:
        """Write down, for the owner's eyes, what `fits` compares; several processes may do it at once."""
        lake.vault.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = lake.vault / f".{KEY_CHECK}-{uuid.uuid4().hex}"
        disk.write(unfinished, lambda file: file.write(self._check().encode()))
        unfinished.chmod(0o600)
        disk.replace(unfinished, lake.vault / KEY_CHECK)
        disk.sync_folder(lake.vault)

    def _check(self) -> str:
        """A digest that only these keys in this order have."""
        found = b""
        for key in (self.key, *self.newer):
            found = hmac.digest(key, b"key check\0" + found, "sha256")
        return found.hex()


def _plain(native: str, purpose: Purpose) -> str:
    return native.strip().lower() if purpose == "email" else native


def _plain_bytes(natives: pa.Array, purpose: Purpose) -> list[bytes]:
    if purpose == "email":
        return [_plain(native, purpose).encode() for native in natives.to_pylist()]
    found: list[bytes] = natives.cast(pa.binary()).to_pylist()
    return found


def _hashed(key: bytes, purpose: Purpose, plain: Sequence[bytes]) -> NDArray[np.int64]:
    """`Pseudonyms.one` of each under one key: both hashes of HMAC (RFC 2104) go on from where the key brings them."""
    padded = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + f"{purpose}\0".encode())
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
    found = bytearray()
    for native in plain:
        inside, outside = inner.copy(), outer.copy()
        inside.update(native)
        outside.update(inside.digest())
        found += outside.digest()[:_BYTES]
    return np.frombuffer(found, ">i8").astype(np.int64)


def rotate(pseudonyms: NDArray[np.int64], key: bytes) -> NDArray[np.int64]:
    """Each pseudonym under one more key."""
    old = pseudonyms.astype(">i8").tobytes()
    new = b"".join(_next(old[at : at + _BYTES], key) for at in range(0, len(old), _BYTES))
    return np.frombuffer(new, ">i8").astype(np.int64)


def _next(pseudonym: bytes, key: bytes) -> bytes:
    """No purpose has this prefix: a pseudonym never stands for a native id."""
    return hmac.digest(key, b"rotated\0" + pseudonym, "sha256")[:_BYTES]


def _warn_in_airflow(name: str) -> None:
    """The command line has said so already."""
    if "airflow.sdk" in sys.modules:
        logging.getLogger(__name__).warning(
            "pseudonyms use the public development key, so anybody can undo them: set %s (or the Airflow Variable %s) "
            "and remove development_key",
            name,
            name.lower(),
        )
