"""What is gone here goes from object stores: old snapshots, and the snapshots of people who were forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline import snapshot, stores
from pipeline.config import Config
from pipeline.errors import ShortlistError
from tests.pipeline import stored
from tests.pipeline.buckets import Bucket
from tests.pipeline.nights import publish
from tests.pipeline.small import House, shortlist
from tests.pipeline.stored import WEB

house, config, root = stored.house, stored.config, stored.root


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
