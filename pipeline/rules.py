"""What the configuration's rules do tonight: whom and what each is about, whose lists it changes, and why one is so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.rules import NONE, Rules
from pipeline import apply_rules, score, who
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.lake import Lake
from pipeline.lists import placed
from pipeline.opened import Opened
from pipeline.report import Report
from pipeline.reports.page import DASH
from pipeline.who import Kind

Lists = Mapping[int, tuple[int, ...]]
"""Contents by person, best first; both are places among the night's."""


@dataclass(frozen=True)
class RulesReport(Report):
    """Each rule with `name`, `action`, `active` and, where it is, how many `people` and `contents` it is about.

    `misses` are its values that nobody and nothing has. `changed` (of a dry run) are people whose list is another one
    because of the rule; `lists` all of whom there is one, and `changed_lists` those that any rule changes. `person` (of
    an explanation) has a row a content that is in the list with the rules or without: `rank`, `rank_without`, `rules`.
    """

    as_of: str
    rules: Sequence[Mapping[str, Any]]
    lists: int | None = None
    changed_lists: int | None = None
    person: Sequence[Mapping[str, Any]] | None = None


def run(
    as_of: datetime,
    config: Config,
    *,
    person: str | None = None,
    kind: Kind | None = None,
    dry_run: bool = False,
    on_rule: Callable[[int, int], None] | None = None,
) -> RulesReport:
    """Say what the rules are about; with `person`, what they do to one list; with `dry_run`, how many they change.

    Nothing is published and nothing kept. A dry run ranks everybody once for each rule, and twice more.

    Raises:
        ShortlistError: There are no rules, the lake knows nothing before the night, or it may not rank the person.
    """
    if not config.rules:
        raise ShortlistError(f"{config.file} has no [[rules]]. docs/guides/rules.md shows how to write some.")
    opened = Opened.of(as_of, config, Lake.of(config))
    night = _Night(opened, config, apply_rules.of_people(opened.found, _segments(opened), config))
    told = night.described()
    if person is not None:
        return RulesReport(as_of.isoformat(), told, person=night.explained(_place(person, as_of, config, kind, opened)))
    if not dry_run:
        return RulesReport(as_of.isoformat(), told)
    before, after = night.lists(NONE), night.lists(night.rules)
    changed = {}
    for done, one in enumerate(night.rules.matched):
        if on_rule:
            on_rule(done, len(night.rules.matched))
        changed[one.rule.name] = _differing(after, night.lists(night.rules.without(one.rule.name)))
    rows = [{**row, "changed": changed.get(row["name"], 0)} for row in told]
    return RulesReport(as_of.isoformat(), rows, len(after), _differing(before, after))


def _segments(opened: Opened) -> NDArray[Any]:
    return score.segments(opened.found, opened.model.bundle)


def _place(person: str, as_of: datetime, config: Config, kind: Kind | None, opened: Opened) -> int:
    """The night's place of whom an id belongs to."""
    asked = who.resolved(person, as_of, config, kind)
    people = opened.found.history.people
    at = int(np.searchsorted(people, asked.person))
    if at == len(people) or people[at] != asked.person or at not in opened.people:
        raise ShortlistError(
            f"[{who.short(asked.person)}] gets no list of their own on {as_of.isoformat()}: they did nothing that the "
            "night knows, or they object. `shortlist identity` says which."
        )
    return at


def _differing(one: Lists, other: Lists) -> int:
    """How many people's lists differ: in contents, or in their order."""
    return sum(one.get(person) != other.get(person) for person in {*one, *other})


@dataclass(frozen=True)
class _Night:
    opened: Opened
    config: Config
    rules: Rules

    def lists(self, rules: Rules, people: NDArray[np.int64] | None = None) -> Lists:
        """What these people, by default all, would be shown by some rules."""
        found, bundle = self.opened.found, self.opened.model.bundle
        lists: dict[int, list[int]] = {}
        for listed in placed(found, bundle, self.config, self.opened.people if people is None else people, rules):
            for one, content in zip(listed.person.tolist(), listed.content.tolist(), strict=True):
                lists.setdefault(one, []).append(content)
        return {person: tuple(contents) for person, contents in lists.items()}

    def described(self) -> list[dict[str, Any]]:
        """Every rule of the configuration, in its order."""
        found = self.opened.found
        whose, what = apply_rules.people(found, _segments(self.opened)), apply_rules.contents(found)
        matched = {one.rule.name: one for one in self.rules.matched}
        rows = []
        for rule in apply_rules.declared(self.config):
            row = {"name": rule.name, "action": rule.action, "active": rule.name in matched}
            if rule.name in matched:
                one = matched[rule.name]
                row |= {
                    "people": int(one.people[self.opened.people].sum()),
                    "contents": int((one.content & found.history.catalogue.listed).sum()),
                }
            rows.append({**row, "misses": list(apply_rules.misses(rule, whose, what))})
        return rows

    def explained(self, person: int) -> list[dict[str, Any]]:
        """What stands in one's list with the rules or without, and which rules are about it."""
        with_, without = (self.lists(rules, np.array([person])).get(person, ()) for rules in (self.rules, NONE))
        ids = self.opened.found.history.catalogue.ids
        return [
            {
                "content_id": ids[content].as_py(),
                "rank": with_.index(content) + 1 if content in with_ else None,
                "rank_without": without.index(content) + 1 if content in without else None,
                "rules": self._about(person, content),
            }
            for content in dict.fromkeys((*with_, *without))
        ]

    def _about(self, person: int, content: int) -> list[str]:
        """The names of the rules that do something to this content for this person."""
        return [
            one.rule.name
            for one in self.rules.matched
            if one.people[person] and one.content[content] != (one.rule.action == "require")
        ]


def draw(report: RulesReport, out: Console) -> None:
    """For people: the rules, and what was asked about them."""
    dry = report.lists is not None
    table = Table("rule", "does", "people", "contents", *(["lists changed"] if dry else []), "to look at")
    for row in report.rules:
        numbers = [str(row[name]) for name in ("people", "contents")] if row["active"] else [DASH, "not tonight"]
        changed = [str(row["changed"])] if dry else []
        table.add_row(row["name"], row["action"], *numbers, *changed, "; ".join(row["misses"]))
    out.print(table)
    if dry:
        out.print(f"The rules change {report.changed_lists} of {report.lists} lists as of {report.as_of}.")
    if report.person is not None:
        _draw_person(report.person, out)


def _draw_person(rows: Sequence[Mapping[str, Any]], out: Console) -> None:
    table = Table("rank", "without rules", "content", "because of")
    for row in rows:
        ranks = [DASH if row[name] is None else str(row[name]) for name in ("rank", "rank_without")]
        table.add_row(*ranks, row["content_id"], ", ".join(row["rules"]))
    out.print(table)
