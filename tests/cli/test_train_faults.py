"""Errors in the middle of a run: one line, exit code 2, and an unchanged last checkpoint."""

import json
import resource
import shutil
from contextlib import contextmanager

import pytest

from streamseg.training.checkpoint import load_checkpoint
from tests.support.datasets import coco_folder, compressed
from tests.support.images import paint
from tests.support.training_runs import DATA_MASK, DATA_SIZE, train, write_training_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Folder with data, and with a run that was stopped after its first step."""
    folder = tmp_path_factory.mktemp("begun")
    assert train(write_training_data(folder / "data"), "--stop-after", "0") == 0
    return folder


@pytest.fixture
def stopped(tmp_path, begun):
    """Data folder, beside the run."""
    shutil.copytree(begun, tmp_path / "copy")
    return tmp_path / "copy" / "data"


def edit(data, change):
    path = data / "things" / "instances.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def in_annotation(**keys):
    return lambda data: edit(data, lambda content: content["annotations"][0].update(keys))


def remove_images(data):
    edit(data, lambda content: content.update(images=[], annotations=[]))


def remove_file(data):
    (data / "things" / "images" / "001.png").unlink()


def rle_of(size):
    return {"size": size, "counts": [size[0] * size[1]]}


def recipe(text):
    return lambda data: (data / "recipe.yaml").write_text(text)


@pytest.mark.parametrize(
    ("break_it", "arguments", "message"),
    [
        pytest.param(remove_images, [], "lists no image; a data set needs at least one", id="empty-data-set"),
        pytest.param(
            in_annotation(segmentation=[[0, 0, 500, 0, 500, 40]]),
            ["--strict"],
            "annotation 1 in",
            id="annotation-outside-its-image",
        ),
        pytest.param(
            in_annotation(segmentation=rle_of([80, 60])),
            ["--strict"],
            "the run lengths are for size [80, 60], but the image has size [60, 80]",
            id="rle-of-another-size",
        ),
        pytest.param(
            in_annotation(segmentation={"size": [60, 80], "counts": [9]}),
            ["--strict"],
            "add up to 9 pixels",
            id="rle-too-short",
        ),
        pytest.param(remove_file, [], "001.png is missing or unreadable", id="missing-image"),
        pytest.param(
            lambda data: None,
            ["--set", "learning_rate=1.0e+30", "--set", "num_steps=9", "--set", "max_gradient_norm=1.0e+30"],
            "is not finite at step",
            id="loss-is-no-number",
        ),
        pytest.param(recipe("sources: ["), [], "is not valid YAML", id="recipe-is-no-yaml"),
        pytest.param(recipe("sources: [{path: things, wieght: 1}]"), [], "unknown key", id="recipe-misspelt"),
        pytest.param(recipe("sources: [{path: elsewhere}]"), [], "is not a COCO-format folder", id="missing-source"),
        pytest.param(lambda data: None, ["--set", "size=s"], "belongs to a network of size n, not", id="size"),
        pytest.param(lambda data: None, ["--set", "optimizer=muon"], "does not fit the network", id="optimizer"),
        pytest.param(lambda data: None, ["--eval", "nowhere"], "nowhere is not a COCO-format folder", id="evaluation"),
    ],
)
def test_error_is_one_line_and_keeps_the_checkpoint(stopped, capsys, break_it, arguments, message):
    checkpoint = stopped.parent / "run" / "last.ckpt"
    before = checkpoint.read_bytes()
    break_it(stopped)
    assert train(stopped, "--resume", *arguments) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("[")]  # progress
    assert len(lines) == 1, error
    assert lines[0].startswith("streamseg: ")
    assert message in lines[0]
    assert checkpoint.read_bytes() == before
    assert load_checkpoint(checkpoint)["step"] == 1
    assert not (stopped.parent / "run" / "last.partial").exists()


@contextmanager
def file_size_limit(num_bytes):
    """Limit the size of files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_file_system_keeps_the_checkpoint(stopped, capsys):
    run = stopped.parent / "run"
    before = (run / "last.ckpt").read_bytes()
    with file_size_limit(len(before) // 2):
        assert train(stopped, "--resume") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"streamseg: cannot write {run / 'last.ckpt'}: File too large; the previous checkpoint is intact"
    )
    assert (run / "last.ckpt").read_bytes() == before
    assert not (run / "last.partial").exists()
    assert train(stopped, "--resume") == 0


def write_late_fault(data):
    """Write a data set in which only the last of many images has unusable annotations, and one file is damaged."""
    image = paint([DATA_MASK], [(200, 30, 30)], DATA_SIZE)
    valid = {"segmentation": compressed(DATA_MASK)}
    faults = [{"segmentation": [[1, 1, 9, 9]]}, {"segmentation": compressed(DATA_MASK) | {"size": [9, 9]}}]
    images = [(image, [valid])] * 10 + [(image, [valid, *faults])]
    folder = coco_folder(data / "things", images)
    content = (folder / "images" / "001.png").read_bytes()
    (folder / "images" / "001.png").write_bytes(content[: len(content) // 2])


def test_all_faults_are_named_before_the_first_step(tmp_path, capsys):
    data = write_training_data(tmp_path / "data")
    write_late_fault(data)
    assert train(data, "--strict") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "annotation 12 in" in first
    assert "annotation 13 in" in second
    assert not (tmp_path / "run" / "losses.jsonl").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_faults_are_skipped_and_counted(tmp_path, capsys, caplog, workers):
    data = write_training_data(tmp_path / "data")
    write_late_fault(data)
    assert train(data, "--set", "num_steps=8", "--set", "batch_size=4", workers=workers) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("2 annotations skipped")
    assert printed[1].startswith("1 image, 2 annotations skipped")
    assert printed[2].startswith("wrote ")
    assert "001.png" in caplog.text


def test_evaluation_data_are_checked_before_the_first_step(tmp_path, capsys):
    data = write_training_data(tmp_path / "data")
    folder = write_training_data(tmp_path / "other") / "things"
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 2, "segmentation": []})
    (folder / "instances.json").write_text(json.dumps(content))
    assert train(data, "--eval", str(folder), "--strict") == 2
    assert "annotation 2 in" in capsys.readouterr().err
    assert train(data, "--eval", str(folder)) == 0
    assert capsys.readouterr().out.startswith("1 annotation skipped")
