"""The documents' command lines parse, and the README's robot section runs with a publisher and a control channel."""

from __future__ import annotations

import re
import shlex
import threading
from pathlib import Path
from typing import Any

import pytest

from streamseg.cli.main import build_parser
from streamseg.config.included import find_included
from streamseg.publish import ControlServer, Publisher
from streamseg.structures.message import PromptStatus
from tests.support.messages import disc, make_message, make_object
from tests.support.paths import REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "client" / "README.md"]
OTHERS = [*sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "scripts" / "examples" / "README.md"]
TEXT = DOCUMENTS[0].read_text(encoding="utf-8")
MESSAGE = make_message(
    make_object(disc(9), 32, 8, prompt_ids=("everything", "cup")), prompts=(PromptStatus("cup", "bound", 0.5, 7),)
)
NUM_MESSAGES = 3


def shell_lines(document: Path) -> list[list[str]]:
    """The words of each command in the blocks of shell code, without comments."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    joined = [block.replace("\\\n", " ") for block in blocks]
    lines = [shlex.split(line, comments=True) for block in joined for line in block.splitlines()]
    return [words for words in lines if words]


COMMANDS = [words for document in DOCUMENTS for words in shell_lines(document)]


OF_STREAMSEG = [
    words[: words.index(">")] if ">" in words else words
    for document in (*DOCUMENTS, *OTHERS)
    for words in shell_lines(document)
    if words[0] == "streamseg"
]


@pytest.mark.parametrize("words", OF_STREAMSEG, ids=" ".join)
def test_commands_parse(words: list[str]):
    args = build_parser().parse_args(words[1:])
    assert callable(args.command)
    configurations = [word for word in words if word.startswith("configs/")]
    assert [name for name in configurations if find_included(name) is None] == []


def test_commands_of_other_programs_are_known():
    assert {words[0] for words in COMMANDS} == {
        "pip",
        "python3",
        "streamseg",
        "streamseg-client",
        "scripts/demo",
        "scripts/test",
    }
    assert all(Path(REPOSITORY / words[0]).is_file() for words in COMMANDS if words[0].startswith("scripts/"))


def test_extras_and_folders_to_install_exist():
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for words in COMMANDS:
        for word in words if words[:2] == ["pip", "install"] else ():
            for extra in re.findall(r"\[(.*)\]", word):
                assert all(re.search(rf"^{name} = \[", project, re.MULTILINE) for name in extra.split(","))
            if word.startswith("./"):
                assert (REPOSITORY / word / "pyproject.toml").is_file()


def test_robot_section(capsys: pytest.CaptureFixture[str]):
    (section,) = re.findall(r"^## A robot\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    received: list[dict[str, Any]] = []
    is_over = threading.Event()

    def set_prompts(args: dict[str, Any]) -> Any:
        received.append(args)
        return {}

    def publish_until_over() -> None:
        while not is_over.wait(0.01):
            publisher.publish(MESSAGE)

    with (
        ControlServer("tcp://127.0.0.1:0", {"prompts.set": set_prompts}) as control,
        Publisher("tcp://127.0.0.1:0") as publisher,
    ):
        thread = threading.Thread(target=publish_until_over)
        thread.start()
        # The program of the README never ends.
        ending = f"    if (count := count + 1) == {NUM_MESSAGES}:\n        break\n"
        changed = code.replace("tcp://127.0.0.1:5556", control.endpoint).replace(
            "tcp://127.0.0.1:5555", publisher.endpoint
        )
        try:
            exec(compile(changed + ending, "README.md", "exec"), {"count": 0})
        finally:
            is_over.set()
            thread.join()
    assert received == [{"prompts": [{"id": "cup", "points": [[640, 360]]}]}]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == NUM_MESSAGES
    assert all("prompt_id='cup', state='bound'" in line for line in lines)
