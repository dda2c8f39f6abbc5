"""The rules of the house that no tool checks: who may import whom, what is shipped, what a fresh machine installs."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HOUSE = Path(__file__).parents[1]
PACKAGES = ("expectations", "features", "models", "pipeline")
FOLDERS = (".ci", "benchmarks", "dags", "docs", *PACKAGES, "tests")

OURS = {"dags", *PACKAGES}
SPARK = {"pyspark", "py4j"}
OUTSIDE = {"airflow", "apprise", "mlflow", "great_expectations", "os", "pathlib", *SPARK}
FORBIDDEN = {
    "expectations": (OURS | OUTSIDE) - {"expectations", "pathlib"},
    "features": (OURS | OUTSIDE) - {"features", "expectations"},
    "models": (OURS | OUTSIDE) - {"models", "expectations"},
    "pipeline": {"dags", "airflow", "apprise", "mlflow", "great_expectations", *SPARK},
    "dags": {
        "features",
        "models",
        "expectations",
        "apprise",
        "mlflow",
        "great_expectations",
        "pandas",
        "numpy",
        "pyarrow",
        "duckdb",
        *SPARK,
    },
    "tests": SPARK,
    "benchmarks": SPARK,
}
ALLOWED_IN = {
    "pipeline/local_airflow.py": {"airflow"},
    "pipeline/messenger.py": {"apprise"},
    "pipeline/mlflow_client.py": {"mlflow"},
    "pipeline/registry.py": {"mlflow"},
    "pipeline/spark.py": SPARK,
    "pipeline/tracking.py": {"mlflow"},
    "pipeline/validate.py": {"great_expectations"},
}


def python_files(folder: str) -> list[Path]:
    """Every module of a folder, deep."""
    return sorted((HOUSE / folder).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The top-level names of all absolute imports in a file, inside functions too."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


def texts() -> Iterator[tuple[str, str]]:
    """Every file of the checkout that a person could read, with its text; not what `make` made."""
    tops = [path for path in HOUSE.iterdir() if path.is_file()]
    files = [*tops, *(path for folder in FOLDERS for path in (HOUSE / folder).rglob("*") if path.is_file())]
    for file in files:
        if "__pycache__" not in file.parts and "results" not in file.parts:
            try:
                yield str(file.relative_to(HOUSE)), file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture


def pyproject() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))


LOCKS = {"requirements": 100, "requirements-spark": 2}
"""What is installed, and how many pins that is at least: for everybody, and for who has people measured on Spark."""


def asked_for(lock: str) -> list[Requirement]:
    """The lines of a lock's `.in` file."""
    lines = (HOUSE / f"{lock}.in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] != "#"]


def locked(lock: str) -> dict[str, list[Requirement]]:
    """The pins of a lock by name; there are several where the version depends on Python's."""
    pins: dict[str, list[Requirement]] = {}
    for line in (HOUSE / f"{lock}.txt").read_text(encoding="utf-8").splitlines():
        if line and line[0].isalnum():
            pin = Requirement(line.removesuffix("\\").strip())
            pins.setdefault(pin.name, []).append(pin)
    return pins


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_down(folder: str) -> None:
    """dags -> pipeline -> features | models -> expectations, and the outside world only where it is let in."""
    found = {
        name: sorted(bad)
        for file in python_files(folder)
        if (bad := imported(file) & FORBIDDEN[folder] - ALLOWED_IN.get(name := str(file.relative_to(HOUSE)), set()))
    }
    assert found == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_ours(package: str) -> None:
    """Their names are common ones: no other distribution's `models` may stand in for ours."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(HOUSE)


def test_every_package_is_shipped() -> None:
    """pyproject.toml lists the packages that there are, no fewer and no more."""
    there = {
        str(init.parent.relative_to(HOUSE)).replace(os.sep, ".")
        for p in PACKAGES
        for init in (HOUSE / p).rglob("__init__.py")
    }
    assert sorted(pyproject()["tool"]["setuptools"]["packages"]) == sorted(there)


def test_every_module_is_in_a_package() -> None:
    """No module lies in a folder without `__init__.py`, where it would be found in a checkout but not be shipped."""
    homeless = [
        str(f.relative_to(HOUSE)) for p in PACKAGES for f in python_files(p) if not (f.parent / "__init__.py").exists()
    ]
    assert homeless == []


def test_data_files_are_shipped() -> None:
    """Files that are no Python, such as the suites, are named in pyproject.toml."""
    data = pyproject()["tool"]["setuptools"]["package-data"]
    shipped = {f for package, patterns in data.items() for pattern in patterns for f in (HOUSE / package).glob(pattern)}
    there = {
        f
        for p in PACKAGES
        for f in (HOUSE / p).rglob("*")
        if f.is_file() and f.suffix not in {".py", ".pyc", ".nbi", ".nbc"}
    }
    assert there - shipped == set()


def test_command_exists() -> None:
    """`shortlist` leads to a function."""
    module, _, function = pyproject()["project"]["scripts"]["shortlist"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_names_have_a_subject() -> None:
    """No module is called after the lack of one."""
    named = {file.stem for folder in (*PACKAGES, "dags") for file in python_files(folder)}
    assert named.isdisjoint({"utils", "util", "helpers", "helper", "common", "manager", "misc"})


def test_nothing_names_an_index_or_this_machine() -> None:
    """No file holds a package index's address, or a path that exists on one machine only."""
    index = re.compile(r"py[p]i\.(?:org|python)|pythonhosted\.(?:org|com)|--(?:extra-)?index-url|--find[-]links")
    machine = re.compile(r"""(?:^|[\s"'`=(])/(?:root|work|Users)/""", re.MULTILINE)
    named = {name: found[0] for name, text in texts() if (found := index.findall(text) or machine.findall(text))}
    assert named == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_only_pins_and_hashes(lock: str) -> None:
    """A lock has no address, and every pin has its hashes."""
    text = (HOUSE / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text).strip(), flags=re.IGNORECASE)
    assert len(entries) >= LOCKS[lock]
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_what_is_asked_for(lock: str) -> None:
    """Each line of the `.in` file is met by a pin."""
    pins = locked(lock)
    assert [str(one) for one in asked_for(lock) if not _met(one, pins)] == []


