import json

import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.datasets.coco import annotation_mask, read_images
from streamseg.weights import save_weights
from tests.support.datasets import coco_folder, compressed
from tests.support.images import rectangle
from tests.support.networks import blobs, lively_network

SIZE = (96, 128)
MASK = rectangle(SIZE, 20, 20, 60, 60)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_weights(lively_network().state_dict(), tmp_path_factory.mktemp("weights") / "lively.safetensors")


@pytest.fixture
def folder(tmp_path):
    images = [(blobs(SIZE, seed), [{"segmentation": compressed(MASK)}] * (seed == 0)) for seed in range(2)]
    return coco_folder(tmp_path / "things", images)


def label(folder, weights, *arguments):
    options = ["--weights", str(weights), "--imgsz", "128", "--device", "cpu", "--out", str(folder.parent / "out")]
    return main(["label", str(folder), *options, *arguments])


@pytest.mark.slow
def test_folder_is_labelled(folder, weights, capsys):
    assert label(folder, weights, "--min-score", "0.4") == 0
    out = folder.parent / "out"
    before, after = (json.loads((one / "instances.json").read_text())["annotations"] for one in (folder, out))
    assert after[:1] == before
    assert len(after) > 3
    assert capsys.readouterr().out == f"wrote {out}: {len(after) - 1} labels added\n"
    assert all(one["score"] >= 0.4 for one in after[1:])
    for image in read_images(out):
        masks = [annotation_mask(one, image.size).full(SIZE) for one in image.annotations]
        assert np.sum(masks, axis=0).max() == 1


@pytest.mark.slow
def test_no_detection_above_the_score_threshold(folder, weights, capsys):
    assert label(folder, weights, "--min-score", "1") == 0
    assert ": 0 labels added" in capsys.readouterr().out


@pytest.mark.slow
def test_unusable_image_and_annotation_are_skipped(folder, weights, capsys, caplog):
    (folder / "images" / "002.png").write_bytes(b"no image")
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"][0]["segmentation"] = []
    (folder / "instances.json").write_text(json.dumps(content))
    assert label(folder, weights, "--strict") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert label(folder, weights, "--min-score", "0.4") == 0
    assert capsys.readouterr().out.startswith("1 image, 1 annotation skipped")
    assert "002.png is missing or unreadable" in caplog.text
    labels = json.loads((folder.parent / "out" / "instances.json").read_text())["annotations"]
    assert {one["image_id"] for one in labels} == {1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--min-score", "1.5"], "--min-score must be 0 to 1, got 1.5", id="score"),
        pytest.param(["--max-overlap", "-1"], "--max-overlap must be 0 to 1, got -1.0", id="overlap"),
        pytest.param(["--min-score", "nan"], "--min-score must be 0 to 1, got nan", id="nan"),
        pytest.param(["--weights", "nowhere.safetensors"], "nowhere.safetensors", id="weights"),
    ],
)
def test_mistakes_are_one_line(folder, weights, capsys, arguments, message):
    assert label(folder, weights, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder.parent / "out").exists()


@pytest.mark.slow
def test_missing_folder(tmp_path, weights, capsys):
    assert label(tmp_path / "nowhere", weights) == 2
    assert "is not a COCO-format folder" in capsys.readouterr().err
