"""What alerts are about, and when each is told: once when it begins, once when it is over. Pure: no disk, no network.

A message is put into the outbox in the same step that notes its cause, and leaves it when it is delivered (the
transactional outbox): whoever is killed in between tells it once more, never not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Kind = Literal[
    "late",
    "blocked",
    "failed",
    "deadline",
    "empty",
    "shrunken",
    "stale",
    "drift",
    "dip",
    "quality",
    "rollback",
    "retrained",
]
Severity = Literal["info", "success", "warning", "failure"]
"""Apprise's words, by which services choose colours and urgency."""

_LONGEST = 600
"""Characters of a sentence: PagerDuty takes 1,024 of a whole message."""


@dataclass(frozen=True)
class About:
    """What is said of every cause of a kind: its heading, how bad it is, and what to do."""

    heading: str
    severity: Severity
    remedy: str
    ends: bool = True
    """Whether there is an end to tell of; news has none."""


KINDS: Mapping[Kind, About] = MappingProxyType(
    {
        "late": About(
            "data late",
            "failure",
            "Ask for the export; when it is there, run `shortlist run` again (in Airflow: clear the failed load).",
        ),
        "blocked": About(
            "data blocked",
            "failure",
            "Mend the export or its mapping, then run the night again; `shortlist ingest` loads it by itself.",
        ),
        "failed": About("step failed", "failure", "Do what it says, then run the night again."),
        "deadline": About(
            "deadline missed",
            "failure",
            "See in Airflow which step runs or waits; what was published before still serves.",
        ),
        "empty": About(
            "published table empty",
            "failure",
            "See who may be ranked: consent ([privacy] unknown_consent), and what was ingested.",
        ),
        "shrunken": About(
            "published table shrunken",
            "warning",
            "`shortlist diff` says whose lists are gone; `shortlist rollback` serves the one before.",
        ),
        "stale": About(
            "published table stale", "failure", "Find out why no night was published since, and run `shortlist run`."
        ),
        "drift": About("drift", "warning", "A challenger is trained unless retrain.when is never; see the decision."),
        "dip": About("performance dip", "warning", "A challenger is trained unless retrain.when is never; see it."),
        "quality": About(
            "data quality",
            "failure",
            "Nothing is trained or published. Repair the export and run the night again, or name it in drift.ignore.",
        ),
        "rollback": About(
            "model taken back", "warning", "See both models' pages; the next training may do better.", ends=False
        ),
        "retrained": About("model trained", "info", "Its page says what it was compared with.", ends=False),
    }
)


@dataclass(frozen=True)
class Cause:
    """One thing that is so: its kind, what it is about (a source, a step, an arm of the drift check …), and in words.

    Two with the same kind and key are the same cause, whatever they say.
    """

    kind: Kind
    key: str
    sentence: str
    link: str = ""

    @property
    def id(self) -> str:
        """What it is known by."""
        return f"{self.kind} {self.key}"

    @property
    def about(self) -> About:
        """What is said of every cause of its kind."""
        return KINDS[self.kind]


@dataclass(frozen=True)
class Open:
    """A cause that holds, and the night (ISO 8601) since which."""

    cause: Cause
    since: str


@dataclass(frozen=True)
class Message:
    """That a cause began on a night, or was over; `left` are the addresses it must still reach, None for all."""

    cause: Cause
    as_of: str
    since: str
    resolved: bool = False
    left: tuple[str, ...] | None = None

    def is_for(self, address: str) -> bool:
        """Whether it has not reached this address yet."""
        return self.left is None or address in self.left

    @property
    def severity(self) -> Severity:
        """How bad the news is."""
        return "success" if self.resolved else self.cause.about.severity

    @property
    def heading(self) -> str:
        """What happened, in a few words."""
        return f"resolved: {self.cause.about.heading}" if self.resolved else self.cause.about.heading

    @property
    def body(self) -> str:
        """The sentence, what to do, and the link, a line each."""
        sentence = self.cause.sentence
        said = sentence if len(sentence) <= _LONGEST else f"{sentence[: _LONGEST - 1]}…"
        if self.resolved:
            return f"No longer so: {said}\nIt was so since {self.since}."
        return "\n".join(line for line in (said, self.cause.about.remedy, self.cause.link) if line)


@dataclass(frozen=True)
class State:
    """The last night that was looked at, the causes that held then, and the messages not delivered yet, in order."""

    as_of: str = ""
    open: tuple[Open, ...] = ()
    outbox: tuple[Message, ...] = ()


def turn(state: State, holding: Iterable[Cause], as_of: str, kinds: Collection[str] = tuple(KINDS)) -> State:
    """The state after a night on which exactly these causes hold.

    The same night again, with the same causes, changes nothing; an earlier one never does. Kinds that are turned off
    begin and end without a word.

    Args:
        state: What was so before.
        holding: All causes that hold; of several with one id the first counts.
        as_of: The night, as ISO 8601 in UTC: compared as text.
        kinds: Those that are told.
    """
    if as_of < state.as_of:
        return state
    held = {cause.id: cause for cause in reversed([*holding]) if cause.kind in kinds}
    known = [one for one in state.open if one.cause.kind in kinds]
    over = [one for one in known if one.cause.id not in held]
    begun = [Open(cause, as_of) for cause in _new(held, known)]
    told = [
        *(Message(one.cause, as_of, one.since, resolved=True) for one in over if one.cause.about.ends),
        *(Message(one.cause, as_of, as_of) for one in begun),
    ]
    still = [one for one in known if one.cause.id in held]
    return State(as_of, (*still, *begun), (*state.outbox, *told))


def _new(held: Mapping[str, Cause], known: Iterable[Open]) -> list[Cause]:
    names = {one.cause.id for one in known}
    return sorted((cause for name, cause in held.items() if name not in names), key=lambda cause: cause.id)


def unheard(state: State) -> State:
    """The state where there is nobody to tell: only what holds is kept, for whoever is named later."""
    holding = {(one.cause.id, one.since) for one in state.open if one.cause.about.ends}
    waiting = [one for one in state.outbox if not one.resolved and (one.cause.id, one.since) in holding]
    return replace(state, outbox=tuple(waiting))


def delivered(state: State, message: Message, left: tuple[str, ...]) -> State:
    """The state after a message of the outbox has reached every address but `left`."""
    place = state.outbox.index(message)
    kept = (replace(message, left=left),) if left else ()
    return replace(state, outbox=(*state.outbox[:place], *kept, *state.outbox[place + 1 :]))
