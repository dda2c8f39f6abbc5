"""The content of the invented site: what it is about, who wrote it, how good it is, when it lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulation.draws import DAY_US, Bools, Floats, Ints, Stream, generator, some

CATEGORIES = (
    "pricing",
    "guides",
    "security",
    "analytics",
    "integrations",
    "case-studies",
    "product-news",
    "tutorials",
    "research",
    "compliance",
    "automation",
    "events",
)
TOPICS_PER_CATEGORY = 5
SHARED_TAGS = (
    "beginners", "experts", "teams", "startups", "enterprise", "checklist",
    "interview", "benchmark", "webinar", "template", "migration", "opinion",
)  # fmt: skip
_FORMS = (
    "a field guide",
    "what changed",
    "the short version",
    "lessons learned",
    "step by step",
    "questions & answers",
)
_TOPICS = ("basics", "strategy", "tools", "mistakes", "trends")
TAGS = tuple(f"{c}-{t}" for c in CATEGORIES for t in _TOPICS) + SHARED_TAGS
AUTHORS = (
    "Ada Brandt", "Ben Okafor", "Carla Ricci", "David Stern", "Elif Demir", "Finn Larsen", "Grace Liu",
    "Hugo Martin", "Ines Costa", "Jonas Weber", "Kira Novak", "Liam Byrne", "Mona Haddad", "Nils Berg",
    "Olga Petrova", "Priya Nair", "Quentin Roy", "Rosa Vidal", "Sven Maier", "Tara Singh",
)  # fmt: skip

FIRST_POST_ID = 101
OLDEST_DAYS = 90
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Arrays over content, oldest first; instants are microseconds UTC, `NEVER` where nothing ends.

    `ids` are WordPress post ids, and SKUs in the shop. `tags` is (content, 4), padded with -1. `editorial_quality` is
    what the site publishes: `quality` with noise.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    slugs: tuple[str, ...]
    category: Ints
    tags: Ints
    author: Ints
    quality: Floats
    editorial_quality: Floats
    half_life_days: Floats
    price_cents: Ints
    born_us: Ints
    expires_us: Ints
    withdrawn_us: Ints
    draft: Bools

    def __len__(self) -> int:
        """How many pieces there ever are."""
        return len(self.category)

    @property
    def buyable(self) -> Bools:
        """Content with a price: a fifth."""
        return self.price_cents > 0

    def rankable(self, at_us: int) -> Bools:
        """Content that may be shown at an instant: born, published, neither withdrawn nor expired."""
        ends = np.minimum(self.expires_us, self.withdrawn_us)
        return (self.born_us < at_us) & (at_us < ends) & ~self.draft

    def shown_on(self, start_us: int) -> Bools:
        """Content that may be shown at some time of the day that starts at `start_us`; ends fall on midnights."""
        ends = np.minimum(self.expires_us, self.withdrawn_us)
        return (self.born_us < start_us + DAY_US) & (start_us < ends) & ~self.draft

    def freshness(self, at_us: int) -> Floats:
        """1 at birth, halving every `half_life_days` (never, for evergreens)."""
        age_days = np.maximum(at_us - self.born_us, 0) / DAY_US
        return np.exp2(-age_days / self.half_life_days)


def build(size: int, days: int, start_us: int, seed: int) -> Catalogue:
    """Half of the content is up to 90 days old on the first day; the rest is born evenly, at office hours."""
    rng = generator(seed, Stream.CATALOGUE)
    born = _births(rng, size, days, start_us)
    category = rng.permutation(np.arange(size) % len(CATEGORIES))
    author = rng.integers(len(AUTHORS), size=size)
    quality = _quality(rng, author)
    everything = np.ones(size, dtype=bool)
    priced = np.where(some(rng, everything, 0.2), 900 + 500 * rng.integers(40, size=size), 0)
    expires, withdrawn, draft = _ends(rng, born, days, start_us)
    tags = _tags(rng, category)
    ids = tuple(str(FIRST_POST_ID + i) for i in range(size))
    return Catalogue(
        ids=ids,
        titles=tuple(_title(i, int(category[i]), int(tags[i, 0])) for i in range(size)),
        slugs=tuple(f"{CATEGORIES[c]}-{post_id}" for c, post_id in zip(category.tolist(), ids, strict=True)),
        category=category,
        tags=tags,
        author=author,
        quality=quality,
        editorial_quality=np.clip(quality + rng.normal(0, 0.08, size), 0, 1).round(3),
        half_life_days=np.where(some(rng, everything, 0.15), np.inf, 3.5 * rng.lognormal(0, 0.5, size)),
        price_cents=priced,
        born_us=born,
        expires_us=expires,
        withdrawn_us=withdrawn,
        draft=draft,
    )


def _title(i: int, category: int, tag: int) -> str:
    subject, topic = CATEGORIES[category].replace("-", " ").title(), TAGS[tag].rsplit("-", 1)[-1]
    return f"{subject}\u2019s {topic}: {_FORMS[i % len(_FORMS)]} (no. {i + 1})"


def _births(rng: np.random.Generator, size: int, days: int, start_us: int) -> Ints:
    old = size // 2
    day = np.concatenate([rng.integers(-OLDEST_DAYS, 0, size=old), np.arange(size - old) * days // (size - old)])
    second = rng.integers(8 * 3600, 18 * 3600, size=size)
    return np.sort(start_us + day * DAY_US + second * 1_000_000)


def _quality(rng: np.random.Generator, author: Ints) -> Floats:
    skill = rng.beta(4, 4, size=len(AUTHORS))
    return 0.5 * skill[author] + 0.5 * rng.beta(2.5, 2.5, size=len(author))


def _tags(rng: np.random.Generator, category: Ints) -> Ints:
    size = len(category)
    own = rng.random((size, TOPICS_PER_CATEGORY)).argsort(axis=1)[:, :2] + TOPICS_PER_CATEGORY * category[:, None]
    first_shared = TOPICS_PER_CATEGORY * len(CATEGORIES)
    shared = rng.random((size, len(SHARED_TAGS))).argsort(axis=1)[:, :2] + first_shared
    tags = np.stack([own[:, 0], shared[:, 0], own[:, 1], shared[:, 1]], axis=1)
    return np.where(np.arange(4) < rng.integers(2, 5, size=size)[:, None], tags, -1)


def _ends(rng: np.random.Generator, born: Ints, days: int, start_us: int) -> tuple[Ints, Ints, Bools]:
    """A few pieces expire 5-20 days after birth, a few go back to draft, a few never leave it; ends are midnights."""
    size = len(born)
    draft = some(rng, np.ones(size, dtype=bool), 0.02)
    expiring = some(rng, ~draft & (born >= start_us - 5 * DAY_US), 0.08)
    withdrawn = some(rng, ~draft & ~expiring & (born < start_us + (days - 1) * DAY_US), 0.02)
    birthday = (born - start_us) // DAY_US
    expiry_day = birthday + rng.integers(5, 21, size=size)
    withdrawal_day = np.maximum(birthday + 1, rng.integers(1, max(2, days), size=size))
    expires = np.where(expiring, start_us + expiry_day * DAY_US, NEVER)
    return expires, np.where(withdrawn, start_us + withdrawal_day * DAY_US, NEVER), draft
