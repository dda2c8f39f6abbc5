"""Past nights as rows to learn from, against a brute-force join of the lake's own rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features import rfm, spec
from pipeline.build_features import NightFeatures
from pipeline.config import Config
from pipeline.rebuild import rebuild
from pipeline.rows import Rows
from tests.features.images import image
from tests.pipeline.lakes import END, NIGHT, Tables, archive, config_in, fortnight, rebuilt, split, tables
from tests.pipeline.lakes import joined as together

DAY = timedelta(days=1)
Pair = tuple[int, str]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The fortnight's settings: goals that mature in 1, 2 and 3 days."""
    return config_in(tmp_path_factory.mktemp("rebuild"))


# ---------------------------------------------------------------- the join, by hand


class ByHand:
    """One night's people, contents and outcome in plain Python, from the lake's rows."""

    def __init__(self, found: Tables, config: Config, as_of: datetime) -> None:
        """Take what the night knew of people, contents and engagement from the night itself."""
        self.found, self.as_of = found, as_of
        self.goals = config.goals
        self.night = NightFeatures.of(archive(found, config).night(as_of), config)
        catalogue = self.night.history.catalogue
        self.people = set(self.night.history.people.tolist())
        self.listed = {name for name, listed in zip(catalogue.ids.to_pylist(), catalogue.listed, strict=True) if listed}
        self.engaged = {
            (row["person_id"], row["content_id"])
            for row in self.night.night.log.to_pylist()
            if row["event"] not in {"impression", "refund"}
        }

        self.objected = {
            row["id"]
            for row in found["suppressions"].to_pylist()
            if row["day"] == (END - DAY).date() and row["since"] < END
        }

    def person(self, alias: int, before: datetime) -> int:
        """The customer whom the alias was last seen with before an instant, or itself."""
        links = [row for row in self.found["identities"].to_pylist() if row["id"] == alias]
        known = [row for row in links if row["available_at"] < before]
        best = min(known, key=lambda row: (before - row["available_at"], row["other_id"]), default=None)
        return int(best["other_id"]) if best else alias

    def usable(self, person: int) -> bool:
        """Whether neither the person, nor whose alias they are by now, objects by now."""
        return not {person, self.person(person, END)} & self.objected

    def outcome(self, days: float) -> list[dict[str, Any]]:
        """What was done from the night on, orders in place of the web's purchases."""
        end = self.as_of + timedelta(days=days)
        events = [row for row in self.found["events"].to_pylist() if row["event"] != "purchase"]
        orders = [
            {**row, "event": "purchase" if row["amount"] > 0 else "refund", "dwell_seconds": None, "position": None}
            for row in self.found["transactions"].to_pylist()
            if row["content_id"] and row["amount"]
        ]
        within = [row for row in (*events, *orders) if self.as_of <= row["ts"] < end]
        return [{**row, "person_id": self.person(row["person_id"], self.as_of)} for row in within]

    def labels(self, goal: str) -> set[Pair]:
        """The pairs that reached a goal within its horizon."""
        rule = self.goals[goal]
        return {
            (row["person_id"], row["content_id"])
            for row in self.outcome(rule.horizon_days)
            if row["event"] in rule.events
            or (rule.min_dwell_seconds and row["event"] == "view" and (row["dwell_seconds"] or 0) >= 30)
        }

    def shown(self) -> dict[Pair, float]:
        """The pairs shown on the day after that a list could have held, and their best position."""
        found: dict[Pair, float] = {}
        for row in self.outcome(1):
            pair = row["person_id"], row["content_id"]
            if row["event"] == "impression" and self._fair(pair):
                found[pair] = min(row["position"], found.get(pair, np.inf))
        return found

    def candidates(self, config: Config) -> dict[Pair, float]:
        """The candidates of everybody known who did something on the day after."""
        came = {row["person_id"] for row in self.outcome(1) if row["event"] not in {"impression", "refund"}}
        ids, people = self.night.history.catalogue.ids.to_pylist(), self.night.history.people.tolist()
        pairs = [
            (people[person], ids[content])
            for block in self.night.blocks()
            for chosen in [self.night.candidates(block, config)]
            for person, content in zip(chosen.person, chosen.content, strict=True)
        ]
        return {pair: self.night.position for pair in pairs if pair[0] in came and self.usable(pair[0])}

    def _fair(self, pair: Pair) -> bool:
        known = pair[0] in self.people and pair[1] in self.listed
        return known and pair not in self.engaged and self.usable(pair[0])


