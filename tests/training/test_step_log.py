import json
from pathlib import Path

import pytest

from streamseg.errors import DataError
from streamseg.training.step_log import append_line, read_lines, trim_lines


def steps(path):
    return [line["step"] for line in read_lines(path)]


def test_appended_lines_are_read(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_lines(path) == []
    for step in (1, 5):
        append_line(path, {"step": step, "scores": {"a": 0.1 * step}})
    assert read_lines(path) == [{"step": 1, "scores": {"a": 0.1}}, {"step": 5, "scores": {"a": 0.5}}]


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(4, [1, 3], id="between"),
        pytest.param(5, [1, 3, 5], id="on-it"),
        pytest.param(9, [1, 3, 5], id="all"),
    ],
)
def test_later_steps_are_removed(tmp_path, step, kept):
    path = tmp_path / "log.jsonl"
    for one in (1, 3, 5):
        append_line(path, {"step": one})
    trim_lines(path, step)
    assert steps(path) == kept


@pytest.mark.parametrize("end", ['{"step": 2, "lo', "[]", "3", '{"stop": 2}', '{"step": "2"}'])
def test_incomplete_last_line_is_removed(tmp_path, end):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n' + end, encoding="utf-8")
    assert steps(path) == [1]
    trim_lines(path, 9)
    assert path.read_text() == '{"step": 1}\n'
    append_line(path, {"step": 2})
    assert steps(path) == [1, 2]


def test_values_are_unchanged(tmp_path):
    path = tmp_path / "log.jsonl"
    append_line(path, {"step": 1, "losses": {"box": 0.1 + 0.2, "note": "ü"}})
    before = path.read_bytes()
    trim_lines(path, 1)
    assert path.read_bytes() == before
    assert json.loads(before)["losses"]["box"] == 0.1 + 0.2


def test_trimming_a_missing_log_creates_no_file(tmp_path):
    trim_lines(tmp_path / "log.jsonl", 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_is_reported(tmp_path):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write .*log\.jsonl: No space left on device"):
        append_line(tmp_path / "log.jsonl", {"step": 1})
