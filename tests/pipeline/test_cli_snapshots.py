"""The commands that look after what was published: what they answer machines, tell people, and end with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline import snapshot
from tests.pipeline.nights import publish
from tests.pipeline.small import House, Said, shortlist, table_source

Capture = pytest.CaptureFixture[str]


@pytest.fixture(name="published", scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house in which three nights were published; copy it, do not change it."""
    house = House(tmp_path_factory.mktemp("house"))
    house.configure(table_source("web", "events"))
    for night, variant in ((0, 0), (1, 0), (2, 1)):
        publish(house.lake.rankings, night, variant)
    return house


@pytest.fixture
def house(published: House, tmp_path: Path) -> House:
    """The test's own."""
    return House(Path(shutil.copytree(published.folder, tmp_path / "house", symlinks=True)))


def said(capsys: Capture, house: House, *arguments: str) -> Said:
    """`shortlist <arguments>` with the house's configuration."""
    return shortlist(capsys, *arguments, "--config", house.file)


def damaged(house: House, place: int, file: str) -> str:
    """The name of a snapshot one of whose files has another last byte now."""
    name = snapshot.snapshots(house.lake.rankings)[place]
    path = house.lake.rankings / "snapshots" / name / file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    return name


# ---------------------------------------------------------------- snapshots


def test_snapshots_lists_all_that_was_published(published: House, capsys: Capture) -> None:
    """Each with what its manifest says, its bytes on disk, and which one serves."""
    answer = said(capsys, published, "snapshots", "--json")
    names = snapshot.snapshots(published.lake.rankings)
    last = published.lake.rankings / "snapshots" / names[-1]
    assert (answer.code, answer.json["current"]) == (0, names[-1])
    assert [one["name"] for one in answer.json["snapshots"]] == list(names)
    assert [one["current"] for one in answer.json["snapshots"]] == [False, False, True]
    newest = answer.json["snapshots"][-1]
    assert newest["as_of"] == "2026-11-03T00:00:00+00:00"
    assert (newest["people"], newest["strategies"]) == (3, {"model": 3})
    assert newest["rows"] == {"default": 4, "people": 12, "segments": 4}
    assert newest["model_versions"] == {"click": "ranker/7", "read": "ranker/8"}
    on_disk = sum(path.stat().st_size for path in last.rglob("*") if path.is_file() and path.name != "manifest.json")
    assert newest["bytes"] == on_disk


def test_snapshots_says_what_a_broken_manifest_is(house: House, capsys: Capture) -> None:
    """One that cannot be read, and one that is not ours, do not hide the others."""
    names = snapshot.snapshots(house.lake.rankings)
    for name, text in ((names[0], "{"), (names[1], '{"files": 5}')):
        (house.lake.rankings / "snapshots" / name / "manifest.json").write_text(text)
    answer = said(capsys, house, "snapshots", "--json")
    first, second, third = answer.json["snapshots"]
    assert "cannot be read" in first["problem"]
    assert "not as we write it" in second["problem"]
    assert (third["problem"], third["people"]) == (None, 3)
    assert said(capsys, house, "snapshots").lacks("cannot be read", "not as we write it", *names) == []


def test_snapshots_of_a_house_that_has_none(tmp_path: Path, capsys: Capture) -> None:
    """Says so, and makes no folder."""
    house = House(tmp_path)
    house.configure(table_source("web", "events"))
    assert said(capsys, house, "snapshots").lacks("nothing has been published here yet") == []
    assert said(capsys, house, "verify").code == 1
    assert not house.lake.published.exists()


# ---------------------------------------------------------------- verify


def test_verify_ends_with_0_when_all_is_whole(published: House, capsys: Capture) -> None:
    """Every snapshot is read, and nothing is wrong with any."""
    answer = said(capsys, published, "verify", "--json")
    assert (answer.code, answer.json["whole"], answer.json["pointers"]) == (0, True, [])
    assert [one["problems"] for one in answer.json["snapshots"]] == [[], [], []]
    assert said(capsys, published, "verify").lacks(*snapshot.snapshots(published.lake.rankings)) == []


def test_verify_names_the_file_that_is_wrong(house: House, capsys: Capture) -> None:
    """A changed byte, a file too many and one too few end with 1, each named; asked of another snapshot, with 0."""
    name = damaged(house, 0, "contract.yaml")
    folder = house.lake.rankings / "snapshots" / name
    (folder / "people" / "extra.parquet").touch()
    (folder / "default" / "part-00000.parquet").unlink()
    answer = said(capsys, house, "verify", "2026-11-01", "--json")
    (found,) = answer.json["snapshots"]
    assert (answer.code, answer.json["whole"]) == (1, False)
    assert [problem.partition(" is ")[0] for problem in found["problems"]] == [
        "default/part-00000.parquet: missing",
        "people/extra.parquet: not in the manifest",
        "contract.yaml: sha256",
    ]
    told = said(capsys, house, "verify")
    assert (told.code, told.lacks(f"BAD {name}", "default/part-00000.parquet: missing")) == (1, [])
    assert said(capsys, house, "verify", "2026-11-02").code == 0


