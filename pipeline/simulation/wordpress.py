"""The site's posts as WordPress' REST API returns them with `_embed` (`/wp/v2/posts`), drafts included."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from pipeline.simulation.catalogue import AUTHORS, CATEGORIES, FIRST_POST_ID, NEVER, TAGS, Catalogue

SITE = "https://www.example.com"
_SITE_OFFSET = timedelta(hours=1)
_FORMATS = ("standard", "standard", "video", "standard", "gallery")
_FIRST_CATEGORY_ID, _FIRST_TAG_ID = 10, 100


class Posts:
    """The site's posts, rendered once: as they are from birth on, and as they are after being withdrawn."""

    def __init__(self, site: Catalogue) -> None:
        """Render every post of `site`."""
        self._site = site
        self._born = [_line(site, i, gone=False) for i in range(len(site))]
        self._gone = {i: _line(site, i, gone=True) for i in np.flatnonzero(site.withdrawn_us != NEVER).tolist()}

    def export(self, until_us: int) -> bytes:
        """A JSON array of every post that exists by `until_us` (microseconds UTC, exclusive), oldest first; UTF-8."""
        ends = zip(self._site.born_us.tolist(), self._site.withdrawn_us.tolist(), strict=True)
        lines = [
            self._gone[i] if withdrawn < until_us else self._born[i]
            for i, (born, withdrawn) in enumerate(ends)
            if born < until_us
        ]
        text = ",\n".join(lines)
        return f"[\n{text}\n]\n".encode()


def _line(site: Catalogue, i: int, *, gone: bool) -> str:
    return json.dumps(_post(site, i, gone), ensure_ascii=False)


def _post(site: Catalogue, i: int, gone: bool) -> dict[str, Any]:
    category, tags = int(site.category[i]), [int(t) for t in site.tags[i] if t >= 0]
    title = _rendered(site.titles[i])
    return {
        "id": FIRST_POST_ID + i,
        **_instants("date", int(site.born_us[i])),
        **_instants("modified", int((site.withdrawn_us if gone else site.born_us)[i])),
        "slug": site.slugs[i],
        "status": "draft" if gone or site.draft[i] else "publish",
        "type": "post",
        "link": f"{SITE}/{site.slugs[i]}/",
        "title": {"rendered": title},
        "content": {"rendered": f"<p>{title}.</p>\n<p>An invented post about {CATEGORIES[category]}.</p>\n"},
        "excerpt": {"rendered": f"<p>{title}.</p>\n"},
        "author": int(site.author[i]) + 1,
        "categories": [_FIRST_CATEGORY_ID + category],
        "tags": [_FIRST_TAG_ID + t for t in tags],
        "format": _FORMATS[i % len(_FORMATS)],
        "meta": _meta(site, i),
        "_embedded": _embedded(int(site.author[i]), category, tags),
    }


def _rendered(text: str) -> str:
    """Text as WordPress renders it: with HTML entities."""
    return html.escape(text, quote=False).replace("\u2019", "&#8217;")


def _meta(site: Catalogue, i: int) -> dict[str, Any]:
    meta: dict[str, Any] = {"quality": float(site.editorial_quality[i])}
    if site.price_cents[i]:
        meta["sku"] = site.ids[i]
    if site.expires_us[i] != NEVER:
        meta["expires_at"] = _at(int(site.expires_us[i])).strftime("%Y-%m-%dT%H:%M:%SZ")
    return meta


def _embedded(author: int, category: int, tags: list[int]) -> dict[str, Any]:
    """What `_embed` adds: the author, then categories and tags as two lists of terms."""
    terms = [_term(_FIRST_TAG_ID + t, TAGS[t], "post_tag") for t in tags]
    return {
        "author": [{"id": author + 1, "name": AUTHORS[author]}],
        "wp:term": [[_term(_FIRST_CATEGORY_ID + category, CATEGORIES[category], "category")], terms],
    }


def _term(term_id: int, slug: str, taxonomy: str) -> dict[str, Any]:
    return {"id": term_id, "name": slug, "slug": slug, "taxonomy": taxonomy}


def _instants(name: str, at_us: int) -> dict[str, str]:
    """`date` in the site's time zone (UTC+1 all year) and `date_gmt`, both without an offset, as WordPress has them."""
    gmt = _at(at_us)
    return {name: f"{gmt + _SITE_OFFSET:%Y-%m-%dT%H:%M:%S}", f"{name}_gmt": f"{gmt:%Y-%m-%dT%H:%M:%S}"}


def _at(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // 1_000_000, tz=UTC)
