"""Which model served from when on: what the tags of the registered versions say, put in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pipeline import records
from pipeline.errors import ShortlistError

ROLLBACKS = "rollbacks"
"""The tag of a version that was gone back to: a JSON list of [from when on, its place in order, why]."""


class Version(NamedTuple):
    """A registered version: its number and tags."""

    number: int
    tags: Mapping[str, str]


@dataclass(frozen=True, order=True)
class Stint:
    """From `as_of` on this version served, until the next one's; `order` is 0 for a promotion, and counts rollbacks.

    So a promotion for the very instant of a rollback comes before it, whenever it was made.
    """

    as_of: datetime
    order: int
    version: int
    reason: str = ""


def of(versions: Iterable[Version]) -> list[Stint]:
    """Every stint, in the order of time."""
    found = []
    for number, tags in versions:
        if tags.get("promoted") == "true":
            found.append(Stint(promoted_as_of(tags), 0, number))
        found += [Stint(datetime.fromisoformat(at), order, number, why) for at, order, why in rollbacks(tags)]
    return sorted(found)


def promoted_as_of(tags: Mapping[str, str]) -> datetime:
    """From when on a version served first: a person who moves the alias by hand leaves only the model's own night."""
    return datetime.fromisoformat(tags.get("promoted_as_of", tags["as_of"]))


def rollbacks(tags: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """What the tag says, an empty list without one."""
    found: list[tuple[str, int, str]] = json.loads(tags.get(ROLLBACKS, "[]"))
    return found


def with_rollback(tags: Mapping[str, str], stint: Stint) -> str:
    """What the tag says with one more."""
    return json.dumps([*rollbacks(tags), [records.iso(stint.as_of), stint.order, stint.reason]])


def serving(stints: Sequence[Stint], as_of: datetime) -> Stint | None:
    """The one that `as_of` lies in."""
    return max((one for one in stints if one.as_of <= as_of), default=None)


def left(stints: Sequence[Stint]) -> dict[int, Stint]:
    """The versions that were gone back from and did not serve again, each with the stint that followed."""
    found: dict[int, Stint] = {}
    before = None
    for one in stints:
        found.pop(one.version, None)
        if one.order and before is not None and before != one.version:
            found[before] = one
        before = one.version
    return found


def previous(stints: Sequence[Stint], current: int, as_of: datetime) -> int | None:
    """Who was promoted last before `current`, by `as_of`, of those that nobody went back from since; None if no one.

    It served earlier in every case, so going back again and again comes to an end.
    """
    known = [one for one in stints if one.as_of <= as_of]
    first = {one.version: one for one in reversed(known) if not one.order}
    gone, begun = left(known), first.get(current)
    earlier = [one for one in first.values() if one.version not in {current, *gone} and (begun is None or one < begun)]
    return max(earlier).version if earlier else None


def back(stints: Sequence[Stint], before: int | None, as_of: datetime, to: str | None, reason: str) -> Stint:
    """The stint that going back begins, from `before`, who serves at `as_of`, to `to` or else to `previous`.

    One that is there already, where the same was asked before. Raises ShortlistError where nobody can go back.
    """
    now = serving(stints, as_of)
    if now is not None and to in {None, str(now.version)} and now.order and now.as_of == as_of:
        return now
    if now is not None and to == str(now.version) and now.version == before:
        return now
    version = _to(stints, before, as_of, to)
    order = 1 + max((one.order for one in stints if one.as_of == as_of), default=0)
    return Stint(as_of, order, version, reason)


def _to(stints: Sequence[Stint], before: int | None, as_of: datetime, to: str | None) -> int:
    instant, served = records.iso(as_of), sorted({one.version for one in stints if one.as_of <= as_of})
    if before is None:
        raise ShortlistError(f"no model serves at {instant}, so there is none to go back from")
    if to is not None:
        if to not in map(str, served):
            found = ", ".join(map(str, served)) or "none"
            raise ShortlistError(f"version {to} never served by {instant}, so nobody can go back to it; {found} did")
        return int(to)
    version = previous(stints, before, as_of)
    if version is None:
        raise ShortlistError(
            f"version {before} serves at {instant}, and none served before it that was not gone back from: there is "
            "nothing to go back to"
        )
    return version
