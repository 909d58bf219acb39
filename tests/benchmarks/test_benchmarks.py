"""Shared parts of the benchmarks, and `--help` of each benchmark, which must not measure anything."""

import argparse
import json
import os
import sys
from importlib import import_module

import pytest

from benchmarks.harness import Timing, measure, output_file, parser, provenance, report
from tests.support.paths import REPOSITORY

ROOT = REPOSITORY
NAMES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if path.stem not in ("__init__", "harness", "lively", "scaling_plot")
)


def test_candidates_alternate_and_warm_ups_do_not_count():
    calls = []
    timings = measure({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, num_runs=3, num_warmups=2)
    assert calls == ["a", "b"] * 5
    assert timings["a"].num_runs == timings["b"].num_runs == 3


def test_percentiles_are_in_milliseconds():
    timing = Timing.of([0.001 * value for value in range(1, 102)])
    assert (timing.p50, timing.p95, timing.p99) == pytest.approx((51, 96, 100))


def test_report_contains_provenance(tmp_path, capsys):
    path = tmp_path / "new" / "result.json"
    report({"benchmark": "none", "timing": Timing(1.0, 2.0, 3.0, 4)}, path)
    written = json.loads(path.read_text())
    assert written["timing"] == {"p50": 1.0, "p95": 2.0, "p99": 3.0, "num_runs": 4}
    assert {"machine", "versions", "python", "measured"} <= written.keys()
    assert provenance()["machine"] in capsys.readouterr().out


def test_description_is_one_line():
    assert parser("First line.\n\nMore.").description == "First line."


@pytest.mark.parametrize("place", ["new.png", "there.png", "new/folders/new.png"])
def test_writable_output_files(tmp_path, place):
    (tmp_path / "there.png").touch()
    assert output_file(str(tmp_path / place)) == tmp_path / place
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"], "nothing is created"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        pytest.param("folder", "it is a folder", id="a folder"),
        pytest.param("/", "it is a folder", id="the root"),
        pytest.param("file/new.png", "file is not a folder", id="in a file"),
        pytest.param("file/new/new.png", "file is not a folder", id="in a folder in a file"),
        pytest.param(
            "locked/new.png",
            "permission denied",
            id="in a locked folder",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere"),
        ),
    ],
)
def test_unwritable_output_files(tmp_path, place, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(argparse.ArgumentTypeError, match=f"cannot write .*{place}: .*{reason}"):
        output_file(str(tmp_path / place))


def test_unwritable_results_are_a_one_line_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        parser("None.").parse_args(["--json", str(tmp_path)])
    assert caught.value.code == 2
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line.endswith(f"argument --json: cannot write {tmp_path}: it is a folder")


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_help(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        import_module(f"benchmarks.{name}").main()
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out
