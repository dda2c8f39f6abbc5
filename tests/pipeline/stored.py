"""A company whose tables go to object stores, and what is here and there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import config as configuration
from pipeline.config import Config
from tests.pipeline.buckets import Bucket
from tests.pipeline.small import House, table_source

WEB = table_source("web", "events")


def configured(house: House, *urls: str) -> Config:
    """A house whose tables go to these stores."""
    return house.configure(f"{WEB}[publish]\nstores = {json.dumps(urls)}\n")


def local(root: Path) -> dict[str, bytes]:
    """Every file that readers may see, less the link."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name not in {".lock", ".stores.lock"})
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files if "current" not in path.parts}


def remote(bucket: Bucket) -> dict[str, bytes | None]:
    """Every object of the rankings."""
    paths = [key.removeprefix("tables/rankings/") for key in bucket.keys]
    return {path: bucket.get(path) for path in paths}


@pytest.fixture
def house(tmp_path: Path, bucket: Bucket) -> House:
    """Its tables go to the bucket; nothing was published yet."""
    house = House(tmp_path / "house")
    house.folder.mkdir()
    configured(house, bucket.url)
    return house


@pytest.fixture
def config(house: House) -> Config:
    """As the house's file has it."""
    return configuration.load(house.file)


@pytest.fixture
def root(house: House) -> Path:
    """Where the house's rankings are published."""
    return house.lake.rankings
