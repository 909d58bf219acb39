import json
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import DataError
from streamseg.pipeline import Pipeline
from streamseg.runtime.prompt_file import STATE_SECONDS, PromptFile, SavedPrompts
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, MaskPrompt, PointPrompt, TextPrompt
from streamseg.wire import prompt_to_json
from tests.support.frames import make_frame
from tests.support.messages import disc
from tests.support.stages import SquareSegmenter

A_POINT = PointPrompt("square", ((10.5, 16.0),), (1,), source_id="cam", step=1)
PROMPTS = (
    EverythingPrompt("all"),
    A_POINT,
    BoxPrompt("door", (0, 0, 30, 40), follow=False),
    TextPrompt("Tür", "eine rote Tür"),
)
STATE = {"cam": {"square": {"box": [1, 2, 3, 4], "views": [[0.5, None]]}}}


def only_file(path: Path) -> bool:
    """Return whether the folder contains no other file."""
    return list(path.parent.iterdir()) == [path]


def test_written_prompts_are_loaded(tmp_path: Path):
    path = tmp_path / "made" / "prompts.json"
    PromptFile(path).write(SavedPrompts(PROMPTS, STATE))
    assert PromptFile(path).load() == SavedPrompts(PROMPTS, STATE)
    assert only_file(path)
    assert json.loads(path.read_text())["prompts"] == [prompt_to_json(prompt) for prompt in PROMPTS]


