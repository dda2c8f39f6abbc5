"""What a reason says unless the configuration says it otherwise, by kind of reason.

Apart from `models.reasons`, so that who reads a configuration need not load a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping

TEMPLATES: Mapping[str, str] = {
    "rule": "Picked by our editors",
    "category_counted": "Because you read {count} pieces about {category} this week",
    "category": "Because you like {category}",
    "tag": "Because you read about {tag}",
    "author": "More by {author}, whom you read",
    "readers": "Popular with people who read what you read",
    "new_since": "New since your last visit",
    "new": "New",
    "popular": "Popular right now",
    "other": "Selected for you",
}
"""What is said unless the configuration says it otherwise."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "category_counted": ("category", "count"),
    "category": ("category",),
    "tag": ("tag",),
    "author": ("author",),
}
"""What a template may name in braces."""
