"""Native ids in, pseudonyms out."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError
from pipeline.lake import Lake
from pipeline.pseudonyms import KEY_CHECK, Pseudonyms, Purpose, rotate
from tests.pipeline.lakes import config_in, tables, written

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


@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "", "ü", " A@b.de"])), max_size=12),
    st.integers(0, 12),
    st.binary(min_size=16, max_size=150),
    st.lists(st.binary(min_size=16, max_size=16), max_size=2),
    st.sampled_from(["visitor", "email"]),
)
def test_a_column_is_its_ids_one_by_one(
    native: list[str | None], cut: int, key: bytes, newer: list[bytes], purpose: Purpose
) -> None:
    """Nulls stay null, repeats stay equal, whatever chunks the column comes in, and however long the key is."""
    ids = Pseudonyms(key, tuple(newer))
    expected = [None if one is None else ids.one(one, purpose) for one in native]
    chunks = pa.chunked_array([native[:cut], native[cut:]], pa.string())
    assert ids.column(chunks, purpose).to_pylist() == expected
    assert ids.column(pa.array(native, pa.string()), purpose).to_pylist() == expected


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


# ---------------------------------------------------------------- several keys


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6))
def test_rotating_a_pseudonym_is_having_both_keys(native: list[str]) -> None:
    """What is in a lake and what comes in afterwards meet, whether one by one or a column at a time."""
    both = Pseudonyms.parse(f"another-key-altogether,{KEY}", "KEY")
    old = np.array([IDS.one(text, "order") for text in native], np.int64)
    new = rotate(old, b"another-key-altogether").tolist()
    assert new == [both.one(text, "order") for text in native] == both.column(pa.array(native), "order").to_pylist()
    assert both == IDS.rotated(b"another-key-altogether")


@given(INT64)
def test_a_rotated_pseudonym_is_an_hmac_of_the_old_one(old: int) -> None:
    """Eight bytes, big end first, after a prefix that no purpose has: anyone with the keys can check it."""
    digest = hmac.new(b"new", b"rotated\0" + old.to_bytes(8, "big", signed=True), hashlib.sha256).digest()
    assert rotate(np.array([old]), b"new").tolist() == [int.from_bytes(digest[:8], "big", signed=True)]


def test_each_of_several_keys_must_be_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not, or an empty one after a stray comma, protects nobody."""
    for keys, found in ((f"{KEY},short", "found 5 characters"), (f"{KEY},", "found 0 characters")):
        monkeypatch.setenv("SHORTLIST_ID_KEY", keys)
        with pytest.raises(ConfigurationError, match=found):
            Pseudonyms.of(config_in(tmp_path))


# ---------------------------------------------------------------- the lake's key


@pytest.fixture(name="lake")
def _lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake without tables, as a first load begins."""
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    lake = Lake.of(config_in(tmp_path))
    lake.staging.mkdir(parents=True)
    return lake


def test_the_lake_remembers_its_key_and_not_how_it_reads(lake: Lake, tmp_path: Path) -> None:
    """The file tells a wrong key from the right one; it holds neither the key nor anybody's pseudonym."""
    assert IDS.fits(lake) is None
    ids = Pseudonyms.of(config_in(tmp_path))
    assert ids.fits(lake) is True
    assert Pseudonyms(b"another-key-altogether").fits(lake) is False
    text = (lake.vault / KEY_CHECK).read_text()
    assert KEY not in text
    assert len(text) == 64
    assert [path.name for path in lake.vault.iterdir()] == [KEY_CHECK]


def test_a_lake_that_holds_something_takes_no_other_key(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one does: whoever began with the wrong key has lost nothing."""
    Pseudonyms.of(config_in(tmp_path))
    monkeypatch.setenv("SHORTLIST_ID_KEY", "another-key-altogether")
    assert Pseudonyms.of(config_in(tmp_path)).fits(lake) is True
    written(tables(content=[{"content_id": "c"}]), config_in(tmp_path))
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    with pytest.raises(ConfigurationError, match="made with another key"):
        Pseudonyms.of(config_in(tmp_path))
    assert IDS.fits(lake) is False


def test_without_a_lake_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only asks leaves nothing behind."""
    monkeypatch.setenv("SHORTLIST_ID_KEY", KEY)
    Pseudonyms.of(config_in(tmp_path))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- Airflow


IN_A_TASK = """
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline import airflow_environment, local_airflow

config, dags = map(Path, sys.argv[1:])
home = config.parent / "state" / "airflow" / "local"
home.mkdir(parents=True)
local_airflow._enter(airflow_environment.settings(home, config, dags))
local_airflow._import_airflow(home)
local_airflow._migrate(home)
from airflow.models.variable import Variable

Variable.set("shortlist_id_key", "a-key-in-airflows-database")
print(*local_airflow.run_dags(
    config, datetime(2026, 7, 1, tzinfo=UTC), False, lambda *_: None, dag_ids=["asks"], dags_folder=dags
).values())
"""
ASKS = """
import os
from airflow.sdk import dag, task


@dag(schedule=None)
def asks():
    @task
    def key():
        from pipeline import config
        from pipeline.pseudonyms import Pseudonyms

        found = []
        for name, value in (("OTHER", "1"), ("SHORTLIST_ID_KEY", "a-key-in-the-environment")):
            os.environ[name] = value
            found.append(str(Pseudonyms.configured(config.load()).one("7", "visitor")))
        return " ".join(found)

    key()


asks()
"""


def test_a_task_asks_airflows_secrets_after_the_environment(tmp_path: Path) -> None:
    """A real task of a real DAG, with the key in Airflow's database; the environment goes before it."""
    config, dags = tmp_path / "shortlist.toml", tmp_path / "dags"
    config.write_text('[project]\nname = "small"\ndevelopment_key = true\n')
    dags.mkdir()
    (dags / "asks.py").write_text(ASKS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHORTLIST")}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_TASK, config, dags], capture_output=True, text=True, check=True, env=environment
    )
    keys = (b"a-key-in-airflows-database", b"a-key-in-the-environment")
    assert done.stdout.split() == [str(Pseudonyms(key).one("7", "visitor")) for key in keys]


def test_who_did_not_import_airflow_does_not_do_so_for_the_key() -> None:
    """It would cost every command a second."""
    code = "import sys; from pipeline import config, pseudonyms as p; from pathlib import Path\n"
    code += "p.Pseudonyms.configured(config.parse({'project': {'development_key': True}}, Path('x.toml')))\n"
    code += "sys.exit('airflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
