"""Damage: what disks, wires, spreadsheets, other people's programs and attackers do to a file."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

TOKENS = (
    *(b"", b" ", b"\0", b"\r", b"\n", b"\r\n", b'"', b'""', b"'", b",", b";", b"\t", b"|", b"\\", b"\\N", b"%00", b"%"),
    *(b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xae"),
    *(b"\\ud800", b"\\u0000", "\u2028\u00a0\u0130".encode(), "\U0010ffff".encode()),
    *(b"0", b"-0", b"-1", b"1", b"1e308", b"-1e309", b"1e-400", b"NaN", b"nan", b"Infinity", b"-inf", b"0x10", b"1_0"),
    *(b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"18446744073709551616", b"9" * 400),
    *(b"2147483648", b"1,5", b"1.234,56", b".", b"+", b"1e", b"00012", b"253402300800", b"-62135596801"),
    *(b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999Z", b"2026-02-30", b"0000-00-00 00:00:00", b"+294248-01-10"),
    *(b"-4713-01-01", b"infinity", b"epoch", b"2026-06-30T25:61:61Z", b"2026-06-30T12:00:00+99:99", b"T", b"Z"),
    *(b"null", b"true", b"false", b"{}", b"[]", b"[[]]", b'{"":0}', b"[null]", b'"x"', b"None", b"undefined"),
    *(b"<", b"&", b"&amp;", b"&#0;", b"&#xD800;", b"]]>", b"<![CDATA[", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;"),
    *(b"http://[", b"http://[::1]:99999/", b"//", b"?", b"#", b"javascript:a", b"@", b"/../", b"file:///etc/passwd"),
    *(b"%s{0}", b"{date}", b"$", b"'; DROP TABLE x --", b"?1", b"*", b"(", b"(a+)+$", b"\x1f", b"\x1e"),
)
"""What stands in a file where nobody expects it."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -1e-308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "\0", "\ud800", "\U0010ffff", "a" * 5000, "9" * 400, "1e999"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-06-30T12:00:00+99:99", "http://[", "a@b.c", "0", "-0"),
    *([], {}, [[]], [None], [{}], {"": None}, {"a": {"b": []}}, [1, "a", None, {}], [[[[[[]]]]]], {"$": "\0"}),
)
"""JSON values of the wrong type or size."""

Damage = Callable[[bytes, random.Random], bytes]


def mutated(content: bytes, name: str, rng: random.Random) -> bytes:
    """`content` of a file called `name` with one to four kinds of damage, the same for the same state of `rng`."""
    kinds = _kinds(name)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        content = rng.choice(kinds)(content, rng)
    return content


def _kinds(name: str) -> list[Damage]:
    ending = name.rpartition(".")[2]
    if ending == "parquet":
        return [*_BYTES, flip, flip, length]
    own: dict[str, list[Damage]] = {"csv": [column, cell, cell], "json": [value], "jsonl": [value], "xml": [element]}
    return [*_BYTES, *_TEXT, *2 * own.get(ending, [separated])]


def _cut(content: bytes, rng: random.Random, longest: int | None = None) -> slice:
    """A place in it, mostly a small one."""
    start = rng.randrange(len(content) + 1)
    most = longest or rng.choice((1, 4, 16, 64, 256, len(content) + 1))
    return slice(start, min(len(content), start + rng.randint(1, most)))


def _replaced(content: bytes, place: slice, by: bytes) -> bytes:
    return content[: place.start] + by + content[place.stop :]


# ---------------------------------------------------------------- bytes


def flip(content: bytes, rng: random.Random) -> bytes:
    """Some bytes are others, or differ in a bit."""
    damaged = bytearray(content)
    for _ in range(min(len(damaged), rng.choice((1, 1, 2, 8)))):
        place = rng.randrange(len(damaged))
        damaged[place] = rng.choice((rng.randrange(256), damaged[place] ^ 1 << rng.randrange(8)))
    return bytes(damaged)


def truncate(content: bytes, rng: random.Random) -> bytes:
    """The end is missing, or the beginning."""
    place = rng.randrange(len(content) + 1)
    return content[:place] if rng.random() < 0.7 else content[place:]


def remove(content: bytes, rng: random.Random) -> bytes:
    """A chunk is missing."""
    return _replaced(content, _cut(content, rng), b"")


def repeat(content: bytes, rng: random.Random) -> bytes:
    """A chunk is there again, a few times or many."""
    place = _cut(content, rng, 256)
    return _replaced(content, place, content[place] * rng.choice((2, 3, 200)))


def swap(content: bytes, rng: random.Random) -> bytes:
    """A chunk stands in the place of another."""
    return _replaced(content, _cut(content, rng), content[_cut(content, rng)])


def length(content: bytes, rng: random.Random) -> bytes:
    """A number of four or eight bytes, such as a length, is huge or negative."""
    number = rng.choice((0, -1, 1, 2**31 - 1, -(2**31), 2**24))
    packed = struct.pack("<i", number) if rng.random() < 0.5 else struct.pack("<q", number << 24)
    start = rng.randrange(max(1, len(content)))
    return _replaced(content, slice(start, start + len(packed)), packed)


_BYTES: list[Damage] = [flip, truncate, remove, repeat, swap]


# ---------------------------------------------------------------- text


