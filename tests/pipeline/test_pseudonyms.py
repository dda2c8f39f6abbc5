"""Native ids in, pseudonyms out."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError
from pipeline.pseudonyms import Pseudonyms, Purpose
from tests.pipeline.lakes import config_in

KEY = "a-secret-that-is-long-enough"
IDS = Pseudonyms(KEY.encode())
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_pseudonym_is_64_bits_of_an_hmac(native: str) -> None:
    """The first eight bytes of HMAC-SHA-256 over purpose, a zero byte, and the id: anyone with the key can check it."""
    digest = hmac.new(KEY.encode(), b"visitor\0" + native.encode(), hashlib.sha256).digest()
    assert IDS.one(native, "visitor") == int.from_bytes(digest[:8], "big", signed=True)


def test_the_same_id_in_another_role_is_somebody_else() -> None:
    """Customer 7, visitor 7, order 7 and session 7 have nothing to do with each other."""
    purposes: tuple[Purpose, ...] = ("visitor", "customer", "email", "session", "order")
    assert len({IDS.one("7", purpose) for purpose in purposes}) == len(purposes)


def test_another_key_makes_other_people() -> None:
    """Without the key a guess cannot be tested."""
    assert Pseudonyms(b"another-key-altogether").one("7", "visitor") != IDS.one("7", "visitor")


def test_emails_are_compared_without_case_and_space_but_ids_are_not() -> None:
    """People write their address in many ways; an id is an id."""
    assert IDS.one(" Anna@Example.COM ", "email") == IDS.one("anna@example.com", "email")
    assert IDS.one("ID", "customer") != IDS.one("id", "customer")
    assert IDS.one("id ", "customer") != IDS.one("id", "customer")


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "", "ü"])), max_size=12), st.integers(0, 12))
def test_a_column_is_its_ids_one_by_one(native: list[str | None], cut: int) -> None:
    """Nulls stay null, repeats stay equal, whatever chunks the column comes in."""
    expected = [None if one is None else IDS.one(one, "visitor") for one in native]
    chunks = pa.chunked_array([native[:cut], native[cut:]], pa.string())
    assert IDS.column(chunks, "visitor").to_pylist() == expected
    assert IDS.column(pa.array(native, pa.string()), "visitor").to_pylist() == expected


def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the name that the configuration gives, and never from a file."""
    monkeypatch.setenv("OUR_KEY", KEY)
    assert Pseudonyms.of(config_in(tmp_path, project={"id_key_env": "OUR_KEY"})) == IDS


@pytest.mark.parametrize(("key", "found"), [("", "found nothing"), ("short-secret", "found 12 characters")])
def test_no_key_or_a_short_one_is_refused_without_being_told(
    key: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable and how to make a key, and does not repeat the one it found."""
    monkeypatch.setenv("SHORTLIST_ID_KEY", key)
    with pytest.raises(ConfigurationError, match=r"SHORTLIST_ID_KEY.*openssl rand") as refused:
        Pseudonyms.of(config_in(tmp_path, project={"development_key": False}))
    assert found in str(refused.value)
    assert "short-secret" not in str(refused.value)


def test_the_development_key_is_only_for_those_who_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in for a missing key where the configuration says so, and a real key goes before it."""
    monkeypatch.delenv("SHORTLIST_ID_KEY", raising=False)
    config = config_in(tmp_path, project={"development_key": True})
    assert Pseudonyms.of(config).one("7", "visitor") != IDS.one("7", "visitor")
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    assert Pseudonyms.of(config) == IDS


def test_a_key_is_not_printed() -> None:
    """Neither a log line nor a traceback's locals may give it away."""
    assert KEY not in repr(IDS)