def assert_is(rows: Rows, expected: dict[Pair, float], hand: ByHand) -> None:
    """The rows are exactly these pairs, by person and content, with their positions, labels and popularity."""
    pairs = sorted(expected)
    assert rows.person.tolist() == [person for person, _ in pairs]
    assert [rows.content_id(row) for row in range(rows.size)] == [content for _, content in pairs]
    position = rows.x[:, spec.names(hand.goals).index("position")]
    np.testing.assert_array_equal(position, np.array([expected[pair] for pair in pairs], np.float32))
    for goal in hand.goals:
        reached = hand.labels(goal)
        assert rows.labels[goal].tolist() == [float(pair in reached) for pair in pairs]
    popularity = {row["content_id"]: row["popularity_7d"] for row in hand.night.contents.to_pylist()}
    assert rows.popularity.tolist() == [popularity[content] for _, content in pairs]
    _assert_features(rows, pairs, hand)


def _assert_features(rows: Rows, pairs: list[Pair], hand: ByHand) -> None:
    """Every row has its own person's and its own content's features."""
    names = spec.names(hand.goals)
    for table, key, at in ((hand.night.people, "person_id", 0), (hand.night.contents, "content_id", 1)):
        place = {name: index for index, name in enumerate(table[key].to_pylist())}
        of_row = [place[pair[at]] for pair in pairs]
        for name in set(names) & set(table.column_names):
            expected = np.asarray(table[name], np.float32)[of_row]
            np.testing.assert_array_equal(rows.x[:, names.index(name)], expected, err_msg=name)
    raw = np.column_stack([np.asarray(hand.night.people[name]) for name in rfm.RAW])
    people = hand.night.people["person_id"].to_pylist()
    np.testing.assert_array_equal(rows.raw, raw[[people.index(person) for person, _ in pairs]])


@pytest.mark.parametrize("days", [0, 3])
def test_rows_to_learn_from_are_what_was_shown_on_the_day_after(days: int, config: Config) -> None:
    """Pairs, positions, features and labels, as joined by hand; and every goal was reached by somebody."""
    found, as_of = fortnight(), NIGHT + days * DAY
    hand = ByHand(found, config, as_of)
    rows = rebuilt(found, config, as_of).shown
    assert_is(rows, hand.shown(), hand)
    assert all(labels.any() for labels in rows.labels.values())


def test_lists_to_grade_on_are_the_whole_candidate_sets_of_who_came(config: Config) -> None:
    """Never a sample, never what happened to be shown; scored at the top."""
    found = fortnight()
    hand = ByHand(found, config, NIGHT)
    rows = rebuilt(found, config).lists
    assert rows is not None
    assert_is(rows, hand.candidates(config), hand)


def test_without_impressions_candidates_are_what_is_learned_from(config: Config) -> None:
    """Where nobody records what was shown, the candidates of who came stand in, at an unknown position."""
    found = fortnight(impressions=False)
    hand = ByHand(found, config, NIGHT)
    night = rebuilt(found, config, lists=False)
    assert night.lists is None
    assert_is(night.shown, hand.candidates(config), hand)
    assert any(labels.any() for labels in night.shown.labels.values())


def test_a_share_of_what_nobody_turned_to_is_learned_from(config: Config) -> None:
    """Every engagement stays, about the configured share of the rest, the same pairs whoever asks; and it is told."""
    share = config.training.negatives
    whole = rebuilt(fortnight(impressions=False), config, lists=True).shown
    hit = np.any([values > 0 for values in whole.labels.values()], axis=0)
    assert whole.negatives == share < 1
    assert whole.drawn.mean() == pytest.approx(share, abs=0.05)
    thin = next(rebuild(archive(fortnight(impressions=False), config), [NIGHT], config, lists=False, thinned=True))
    assert image(thin.shown) == image(whole.thinned) == image(whole.where(whole.drawn | hit))


def test_what_was_shown_is_learned_from_to_the_last(config: Config) -> None:
    """Where impressions are recorded nothing is left out."""
    rows = rebuilt(fortnight(), config, lists=False).shown
    assert rows.negatives == 1.0
    assert rows.drawn.all()


