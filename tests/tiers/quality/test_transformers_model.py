"""The promptable models of transformers, with small random weights: their processors, and their export."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamseg.errors import WeightsError
from streamseg.structures.arrays import ImageArray
from streamseg.tiers.quality.decoded import decoded_masks
from streamseg.tiers.quality.export import LARGEST_DIFFERENCE, export_pair
from streamseg.tiers.quality.fits import fit_of, grid_over_canvas, resized
from streamseg.tiers.quality.loading import load_promptable
from streamseg.tiers.quality.model import Decoded, Queries
from streamseg.tiers.quality.onnx_model import OnnxPair
from streamseg.tiers.quality.transformers_model import TransformersModel, load_transformers_model
from tests.support.sam_models import IMAGENET, SIDE, promptable, small_model

pytest.importorskip("transformers", reason="the tiers need transformers")

SIZES = [(90, 160), (160, 90), (100, 100), (33, 300)]


def smooth_image(size: tuple[int, int], seed: int = 0) -> ImageArray:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image: ImageArray = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    return image


def smooth_logits(count: int, side: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, count, 6, 6, generator=generator) * 8
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")[0]


@pytest.mark.parametrize("size", SIZES)
def test_images_are_prepared_as_by_the_processor_of_sam(size: tuple[int, int]):
    module = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    processor = module.SamImageProcessorPil(size={"longest_edge": 256}, pad_size={"height": 256, "width": 256})
    image = smooth_image(size)
    theirs = processor(image, return_tensors="np")
    fit = fit_of(size, "pad", 256)
    assert tuple(int(side) for side in theirs["reshaped_input_sizes"][0]) == fit.inner_size
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in IMAGENET)
    ours = ((resized(image, fit.inner_size) - mean) / std)[0].numpy()
    height, width = fit.inner_size
    expected = theirs["pixel_values"][0][:, :height, :width]
    # PIL rounds after each axis, torch once: one grey level is 0.017 to 0.018.
    assert np.abs(ours - expected).max() < 0.04
    assert np.abs(ours - expected).mean() < 0.003
    assert not theirs["pixel_values"][0][:, height:].any()
    assert not theirs["pixel_values"][0][:, :, width:].any()


@pytest.mark.parametrize("size", SIZES)
def test_masks_return_as_by_the_processor_of_sam(size: tuple[int, int]):
    module = pytest.importorskip("transformers.models.sam.image_processing_pil_sam")
    processor = module.SamImageProcessorPil(pad_size={"height": 256, "width": 256})
    logits = smooth_logits(4, 64)
    fit = fit_of(size, "pad", 256)
    (expected,) = processor.post_process_masks([logits[None]], [size], [fit.inner_size])
    decoded = Decoded(logits[:, None].numpy(), np.full((4, 1), 0.9, np.float32), grid_over_canvas(fit, (64, 64)))
    for better, mask in zip(decoded_masks(decoded, size), expected[0].numpy(), strict=True):
        found = better.mask()
        # They interpolate twice, and so at other places than once: outlines differ, interiors do not.
        assert np.count_nonzero(found != mask) <= 0.01 * mask.size
        shared = np.count_nonzero(found & mask)
        assert shared >= 0.98 * np.count_nonzero(found | mask)


@pytest.mark.parametrize("kind", ["sam", "sam_hq", "sam2"])
def test_boxes_and_points_go_through_the_model_as_they_are(kind: str):
    model = promptable(kind)
    image = smooth_image((48, SIDE))
    embedding = model.encode(image)
    boxes = [(4.0, 6.0, 30.0, 40.0), (20.0, 10.0, 60.0, 44.0)]
    decoded = model.decode(embedding, Queries.of_boxes(boxes))
    fit = fit_of((48, SIDE), model.family.fit, SIDE)
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in IMAGENET)
    pixels = (resized(image, fit.inner_size) - mean) / std
    pixels = torch.nn.functional.pad(pixels, (0, SIDE - fit.inner_size[1], 0, SIDE - fit.inner_size[0]))
    scale = torch.tensor([fit.inner_size[1] / SIDE, fit.inner_size[0] / 48] * 2)
    with torch.inference_mode():
        expected = model.model(pixel_values=pixels, input_boxes=torch.tensor([boxes]) * scale, multimask_output=False)
    np.testing.assert_allclose(decoded.logits, expected.pred_masks[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(decoded.qualities, expected.iou_scores[0].numpy(), atol=1e-4)
    assert decoded.logits.std() > 0.1, "the random model must not be constant"
    points = model.decode(embedding, Queries.of_points(np.array([[10, 10], [30, 30], [50, 20]], dtype=np.float32)))
    assert points.qualities.shape == (3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sam", "sam_hq", "sam2"])
def test_the_exported_pair_equals_torch(kind: str, tmp_path: Path):
    source = promptable(kind, seed=1)
    written = export_pair(source, tmp_path / "pair")
    assert written.difference <= LARGEST_DIFFERENCE == 1e-4
    pair = load_promptable(tmp_path / "pair", device="cpu")
    assert isinstance(pair, OnnxPair)
    image = smooth_image((50, 80), seed=3)
    # More queries than were traced, and points that the export did not see.
    queries = Queries.of_boxes([(4.0 * n, 3.0 * n, 4.0 * n + 20, 3.0 * n + 25) for n in range(5)])
    ours, theirs = (model.decode(model.encode(image), queries) for model in (pair, source))
    scale = max(float(np.abs(theirs.logits).max()), 1.0)
    np.testing.assert_allclose(ours.logits / scale, theirs.logits / scale, atol=1e-4)
    np.testing.assert_allclose(ours.qualities, theirs.qualities, atol=1e-4)
    assert ours.grid_to_image == pytest.approx(theirs.grid_to_image)
    assert json.loads((tmp_path / "pair" / "preprocessor_config.json").read_text())["image_mean"] == list(IMAGENET[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pair"], "nothing is left beside it"


@pytest.mark.slow
def test_a_folder_of_transformers_is_loaded(tmp_path: Path):
    model = small_model("sam")
    model.save_pretrained(tmp_path / "sam")
    (tmp_path / "sam" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}'
    )
    loaded = load_promptable(tmp_path / "sam", device="cpu")
    assert isinstance(loaded, TransformersModel)
    assert (loaded.mean, loaded.side) == ((0.1, 0.2, 0.3), SIDE)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            '{"model_type": "bert"}', "has a model of type 'bert'; promptable models are of type sam, ", id="type"
        ),
        pytest.param("{}", "has no model_type", id="no-type"),
        pytest.param("[]", "must contain a JSON object, got list", id="list"),
        pytest.param("{", "cannot read .*config.json", id="no-json"),
        pytest.param('{"model_type": "sam"}', "cannot load the model in", id="no-weights"),
    ],
)
def test_other_folders(text: str, message: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=message):
        load_transformers_model(tmp_path, device=torch.device("cpu"))
