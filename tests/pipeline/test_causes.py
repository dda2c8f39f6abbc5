"""Once per cause: whatever the nights bring, each episode has one opening and one end, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import causes
from pipeline.causes import KINDS, Cause, Kind, Message, State, delivered, turn, unheard

NAMES = [("late", "web"), ("late", "crm"), ("failed", "rank"), ("retrained", "7")]
SETS = st.sets(st.sampled_from(NAMES))
PLACES = ("a", "b")


def cause(kind: Kind, key: str, sentence: str = "It is so.") -> Cause:
    """One thing that is so."""
    return Cause(kind, key, sentence)


def night(number: int) -> str:
    """The name of a numbered night."""
    return f"2026-07-{number + 1:02d}T00:00:00+00:00"


def held(names: set[tuple[Kind, str]], number: int) -> list[Cause]:
    """The causes of a night; how each is put changes from night to night."""
    return [cause(kind, key, f"It is so, for the {number}th time.") for kind, key in names]


def told(state: State) -> Counter[tuple[str, bool]]:
    """How often each cause was told of, and its end."""
    return Counter((one.cause.id, one.resolved) for one in state.outbox)


def test_every_kind_is_described() -> None:
    """What a configuration may name is what there is."""
    assert set(KINDS) == set(get_args(Kind))


@given(st.lists(SETS, max_size=12), st.data())
def test_one_opening_and_one_end_an_episode(nights: list[set[tuple[Kind, str]]], data: st.DataObject) -> None:
    """Counted by hand from the sets alone; a night is looked at as often as anybody likes, old ones too."""
    state, expected, before = State(), Counter[tuple[str, bool]](), set[tuple[Kind, str]]()
    for number, names in enumerate(nights):
        for _ in range(data.draw(st.integers(1, 3))):
            state = turn(state, held(names, number), night(number))
        if number:
            state = turn(state, held(data.draw(SETS), number), night(data.draw(st.integers(0, number - 1))))
        expected.update((f"{kind} {key}", False) for kind, key in names - before)
        expected.update((f"{kind} {key}", True) for kind, key in before - names if kind != "retrained")
        before = names
    assert told(state) == expected
    assert {one.cause.id for one in state.open} == {f"{kind} {key}" for kind, key in before}


@given(st.lists(st.tuples(SETS, st.sets(st.sampled_from(PLACES)), st.booleans()), max_size=10))
def test_every_address_gets_everything_in_order(
    nights: list[tuple[set[tuple[Kind, str]], set[str], bool]],
) -> None:
    """Through outages each address has every message once, in the order of events; a crash repeats one, loses none."""
    state, got = State(), {place: list[tuple[str, str, bool]]() for place in PLACES}
    every: list[tuple[str, str, bool]] = []
    for number, (names, down, crashed) in enumerate([*nights, (set(), set(), False)]):
        seen = len(state.outbox)
        state = turn(state, held(names, number), night(number))
        every += [line(one) for one in state.outbox[seen:]]
        for message in state.outbox:
            for place in sorted(set(PLACES) - down):
                if message.is_for(place):
                    got[place].append(line(message))
            if crashed:
                break  # after sending, before it is noted
            state = delivered(state, message, tuple(one for one in PLACES if one in down and message.is_for(one)))
    for lines in got.values():
        assert list(dict.fromkeys(lines)) == list(dict.fromkeys(every))
        assert len(lines) - len(every) <= sum(crashed for _, _, crashed in nights)
    assert state.outbox == ()


def line(one: Message) -> tuple[str, str, bool]:
    """What tells one message from all others of a test in which every night is looked at once."""
    return one.cause.id, one.as_of, one.resolved


@given(st.lists(SETS, min_size=1, max_size=8))
def test_whoever_comes_later_hears_what_still_holds(nights: list[set[tuple[Kind, str]]]) -> None:
    """With nobody to tell, nothing piles up: what waits is one opening for each cause that holds, and no news."""
    state = State()
    for number, names in enumerate(nights):
        state = unheard(turn(state, held(names, number), night(number)))
    expected = {(f"{kind} {key}", False): 1 for kind, key in nights[-1] if kind != "retrained"}
    assert told(state) == expected


def test_a_kind_that_is_turned_off_is_silent() -> None:
    """It neither begins nor ends."""
    before = turn(State(), [cause("late", "web"), cause("drift", "drift")], night(0))
    after = turn(before, [cause("drift", "drift"), cause("dip", "performance")], night(1), kinds=("dip",))
    assert [one.cause.id for one in after.open] == ["dip performance"]
    assert [line(one) for one in after.outbox[2:]] == [("dip performance", night(1), False)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_says_what_to_do(kind: Kind) -> None:
    """The sentence, the remedy and the link while it is so; afterwards since when it was."""
    one = Cause(kind, "web", "It is so.", "https://example.com/page")
    begun, over = Message(one, night(1), night(1)), Message(one, night(2), night(1), resolved=True)
    assert begun.body.splitlines() == ["It is so.", KINDS[kind].remedy, "https://example.com/page"]
    assert over.body.splitlines() == ["No longer so: It is so.", f"It was so since {night(1)}."]
    assert (begun.severity, over.severity) == (KINDS[kind].severity, "success")


def test_a_long_sentence_is_cut() -> None:
    """A message is no log: a service that takes a thousand characters takes it whole."""
    body = Message(cause("failed", "rank", "long " * 1000), night(0), night(0)).body
    assert "…" in body
    assert len(body) < 1000 < len("long " * 1000)
    assert causes.KINDS["failed"].remedy in body
