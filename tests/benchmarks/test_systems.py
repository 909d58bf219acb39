"""The comparison of systems: its command line and its table."""

from pathlib import Path

import pytest

from benchmarks.systems.__main__ import _row, main
from benchmarks.systems.models import SYSTEMS


def test_unknown_systems_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--systems", "streamseg,sam9"])
    assert caught.value.code == 2
    assert "unknown systems sam9" in capsys.readouterr().err


def test_an_update_needs_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--update", "--json", str(tmp_path / "missing.json")])
    assert caught.value.code == 2
    assert "--update needs --json with a file of results" in capsys.readouterr().err


def test_names_are_unique():
    names = [one.name for one in SYSTEMS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("figures", "row"),
    [
        pytest.param({"missing": "No module named 'timm'"}, "missing: No module named 'timm'", id="missing"),
        pytest.param(
            {
                "parameters": 9_800_000,
                "memory_mb": 2469,
                "stages": {"encode": {"p50": 2328.0}},
                "pipeline": {"finish_ms": {"p95": 3.6}, "mask_source": {"proposal": 40}},
            },
            "9.8 M   2469 MB  encode 2328 ms; pipeline: finish p95 3.6 ms, {'proposal': 40}",
            id="measured",
        ),
    ],
)
def test_rows(figures: dict[str, object], row: str):
    assert _row("mobile-sam", figures).endswith(row)
