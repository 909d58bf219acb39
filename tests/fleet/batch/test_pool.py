"""A pool of processes: results, bad items, processes that end."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from streamseg.errors import StreamsegError
from streamseg.fleet.batch.pool import process_all
from streamseg.fleet.process import WorkerProcess
from tests.support.batch_workers import CopyingWorker

pytestmark = pytest.mark.slow


def start_in(folder: Path) -> partial[WorkerProcess]:
    return partial(WorkerProcess, CopyingWorker, str(folder), str(folder))


def test_every_item_has_one_result(tmp_path: Path, no_thread_left: None):
    contents = {"a": "x", "b": "bad", "c": "poison", "d": "once", "e": "y"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    found = list(process_all(contents, 2, start_in(tmp_path)))
    results = dict(found)
    assert len(found) == len(contents)
    assert results["b"] == {"error": "b is bad"}
    assert "signal 9 (SIGKILL)" in results["c"]["error"]
    assert [results[name].get("frames") for name in "ade"] == [1, 1, 1]


def test_a_worker_that_cannot_be_created_ends_the_batch(tmp_path: Path, no_thread_left: None):
    with pytest.raises(StreamsegError, match="no folder"):
        list(process_all(["a"], 1, start_in(tmp_path / "none")))


def test_an_output_that_cannot_be_written_ends_the_batch(tmp_path: Path, no_thread_left: None):
    (tmp_path / "a").write_text("full")
    with pytest.raises(StreamsegError, match="No space left"):
        list(process_all(["a"], 1, start_in(tmp_path)))


def test_an_abandoned_batch_leaves_no_process(tmp_path: Path, no_thread_left: None):
    for name in "abcd":
        (tmp_path / name).write_text("x")
    results = process_all("abcd", 1, start_in(tmp_path))
    assert next(iter(results))[1]["frames"] == 1
    results.close()
