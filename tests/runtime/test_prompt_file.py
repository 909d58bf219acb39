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
from streamseg.runtime.prompt_file import MEMORY_SECONDS, KeptPrompts, PromptFile
from streamseg.structures.message import CropMask
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
MEMORY = {"cam": {"square": {"box": [1, 2, 3, 4], "views": [[0.5, None]]}}}


def only_file(path: Path) -> bool:
    """Whether nothing lies beside it."""
    return list(path.parent.iterdir()) == [path]


def test_what_was_written_is_read(tmp_path: Path):
    path = tmp_path / "made" / "prompts.json"
    PromptFile(path).write(KeptPrompts(PROMPTS, MEMORY))
    assert PromptFile(path).read() == KeptPrompts(PROMPTS, MEMORY)
    assert only_file(path)
    assert json.loads(path.read_text())["prompts"] == [prompt_to_json(prompt) for prompt in PROMPTS]


def test_a_mask_is_kept_by_its_pixels(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(KeptPrompts((MaskPrompt("dog", CropMask(disc(9), 3, 2), (48, 64)),)))
    kept = file.read()
    assert kept is not None
    (prompt,) = kept.prompts
    assert isinstance(prompt, MaskPrompt)
    assert (prompt.mask.full((48, 64)) == CropMask(disc(9), 3, 2).full((48, 64))).all()


def test_a_file_that_is_not_there_yet_holds_nothing(tmp_path: Path):
    path = tmp_path / "prompts.json"
    assert PromptFile(path).read() is None
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"


def test_the_picture_that_was_seen_is_forgotten(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(KeptPrompts((BoxPrompt("door", (0, 0, 3, 4), frame_index=17),)))
    assert file.read() == KeptPrompts((BoxPrompt("door", (0, 0, 3, 4)),))


def test_no_prompt_is_kept_as_no_prompt(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    file.write(KeptPrompts(()))
    assert file.read() == KeptPrompts(())


def test_a_link_stays_a_link(tmp_path: Path):
    target, link = tmp_path / "there" / "prompts.json", tmp_path / "prompts.json"
    target.parent.mkdir()
    target.write_text('{"version": 1, "prompts": []}')
    link.symlink_to(target)
    PromptFile(link).write(KeptPrompts(PROMPTS))
    assert link.is_symlink()
    assert PromptFile(target).read() == KeptPrompts(PROMPTS)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\xff\xfe\x00", "not JSON", id="not-text"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a"}', "not JSON", id="cut-off"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested-too-deep"),
        pytest.param(b"[]", "JSON object", id="a-list"),
        pytest.param(b'{"prompts": []}', "'version' must be", id="no-version"),
        pytest.param(b'{"version": 2, "prompts": []}', "version is 2, 1 is readable", id="later-version"),
        pytest.param(b'{"version": 1}', "no prompts", id="no-prompts"),
        pytest.param(b'{"version": 1, "prompts": {}}', "list of at most 1024", id="prompts-no-list"),
        pytest.param(b'{"version": 1, "prompts": [5]}', "a prompt is a JSON object", id="no-prompt"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a", "box": [NaN, 0, 1, 1]}]}', "NaN", id="not-a-number"),
        pytest.param(b'{"version": 1, "prompts": [{"id": "a"}, {"id": "a"}]}', "occurs twice", id="same-id"),
        pytest.param(b'{"version": 1, "prompts": [], "memory": []}', "'memory' must be", id="memory-no-object"),
        pytest.param(b'{"version": 1, "prompts": [], "notes": 1}', "unknown key 'notes'", id="unknown-key"),
    ],
)
def test_rubbish_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, complaint: str):
    path = tmp_path / "prompts.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        PromptFile(path).read()
    message = str(caught.value)
    assert message.startswith(f"cannot take up the prompts of {path}: ")
    assert complaint in message
    assert message.endswith("; mend the file, or remove it")
    assert "\n" not in message
    assert path.read_bytes() == content


