import json
from pathlib import Path

import pytest

from streamseg.config import ImagesSource, RecordingSource, StreamSource, load_config
from streamseg.config.recorded_run import parse_sources
from streamseg.errors import ConfigError


def make_recording(folder: Path, source_id: str, *, start: float | None) -> Path:
    folder.mkdir(parents=True)
    (folder / "recording.json").write_text(json.dumps({"format": 1, "source": source_id, "frame_id": ""}))
    if start is not None:
        sec, fraction = divmod(start, 1)
        line = json.dumps({"stamp": {"sec": int(sec), "nanosec": round(fraction * 1e9)}})
        (folder / "000001-20251129T161640Z.jsonl").write_text(line + "\n")
        (folder / "000002-20251129T161740Z.jsonl").write_text("later\n")
    return folder


def test_run_is_replayed_with_the_original_distances(tmp_path: Path):
    for source_id, start in [("late", 103.5), ("first", 100.0), ("unreadable", None)]:
        make_recording(tmp_path / source_id, source_id, start=start)
    assert parse_sources(str(tmp_path)) == [
        RecordingSource(id="first", path=str(tmp_path / "first"), delay_seconds=0.0),
        RecordingSource(id="late", path=str(tmp_path / "late"), delay_seconds=3.5),
        RecordingSource(id="unreadable", path=str(tmp_path / "unreadable")),
    ]


def test_one_recording_starts_at_once(tmp_path: Path):
    folder = make_recording(tmp_path / "cam", "cam", start=100.0)
    assert parse_sources(str(folder)) == [RecordingSource(id="cam", path=str(folder))]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("rtsp://127.0.0.1/a", StreamSource), ("film.mp4", StreamSource), ("photos/*.jpg", ImagesSource)],
)
def test_other_arguments_are_one_source(text: str, kind: type):
    (section,) = parse_sources(text)
    assert isinstance(section, kind)


def test_folder_of_a_run_in_a_configuration(tmp_path: Path):
    for source_id in ("a", "b"):
        make_recording(tmp_path / source_id, source_id, start=1.0)
    config = load_config(sources=[str(tmp_path)])
    assert [source.id for source in config.named_sources()] == ["a", "b"]


@pytest.mark.parametrize(
    ("num_runs", "words"),
    [pytest.param(1, "of 1 run; give", id="one run"), pytest.param(2, "of 2 runs; give", id="two runs")],
)
def test_folder_of_several_runs_names_the_newest(tmp_path: Path, num_runs: int, words: str):
    for number in range(1, num_runs + 1):
        for source_id in ("a", "b"):
            make_recording(tmp_path / f"2026112{number}T164012Z" / source_id, source_id, start=1.0)
    with pytest.raises(ConfigError, match=f"contains the recordings {words} the folder of one, such as .*2{num_runs}T"):
        parse_sources(str(tmp_path))


@pytest.mark.parametrize("text", ["", " "])
def test_empty_text_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    make_recording(tmp_path / "cam", "cam", start=None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="a source is empty"):
        parse_sources(text)
