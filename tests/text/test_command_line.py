"""Text prompts on the command line, from flags to results."""

import json

import cv2
import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.cli.segment_job import parse_prompts
from streamseg.structures.prompt import PointPrompt, TextPrompt
from streamseg.weights import save_weights
from tests.support.networks import blobs, lively_network
from tests.support.text_encoders import make_encoders

pytestmark = pytest.mark.slow


@pytest.fixture
def segment(tmp_path):
    """Function that runs `streamseg segment` on an image and returns the exit code and the written instances."""
    weights = save_weights(lively_network("n", seed=1).state_dict(), tmp_path / "n.safetensors")
    cv2.imwrite(str(tmp_path / "a.png"), blobs((120, 160), seed=9) // np.array([4, 4, 1], np.uint8))  # BGR: red

    def run(*flags):
        out = tmp_path / "out"
        common = ["--weights", str(weights), "--imgsz", "128", "--conf", "0.4", "--engine", "torch", "--out", str(out)]
        code = main(["segment", str(tmp_path / "a.png"), *common, "--no-overlay", *flags])
        written = out / "instances.json"
        return code, json.loads(written.read_text())["annotations"] if written.exists() else None

    return run


def test_texts_select_objects(segment, tmp_path, capsys):
    encoders = ["--text-encoders", str(make_encoders(tmp_path / "tiny"))]
    _, everything = segment()
    code, selected = segment(*encoders, "--text", "red cup", "--text", "blue cup")
    assert code == 0
    assert 0 < len(selected) <= len(everything)
    assert "text1: no matching object\n" in capsys.readouterr().out
    code, best = segment(*encoders, "--text", "blue cup", "--prompting", "reference")
    assert (code, len(best)) == (0, 1)


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        pytest.param(["--text", "a dog"], "streamseg text export openai/clip-vit-base-patch32", id="none"),
        pytest.param(
            ["--text", "a dog", "--text-encoders", "nowhere"], "there is no folder nowhere", id="missing folder"
        ),
        pytest.param(["--text", ""], "empty text", id="empty"),
        pytest.param(["--text", "x" * 10_000], "10000 characters", id="long"),
    ],
)
def test_fault_is_a_one_line_error_and_writes_nothing(segment, tmp_path, capsys, monkeypatch, flags, fault):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    code, written = segment(*flags)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert (code, written) == (2, None)
    assert fault in line


def test_texts_come_after_points_and_boxes():
    prompts = parse_prompts("[[1, 2]]", None, None, ["a dog", "a cat"])
    assert prompts == (
        PointPrompt("point0", ((1, 2),), (1,)),
        TextPrompt("text0", "a dog"),
        TextPrompt("text1", "a cat"),
    )
