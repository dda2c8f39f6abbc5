"""Object stores follow what is published, against a real S3 server: whole snapshots only, whatever breaks off when."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline import config as configuration
from pipeline import disk, snapshot, stores
from pipeline import publish as publishing
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.ranked import write_ranked
from tests.pipeline.buckets import CONDITIONS, Bucket
from tests.pipeline.nights import FORMS, as_of, facts, publish, ranked, terms
from tests.pipeline.small import House, shortlist, table_source

WEB = table_source("web", "events")


def configured(house: House, *urls: str) -> Config:
    """A house whose tables go to these stores."""
    return house.configure(f"{WEB}[publish]\nstores = {json.dumps(urls)}\n")


@pytest.fixture
def house(tmp_path: Path, bucket: Bucket) -> House:
    """Its tables go to the bucket; nothing was published yet."""
    house = House(tmp_path / "house")
    house.folder.mkdir()
    configured(house, bucket.url)
    return house


@pytest.fixture(name="config")
def _config(house: House) -> Config:
    return configuration.load(house.file)


@pytest.fixture(name="root")
def _root(house: House) -> Path:
    return house.lake.rankings


def local(root: Path) -> dict[str, bytes]:
    """Every file that readers may see, less the link."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name not in {".lock", ".stores.lock"})
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files if "current" not in path.parts}


def remote(bucket: Bucket) -> dict[str, bytes | None]:
    """Every object of the rankings."""
    paths = [key.removeprefix("tables/rankings/") for key in bucket.keys]
    return {path: bucket.get(path) for path in paths}


# ---------------------------------------------------------------- publishing


def test_a_store_gets_what_was_published(root: Path, config: Config, bucket: Bucket) -> None:
    """The same files, byte for byte; every file before the manifest, and the manifest before CURRENT."""
    name = publish(root).name
    with bucket.watched() as door:
        (done,) = stores.follow(config)
    assert (done.current, done.sent, done.removed, done.keeps_versions) == (name, 5, (), False)
    assert remote(bucket) == local(root)
    put = [path.removeprefix(f"/{bucket.name}/tables/rankings/") for method, path in door.made if method == "PUT"]
    put = [path for path in put if not path.startswith(".probe-")]
    assert put[-2:] == [f"snapshots/{name}/manifest.json", "CURRENT"]
    assert len(put) == 6


def test_what_is_there_is_not_sent_again(root: Path, config: Config, bucket: Bucket) -> None:
    """A second time nothing is put but the probe; a file that went, or has another size, is."""
    name = publish(root).name
    stores.follow(config)
    with bucket.watched() as door:
        assert stores.follow(config)[0].sent == 0
    assert {path.rpartition("/")[2][:7] for method, path in door.made if method == "PUT"} == {".probe-"}
    bucket.ask("DELETE", f"/tables/rankings/snapshots/{name}/people/part-00000.parquet")
    bucket.ask("PUT", f"/tables/rankings/snapshots/{name}/contract.yaml", b"short")
    assert stores.follow(config)[0].sent == 2
    assert remote(bucket) == local(root)


def test_a_store_that_comes_later_gets_every_snapshot(root: Path, config: Config, bucket: Bucket) -> None:
    """All that are here, and CURRENT names what serves here."""
    first = publish(root, night=0).name
    publish(root, night=1)
    snapshot.rollback(root, first)
    told: list[tuple[str, int, int]] = []
    stores.follow(config, on_file=lambda *what: told.append(what))
    assert remote(bucket) == local(root)
    assert [(done, of) for _, done, of in told] == [*((n, 5) for n in range(1, 6))] * 2
    assert told[0][0] == f"{bucket.url}/rankings: {first}"


def test_a_store_that_dies_at_every_request(root: Path, config: Config, bucket: Bucket) -> None:
    """Done or not, no answer comes. Readers find one whole snapshot; here nothing is lost; the same again heals."""
    publish(root, night=0)
    stores.follow(config)
    serving = publish(root, night=1).name
    with bucket.watched() as door:
        stores.follow(config)
    requests = len(door.made)
    assert requests > 12
    for at in range(requests):
        new = publish(root, night=at + 2).name
        with bucket.watched(dies_at=at) as door, pytest.raises(ShortlistError, match=f"here CURRENT names {new}"):
            stores.follow(config)
        swung = ("PUT", f"/{bucket.name}/tables/rankings/CURRENT") in door.made[: at + 1]
        assert bucket.serves == (new if swung else serving)
        assert bucket.is_whole(str(bucket.serves))
        assert snapshot.resolve(root).name == new
        stores.follow(config)
        assert bucket.serves == new
        assert bucket.is_whole(new)
        serving = new
    stores.tidy(config)
    assert remote(bucket) == local(root)