# ---------------------------------------------------------------- no leak


def apart(rows: Rows) -> list[bytes]:
    """Everything of the rows but their labels."""
    return image([getattr(rows, field.name) for field in fields(rows) if field.name != "labels"])


def without_engagement(found: Tables) -> Tables:
    """The same tables in which nobody does anything after the night but being shown things."""
    known, later = split(found, NIGHT)
    shown = later["events"].filter(pc.equal(later["events"]["event"], "impression"))
    return together(known, {**later, "events": shown, "transactions": later["transactions"].slice(0, 0)})


def test_what_people_then_did_changes_labels_and_nothing_else(config: Config) -> None:
    """With every later click, read and order gone, the rows are the same to the last bit, and all labels are 0."""
    found = fortnight()
    before, after = (rebuilt(t, config, lists=False).shown for t in (found, without_engagement(found)))
    assert apart(before) == apart(after)
    assert all(labels.any() for labels in before.labels.values())
    assert not any(labels.any() for labels in after.labels.values())


def test_what_people_then_chose_changes_no_candidate(config: Config) -> None:
    """Without impressions too: the same people come, do it with something else, and `x` is the same to the last bit."""
    found = fortnight(impressions=False)
    known, later = split(found, NIGHT)
    content = later["events"]["content_id"]
    other = pa.array([f"c{(int(name[1:]) + 1) % 20:02d}" if name != "ghost" else name for name in content.to_pylist()])
    at = later["events"].column_names.index("content_id")
    events = later["events"].set_column(at, later["events"].schema.field(at), other)
    changed = together(known, {**later, "events": events})
    before, after = (rebuilt(t, config, lists=False).shown for t in (found, changed))
    assert apart(before) == apart(after)
    assert before.labels["click"].tolist() != after.labels["click"].tolist()


def test_strangers_make_no_rows(config: Config) -> None:
    """Impressions of people or contents that the night did not know leave nothing to learn, and no error."""
    rows = tables(
        events=[
            {"ts": NIGHT - DAY, "person": 1, "content_id": "c01"},
            {"ts": NIGHT + DAY / 2, "person": 2, "content_id": "c01", "event": "impression", "position": 1},
            {"ts": NIGHT + DAY / 2, "person": 1, "content_id": "c02", "event": "impression", "position": 1},
        ]
    )
    night = rebuilt(rows, config)
    assert night.shown.size == 0
    assert night.shown.x.shape == (0, len(spec.names(config.goals)))


@pytest.mark.parametrize(("hide", "rows"), [(True, 0), (False, 1)])
def test_what_a_list_could_not_hold_is_not_learned_from(hide: bool, rows: int, tmp_path: Path) -> None:
    """Content that the person already knows is a row only where it may be listed again."""
    config = config_in(tmp_path, ranking={"hide_engaged": hide})
    found = tables(
        events=[
            {"ts": NIGHT - DAY, "person": 1, "content_id": "c01"},
            {"ts": NIGHT, "person": 1, "content_id": "c01", "event": "impression", "position": 3},
        ]
    )
    assert rebuilt(found, config).shown.size == rows


@pytest.mark.parametrize(("opted_out_at", "learned"), [(NIGHT + 3 * DAY, False), (END, True)])
def test_who_objects_by_now_is_not_learned_from(opted_out_at: datetime, learned: bool, config: Config) -> None:
    """Not even on nights before the objection, nor as the visitor whom they were then; others are."""
    found = tables(
        events=[{"ts": NIGHT - DAY, "person": person, "content_id": "c01"} for person in (1, 2)]
        + [
            {"ts": NIGHT, "person": person, "content_id": "c02", "event": "impression", "position": 1}
            for person in (1, 2)
        ],
        content=[{"content_id": "c02"}],
        identities=[{"id": 1, "other_id": 101, "available_at": NIGHT + DAY}],
        customers=[{"customer_id": 101, "opted_out_at": opted_out_at}],
    )
    night = rebuilt(found, config)
    assert night.shown.person.tolist() == ([1, 2] if learned else [2])
    assert night.people["person_id"].to_pylist() == ([1, 2] if learned else [2])
