"""CSV: any text survives, row numbers count records, and one broken row costs one row."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError, ShortlistError
from pipeline.sources import delimited, regular
from pipeline.sources.export import FILE_ROW, PART
from tests.examples import examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PRICKLY = st.text(st.sampled_from("\",;\n\r\t\\' ab\u2028é\x00"), max_size=8)


def every(found: Sequence[str]) -> Sequence[str]:
    """All columns."""
    return found


def joined(parts: Iterable[delimited.Part]) -> tuple[pa.Table, list[tuple[int, str]]]:
    """All parts in one, with the broken records' numbers and reasons."""
    tables, broken = zip(*parts, strict=True)
    return pa.concat_tables(tables), [pair for one in broken for pair in zip(one.rows, one.reasons, strict=True)]


def read(path: Path, source: Any) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The whole file."""
    return joined(delimited.parts(path, source, every))


def rows_of(path: Path, source: Any) -> tuple[list[tuple[Any, ...]], list[tuple[int, str]]]:
    """Rows as (number, cells…), and broken rows as (number, reason)."""
    table, broken = read(path, source)
    columns = [table[FILE_ROW], *table.drop_columns([FILE_ROW]).columns]
    return list(zip(*(c.to_pylist() for c in columns), strict=True)), broken


@given(
    cells=st.lists(st.tuples(TEXT | PRICKLY, TEXT | PRICKLY), max_size=6),
    dialect=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)]),
)
def test_any_text_written_as_csv_is_read_back(
    cells: list[tuple[str, str]],
    dialect: tuple[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
    setting: Callable[..., Any],
) -> None:
    """What Python's csv module writes comes back word for word, numbered by record."""
    text = io.StringIO()
    csv.writer(text, lineterminator=dialect[0], quoting=dialect[1]).writerows([("a", "b"), *cells])
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.getvalue().encode())
    rows, broken = rows_of(path, setting())
    assert rows == [(number, *row) for number, row in enumerate(cells, start=1)]
    assert broken == []


PIECES = st.sampled_from(
    [
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\r",
        "a",
        "a,b",
        '"a",',
        '"x,y"',
        '"l\n1"',
        "é",
        "\x00",
        " ",
        "\ufeff",
        "\u2028",
        "\t",
    ]
)
RECORDS = st.lists(
    st.sampled_from(["a,b", '"a",b', 'a,"b""c"', '"x\ny",z', ",", '"",""', "", "a", "a,b,c", '"open,b', 'a"b,c'])
)


@settings(max_examples=examples(100))
@given(
    text=st.lists(PIECES, max_size=30).map("".join)
    | RECORDS.map("\n".join)
    | RECORDS.map(lambda r: "\r\n".join([*r, ""])),
    header=st.sampled_from(["x,y\n", "x\n", "x,y,z\r\n"]),
    block=st.integers(1, 40),
)
def test_the_fast_way_and_the_exact_one_agree(text: str, header: str, block: int, setting: Callable[..., Any]) -> None:
    """Whatever the text, and wherever it is cut into blocks: the same rows, numbers and broken records."""

    def parsed(size: int) -> tuple[pa.Table, list[tuple[int, str]]]:
        stream = io.TextIOWrapper(io.BytesIO((header + text).encode()), encoding="utf-8", newline="\n")
        return joined(delimited.parts_of(stream, Path("a.csv"), setting(), every, size))

    with mock.patch.object(regular, "end", return_value=0):
        exact = parsed(1 << 20)
    fast = parsed(block)
    assert fast[0].to_pylist() == exact[0].to_pylist()
    assert fast[1] == exact[1]


@pytest.mark.parametrize(
    ("text", "read_by_arrow"),
    [
        ('a,"b ""c""\n\r\nd"\r\n"",é\n', True),
        ("a,b\n\n\r\nc,d\n", True),
        ('a,"b"c\n', False),
        ('a"b,c\n', False),
        ('a"b,"\n', False),
        ('"a,b\n', False),
        ("a\rb,c\n", False),
        ("a,b\r", False),
        ("\ufeffa,b\n", False),
        ("a," + "b" * 131_072 + "\n", False),
    ],
)
def test_only_regular_text_goes_the_fast_way(text: str, read_by_arrow: bool) -> None:
    """Ordinary quoting, CRLF and blank lines do; whatever the two readers see differently does not."""
    data = text.encode()
    assert regular.end(data, ",") == (len(data) if read_by_arrow else 0)


class Endless(io.RawIOBase):
    """The bytes of a CSV without an end, of which it counts those that were read."""

    def __init__(self) -> None:
        self.given = 0
        self._lines = itertools.chain(["a,b\n"], (f"{number},x\n" for number in itertools.count(1)))
        self._ahead = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer."""
        while len(self._ahead) < len(buffer):
            self._ahead += "".join(itertools.islice(self._lines, 1000)).encode()
        buffer[:], self._ahead = self._ahead[: len(buffer)], self._ahead[len(buffer) :]
        self.given += len(buffer)
        return len(buffer)


def test_no_more_is_read_than_the_part_needs(setting: Callable[..., Any]) -> None:
    """The first parts of a file that never ends are there, each of `PART` rows, and hardly a block beyond is read."""
    endless, block = Endless(), 1 << 16
    text = io.TextIOWrapper(io.BufferedReader(endless), encoding="utf-8", newline="\n")
    parts = delimited.parts_of(text, Path("a.csv"), setting(), every, block)
    first, second = next(parts)[0], next(parts)[0]
    assert (first.num_rows, second.num_rows) == (PART, PART)
    assert second[FILE_ROW][0].as_py() == PART + 1
    assert second["a"][-1].as_py() == str(2 * PART)
    needed = sum(len(f"{number},x\n") for number in range(1, 2 * PART + 1))
    assert endless.given - needed < 2 * block


def test_a_line_break_in_quotes_is_one_record(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Records are counted, not lines, and blank lines between them are not records."""
    path = write("a.csv", 'a,b\n1,"two\nlines, one ""cell"""\n\n2,x\n')
    assert rows_of(path, setting()) == ([(1, "1", 'two\nlines, one "cell"'), (2, "2", "x")], [])