def test_a_failure_says_what_serves_where_and_no_secret(root: Path, config: Config, bucket: Bucket) -> None:
    """One message, without the library's inner life."""
    old = publish(root, night=0).name
    stores.follow(config)
    new = publish(root, night=1).name
    with bucket.watched(dies_at=8), pytest.raises(ShortlistError) as failure:
        stores.follow(config)
    message = str(failure.value)
    assert f"here CURRENT names {new}, but 1 of 1 object stores did not follow" in message
    assert f"{bucket.url}/rankings/snapshots/{new}/" in message
    assert "500 Internal Server Error" in message
    assert f"CURRENT there named {old}" in message
    for secret in ("very-secret", "nobody", "Debug source", "RetryError"):
        assert secret not in message


def test_an_endpoint_without_encryption_must_be_allowed(
    root: Path, config: Config, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent in the clear unless somebody said so; the message says how."""
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    publish(root)
    with pytest.raises(ShortlistError, match="AWS_ALLOW_HTTP=true allows it"):
        stores.follow(config)
    assert bucket.keys == []


def test_one_store_that_fails_does_not_keep_the_others(house: House, bucket: Bucket) -> None:
    """The bucket that is not there is named; the other follows."""
    config = configured(house, "s3://no-such-bucket/tables", bucket.url)
    name = publish(house.lake.rankings).name
    with pytest.raises(ShortlistError, match=r"1 of 2 object stores.*\n.*s3://no-such-bucket/tables.*NoSuchBucket"):
        stores.follow(config)
    assert bucket.serves == name


def test_without_stores_nothing_is_done(tmp_path: Path) -> None:
    """No folder is made, and no request."""
    config = House(tmp_path).configure(WEB)
    assert (stores.follow(config), stores.tidy(config), stores.forget(config)) == ((), (), ())
    assert not (tmp_path / "published").exists()


def test_a_damaged_snapshot_is_not_sent(root: Path, config: Config, bucket: Bucket) -> None:
    """What is wrong here goes nowhere else."""
    old = publish(root, night=0).name
    stores.follow(config)
    path = root / "snapshots" / publish(root, night=1).name / "contract.yaml"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ShortlistError, match=r"not as it was published \(contract.yaml: sha256"):
        stores.follow(config)
    assert (bucket.serves, bucket.snapshots) == (old, [old])


def test_a_snapshot_that_goes_while_it_is_sent_does_not_serve(root: Path, config: Config, bucket: Bucket) -> None:
    """Whoever removes it here is next; until then what served there serves."""
    old = publish(root, night=0).name
    stores.follow(config)
    new = publish(root, night=1).name

    def vanish(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("contract.yaml"):
            snapshot.rollback(root, old)
            shutil.rmtree(root / "snapshots" / new)

    with bucket.watched(meanwhile=vanish):
        stores.follow(config)
    assert bucket.serves == old
    stores.tidy(config)
    assert bucket.snapshots == [old]


# ---------------------------------------------------------------- CURRENT


def test_an_older_night_does_not_take_over(root: Path, tmp_path: Path, bucket: Bucket, config: Config) -> None:
    """Neither one that is published here, nor one of a folder that lags behind; both are sent all the same."""
    new = publish(root, night=5).name
    stores.follow(config)
    old = publish(root, night=2).name
    assert stores.follow(config)[0].current == new
    assert bucket.is_whole(old)
    other = House(tmp_path / "other")
    other.folder.mkdir()
    theirs = configured(other, bucket.url)
    lagging = publish(other.lake.rankings, night=3).name
    assert stores.follow(theirs)[0].current == new
    assert bucket.is_whole(lagging)


def test_a_rollback_reaches_the_store(house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """CURRENT goes back there too; if the store is away, the same command again does it, and the next night is next."""
    old, new = (publish(house.lake.rankings, night=night).name for night in (0, 1))
    stores.follow(configuration.load(house.file))
    with bucket.watched(dies_at=7):
        failed = shortlist(capsys, "rollback", old, "--config", house.file)
    assert (failed.code, failed.lacks(f"here CURRENT names {old}", f"CURRENT there named {new}")) == (1, [])
    assert bucket.serves == new
    assert shortlist(capsys, "rollback", old, "--config", house.file).code == 0
    assert bucket.serves == old
    last = publish(house.lake.rankings, night=2).name
    assert stores.follow(configuration.load(house.file))[0].current == last


@pytest.mark.parametrize(
    ("others", "serves"),
    [
        ([7], "theirs"),
        ([0], "ours"),
        ([0, 1, 0], "ours"),
        ([0, 7], "theirs"),
    ],
)
def test_who_loses_a_race_looks_again(
    others: list[int], serves: str, root: Path, config: Config, bucket: Bucket
) -> None:
    """Another's later night stays; another's earlier one gives way; nobody's is overwritten unseen."""
    ours = publish(root, night=3).name
    names = {night: f"{as_of(night):%Y-%m-%dT%H%M%SZ}-0000000{night}" for night in (0, 1, 7)}
    coming = [names[night] for night in others]

    def overtake(method: str, path: str) -> None:
        if method == "GET" and path.endswith("CURRENT") and coming and bucket.is_whole(ours):
            bucket.ask("PUT", "/tables/rankings/CURRENT", f"{coming.pop(0)}\n".encode())

    with bucket.watched(meanwhile=lambda method, path: overtake(method, path) if len(coming) else None):
        (done,) = stores.follow(config)
    assert coming == []
    assert done.current == bucket.serves == (ours if serves == "ours" else names[others[-1]])


def test_a_race_that_never_ends_is_given_up(root: Path, config: Config, bucket: Bucket) -> None:
    """After a few times, with a hint; CURRENT is the others'."""
    ours = publish(root, night=3).name
    puts: list[str] = []

    def overtake(method: str, path: str) -> None:
        if method == "GET" and path.endswith("CURRENT") and not puts.count("busy"):
            puts.append("busy")
            name = f"2026-10-0{1 + len(puts) % 2}T000000Z-00000000"
            bucket.ask("PUT", "/tables/rankings/CURRENT", f"{name}\n".encode())
            puts[-1] = name

    with (
        bucket.watched(meanwhile=overtake),
        pytest.raises(ShortlistError, match="put it anew 5 times"),
    ):
        stores.follow(config)
    assert bucket.serves != ours
    assert stores.follow(config)[0].current == ours


def test_two_publishers_at_once(root: Path, config: Config, tmp_path: Path, bucket: Bucket) -> None:
    """Of one folder or of two: all succeed, every snapshot is whole, and the latest night serves."""
    other = House(tmp_path / "other")
    other.folder.mkdir()
    theirs = configured(other, bucket.url)
    jobs: list[Callable[[], Any]] = []
    for night in (1, 2):
        jobs += [
            lambda night=night: (publish(root, night, 0), stores.follow(config)),
            lambda night=night: (publish(other.lake.rankings, night, 1), stores.follow(theirs)),
        ]
    with ThreadPoolExecutor(max_workers=3) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()
    assert len(bucket.snapshots) == 4
    assert all(bucket.is_whole(name) for name in bucket.snapshots)
    assert str(bucket.serves).startswith("2026-11-03T")


def test_who_waits_too_long_for_another_says_so(
    root: Path, config: Config, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published here stays so; the stores are left to whoever is at them."""
    name = publish(root).name
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.1)
    with disk.locked(root / ".stores.lock", 1), pytest.raises(ShortlistError, match=f"here CURRENT names {name}"):
        stores.follow(config)
    assert bucket.keys == []


@pytest.mark.parametrize("text", ["", "../../etc\n", "2026-11-01\n"])
def test_current_that_is_no_name(text: str, root: Path, config: Config, bucket: Bucket) -> None:
    """Somebody else's object is named, and stays."""
    publish(root)
    bucket.ask("PUT", "/tables/rankings/CURRENT", text.encode())
    with pytest.raises(ShortlistError, match=r"rankings/CURRENT holds .*no snapshot's name"):
        stores.follow(config)
    assert bucket.get("CURRENT") == text.encode()


# ---------------------------------------------------------------- which store will do


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"blind_to": CONDITIONS}, "be created again"),
        ({"blind_to": ("HTTP_IF_NONE_MATCH",)}, "be created again"),
        ({"blind_to": ("HTTP_IF_MATCH",)}, "not there any more"),
        ({"refuses": "HTTP_IF_NONE_MATCH"}, "refuses a new object"),
        ({"refuses": "HTTP_IF_MATCH"}, "refuses to replace the very version"),
    ],
)
def test_a_store_that_does_not_keep_conditions_is_refused(
    how: dict[str, Any], found: str, root: Path, config: Config, bucket: Bucket
) -> None:
    """Before anything is sent; nothing of the probe stays. The night is published here."""
    name = publish(root).name
    with bucket.watched(**how), pytest.raises(ShortlistError, match=found) as failure:
        stores.follow(config)
    assert "does not keep the conditions of a put" in str(failure.value)
    assert (bucket.keys, snapshot.resolve(root).name) == ([], name)


