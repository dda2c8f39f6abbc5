"""Looking at object stores: `verify --stores` reads every byte, `doctor` looks in, a night tells how it goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import publish as publishing
from pipeline import stores
from pipeline.errors import ShortlistError
from pipeline.ranked import write_ranked
from tests.pipeline import stored
from tests.pipeline.buckets import Bucket
from tests.pipeline.nights import FORMS, as_of, publish, ranked, terms
from tests.pipeline.small import House, shortlist
from tests.pipeline.stored import WEB, configured, local, remote

house, config, root = stored.house, stored.config, stored.root


def test_verify_reads_the_store(house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed byte, a file too many and one too few are named; so are what lacks, what is too much and CURRENT."""
    names = [publish(house.lake.rankings, night=night).name for night in range(3)]
    config = configuration.load(house.file)
    stores.follow(config)
    whole = shortlist(capsys, "verify", "--stores", "--config", house.file, "--json")
    assert (whole.code, whole.json["whole"]) == (0, True)
    assert [one["problems"] for one in whole.json["stores"][0]["snapshots"]] == [[], [], []]
    folder = f"/tables/rankings/snapshots/{names[0]}"
    data = bucket.ask("GET", f"{folder}/people/part-00000.parquet")
    assert data is not None
    bucket.ask("PUT", f"{folder}/people/part-00000.parquet", data[:-1] + b"?")
    bucket.ask("PUT", f"{folder}/people/extra.parquet", b"more")
    bucket.ask("DELETE", f"{folder}/default/part-00000.parquet")
    bucket.ask("PUT", f"{folder}/contract.yaml", b"short")
    bucket.ask("PUT", "/tables/rankings/CURRENT", f"{names[1]}\n".encode())
    shutil.rmtree(house.lake.rankings / "snapshots" / names[1])
    late = publish(house.lake.rankings, night=4).name
    said = shortlist(capsys, "verify", "--stores", "--config", house.file, "--json")
    (store,) = said.json["stores"]
    found = {one["name"]: [text.partition(" is ")[0] for text in one["problems"]] for one in store["snapshots"]}
    assert said.code == 1
    assert said.json["pointers"] == []
    assert found == {
        names[0]: [
            "default/part-00000.parquet: missing",
            "people/extra.parquet: not in the manifest",
            "contract.yaml: bytes",
            "people/part-00000.parquet: sha256",
        ],
        names[1]: ["is not here any more: `shortlist housekeep` removes it from the store, unless it serves there"],
        names[2]: [],
        late: ["is not in the store: `shortlist housekeep` sends it"],
    }
    assert f"names {names[1]}, but here {late} serves" in store["pointers"][0]
    told = shortlist(capsys, "verify", "--stores", "--config", house.file)
    assert (told.code, told.lacks(f"{bucket.url}/rankings", "people/part-00000.parquet: sha256")) == (1, [])
    one = shortlist(capsys, "verify", names[2], "--stores", "--config", house.file, "--json")
    assert (one.code, len(one.json["stores"][0]["snapshots"])) == (0, 1)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "manifest.json: missing"),
        (b"{", "cannot be read"),
        (b"[]", "is no JSON object"),
        (b"{}", "not as we write it"),
        (b'{"name": 5, "files": 5}', "manifest.json: names 5"),
    ],
)
def test_verify_names_a_manifest_that_is_none(
    data: bytes | None, problem: str, house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stands there is a problem that is told, and no crash."""
    name = publish(house.lake.rankings).name
    stores.follow(configuration.load(house.file))
    bucket.ask("DELETE" if data is None else "PUT", f"/tables/rankings/snapshots/{name}/manifest.json", data)
    said = shortlist(capsys, "verify", "--stores", "--config", house.file, "--json")
    assert said.code == 1
    assert problem in " ".join(said.json["stores"][0]["snapshots"][0]["problems"])


def test_verify_without_stores_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for stores where none are configured is a mistake."""
    house = House(tmp_path)
    house.configure(WEB)
    said = shortlist(capsys, "verify", "--stores", "--config", house.file)
    assert (said.code, said.lacks("publish.stores is empty")) == (2, [])


def test_doctor_looks_at_the_stores(house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """One that can be read is healthy, before and after the first publication; one that cannot is not."""
    config = configured(house, bucket.url, "s3://no-such-bucket/x")
    asked = ("doctor", "--config", house.file, "--json")

    def found() -> dict[str, tuple[bool, str]]:
        findings = shortlist(capsys, *asked).json["findings"]
        return {one["what"]: (one["healthy"], one["detail"]) for one in findings if one["what"].startswith("store ")}

    assert found()[f"store {bucket.url}"] == (True, "0 objects; CURRENT there names nothing yet")
    healthy, detail = found()["store s3://no-such-bucket/x"]
    assert not healthy
    assert "NoSuchBucket" in detail
    name = publish(house.lake.rankings).name
    with pytest.raises(ShortlistError):
        stores.follow(config)
    assert found()[f"store {bucket.url}"] == (True, f"6 objects; CURRENT there names {name}")


def test_a_night_goes_to_the_store(
    house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`shortlist publish`, of what `rank` left: here and there, and the report says so."""
    tables = ranked()
    monkeypatch.setattr(publishing, "_terms", lambda *_: terms())  # without a lake that the night was made of
    write_ranked(house.lake, as_of(0), ((name, getattr(tables, name)) for name in FORMS))
    said = shortlist(capsys, "publish", "--as-of", "2026-11-01", "--config", house.file, "--json")
    assert said.code == 0, said.err
    (store,) = said.json["stores"]
    assert store == {"url": bucket.url, "current": bucket.serves, "sent": 5, "removed": [], "keeps_versions": False}
    assert remote(bucket) == local(house.lake.rankings)
