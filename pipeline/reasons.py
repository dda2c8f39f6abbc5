"""Reasons for which rows are refused, in words: what each means for the export, and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple


class Explanation(NamedTuple):
    """What a reason means, and what to do."""

    meaning: str
    remedy: str


def explained(reason: str) -> Explanation:
    """The explanation of the first pattern that `reason` has."""
    for pattern, meaning, remedy in _PATTERNS:
        if found := re.search(pattern, reason):
            return Explanation(found.expand(meaning), found.expand(remedy))
    return _OTHER


_OTHER = Explanation(
    "a line of an expectation suite, or the export's format, refuses such rows",
    "mend the rows in the export; a line of your own is in the folder of quality.suites, under these words",
)

_MAP = "or name the column that has it under [sources.columns]"

_TIMES = "iso8601, unix_seconds, unix_millis, unix_micros"
_OTHER_DAY = (
    "check project.timezone and the {date} in the source's `path`; late rows belong in the file of their own day, "
    "which late_days looks at again; a file of many days has no {date} in its path"
)

_PATTERNS = (
    (
        r"^has \d+ fields where the header has \d+",
        "the line has more or fewer cells than the header: cut off, or a separator in a cell without quotes",
        "export with quotes around text; if another character separates the cells, set options.delimiter",
    ),
    (
        r"^is not valid CSV",
        "a quote is opened and never closed, or stands within a cell that has none around it",
        'export with quotes around text, and "" for a quote within it',
    ),
    (
        r"^is not (?:a JSON object|an event of GA4)",
        "the line is no JSON object of this format: damaged, cut off, or of something else",
        "export the file again; JSON Lines has one object a line",
    ),
    (
        r"^(\w+(?: or \w+)?) is (?:not a list|no list|not JSON)",
        r"\1 holds something else than this format has there",
        "export it again as the tool writes it, without a step that rewrites nested values",
    ),
    (
        r"^(\w+) is not a time in the form (.+)$",
        r"\1 is not written as \2, which is how the source's times are read",
        f"set the source's `timestamp`: {_TIMES}, or a form such as '%d/%m/%Y %H:%M'",
    ),
    (
        r"^time is not in the form",
        "the line does not begin as the server's log lines do",
        "write the log in the common or combined format",
    ),
    (
        r"^(\w+) is not a day such as",
        r"\1 is no day: a total, or a line of another report",
        "export it by day",
    ),
    (
        r"^ts is outside the years",
        "a time that cannot be: most often the wrong unit, seconds read as milliseconds or the other way round",
        f"set the source's `timestamp`: {_TIMES}",
    ),
    (
        r"^ts is (before|after) the export's day",
        r"the row happened more than a day \1 the day in the file's name",
        _OTHER_DAY,
    ),
    (
        r"^event is not one of ours",
        "what happened has no name",
        'map theirs to ours under [sources.values.event], for example "Page Viewed" = "view"',
    ),
    (
        r"^(?:a refund's )?(\w+) is not a (?:finite |whole )?number",
        r"\1 is no plain number: a decimal comma, a currency sign, a unit, or another column's value",
        "export numbers with a decimal point and nothing else, " + _MAP,
    ),
    (
        r"^(\w+) is (below|above) (\S+)$",
        r"\1 is \2 \3, which it cannot be: most often another unit, milliseconds for seconds or per cent for a share",
        "export it in the unit that expectations/schemas.py has for it, " + _MAP,
    ),
    (
        r"^((?:\w+(?:, | or ))+\w+) is missing$",
        r"the row is about nobody: it has no \1",
        "a row without any of them is no use; if the export has one under another name, add it to [sources.columns]",
    ),
    (
        r"^(.+) is missing$",
        r"\1 is empty, and no row can do without it",
        "have the export fill it, " + _MAP,
    ),
    (
        r"holds an e-mail address",
        "an address stands where everybody would read it: it would be published as a content's id",
        "give the content another id in the tool that exports it",
    ),
    (
        r"^(country|currency) is not",
        r"\1 is a name or a code of another kind",
        r'map theirs to the ISO code under [sources.values.\1], for example "Germany" = "DE", "Euro" = "EUR"',
    ),
    (
        r"^expires_at is not after published_at",
        "the content ends before it begins: dates are swapped, or in different forms",
        "correct the dates in the CMS, or the columns that expires_at and published_at are mapped to",
    ),
)
