"""The guides, word for word: configurations and commands are taken from the text and run on the real data."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline import snapshot
from tests import worlds

GUIDES = worlds.HOUSE / "docs" / "guides"
REAL = worlds.HOUSE.parent / "shared" / "data"


@dataclass(frozen=True)
class Followed:
    """A guide that was followed in `folder`: what each of its commands answered, by the command's first word."""

    folder: Path
    answers: dict[str, Any]

    @cached_property
    def people(self) -> pd.DataFrame:
        """The published lists."""
        return pd.read_parquet(snapshot.resolve(self.folder / "published" / "rankings") / "people")

    @property
    def training(self) -> dict[str, Any]:
        """What the run says about its training."""
        found: dict[str, Any] = self.answers["run"]["train"]
        return found


def follow(guide: str, data: str, folder: Path) -> Followed:
    """Do what `guide` says, with the files of `data` as its exports."""
    if not (REAL / data).is_dir():
        pytest.skip(f"the real data is not on this machine: {REAL / data} does not exist")
    text = (GUIDES / guide).read_text(encoding="utf-8")
    (folder / "exports").symlink_to(REAL / data)
    (folder / "shortlist.toml").write_text(block(text, "toml"), encoding="utf-8")
    answers = {}
    for line in block(text, "sh").splitlines():
        name, *arguments = shlex.split(line)
        assert name == "shortlist"
        command = worlds.shortlisted if arguments[0] == "run" else worlds.answered
        answers[arguments[0]] = json.loads(command(folder, arguments[0], "--json", *arguments[1:]))
    return Followed(folder, answers)


def block(text: str, language: str) -> str:
    """The one fenced block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


def check_lists(followed: Followed, everybody: set[str], id_type: str) -> None:
    """All of `everybody` and nobody else has a list, ranked from 1 without a gap, with scores that never rise."""
    assert set(followed.people["person_id"]) == everybody
    assert set(followed.people["id_type"]) == {id_type}
    for _, rows in followed.people.sort_values("rank").groupby("person_id"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing


# ---------------------------------------------------------------- a clickstream and nothing else


@pytest.fixture(name="clicks", scope="module")
def _clicks(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return follow("your-own-clickstream.md", "deskdrop", tmp_path_factory.mktemp("clicks"))


@pytest.fixture(name="log", scope="module")
def _log(clicks: Followed) -> pd.DataFrame:
    """What the log says was known at the night."""
    columns = {"personId": "person", "contentId": "content"}
    log = pd.read_csv(REAL / "deskdrop" / "users_interactions.csv.gz", dtype=dict.fromkeys(columns, str))
    night = datetime.fromisoformat(clicks.answers["run"]["as_of"])
    return log[pd.to_datetime(log["timestamp"], unit="s", utc=True) < night].rename(columns=columns)


def test_every_reader_has_a_list(clicks: Followed, log: pd.DataFrame) -> None:
    """Everybody whom the log knew before the night has ten articles, and nobody else has any."""
    check_lists(clicks, set(log["person"]), "visitor")
    assert set(clicks.people.groupby("person_id").size()) == {10}


def test_only_articles_that_existed_and_are_new_are_listed(clicks: Followed, log: pd.DataFrame) -> None:
    """No list holds an article that nobody had touched before the night, nor one that the person had."""
    assert set(clicks.people["content_id"]) <= set(log["content"])
    known = set(log[["person", "content"]].itertuples(index=False, name=None))
    assert not known & set(clicks.people[["person_id", "content_id"]].itertuples(index=False, name=None))


def test_the_run_says_what_it_did_without(clicks: Followed) -> None:
    """The guide's four notes are what the run really says about a lone log."""
    run = clicks.answers["run"]
    assert run["build_features"]["without"] == ["no impressions", "no purchases", "no CRM", "no content catalogue"]
    said = [warning.partition(":")[0] for warning in run["finish"]["warnings"]]
    assert said == ["no content catalogue", "no CRM", "no transactions"]


def test_readers_are_served_better_than_by_popularity(clicks: Followed) -> None:
    """On nights that it never saw, the model's lists are beyond doubt better than most-popular's."""
    assert clicks.training["promoted"]
    assert clicks.training["ndcg_10"]["model"] > 1.5 * clicks.training["ndcg_10"]["most_popular"]


def test_the_guide_shows_a_real_list(clicks: Followed) -> None:
    """`shortlist show` of the person whom the guide names prints a whole list."""
    assert [row["rank"] for row in clicks.answers["show"]["rows"]] == list(range(1, 11))


# ---------------------------------------------------------------- customers, orders and exposures


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return follow("crm-and-transactions.md", "completejourney", tmp_path_factory.mktemp("shop"))


def known_before(shop: Followed, name: str, time: str) -> pd.DataFrame:
    """The rows of an export that happened before the night."""
    rows = pd.read_parquet(shop.folder / "exports" / f"{name}.parquet")
    night = datetime.fromisoformat(shop.answers["run"]["as_of"])
    return rows[rows[time].dt.tz_localize(UTC) < night]


def test_every_household_has_a_list(shop: Followed) -> None:
    """Everybody who bought, was mailed or redeemed anything before the night is listed under the household's own id."""
    bought = known_before(shop, "transactions_sample", "transaction_timestamp")
    parts = [bought[bought["sales_value"] != 0], *(known_before(shop, n, "ts") for n in ("exposures", "redemptions"))]
    check_lists(shop, set(pd.concat([part["household_id"] for part in parts])), "customer")


def test_only_running_campaigns_are_listed(shop: Followed) -> None:
    """Each list holds exactly the campaigns that run on the night: none that ended, none to come, and no product."""
    started = known_before(shop, "campaign_catalogue", "start_date")
    night = datetime.fromisoformat(shop.answers["run"]["as_of"])
    running = set(started[started["end_date"].dt.tz_localize(UTC) > night]["campaign_id"])
    assert running
    assert all(set(contents) == running for _, contents in shop.people.groupby("person_id")["content_id"])


def test_redemptions_are_learned(shop: Followed) -> None:
    """The model tells who redeems from who does not, its probabilities stand in every row, and the rival is named."""
    assert shop.training["goals"]["redeem"]["auc"] > 0.8
    assert shop.people["p_redeem"].between(0, 1).all()
    assert set(shop.people["strategy"]) == {"model"}
    assert "against most-popular" in shop.training["reason"]
    assert shop.training["nights"]["train"] == 36, "the guide says so"


def test_orders_count_though_no_product_is_listed(shop: Followed) -> None:
    """Households that spend more are in other segments: receipts of products reach RFM."""
    bought = known_before(shop, "transactions_sample", "transaction_timestamp")
    recent = bought[bought["transaction_timestamp"] > bought["transaction_timestamp"].max() - pd.Timedelta(days=90)]
    spent = recent.groupby("household_id")["sales_value"].sum()
    segments = shop.people.drop_duplicates("person_id").set_index("person_id")["segment"]
    means = spent.reindex(segments.index).fillna(0).groupby(segments).mean()
    assert len(means) > 3
    assert means.max() > 3 * means.min()
