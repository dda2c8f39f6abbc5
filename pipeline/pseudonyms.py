"""Native ids in, pseudonyms out: HMAC-SHA-256 with a purpose prefix, cut to 64 bits.

Without the key nobody can get from a pseudonym to an id, or test a guess (ENISA 2019: a plain hash can be
brute-forced). 64 bits keep ids fast everywhere; among 10 million people a collision has a chance of 3 in a million.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import DEVELOPMENT_KEY, Config
from pipeline.errors import ConfigurationError

Purpose = Literal["visitor", "customer", "email", "session", "order"]

_MINIMUM_KEY = 16


@dataclass(frozen=True)
class Pseudonyms:
    """A keyed one-way map from native ids to int64."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, config: Config) -> Pseudonyms:
        """With the key from the environment.

        Raises:
            ConfigurationError: There is no key, or it is too short to protect anybody.
        """
        name = config.project.id_key_env
        key = os.environ.get(name, "")
        if not key and config.project.development_key:
            key = DEVELOPMENT_KEY
        if len(key) < _MINIMUM_KEY:
            found = f"{len(key)} characters" if key else "nothing"
            raise ConfigurationError(
                f"the environment variable {name} must hold the secret key for pseudonyms (at least {_MINIMUM_KEY} "
                f"characters; found {found}). Make one with `openssl rand -hex 32` and keep it: "
                "with another key the same person gets another pseudonym."
            )
        return cls(key.encode())

    def one(self, native: str, purpose: Purpose) -> int:
        """The pseudonym of one id; e-mails are compared without case and surrounding space."""
        text = native.strip().lower() if purpose == "email" else native
        digest = hmac.digest(self.key, f"{purpose}\0{text}".encode(), "sha256")
        return int.from_bytes(digest[:8], "big", signed=True)

    def column(self, native: pa.ChunkedArray | pa.Array, purpose: Purpose) -> pa.Array:
        """A column of ids (string, nulls stay null) as int64; each distinct id is hashed once."""
        encoded = native.combine_chunks() if isinstance(native, pa.ChunkedArray) else native
        encoded = pc.dictionary_encode(encoded)
        hashed = [self.one(text, purpose) for text in encoded.dictionary.to_pylist()]
        return pc.take(pa.array(hashed, pa.int64()), encoded.indices)
