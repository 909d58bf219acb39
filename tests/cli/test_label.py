import json

import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.datasets.coco import annotation_mask, read_images
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network
from tests.support.datasets import coco_folder, compressed
from tests.support.images import rectangle

SIZE = (96, 128)
MASK = rectangle(SIZE, 20, 20, 60, 60)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_weights(lively_network().state_dict(), tmp_path_factory.mktemp("weights") / "lively.safetensors")


@pytest.fixture
def folder(tmp_path):
    pictures = [(blobs(SIZE, seed), [{"segmentation": compressed(MASK)}] * (seed == 0)) for seed in range(2)]
    return coco_folder(tmp_path / "things", pictures)


def label(folder, weights, *arguments):
    options = ["--weights", str(weights), "--imgsz", "128", "--device", "cpu", "--out", str(folder.parent / "out")]
    return main(["label", str(folder), *options, *arguments])


def test_a_folder_is_labelled(folder, weights, capsys):
    assert label(folder, weights, "--min-score", "0.4") == 0
    out = folder.parent / "out"
    before, after = (json.loads((one / "instances.json").read_text())["annotations"] for one in (folder, out))
    assert after[:1] == before
    assert len(after) > 3
    assert capsys.readouterr().out == f"wrote {out}: {len(after) - 1} labels added\n"
    assert all(one["score"] >= 0.4 for one in after[1:])
    for picture in read_images(out):
        masks = [annotation_mask(one, picture.size).full(SIZE) for one in picture.annotations]
        assert np.sum(masks, axis=0).max() == 1


def test_nothing_is_sure_enough(folder, weights, capsys):
    assert label(folder, weights, "--min-score", "1") == 0
    assert ": 0 labels added" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--min-score", "1.5"], "--min-score must be 0 to 1, got 1.5", id="score"),
        pytest.param(["--max-overlap", "-1"], "--max-overlap must be 0 to 1, got -1.0", id="overlap"),
        pytest.param(["--min-score", "nan"], "--min-score must be 0 to 1, got nan", id="nan"),
        pytest.param(["--weights", "nowhere.safetensors"], "nowhere.safetensors", id="weights"),
    ],
)
def test_a_mistake_is_told_in_a_line(folder, weights, capsys, arguments, says):
    assert label(folder, weights, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (folder.parent / "out").exists()


def test_a_folder_that_is_none(tmp_path, weights, capsys):
    assert label(tmp_path / "nowhere", weights) == 2
    assert "is not a COCO-format folder" in capsys.readouterr().err