def test_a_bare_carriage_return_ends_no_record(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A carriage return that the exporter did not quote is text; before a line feed it ends the line with it."""
    path = write("a.csv", 'a,b\none\rtwo,x\r\n2,"x\ry\r\nz"\n')
    assert rows_of(path, setting()) == ([(1, "one\rtwo", "x"), (2, "2", "x\ry\r\nz")], [])
    with pytest.raises(ShortlistError, match="carriage return alone"):
        read(write("mac.csv", "a,b\r1,2\r3,4"), setting())


def test_a_row_of_the_wrong_width_is_refused_alone(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Too few and too many fields cost their own rows; the numbers of the others stay true."""
    rows, broken = rows_of(write("a.csv", "a,b\n1,x\n2\n3,x,y\n4,x\n"), setting())
    assert [row[:2] for row in rows] == [(1, "1"), (4, "4")]
    assert broken == [(2, "has 1 fields where the header has 2"), (3, "has 3 fields where the header has 2")]


def test_an_unclosed_quote_costs_only_its_own_line(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Rows that the open quote would have swallowed are read, up to the next quote and to the end of the file."""
    rows, broken = rows_of(write("a.csv", 'a,b\n1,"x\n2,y\n3,"z"\n4,z\n5,"open\n6,y\n'), setting())
    assert rows == [(2, "2", "y"), (3, "3", "z"), (4, "4", "z"), (6, "6", "y")]
    assert [number for number, _ in broken] == [1, 5]
    assert all(reason.startswith("is not valid CSV") for _, reason in broken)


def test_more_rows_than_a_chunk_stay_in_order(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Chunking neither loses, repeats nor renumbers rows."""
    count = (1 << 16) + 3
    rows, _ = rows_of(write("a.csv", "a\n" + "".join(f"{i}\n" for i in range(1, count + 1))), setting())
    assert rows == [(i, str(i)) for i in range(1, count + 1)]


@pytest.mark.parametrize(("encoding", "bom"), [("utf-8", b"\xef\xbb\xbf"), ("cp1252", b""), ("utf-16", b"")])
def test_the_source_says_the_encoding(
    encoding: str, bom: bytes, write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """Text is read in the encoding that is set, and a byte order mark is no part of the first column's name."""
    path = write("a.csv", bom + "name\nBöhm\n".encode(encoding))
    table, _ = read(path, setting(encoding=encoding))
    assert table["name"].to_pylist() == ["Böhm"]


def test_a_wrong_encoding_is_told_by_byte_line_and_remedy(
    write: Callable[..., Path], setting: Callable[..., Any]
) -> None:
    """Far into the file, too, the first bad byte is named with an encoding that would read it."""
    good = "name,city\n" + "x,é\n" * 300_000
    path = write("contacts.csv", good.encode() + "ü,Köln\n".encode("cp1252"))
    with pytest.raises(ShortlistError) as error:
        read(path, setting(name="crm"))
    message = str(error.value)
    assert f"byte {len(good.encode())} (line 300002)" in message
    assert 'encoding = "cp1252"' in message


def test_a_utf16_file_is_recognised(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Excel's `Unicode text` is named as what it is."""
    with pytest.raises(ShortlistError, match=r'byte 0 \(line 1\).*encoding = "utf-16"'):
        read(write("a.csv", "name\nx\n".encode("utf-16")), setting())


def test_a_file_cut_off_within_a_character_is_not_read(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Half a character at the end raises instead of vanishing."""
    with pytest.raises(ShortlistError, match=r"byte 3 \(line 2\)"):
        read(write("a.csv", b"a\nx\xc3"), setting())


def test_gzip_in_several_members_is_read_to_the_end(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Concatenated gzip files, as log shippers write them, are one file."""
    path = write("a.csv.gz", gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))
    assert rows_of(path, setting())[0] == [(1, "1"), (2, "2")]


def test_a_cut_off_gzip_is_an_error(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A download that stopped half-way gives no rows at all, and says so."""
    whole = gzip.compress(b"a\n" + b"".join(b"%d\n" % (i * i) for i in range(5000)))
    with pytest.raises(ShortlistError, match="cut off or damaged"):
        read(write("a.csv.gz", whole[: len(whole) // 2]), setting())


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(content: bytes, write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """Nothing, blank lines, and nothing compressed: all are empty exports."""
    path = write("a.csv.gz" if content[:2] == b"\x1f\x8b" else "a.csv", content)
    with pytest.raises(ShortlistError, match="is empty"):
        read(path, setting())


@pytest.mark.parametrize("mark", ["", ";;", '"'])
def test_a_delimiter_is_one_character(mark: str, write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A delimiter that the parser would choke on is a mistake in the configuration."""
    with pytest.raises(ConfigurationError, match="one character"):
        read(write("a.csv", "a\n1\n"), setting(options={"delimiter": mark}))


def test_an_unknown_encoding_is_a_configuration_error(write: Callable[..., Path], setting: Callable[..., Any]) -> None:
    """A misspelt encoding is not blamed on the file."""
    with pytest.raises(ConfigurationError, match="utf-9"):
        read(write("a.csv", "a\n1\n"), setting(encoding="utf-9"))