def test_verify_names_a_manifest_whose_name_is_none(house: House, capsys: Capture) -> None:
    """A number in the name's place is a problem that is told, and no crash."""
    name = snapshot.snapshots(house.lake.rankings)[0]
    file = house.lake.rankings / "snapshots" / name / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "name": 7}))
    answer = said(capsys, house, "verify", name, "--json")
    (found,) = answer.json["snapshots"]
    assert answer.code == 1
    assert f"manifest.json: names 7, but the folder is {name}" in found["problems"]


def test_verify_looks_where_current_leads(house: House, capsys: Capture) -> None:
    """A link that disagrees, a CURRENT that names nothing, and none at all."""
    root = house.lake.rankings
    first, *_, last = snapshot.snapshots(root)
    (root / "current").unlink()
    (root / "current").symlink_to(f"snapshots/{first}")
    told = said(capsys, house, "verify")
    assert (told.code, told.lacks(f"leads to snapshots/{first}, but CURRENT names {last}")) == (1, [])
    shutil.rmtree(root / "snapshots" / last)
    assert said(capsys, house, "verify").lacks(f"CURRENT names {last}, which is not there") == []
    (root / "CURRENT").unlink()
    assert said(capsys, house, "verify").lacks("nothing has been published") == []
    assert said(capsys, house, "snapshots").lacks("CURRENT names none of them") == []


# ---------------------------------------------------------------- diff


def test_diff_compares_what_serves_with_the_one_before(published: House, capsys: Capture) -> None:
    """Without names; one name is compared with what serves; two with each other."""
    first, second, third = snapshot.snapshots(published.lake.rankings)
    pairs: dict[tuple[str, ...], tuple[str, str, int]] = {
        (): (second, third, 3),
        ("2026-11-01",): (first, third, 3),
        ("2026-11-01", "2026-11-02"): (first, second, 0),
        ("2026-11-03", "2026-11-01"): (third, first, 3),
    }
    for names, (old, new, changed) in pairs.items():
        answer = said(capsys, published, "diff", *names, "--json").json
        assert (answer["old"], answer["new"], answer["changed"]) == (old, new, changed)


def test_diff_tells_people_why(published: House, capsys: Capture) -> None:
    """In words, with the contents that moved, and nobody's id."""
    told = said(capsys, published, "diff")
    assert (told.code, told.out) == (0, "")
    assert (
        told.lacks("other contents │ 3 │ 100.0%", "mean overlap within the first 4 ranks: 0.0%", "c1-1", "c0-1") == []
    )
    assert "p000" not in told.err


def test_diff_after_a_rollback_is_of_what_serves(house: House, capsys: Capture) -> None:
    """Where the oldest serves, there is none before it: the command says to name two."""
    said(capsys, house, "rollback", "2026-11-01")
    told = said(capsys, house, "diff")
    assert (told.code, told.lacks("2026-11-01", "is the oldest snapshot")) == (2, [])


# ---------------------------------------------------------------- rollback


def test_rollback_says_what_served_and_what_serves(house: House, capsys: Capture) -> None:
    """And that the next publication goes forward again."""
    first, _, last = snapshot.snapshots(house.lake.rankings)
    told = said(capsys, house, "rollback", "2026-11-01")
    assert (told.code, told.out) == (0, "")
    assert told.lacks(f"before: {last}", f"now: {first}", "next publication", "go forward again") == []
    assert snapshot.resolve(house.lake.rankings).name == first
    again = said(capsys, house, "rollback", first, "--json")
    assert json.loads(again.out) == {"before": first, "now": first, "objecting": 0, "exports": []}
    assert said(capsys, house, "rollback", first).lacks("served already") == []


def test_rollback_to_what_is_damaged_ends_with_1(house: House, capsys: Capture) -> None:
    """What serves goes on serving. A name that nothing has ends with 2."""
    damaged(house, 0, "people/part-00000.parquet")
    last = snapshot.resolve(house.lake.rankings).name
    told = said(capsys, house, "rollback", "2026-11-01")
    assert (told.code, told.lacks("people/part-00000.parquet", f"CURRENT names {last}.")) == (1, [])
    assert said(capsys, house, "rollback", "2027").code == 2
    assert snapshot.resolve(house.lake.rankings).name == last