def declared(lock: str) -> list[Requirement]:
    """What pyproject.toml says that is needed; in an extra, where the lock is one's."""
    project = pyproject()["project"]
    extra = lock.removeprefix("requirements").removeprefix("-")
    return [
        Requirement(text) for text in (project["optional-dependencies"][extra] if extra else project["dependencies"])
    ]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_meets_what_the_package_declares(lock: str) -> None:
    """What pyproject.toml says of each dependency is true of the version that is tested, on every Python."""
    pins = locked(lock)
    assert [str(one) for one in declared(lock) if not _met(one, pins)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_declared_dependencies_are_asked_for(lock: str) -> None:
    """A dependency that pyproject.toml declares is in the `.in` file, and not there only because another needs it."""
    assert {one.name for one in declared(lock)} - {one.name for one in asked_for(lock)} == set()


def test_locks_agree() -> None:
    """A package of an extra is nothing that everybody has in another version."""
    everybody = locked("requirements")
    assert [name for name, pins in locked("requirements-spark").items() if everybody.get(name, pins) != pins] == []


def _met(one: Requirement, pins: dict[str, list[Requirement]]) -> bool:
    versions = [Version(next(iter(pin.specifier)).version) for pin in pins.get(one.name.lower(), [])]
    return bool(versions) and all(one.specifier.contains(version) for version in versions)


def test_make_explains_itself() -> None:
    """Every target is in the list that plain `make` prints, which has no other."""
    declared = re.search(r"^\.PHONY: (.*)$", (HOUSE / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[1] for line in printed.splitlines()] == declared[1].split()


def test_set_up_is_done_once(tmp_path: Path) -> None:
    """With the stamps newer than the locks, nothing is left to set up; with a newer lock there is."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-spark.txt"):
        (tmp_path / name).write_bytes((HOUSE / name).read_bytes())
    assert _is_due("setup", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".stamp").touch()
    assert not _is_due("setup", tmp_path)
    assert _is_due(".venv/.spark", tmp_path)
    (tmp_path / ".venv" / ".spark").touch()
    assert not _is_due(".venv/.spark", tmp_path)
    os.utime(tmp_path / "requirements-spark.txt", (2e9, 2e9))
    assert _is_due(".venv/.spark", tmp_path)
    assert not _is_due("setup", tmp_path)
    os.utime(tmp_path / "requirements.txt", (2e9, 2e9))
    assert _is_due("setup", tmp_path)


def test_only_tests_need_spark() -> None:
    """Half a gigabyte is nothing that the first `make run` should wait for."""
    targets = re.findall(r"^(\w+):.*\$\(SPARK\)", (HOUSE / "Makefile").read_text(), re.MULTILINE)
    assert targets == ["test"]


def _is_due(target: str, folder: Path) -> bool:
    return subprocess.run(["make", "--question", target], cwd=folder, capture_output=True, check=False).returncode == 1


def test_ci_runs_the_tests_and_nothing_else() -> None:
    """.ci/run is a strict bash script that anyone may start, from anywhere."""
    script = HOUSE / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines == ["#!/usr/bin/env bash", "set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
