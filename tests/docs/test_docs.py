"""The documents: every package is named, links and paths exist, and the reader in the protocol runs."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamseg.publish import Publisher
from tests.support.messages import disc, make_message, make_object
from tests.support.paths import PACKAGE, REPOSITORY
from tests.test_layers import GROUPS

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
UNITS = sorted(path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())


def packages_named(text: str) -> set[str]:
    """The names in the first column of the table of packages."""
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_architecture_names_every_package():
    units = {unit for unit in UNITS if unit != "__init__"}
    assert units - packages_named(ARCHITECTURE) == set(), "add a row to docs/architecture.md"
    assert packages_named(ARCHITECTURE) - units == set(), "remove the row from docs/architecture.md"


def test_architecture_lists_packages_in_import_order():
    ranks = {unit: rank for rank, group in enumerate(GROUPS) for unit in group}
    named = [ranks[unit] for unit in re.findall(r"^\| `(\w+)` \|", ARCHITECTURE, re.MULTILINE)]
    assert named == sorted(named)


def test_missing_package_is_found():
    assert packages_named("| `wire` | bytes |\n| a `config` | x |") == {"wire"}


def test_paths_in_architecture_exist():
    paths = set(re.findall(r"`((?:\w+/)+\w+(?:\.\w+)+)", ARCHITECTURE))
    assert len(paths) > 20
    assert [path for path in sorted(paths) if not any((root / path).exists() for root in (PACKAGE, REPOSITORY))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_exist(document: Path):
    text = document.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [link for link in links if link and "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
    return {heading.replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_anchors_of_links_exist(document: Path):
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if anchor and "://" not in link and target.suffix == ".md" and anchor not in anchors(target):
            missing.append(link)
    assert missing == []


def test_anchors():
    assert {"against-ultralytics-fastsam", "what-is-proven-without-a-gpu"} <= anchors(
        REPOSITORY / "docs" / "performance.md"
    ) | anchors(REPOSITORY / "docs" / "gpu.md")


def test_reader_in_the_protocol(capsys: pytest.CaptureFixture[str]):
    text = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 30
    message = make_message(
        make_object(disc(11), 3, 2, track_id=1, box=(3.25, 2.5, 13.75, 12.99)),
        make_object(np.ones((5, 8), dtype=np.bool_), 8, 8, track_id=2),
    )
    done = threading.Event()

    def publish_until_done(publisher: Publisher) -> None:
        while not done.wait(0.01):
            publisher.publish(message)

    with Publisher("tcp://127.0.0.1:0") as publisher:
        thread = threading.Thread(target=publish_until_done, args=(publisher,))
        thread.start()
        names: dict[str, Any] = {}
        try:
            exec(compile(code.replace("tcp://127.0.0.1:5555", publisher.endpoint), "protocol.md", "exec"), names)
        finally:
            done.set()
            thread.join()
            names["socket"].close(0)
    areas = [int(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert areas == [one.area for one in message.objects]
