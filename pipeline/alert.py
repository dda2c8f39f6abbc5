"""Tell people what went wrong, or right, once: what holds tonight against what they know, and the difference sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from pipeline import alert_state, causes, evidence, messenger, records
from pipeline.causes import Cause, Message, State
from pipeline.config import Config
from pipeline.errors import ShortlistError
from pipeline.evidence import Night
from pipeline.lake import Lake
from pipeline.messenger import Address
from pipeline.report import Report


@dataclass(frozen=True)
class Told:
    """A cause as the report tells it; `since` is the night on which it began."""

    heading: str
    kind: str
    key: str
    sentence: str
    since: str


@dataclass(frozen=True)
class AlertReport(Report):
    """What began and ended tonight, all that holds, and what became of the messages.

    `addresses` are names of services; `waiting` messages are sent again by the next run; `notes` say what could not be
    looked into or delivered.
    """

    as_of: str
    opened: tuple[Told, ...]
    resolved: tuple[Told, ...]
    open: tuple[Told, ...]
    addresses: tuple[str, ...]
    sent: int
    waiting: int
    notes: tuple[str, ...] = ()


def run(
    as_of: datetime, config: Config, *, ran: Mapping[str, str | None] | None = None, overdue: bool = False
) -> AlertReport:
    """Look at what holds, note what began and ended since the last time, and tell it.

    A message that a service does not take is no failure: the report says so, and the next run sends it again.

    Args:
        as_of: The night that it is about; of an earlier night than the last one nothing is noted.
        config: Tells where everything is, and who is told.
        ran: What the steps that ended in this run failed with; None for those that did not fail.
        overdue: The night's deadline has passed.

    Raises:
        ShortlistError: What was told cannot be read or kept.
    """
    name = records.iso(as_of)
    with alert_state.alone(Lake.of(config)) as file:
        before = alert_state.read(file)
        found, notes = evidence.holding(Night(as_of, config, ran or {}, overdue, before.open))
        after = causes.turn(before, found, name, config.alerts.kinds)
        alert_state.write(file, after)
        places, excuse = _places(config)
        left = _deliver(after, places, file, config) if places else after if excuse else causes.unheard(after)
        alert_state.write(file, left)
    if name < before.as_of:
        notes.append(f"{before.as_of}, a later night, was looked at before: of {name} nothing is noted")
    new = after.outbox[len(before.outbox) :]
    return AlertReport(
        as_of=name,
        opened=tuple(_told(one.cause, one.since) for one in new if not one.resolved),
        resolved=tuple(_told(one.cause, one.since) for one in new if one.resolved),
        open=tuple(_told(one.cause, one.since) for one in after.open),
        addresses=tuple(place.name for place in places),
        sent=len(after.outbox) - len(left.outbox) if places else 0,
        waiting=len(left.outbox),
        notes=(*notes, *excuse, *_undelivered(left, places)),
    )


def _told(cause: Cause, since: str) -> Told:
    return Told(cause.about.heading, cause.kind, cause.key, cause.sentence, since)


def _places(config: Config) -> tuple[tuple[Address, ...], tuple[str, ...]]:
    """Where messages go, and why that cannot be told."""
    try:
        return messenger.addresses(config), ()
    except ShortlistError as error:
        return (), (str(error),)


def _deliver(state: State, places: Sequence[Address], file: Path, config: Config) -> State:
    """Send what is in the outbox, oldest first, and note how far each message got before the next one is sent."""
    down: set[str] = set()
    for message in state.outbox:
        wanted = [place for place in places if message.is_for(place.id)]
        left = tuple(place.id for place in wanted if not _takes(place, message, down, config))
        state = causes.delivered(state, message, left)
        alert_state.write(file, state)
    return state


def _takes(place: Address, message: Message, down: set[str], config: Config) -> bool:
    """Whether the message got there. A place in `down` is asked no more tonight: what it gets, it gets in order."""
    if place.id not in down and not place.take(title(message, config), message.body, message.severity):
        down.add(place.id)
    return place.id not in down


def title(message: Message, config: Config) -> str:
    """The project, the night on the wall clock there, and what happened."""
    night = datetime.fromisoformat(message.as_of).astimezone(config.project.zone)
    return f"{config.project.name}, night of {night:%Y-%m-%d %H:%M}: {message.heading}"


def _undelivered(state: State, places: Sequence[Address]) -> tuple[str, ...]:
    if not state.outbox or not places:
        return ()
    left = {each for one in state.outbox for each in one.left or ()}
    names = ", ".join(place.name for place in places if place.id in left)
    return (f"{len(state.outbox)} messages could not be delivered to {names}; the next run sends them again",)


# ---------------------------------------------------------------- trying it out, and for people


def test(config: Config) -> dict[str, bool]:
    """Whether each address takes a message that says it is a test, by number and service."""
    body = "This is a test: alerts arrive here. Nothing is wrong."
    return {
        f"{number} {place.name}": place.take(f"{config.project.name}: test", body, "info")
        for number, place in enumerate(messenger.addresses(config), 1)
    }


def draw_test(took: Mapping[str, bool], config: Config, out: Console) -> None:
    """Which address took the test, a line each."""
    if not took:
        out.print(f"nobody is told: {config.alerts.urls_env} names no address", markup=False)
    for name, reached in took.items():
        said = "took it" if reached else "did not take it: is the address right, and can this machine reach it?"
        out.print(f"{name}: {said}", markup=False, soft_wrap=True)


def draw(report: AlertReport, config: Config, out: Console) -> None:
    """What holds, and what became of the messages."""
    for line in lines(report, config):
        out.print(line, markup=False, soft_wrap=True)


def lines(report: AlertReport, config: Config) -> list[str]:
    """The same as text."""
    said = [f"{_when(one, report)}: {one.heading}: {one.sentence}" for one in report.open]
    said += [f"resolved: {one.heading}: {one.sentence}" for one in report.resolved]
    return [*(said or ["nothing to alert of"]), _sent(report, config), *(f"  note: {note}" for note in report.notes)]


def _when(one: Told, report: AlertReport) -> str:
    return "new" if one in report.opened else f"since {one.since}"


def _sent(report: AlertReport, config: Config) -> str:
    if not report.addresses:
        return f"nobody is told: {config.alerts.urls_env} names no address"
    return f"{report.sent} messages sent to {', '.join(report.addresses)}; {report.waiting} waiting"
