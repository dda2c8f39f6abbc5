"""Object stores follow what is published, against a real S3 server: whole snapshots only, whatever breaks off when."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline import config as configuration
from pipeline import disk, snapshot, stores
from pipeline.config import Config
from pipeline.errors import ConfigurationError, ShortlistError
from tests.pipeline import stored
from tests.pipeline.buckets import CONDITIONS, Bucket
from tests.pipeline.nights import as_of, facts, publish, ranked
from tests.pipeline.small import House, shortlist
from tests.pipeline.stored import WEB, configured, local, remote

house, config, root = stored.house, stored.config, stored.root


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
