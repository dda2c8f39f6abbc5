"""Rows of the test lists told in words: what was thought likely, what happened, and what made the difference."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NotRequired, TypedDict


class Reason(TypedDict):
    """One feature of the row in words, and what it made of the odds: 1.8 raised them 1.8 times, 0.5 halved them."""

    words: str
    factor: float


class Example(TypedDict):
    """One row; `facts` are labels with what they stand for, in their order. Nothing in it names the person."""

    title: str
    content: str
    facts: Sequence[tuple[str, str]]
    happened: str
    reasons: Sequence[Reason]
    summing: str
    """How the odds begin, what all else did to them, and where they end."""
    content_id: NotRequired[str]


def examples_of(examples: Sequence[Example]) -> str:
    """The rows side by side."""
    cards = "".join(map(_card, examples))
    return f'<div class="trio">{cards}</div>' if cards else ""


def said(factor: float) -> str:
    """What a factor makes of the odds, in words."""
    if factor >= 1:
        return f"raised the odds {_times(factor)} times"
    return f"lowered the odds {_times(1 / factor)} times"


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}" if factor >= 1.15 else f"{factor:.2f}"


def _card(one: Example) -> str:
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in one["facts"])
    reasons = "".join(
        f'<li class="{"up" if reason["factor"] >= 1 else "down"}">{escape(reason["words"])}'
        f"<span>{escape(said(reason['factor']))}</span></li>"
        for reason in one["reasons"]
    )
    identity = f" <code>{escape(one['content_id'])}</code>" if one.get("content_id") else ""
    return (
        f'<article><p class="kind">{escape(one["title"])}</p><h3>{escape(one["content"])}{identity}</h3>'
        f"<dl>{facts}</dl><p>{escape(one['happened'])}</p><ol>{reasons}</ol>"
        f'<p class="note">{escape(one["summing"])}</p></article>'
    )