def test_another_project_is_not_overwritten(root: Path, config: Config, tmp_path: Path, bucket: Bucket) -> None:
    """A folder that another project's tables are in is refused, to both."""
    other = House(tmp_path / "other")
    other.folder.mkdir()
    theirs = configured(other, bucket.url)
    staged = snapshot.stage(other.lake.rankings, ranked(), facts(project="news"), as_of(0))
    name = snapshot.commit(other.lake.rankings, staged).name
    stores.follow(theirs)
    publish(root, night=1)
    for command in (stores.follow, stores.tidy, stores.forget):
        with pytest.raises(ShortlistError, match="of the project 'news', and this is 'small'"):
            command(config)
    assert (bucket.serves, bucket.snapshots) == (name, [name])


@pytest.mark.parametrize(
    "url",
    [
        "published",
        "file:///tmp/x",
        "s3:/bucket/folder",
        "s3://",
        "s3://bucket//folder",
        "s3://bucket/../other",
        "https://bucket.s3.amazonaws.com/folder",
        "s3://AKIA:very-secret@bucket/folder",
        "az://container/folder?sig=very-secret",
    ],
)
def test_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    """Are refused with what is expected, and without what may be a key."""
    with pytest.raises(ConfigurationError, match=r"publish\.stores\.0: .*(expected s3://bucket|no `\.`)") as failure:
        configured(House(tmp_path), url)
    assert "very-secret" not in str(failure.value)