@given(st.binary(max_size=60))
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        PromptFile(path).read()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        pytest.param("folder", "not a file", id="a-folder"),
        pytest.param("pipe", "not a file", id="a-pipe"),
        pytest.param(
            "file/prompts.json", "cannot keep the prompts in .*: (Not a directory|File exists)", id="in-a-file"
        ),
        pytest.param("x" * 300, "File name too long", id="a-long-name"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, place: str, complaint: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=complaint) as caught:
        PromptFile(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_a_device_is_not_replaced():
    with pytest.raises(DataError, match="/dev/null: it is not a file"):
        PromptFile("/dev/null")


def test_a_folder_that_went_away_is_an_error(tmp_path: Path):
    path = tmp_path / "made" / "prompts.json"
    file = PromptFile(path)
    path.parent.rmdir()
    with pytest.raises(DataError, match=r"cannot keep the prompts in .*: No such file"):
        file.write(KeptPrompts(PROMPTS))


def test_a_place_that_was_taken_is_an_error_and_nothing_is_left(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    path.mkdir()
    with pytest.raises(DataError, match="cannot keep the prompts"):
        file.write(KeptPrompts(PROMPTS))
    assert only_file(path)


def test_what_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    file.write(KeptPrompts((EverythingPrompt("before"),)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cannot keep the prompts in .*: File too large"):
            file.write(KeptPrompts(tuple(EverythingPrompt(str(nth)) for nth in range(1000))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read() == KeptPrompts((EverythingPrompt("before"),))
    assert only_file(path)


def test_a_reader_never_finds_half_a_file(tmp_path: Path):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    few, many = (tuple(EverythingPrompt(str(nth)) for nth in range(count)) for count in (1, 1000))
    file.write(KeptPrompts(few))
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            file.write(KeptPrompts(many))
            file.write(KeptPrompts(few))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        lengths = set()
        for _ in range(50):
            kept = PromptFile(path).read()
            assert kept is not None
            lengths.add(len(kept.prompts))
    finally:
        is_over.set()
        for writer in writers:
            writer.join()
    assert lengths <= {1, 1000}
    assert only_file(path)


# ---- with a pipeline


def watching(*prompts: Any, num_frames: int = 8) -> Pipeline:
    """A pipeline that has followed a square through some frames."""
    pipeline = Pipeline(SquareSegmenter(), prompts=prompts)
    for index in range(num_frames):
        pipeline([make_frame(index, source_id="cam", value=4)])
    return pipeline


def test_a_pipeline_goes_on_where_another_left_off(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    first = watching(PointPrompt("square", ((10, 16),), (1,), frame_index=0))
    file.keep(first)
    kept = file.read()
    assert kept is not None
    assert set(kept.memory["cam"]) == {"square"}
    second = Pipeline(SquareSegmenter(), prompts=kept.prompts)
    file.resume(second, kept)
    assert second.prompt_memory() == first.prompt_memory()


def test_what_is_not_asked_any_more_is_not_remembered(tmp_path: Path):
    file = PromptFile(tmp_path / "prompts.json")
    pipeline = watching(PointPrompt("square", ((10, 16),), (1,)))
    pipeline.set_prompts([EverythingPrompt("all")])
    file.keep(pipeline)
    assert file.read() == KeptPrompts((EverythingPrompt("all"),), {"cam": {}})


def test_what_is_known_of_the_objects_is_asked_for_now_and_then_and_at_the_end(tmp_path: Path):
    now_seconds = 0.0
    file = PromptFile(tmp_path / "prompts.json", now_seconds=lambda: now_seconds)
    square = PointPrompt("square", ((10, 16),), (1,))
    pipeline = Pipeline(SquareSegmenter(), prompts=[square])

    def remembered() -> list[str]:
        kept = file.read()
        assert kept is not None
        return [prompt_id for entries in kept.memory.values() for prompt_id in entries]

    file.keep(pipeline)
    for index in range(8):
        pipeline([make_frame(index, source_id="cam", value=4)])
    file.keep(pipeline)
    assert remembered() == []
    now_seconds = MEMORY_SECONDS
    file.keep(pipeline)
    assert remembered() == ["square"]
    pipeline.set_prompts([square, PointPrompt("again", ((10, 16),), (1,))])
    pipeline([make_frame(9, source_id="cam", value=4)])
    file.keep(pipeline)
    assert remembered() == ["square"]
    file.keep(pipeline, is_last=True)
    assert remembered() == ["square", "again"]


@pytest.mark.parametrize("entry", [5, {}, {"prompt": 1, "step": 0, "box": "x"}], ids=["number", "empty", "no-box"])
def test_a_damaged_memory_names_the_file(tmp_path: Path, entry: Any):
    path = tmp_path / "prompts.json"
    file = PromptFile(path)
    file.write(KeptPrompts(PROMPTS[:2], {"cam": {"square": entry}}))
    kept = file.read()
    assert kept is not None
    with pytest.raises(DataError, match=r"cannot take up the prompts of .*square.*damaged") as caught:
        file.resume(Pipeline(SquareSegmenter()), kept)
    assert "\n" not in str(caught.value)


def test_a_thousand_prompts_fit(tmp_path: Path):
    path = tmp_path / "prompts.json"
    pipeline = watching(*(PointPrompt(str(nth), ((10, 16),), (1,)) for nth in range(1000)))
    PromptFile(path).keep(pipeline)
    kept = PromptFile(path).read()
    assert kept is not None
    assert len(kept.prompts) == len(kept.memory["cam"]) == 1000
    assert path.stat().st_size < 8_000_000
