"""The configuration: what is left out has a default, what is wrong is named, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.config import Config
from pipeline.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[2] / "shortlist.toml"


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a configuration and reads it."""

    def load(text: str, folder: Path = tmp_path) -> Config:
        folder.mkdir(exist_ok=True)
        file = folder / "shortlist.toml"
        file.write_text(text, encoding="utf-8")
        return config.load(file)

    return load


def complaint(load: Any, text: str) -> str:
    """What is said about a configuration that is refused."""
    with pytest.raises(ConfigurationError) as refused:
        load(text)
    return str(refused.value)


def test_an_empty_file_is_enough(written: Any, tmp_path: Path) -> None:
    """Everything has a default that a newcomer can live with; only the sources are nobody's but the company's."""
    found = written("")
    assert found.project.name == "shortlist"
    assert found.sources == ()
    assert found.ranking.k == 20
    assert set(found.goals) == {"click", "read", "purchase"}
    assert found.folder("lake") == tmp_path / "lake"


def test_the_example_is_valid() -> None:
    """The shipped shortlist.toml is read without a complaint, and names four vendors' formats."""
    found = config.load(EXAMPLE)
    assert [source.format for source in found.sources] == ["ga4", "hubspot", "shopify", "wordpress"]


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[rankings]\nk = 3\n", "rankings", "ranking"),
        ("[ranking]\nkk = 3\n", "ranking.kk", "k"),
        ("[project]\ntimezon = 'UTC'\n", "project.timezon", "timezone"),
        ("[training]\nnight = 3\n", "training.night", "nights"),
        ("[goals.read]\nevent = ['like']\n", "goals.read.event", "events"),
        ("[[sources]]\nname = 'w'\nformat = 'ga4'\npath = 'x'\nlate_day = 3\n", "sources.0.late_day", "late_days"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(written: Any, text: str, key: str, nearest: str) -> None:
    """A misspelt key is never ignored: it is named with its section, and the nearest key beside it."""
    said = complaint(written, text)
    assert f"unknown key `{key}`" in said
    assert f"did you mean `{nearest}`?" in said
    assert "shortlist.toml is not a valid configuration" in said


def test_file_is_no_key(written: Any) -> None:
    """`file` is where the configuration lies, which the configuration cannot say."""
    assert "unknown key `file`" in complaint(written, 'file = "elsewhere.toml"\n')


def test_all_complaints_come_at_once(written: Any) -> None:
    """Whoever made three mistakes reads of three, not of one at a time."""
    said = complaint(written, "[ranking]\nk = 0\nkandidates = 5\n[retrain]\nwhen = 'sometimes'\n")
    assert "ranking.k: " in said
    assert "(found: 0)" in said
    assert "did you mean `candidates`?" in said
    assert "retrain.when: " in said
    assert "'needed', 'always' or 'never'" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[project]\ntimezone = 'Europe/Berln'\n", ("project.timezone", "'Europe/Berln'", "`Europe/Berlin`")),
        ("[goals.read]\nevents = ['liek']\n", ("goals.read", "unknown event 'liek'", "`like`")),
        ("[goals.read]\nweight = 1.0\n", ("goals.read", "`events`, `min_dwell_seconds` or both")),
        ('[goals.read]\nevents = ["like"]\nvalue = 0\n', ("goals.read.value", "greater than 0")),
        ("[[sources]]\nname='a'\nformat='table'\npath='x.csv'\n", ("sources.0", "needs table =")),
        (
            "[[sources]]\nname='a'\nformat='table'\ntable='events'\npath='x.csv'\ncolumns={content='c'}\n",
            ("'content' is no column of events", "`content_id`"),
        ),
        ("[[sources]]\nname='a'\nformat='ga4'\npath='x'\n" * 2, ("two sources are called 'a'",)),
        ("[project]\nname = 'Not A Name'\n", ("project.name", "'Not A Name'")),
        ("[project]\ncadence = '5h'\n", ("project.cadence", "'6h'", "'5h'")),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(written: Any, text: str, words: tuple[str, ...]) -> None:
    """The message holds the key, what was found there, and what could stand there."""
    said = complaint(written, text)
    assert [word for word in words if word not in said] == []


def test_a_custom_event_may_be_a_goal(written: Any) -> None:
    """Events that only this company knows count under their `custom:` name."""
    assert written("[goals.trial]\nevents = ['custom:trial_started']\n").goals["trial"].events == (
        "custom:trial_started",
    )


def test_customers_may_have_any_attribute(written: Any) -> None:
    """What a CRM knows about people has no fixed names, so a mapping for it is no misspelt column."""
    text = "[[sources]]\nname='crm'\nformat='table'\ntable='customers'\npath='c.csv'\ncolumns={plan='Plan'}\n"
    assert written(text).sources[0].columns == {"plan": "Plan"}


def test_broken_toml_names_the_file_and_the_line(written: Any, tmp_path: Path) -> None:
    """What is no TOML at all is said to be none, with the place that the parser gives."""
    said = complaint(written, "[project]\nname = \n")
    assert str(tmp_path / "shortlist.toml") in said
    assert "not valid TOML" in said
    assert "line 2" in said


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    """No file is a mistake in the command, and the message says which file was looked for."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: no such file.*--config"):
        config.load(tmp_path / "nowhere.toml")


def test_the_environment_names_the_file(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SHORTLIST_CONFIG` stands in for --config, which goes before it."""
    file = written("[project]\nname = 'from-environment'\n").file
    monkeypatch.setenv(config.CONFIG_ENV, str(file))
    assert config.load().project.name == "from-environment"
    assert config.load(EXAMPLE).project.name == "example"


def test_paths_are_relative_to_the_file(written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command is typed does not matter; absolute paths stay."""
    folder = tmp_path / "elsewhere"
    text = (
        "[project]\nlake = '../lake'\npublished = '/srv/out'\n[[sources]]\nname='a'\nformat='ga4'\npath='e/x.parquet'\n"
    )
    found = written(text, folder)
    monkeypatch.chdir("/")
    assert found.folder(found.project.lake) == tmp_path / "lake"
    assert found.folder(found.project.published) == Path("/srv/out")
    assert found.sources[0].path == str(folder / "e/x.parquet")


def test_an_unknown_source_is_refused_with_the_nearest(written: Any) -> None:
    """Asking for a source that is not configured names the one that was probably meant."""
    found = written("[[sources]]\nname='web'\nformat='ga4'\npath='x'\n")
    assert found.source("web").format == "ga4"
    with pytest.raises(ConfigurationError, match=r"no source 'wed'; did you mean `web`\?"):
        found.source("wed")


def test_settings_cannot_change(written: Any) -> None:
    """A step cannot change what the next one is told."""
    with pytest.raises(ValueError, match="frozen"):
        written("").ranking.k = 5


def test_the_hash_is_of_what_is_published(written: Any, tmp_path: Path) -> None:
    """The same settings in another folder are the same configuration; another value, or a default spelt out, tells."""
    here, there = written("[ranking]\nk = 7\n"), written("[ranking]\nk = 7\n", tmp_path / "other")
    assert here.sha256 == there.sha256
    assert written("[ranking]\nk = 8\n").sha256 != here.sha256
    assert written("[ranking]\nk = 7\n[training]\nchallengers = []\n").sha256 == written("[ranking]\nk = 7\n").sha256
    assert written("[ranking]\nk = 20\n").sha256 == written("").sha256


@given(
    st.dictionaries(
        st.sampled_from([*sorted(set(Config.model_fields) - {"file"}), "x"]),
        st.one_of(st.integers(), st.text(), st.lists(st.integers(), min_size=1)),
        min_size=1,
    )
)
def test_nonsense_is_a_complaint_and_no_crash(values: dict[str, Any]) -> None:
    """Whatever stands where a section belongs, the answer names each of the places."""
    said = complaint(lambda _: config.parse(values, EXAMPLE), "")
    assert said.startswith(f"{EXAMPLE} is not a valid configuration")
    assert [key for key in values if key not in said] == []