def test_addresses_of_stores(tmp_path: Path) -> None:
    """A slash at the end is no other folder; the same folder twice is a mistake."""
    house = House(tmp_path)
    urls = ("s3://my.bucket/a/b/", "gs://bucket_1", "az://container/folder")
    assert configured(house, *urls).publish.stores == ("s3://my.bucket/a/b", "gs://bucket_1", "az://container/folder")
    with pytest.raises(ConfigurationError, match="names s3://bucket/a twice"):
        configured(house, "s3://bucket/a", "s3://bucket/a/")


# ---------------------------------------------------------------- what is not kept


def test_old_snapshots_go_from_the_store(house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """`shortlist housekeep` removes there what it removes here; a file of somebody else's stays."""
    house.configure(f'{WEB}[publish]\nstores = ["{bucket.url}"]\n[housekeeping]\nsnapshots = 2\nsnapshot_hours = 0\n')
    names = [publish(house.lake.rankings, night=night).name for night in range(4)]
    stores.follow(configuration.load(house.file))
    bucket.ask("PUT", "/tables/rankings/README", b"ours")
    bucket.ask("PUT", "/tables/rankings/.probe-00", b"left")
    said = shortlist(capsys, "housekeep", "--as-of", "2026-11-05", "--config", house.file, "--json")
    assert said.code == 0
    assert said.json["stores"][0]["removed"] == names[:2]
    assert bucket.snapshots == names[2:]
    assert bucket.get("README") == b"ours"
    assert bucket.get(".probe-00") is None


def test_what_serves_there_stays(root: Path, config: Config, bucket: Bucket) -> None:
    """A snapshot that is gone here, and that CURRENT names there: of a later night than any here."""
    later = publish(root, night=9).name
    stores.follow(config)
    shutil.rmtree(root)
    publish(root, night=1)
    assert stores.tidy(config)[0].removed == ()
    assert bucket.serves == later
    assert bucket.is_whole(later)


def test_a_store_that_dies_while_old_snapshots_are_removed(root: Path, config: Config, bucket: Bucket) -> None:
    """At any request: what serves is whole, so is whatever has a manifest, and the same again ends it."""
    publish(root, night=0)
    for at in range(7, 11):  # after the probe, the list and two looks at CURRENT: a manifest's, the other files'
        publish(root, night=at)
        stores.follow(config)
        snapshot.collect_garbage(root, keep=1)
        with bucket.watched(dies_at=at) as door, pytest.raises(ShortlistError, match="object stores did not follow"):
            stores.tidy(config)
        assert [method for method, _ in door.made[7:]] == ["GET", "GET", "POST", "POST"][: at - 6]
        assert bucket.serves == snapshot.resolve(root).name
        there = [name for name in bucket.snapshots if bucket.get(f"snapshots/{name}/manifest.json")]
        assert all(bucket.is_whole(name) for name in there)
        stores.tidy(config)
        assert bucket.snapshots == list(snapshot.snapshots(root))


def test_forgetting_reaches_the_store(house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    """The store away at first: the command fails, and again it removes the rest; nobody else loses a list."""
    for night in (0, 1):
        publish(house.lake.rankings, night)
    stores.follow(configuration.load(house.file))
    assert bucket.people() == ["p000", "p001", "p002"]
    at, code = 0, 1
    while code:
        with bucket.watched(dies_at=at):
            said = shortlist(capsys, "forget", "p001", "--id-type", "customer", "--config", house.file, "--json")
        assert bucket.is_whole(str(bucket.serves))
        code, at = said.code, at + 6
    assert at > 6
    assert bucket.people() == ["p000", "p002"]
    (store,) = said.json["removed"]["stores"]
    assert (store["url"], store["keeps_versions"]) == (bucket.url, False)
    assert bucket.snapshots == list(snapshot.snapshots(house.lake.rankings))
    assert bucket.serves == snapshot.resolve(house.lake.rankings).name


def test_forgetting_lets_no_snapshot_serve_that_nobody_can_read(
    root: Path, config: Config, bucket: Bucket, tmp_path: Path
) -> None:
    """What serves there and is not here goes, though it is later; with nothing here to serve instead, it is told."""
    publish(root, night=9)
    stores.follow(config)
    root.rename(tmp_path / "lost")
    with pytest.raises(ShortlistError, match="which is not here, so nobody can say who is in it"):
        stores.forget(config)
    older = publish(root, night=1).name
    stores.forget(config)
    assert (bucket.serves, bucket.snapshots) == (older, [older])
    assert bucket.is_whole(older)


def test_what_is_still_there_after_it_was_removed_is_told(root: Path, config: Config, bucket: Bucket) -> None:
    """A store that says that it deleted, and did not, proves nothing."""
    publish(root, night=0)
    publish(root, night=1)
    stores.follow(config)
    snapshot.collect_garbage(root, keep=1)
    with bucket.watched(deaf_to="POST"), pytest.raises(ShortlistError, match="which is not here"):
        stores.forget(config)


def test_a_bucket_that_keeps_versions_is_told_of(
    house: House, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    """Deleting does not delete there: whoever forgets somebody hears of it."""
    xml = b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status>'
    bucket.ask("PUT", "?versioning", xml + b"</VersioningConfiguration>")
    publish(house.lake.rankings)
    assert stores.follow(configuration.load(house.file))[0].keeps_versions
    said = shortlist(capsys, "forget", "p001", "--id-type", "customer", "--config", house.file)
    assert (said.code, said.lacks(f"{bucket.url}: 1 snapshots removed.", "keeps versions of what was deleted")) == (
        0,
        [],
    )


# ---------------------------------------------------------------- looking


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
    write_ranked(house.lake, as_of(0), {name: getattr(tables, name) for name in FORMS})
    said = shortlist(capsys, "publish", "--as-of", "2026-11-01", "--config", house.file, "--json")
    assert said.code == 0, said.err
    (store,) = said.json["stores"]
    assert store == {"url": bucket.url, "current": bucket.serves, "sent": 5, "removed": [], "keeps_versions": False}
    assert remote(bucket) == local(house.lake.rankings)