def test_mask_is_saved_by_its_pixels(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(SavedPrompts((MaskPrompt("dog", CropMask(disc(9), 3, 2), (48, 64)),)))
    saved = file.load()
    assert saved is not None
    (prompt,) = saved.prompts
    assert isinstance(prompt, MaskPrompt)
    assert (prompt.mask.full((48, 64)) == CropMask(disc(9), 3, 2).full((48, 64))).all()


def test_missing_file_has_no_prompts(tmp_path: Path):
    path = tmp_path / "prompts.json"
    assert PromptFile(path).load() is None
    assert not list(tmp_path.iterdir()), "loading leaves nothing behind"


def test_frame_index_is_not_loaded(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(SavedPrompts((BoxPrompt("door", (0, 0, 3, 4), frame_index=17),)))
    assert file.load() == SavedPrompts((BoxPrompt("door", (0, 0, 3, 4)),))


def test_no_prompts_are_saved_as_no_prompts(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(SavedPrompts(()))
    assert file.load() == SavedPrompts(())


def test_symbolic_link_is_preserved(tmp_path: Path):
    target, link = tmp_path / "there" / "prompts.json", tmp_path / "prompts.json"
    target.parent.mkdir()
    target.write_text('{"version": 1, "prompts": []}')
    link.symlink_to(target)
    PromptFile(link).write(SavedPrompts(PROMPTS))
    assert link.is_symlink()
    assert PromptFile(target).load() == SavedPrompts(PROMPTS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\xff\xfe\x00", "not JSON", id="not-text"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a"}', "not JSON", id="cut-off"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested-too-deep"),
        pytest.param(b"[]", "JSON object", id="a-list"),
        pytest.param(b'{"prompts": []}', "'version' must be", id="no-version"),
        pytest.param(b'{"version": 2, "prompts": []}', "version is 2, only 1 is supported", id="later-version"),
        pytest.param(b'{"version": 1}', "no prompts", id="no-prompts"),
        pytest.param(b'{"version": 1, "prompts": {}}', "list of at most 1024", id="prompts-no-list"),
        pytest.param(b'{"version": 1, "prompts": [5]}', "a prompt must be a JSON object", id="no-prompt"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a", "box": [NaN, 0, 1, 1]}]}', "NaN", id="not-a-number"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a"}, {"id": "a"}]}', "occurs twice", id="same-id"),
        pytest.param(b'{"version": 1, "prompts": [], "memory": []}', "'memory' must be", id="memory-no-object"),
        pytest.param(b'{"version": 1, "prompts": [], "notes": 1}', "unknown key 'notes'", id="unknown-key"),
    ],
)
def test_invalid_file_is_a_one_line_error(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "prompts.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        PromptFile(path).load()
    message = str(caught.value)
    assert message.startswith(f"cannot restore the prompts of {path}: ")
    assert complaint in message
    assert message.endswith("; repair the file or remove it")
    assert "\n" not in message
    assert path.read_bytes() == content


@given(st.binary(max_size=60))
def test_noise_is_rejected(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        PromptFile(path).load()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        pytest.param("folder", "not a regular file", id="a-folder"),
        pytest.param("pipe", "not a regular file", id="a-pipe"),
        pytest.param(
            "file/prompts.json", "cannot save the prompts in .*: .*file is a file, not a folder", id="in-a-file"
        ),
        pytest.param("x" * 300, "File name too long", id="a-long-name"),
    ],
)
def test_path_that_cannot_be_written_is_rejected_at_the_start(tmp_path: Path, place: str, complaint: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=complaint) as caught:
        PromptFile(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_device_is_not_replaced():
    with pytest.raises(DataError, match="/dev/null: it is not a regular file"):
        PromptFile("/dev/null")


def test_removed_folder_is_an_error(tmp_path: Path):
    path = tmp_path / "made" / "prompts.json"
    file = PromptFile(path)
    path.parent.rmdir()
    with pytest.raises(DataError, match=r"cannot save the prompts in .*: No such file"):
        file.write(SavedPrompts(PROMPTS))


def test_path_taken_by_a_folder_is_an_error(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    path.mkdir()
    with pytest.raises(DataError, match="cannot save the prompts"):
        file.write(SavedPrompts(PROMPTS))
    assert only_file(path)


def test_failed_write_leaves_the_file_unchanged(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    file.write(SavedPrompts((EverythingPrompt("before"),)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cannot save the prompts in .*: File too large"):
            file.write(SavedPrompts(tuple(EverythingPrompt(str(nth)) for nth in range(1000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.load() == SavedPrompts((EverythingPrompt("before"),))
    assert only_file(path)


def test_reader_never_sees_a_partial_file(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    few, many = (tuple(EverythingPrompt(str(nth)) for nth in range(count)) for count in (1, 1000))
    file.write(SavedPrompts(few))
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            file.write(SavedPrompts(many))
            file.write(SavedPrompts(few))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        lengths = set()
        for _ in range(50):
            saved = PromptFile(path).load()
            assert saved is not None
            lengths.add(len(saved.prompts))
    finally:
        is_over.set()
        for writer in writers:
            writer.join()
    assert lengths <= {1, 1000}
    assert only_file(path)


# ---- with a pipeline


def run_pipeline(*prompts: Any, num_frames: int = 8) -> Pipeline:
    """Return a pipeline that has tracked a square through some frames."""
    pipeline = Pipeline(SquareSegmenter(), prompts=prompts)
    for index in range(num_frames):
        pipeline([make_frame(index, source_id="cam", value=4)])
    return pipeline


def test_pipeline_continues_where_another_stopped(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    first = run_pipeline(PointPrompt("square", ((10, 16),), (1,), frame_index=0))
    file.save(first)
    saved = file.load()
    assert saved is not None
    assert set(saved.state["cam"]) == {"square"}
    second = Pipeline(SquareSegmenter(), prompts=saved.prompts)
    file.restore(second, saved)
    assert second.state_dict() == first.state_dict()


def test_state_of_removed_prompts_is_not_saved(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    pipeline = run_pipeline(PointPrompt("square", ((10, 16),), (1,)))
    pipeline.set_prompts([EverythingPrompt("all")])
    file.save(pipeline)
    assert file.load() == SavedPrompts((EverythingPrompt("all"),), {"cam": {}})


def test_state_is_exported_at_intervals_and_at_the_end(tmp_path: Path):
    now_seconds = 0.0
    file = PromptFile(tmp_path / "prompts.json", now_seconds=lambda: now_seconds)
    square = PointPrompt("square", ((10, 16),), (1,))
    pipeline = Pipeline(SquareSegmenter(), prompts=[square])

    def ids_with_state() -> list[str]:
        saved = file.load()
        assert saved is not None
        return [prompt_id for entries in saved.state.values() for prompt_id in entries]

    file.save(pipeline)
    for index in range(8):
        pipeline([make_frame(index, source_id="cam", value=4)])
    file.save(pipeline)
    assert ids_with_state() == []
    now_seconds = STATE_SECONDS
    file.save(pipeline)
    assert ids_with_state() == ["square"]
    pipeline.set_prompts([square, PointPrompt("again", ((10, 16),), (1,))])
    pipeline([make_frame(9, source_id="cam", value=4)])
    file.save(pipeline)
    assert ids_with_state() == ["square"]
    file.save(pipeline, is_last=True)
    assert ids_with_state() == ["square", "again"]


@pytest.mark.parametrize("entry", [5, {}, {"prompt": 1, "step": 0, "box": "x"}], ids=["number", "empty", "no-box"])
def test_invalid_state_names_the_file(tmp_path: Path, entry: Any):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    file.write(SavedPrompts(PROMPTS[:2], {"cam": {"square": entry}}))
    saved = file.load()
    assert saved is not None
    with pytest.raises(DataError, match=r"cannot restore the prompts of .*square") as caught:
        file.restore(Pipeline(SquareSegmenter()), saved)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_thousand_prompts_are_saved(tmp_path: Path):
    path = tmp_path / "prompts.json"
    pipeline = run_pipeline(*(PointPrompt(str(nth), ((10, 16),), (1,)) for nth in range(1000)))
    PromptFile(path).save(pipeline)
    saved = PromptFile(path).load()
    assert saved is not None
    assert len(saved.prompts) == len(saved.state["cam"]) == 1000
    assert path.stat().st_size < 8_000_000
