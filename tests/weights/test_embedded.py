from pathlib import Path

import numpy as np
import pytest

from streamseg.cli.main import main
from streamseg.engines.engine import imgsz_of
from streamseg.errors import WeightsError
from streamseg.evaluation.overlap import mask_ious
from streamseg.segmentation import Segmenter
from streamseg.segmentation.masks import instance_masks
from streamseg.synthetic import SceneRenderer
from streamseg.weights import embedded, load_weights
from streamseg.weights.embedded import DEFAULT, DEFAULT_IS, EMBEDDED, embedded_path
from streamseg.weights.resolve import find_weights
from tests.support.paths import PACKAGE

FILES = sorted(path.stem for path in (PACKAGE / "assets").glob("*.safetensors"))
MAX_BYTES = 9e6
"""Largest accepted size of one file, in half precision."""


def test_every_file_of_the_package_has_a_name_and_default_is_one_of_them():
    assert sorted(name for name in EMBEDDED if name != DEFAULT) == FILES
    assert DEFAULT_IS in FILES
    assert embedded_path(DEFAULT) == embedded_path(DEFAULT_IS)


@pytest.mark.parametrize("name", EMBEDDED)
def test_weights_are_complete(name):
    path = find_weights(name)
    assert isinstance(path, Path)
    assert path.stat().st_size < MAX_BYTES
    weights = load_weights(name)
    network, refiner = weights.network(), weights.refiner()
    assert network.config.num_classes == 1
    assert refiner is not None
    assert imgsz_of(weights.metadata) % 32 == 0


@pytest.mark.parametrize("name", FILES)
def test_default_is_switched_by_one_constant(name, monkeypatch):
    monkeypatch.setattr(embedded, "DEFAULT_IS", name)
    assert load_weights().sha256 == load_weights(name).sha256


def test_model_card_describes_every_file():
    text = (PACKAGE / "assets" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert [name for name in FILES if f"# {name}.safetensors\n" not in text] == []


def test_missing_file_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match=r"has no embedded weights 'default' \(.*safetensors is missing\)") as caught:
        embedded_path("default")
    assert "\n" not in str(caught.value)


def test_doctor_names_the_default(capsys):
    main(["doctor"])
    assert f"embedded, {DEFAULT_IS}, " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_large_objects_of_a_scene_are_found(name):
    renderer = SceneRenderer(640, 360, seed=3)
    with Segmenter(name, device="cpu", engine="torch") as segmenter:
        best = []
        for frame in range(0, 90, 30):
            truth = renderer.truth(frame)
            masks = [
                one for one, is_part in zip(truth.masks, truth.is_part, strict=True) if one.area > 4000 and not is_part
            ]
            found = instance_masks(segmenter([renderer.render(frame)])[0])
            best += mask_ious(found, masks, np.zeros(len(masks), np.bool_)).max(axis=0).tolist()
    assert len(best) >= 6
    assert np.median(best) > 0.7
    assert np.mean(np.array(best) > 0.5) > 0.8
