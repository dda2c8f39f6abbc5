"""Phrases that features in words are made of: numbers with their units, spans of time, and what rows are called."""

from __future__ import annotations

from features.measures import HALF_LIVES

SPELT_OUT = {"1h": "1 hour", "1d": "1 day", "7d": "7 days", "30d": "30 days"}
"""Half-lives."""

_NOUNS = {
    "any": ("event", "events"),
    "active": ("thing done", "things done"),
    "impression": ("impression", "impressions"),
    "social": ("reaction", "reactions"),
    "money": ("order or refund", "orders and refunds"),
    "mobile": ("thing done on a mobile", "things done on a mobile"),
    "other": ("custom event", "custom events"),
}
"""Classes of rows whose plural is more than an s."""


def noun(of: str, count: float) -> str:
    """What so many rows of a class are called."""
    one, many = _NOUNS.get(of, (of, f"{of}s"))
    return one if count == 1 else many


def counted(of: str, count: float) -> str:
    """So many rows of a class: "no clicks", "1 click"."""
    return f"{number(count) if count else 'no'} {noun(of, count)}"


def number(value: float) -> str:
    """Whole numbers whole, thousands apart, all else to three digits."""
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def money(value: float) -> str:
    """In the shop's own currency, whichever that is."""
    return f"{value:,.2f}"


def percent(share: float) -> str:
    """A share that is neither nothing nor all is never written as 0 or 100 %."""
    value = 100 * share
    digits = 0 if value == round(value) or 10 <= value < 99.5 else 1
    if 0 < value < 0.05:
        return "less than 0.1 %"
    return "nearly 100 %" if 99.95 <= value < 100 else f"{value:.{digits}f} %"


def span(days: float) -> str:
    """A length of time in days; in hours where it is less than one."""
    if days < 1:
        return f"{number(24 * days)} hours" if days else "0 days"
    return "1 day" if days == 1 else f"{number(days)} days"


def last(days: int) -> str:
    """A window that ends with the night: "the last 7 days"."""
    return "the last day" if days == 1 else f"the last {span(days)}"


def ago(days: float) -> str:
    """In the largest unit of which there is more than one and a half."""
    for unit, length in (("day", 1.0), ("hour", HALF_LIVES["1h"]), ("minute", HALF_LIVES["1h"] / 60)):
        count = round(days / length)
        if days >= 1.5 * length or (count and unit == "minute"):
            return f"{count:,} {unit}{'' if count == 1 else 's'} ago"
    return "less than a minute ago"


def seconds(value: float) -> str:
    """In the two largest units."""
    whole = round(value)
    if whole < 60:
        return f"{value:.2g} s" if value < 10 else f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours:,} h {rest} min" if rest else f"{hours:,} h"
