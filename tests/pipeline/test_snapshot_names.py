"""Which snapshot is meant: a whole name, its beginning, CURRENT, or the one before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import snapshot, snapshot_names
from pipeline.errors import ConfigurationError
from tests.pipeline.nights import publish


@pytest.fixture(name="root", scope="module")
def _root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Night 0, two variants of night 1 of which the one with the later name was published first, and night 2."""
    root = tmp_path_factory.mktemp("published") / "rankings"
    publish(root, night=0)
    tonight = sorted(publish(root, 1, variant).name for variant in (0, 1))
    for seconds, name in enumerate(reversed(tonight)):
        os.utime(root / "snapshots" / name, (1_000_000 + seconds, 1_000_000 + seconds))
    publish(root, night=2)
    return root


def test_a_beginning_is_enough_where_no_other_has_it(root: Path) -> None:
    """A date, or a whole name."""
    first = snapshot.snapshots(root)[0]
    assert snapshot_names.meant(root, "2026-11-01") == first
    assert snapshot_names.meant(root, first) == first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-02", "begins several snapshots: 2026-11-02T"),
        ("2026-12", "no snapshot is named"),
        ("", "shortlist sn"),
    ],
)
def test_what_means_none_or_several_is_refused(root: Path, text: str, words: str) -> None:
    """With the names to choose from."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        snapshot_names.meant(root, text)
    assert snapshot.snapshots(root)[1] in str(refused.value)


def test_snapshots_of_one_night_are_in_the_order_of_their_publication(root: Path) -> None:
    """Names sort by night and then by a hash, which says nothing."""
    first, one, other, last = snapshot.snapshots(root)
    assert snapshot_names.in_order(root) == (first, other, one, last)
    assert snapshot_names.before(root, last) == one
    assert snapshot_names.before(root, one) == other
    assert [path.name for path in snapshot_names.by_night(root).values()] == [first, one, last]
    assert snapshot_names.earlier(root, snapshot_names.night(last)) == root / "snapshots" / one
    assert snapshot_names.earlier(root, snapshot_names.night(first)) is None


def test_before_the_oldest_there_is_none(root: Path) -> None:
    """And that is said."""
    with pytest.raises(ConfigurationError, match="the oldest snapshot"):
        snapshot_names.before(root, snapshot.snapshots(root)[0])


def test_nothing_serves_where_nothing_was_published(root: Path, tmp_path: Path) -> None:
    """Which is no error of who only asks."""
    assert snapshot_names.serving(tmp_path) is None
    assert snapshot_names.serving(root) == snapshot.snapshots(root)[-1]
