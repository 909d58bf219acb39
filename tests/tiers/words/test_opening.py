"""The text matcher of a configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamseg.config import TextConfig
from streamseg.errors import ConfigError, StreamsegError, WeightsError
from streamseg.fastsam.mode import FastSAMMode
from streamseg.pipeline.mode import StreamsegMode
from streamseg.text import TextSelector
from streamseg.tiers.words import DetectorMatcher
from streamseg.tiers.words.opening import open_text_matcher
from tests.support.detector_graphs import graph


@pytest.mark.parametrize("model", ["clip", "siglip2"])
def test_encoders(model: str):
    matcher = StreamsegMode().text_matcher(TextConfig(model=model))
    assert isinstance(matcher, TextSelector)
    with pytest.raises(WeightsError, match=r"text.(siglip2|default)"):
        matcher.prepare()


@pytest.mark.parametrize(("every_object", "every"), [(False, 7), (True, 1)])
def test_a_folder_of_a_detector(tmp_path: Path, every_object: bool, every: int):
    outputs = {"scores": np.zeros((1, 1, 1), np.float32), "boxes": np.zeros((1, 1, 4), np.float32)}
    (tmp_path / "model.onnx").write_bytes(graph({"images": (1, 3, 32, 32)}, outputs))
    (tmp_path / "classes.txt").write_text("cat\n")
    config = TextConfig(model=str(tmp_path), every=7, device="cpu", threshold=0.4)
    matcher = open_text_matcher(config, every_object=every_object)
    assert isinstance(matcher, DetectorMatcher)
    assert (matcher.every, matcher.threshold) == (every, 0.4)
    assert matcher.prepare().unknown(["dog"]) == "model.onnx does not know 'dog'; its classes are cat"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("yolo-wrld", "did you mean yolo-world", id="misspelt"),
        pytest.param("mobile-sam", "must be a folder or one of", id="of-another-tier"),
        pytest.param("omdet-turbo", "hf download", id="not-installed"),
    ],
)
def test_models_that_cannot_be_opened(model: str, message: str):
    with pytest.raises(StreamsegError, match=message) as caught:
        open_text_matcher(TextConfig(model=model)).prepare()
    assert "\n" not in str(caught.value)


def test_fastsam_mode_has_no_detectors():
    with pytest.raises(ConfigError, match=r"set text\.model to clip, got 'sam3'"):
        FastSAMMode(retina_masks=True).text_matcher(TextConfig(model="sam3"))
