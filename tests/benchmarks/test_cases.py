"""The table of small inputs: wrong answers are found, and the cases of configurations with files made here."""

from pathlib import Path

import pytest

from benchmarks.cases import __main__ as cases
from benchmarks.cases import settings
from benchmarks.cases.harness import Case, CaseFailure, Done, Workspace, frame_seconds, read_frames, require, run_case
from tests.support.videos import write_video

CONTENTS = {
    "dupkey.yaml": "segmentation:\n  conf: 0.4\nsegmentation:\n  iou: 0.5\n",
    "hash.yaml": "sources:\n  - type: stream\n    id: door\n    url: rtsp://admin:pa #1word@10.0.0.5/h264\n",
    "rtsp_password.txt": "rtsp://admin:pa#1@127.0.0.1:8599/cam\n",
}


def workspace(tmp_path: Path) -> Workspace:
    """Return new folders of inputs and results."""
    found = Workspace(tmp_path / "inputs", tmp_path / "results")
    found.inputs.mkdir()
    found.results.mkdir()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", settings.CASES, ids=lambda case: case.name)
def test_cases_of_configurations(case: Case, tmp_path: Path):
    place = workspace(tmp_path)
    (place.inputs / case.name).write_text(CONTENTS[case.name])
    row = run_case(case, place)
    assert row.ok, row.got


@pytest.mark.slow
def test_table_and_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "dupkey.yaml").write_text(CONTENTS["dupkey.yaml"])
    assert cases.main([str(tmp_path), "--only", "dupkey.yaml"]) == 0
    assert "1 of 1 right" in capsys.readouterr().out
    (tmp_path / "dupkey.yaml").write_text("segmentation: {conf: 0.4}\n")
    assert cases.main([str(tmp_path), "--only", "dupkey.yaml"]) == 1
    output = capsys.readouterr().out
    assert "0 of 1 right" in output
    assert "exit code 0, not 2" in output


def test_missing_and_unknown_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cases.main([str(tmp_path / "gone")]) == 2
    assert cases.main([str(tmp_path), "--only", "hash.yaml"]) == 1
    assert "missing in the folder" in capsys.readouterr().out
    (tmp_path / "new.avi").write_text("")
    (tmp_path / "README.md").write_text("")
    assert cases.unknown_files(tmp_path) == ["new.avi"]


def test_names_are_unique():
    names = [case.name for case in cases.ALL_CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("done", "got"),
    [
        pytest.param(Done(1, "", "Traceback (…)\nKeyError: 1", 0), "a traceback: KeyError: 1", id="traceback"),
        pytest.param(Done(0, "fine", "", 0), "exit code 0, not 2: fine", id="exit code"),
        pytest.param(Done(2, "", "streamseg: a\nstreamseg: b", 0), "2 lines on the error", id="two lines"),
    ],
)
def test_wrong_ends_of_commands(done: Done, got: str):
    with pytest.raises(CaseFailure, match=got):
        done.require(2)


def test_any_exception_is_a_wrong_answer(tmp_path: Path):
    def check(place: Workspace, name: str) -> str:
        require(True, "not shown")
        raise OSError(name)

    row = run_case(Case("a", "b", check), workspace(tmp_path))
    assert (row.ok, row.got) == (False, "OSError: a")


def test_videos_are_read(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 5, fps=10)
    assert frame_seconds(path) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    images, ratio = read_frames(path, 2)
    assert (len(images), images[0].shape, ratio) == (2, (96, 128, 3), 1)
    with pytest.raises(CaseFailure, match="no file"):
        frame_seconds(tmp_path / "gone.mp4")
