"""What a person should know about the lake but no gate refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import clock
from pipeline.config import Config
from pipeline.lake import UNDATED, Lake


def of(lake: Lake, as_of: datetime, config: Config) -> Iterator[str]:
    """What a person should know about the lake but no gate refuses."""
    newest = clock.last_finished_day(as_of, config)
    recent = lake.read("events", columns=["content_id"], since=newest, until=newest)
    catalogue = lake.read("content", columns=["content_id"])
    if catalogue.num_rows and recent.num_rows:
        unknown = pc.invert(pc.is_in(recent["content_id"], value_set=catalogue["content_id"].combine_chunks()))
        strangers = recent.filter(unknown)["content_id"].unique().sort()
        if len(strangers):
            rows = pc.sum(unknown.cast(pa.int64())).as_py()
            yield (
                f"{rows} events of {newest} are about {len(strangers)} content ids that are in no catalogue, "
                f"for example {strangers[0].as_py()!r}: they tell what people do, but cannot be recommended"
            )
    yield from (without for table, without in _WITHOUT.items() if not lake.exists(table))
    yield from _silent_contacts(lake, newest, config)


def _silent_contacts(lake: Lake, newest: date, config: Config) -> Iterator[str]:
    """A CRM that says of nobody that they agree ranks nobody: that is hardly meant."""
    if config.privacy.unknown_consent == "allow":
        return
    contacts = lake.read("customers", columns=["consent_personalization"], since=newest, until=newest)
    if not contacts.num_rows:
        contacts = lake.read("customers", columns=["consent_personalization"], days=[UNDATED])
    if contacts.num_rows and not pc.any(contacts["consent_personalization"]).as_py():
        yield (
            f"none of {contacts.num_rows} contacts is known to consent to personalization, so none gets a list of "
            "their own: map the CRM's column to `consent_personalization`, or, where silence is consent, set [privacy] "
            'unknown_consent = "allow"'
        )


_WITHOUT = {
    "events": "no web analytics of people: orders and anonymous counts are all we know of what is liked",
    "content": "no content catalogue: content is what people touched; no categories, expiry or quality",
    "customers": "no CRM: no consent, attributes or customer names; everybody may be ranked",
    "transactions": "no transactions: purchases are what the events say; no money in RFM",
}
