"""Errors in the middle of a run: one line, exit code 2, and an unchanged last checkpoint."""

import json
import resource
import shutil
from contextlib import contextmanager

import pytest

from streamseg.training.checkpoint import load_checkpoint
from tests.support.training_runs import train, write_training_data

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