def token(content: bytes, rng: random.Random) -> bytes:
    """Something odd is inserted."""
    start = rng.randrange(len(content) + 1)
    return _replaced(content, slice(start, start), rng.choice(TOKENS))


def word(content: bytes, rng: random.Random) -> bytes:
    """A word or number is something odd, or another one of the file, here or wherever it stands."""
    words = list(re.finditer(rb"[\w.@+-]+", content))
    if not words:
        return content
    found = rng.choice(words)
    by = rng.choice(TOKENS) if rng.random() < 0.7 else rng.choice(words)[0]
    if rng.random() < 0.2:
        return content.replace(found[0], by)
    return _replaced(content, slice(*found.span()), by)


def line(content: bytes, rng: random.Random) -> bytes:
    """A line is gone, repeated or elsewhere."""
    found = content.splitlines(keepends=True)
    if not found:
        return content
    taken = found.pop(rng.randrange(len(found)))
    for _ in range(rng.randrange(3)):
        found.insert(rng.randrange(len(found) + 1), taken)
    return b"".join(found)


def ends(content: bytes, rng: random.Random) -> bytes:
    """Lines end in another way, all or some."""
    other = rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b"\x0b", b"\x85"))
    return re.sub(rb"\n", lambda found: other if rng.random() < 0.7 else found[0], content)


def encoded(content: bytes, rng: random.Random) -> bytes:
    """It is in another encoding, or has a byte order mark."""
    text = content.decode("utf-8", "replace")
    return rng.choice((text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-8-sig"), content + b"\xff"))


def deep(content: bytes, rng: random.Random) -> bytes:
    """Brackets are nested without end."""
    depth, start = rng.choice((10, 100, 5000)), rng.randrange(len(content) + 1)
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"(", b")"), (b'"', b'"')))
    return _replaced(content, slice(start, start), opening * depth + closing * rng.choice((depth, 0)))


_TEXT: list[Damage] = [token, token, word, word, word, line, ends, encoded, deep]


# ---------------------------------------------------------------- structure


def column(content: bytes, rng: random.Random) -> bytes:
    """A column of a CSV is renamed, gone, there twice, moved or new."""
    header, *rows = _records(content) or [[]]
    if not header:
        return content
    place, other = rng.randrange(len(header)), rng.randrange(len(header))
    do: Callable[[list[str], bool], list[str]] = rng.choice(
        (
            lambda row, first: (
                _with(row, place, rng.choice(("", "x", header[other], "Ä\0", "email"))) if first else row
            ),
            lambda row, _: row[:place] + row[place + 1 :],
            lambda row, _: [*row, *row[place : place + 1]],
            lambda row, _: row[place:] + row[:place],
            lambda row, first: ["extra" if first else "1", *row],
        )
    )
    return _written([do(header, True), *(do(row, False) for row in rows)])


def cell(content: bytes, rng: random.Random) -> bytes:
    """A cell of a CSV is something odd, or a record has one too many or too few."""
    records = _records(content)
    if len(records) < 2 or not all(records):
        return content
    row = rng.choice(records[1:])
    row[rng.randrange(len(row))] = rng.choice(TOKENS).decode("utf-8", "replace")
    if rng.random() < 0.1:
        row.append("one more")
    return _written(records)


def _with(row: list[str], place: int, value: str) -> list[str]:
    return [*row[:place], value, *row[place + 1 :]]


def _records(content: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")))
    except csv.Error:
        return []


def _written(records: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue().encode("utf-8", "replace")


def separated(content: bytes, rng: random.Random) -> bytes:
    """A cell of a file without quotes is something odd."""
    rows = [row.split(b"\t" if b"\t" in row else b" ") for row in content.split(b"\n")]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(TOKENS)
    return b"\n".join((b"\t" if b"\t" in content else b" ").join(row) for row in rows)


def value(content: bytes, rng: random.Random) -> bytes:
    """A value of a JSON document, or of a line of JSON Lines, is of another type, missing, or another one's."""
    parts = [content] if _json(content) is not None else content.split(b"\n")
    place = rng.randrange(len(parts))
    found = _json(parts[place])
    if not isinstance(found, dict | list):
        return content
    spots = list(_spots(found))
    if not spots:
        return content
    holder, key = rng.choice(spots)
    if rng.random() < 0.2:
        del holder[key]
    else:
        other, name = rng.choice(spots)
        holder[key] = rng.choice(ODD) if rng.random() < 0.8 or other is holder else json.loads(json.dumps(other))
        if rng.random() < 0.1 and isinstance(holder, dict):
            holder[rng.choice(("", "a.b", "$x", "Ä", str(name)))] = rng.choice(ODD)
    parts[place] = json.dumps(found, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return b"\n".join(parts)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _spots(found: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value: what holds it, and under which key."""
    inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, inner in inside:
        yield found, key
        yield from _spots(inner)


def element(content: bytes, rng: random.Random) -> bytes:
    """A tag of an XML document is another one's, or its text is something odd."""
    tags = list(re.finditer(rb"<[^<>]+>", content))
    if not tags:
        return content
    found = rng.choice(tags)
    if rng.random() < 0.5:
        return _replaced(content, slice(*found.span()), rng.choice((rng.choice(tags)[0], b"")))
    return _replaced(content, slice(found.end(), found.end()), rng.choice(TOKENS))
