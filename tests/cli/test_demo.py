"""What the demo reports about the messages that its subscriber received."""

import json
from pathlib import Path

import pytest

from streamseg.cli.demo import read_received


def line(*objects: dict[str, object]) -> str:
    return json.dumps({"objects": objects}) + "\n"


CUP, OTHER = {"track_id": 1, "rle": {}}, {"track_id": 2, "rle": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "0 messages with 0 masks of 0 identities", id="nothing"),
        pytest.param(line(), "1 message with 0 masks of 0 identities", id="no object"),
        pytest.param(line(CUP) + line(CUP, OTHER), "2 messages with 3 masks of 2 identities", id="an object twice"),
        pytest.param(line(CUP) + line(CUP)[:-5], "1 message with 1 mask of 1 identity", id="truncated last line"),
    ],
)
def test_received_messages_are_counted(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "demo.jsonl"
    path.write_text(text, encoding="utf-8")
    assert str(read_received(path)) == expected
