"""The pairs of ONNX graphs of several exporters: the image enters and the mask returns at the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from streamseg.errors import WeightsError
from streamseg.tiers.model_folder import IMAGENET_MEAN, IMAGENET_STD
from streamseg.tiers.quality.decoded import decoded_masks
from streamseg.tiers.quality.loading import find_pair, load_promptable
from streamseg.tiers.quality.model import Queries
from streamseg.tiers.quality.onnx_model import OnnxPair
from streamseg.tiers.quality.onnx_variants import VARIANTS
from tests.support.sam_graphs import CANVAS, Signature, write_pair

BY_NAME = {variant.name: variant for variant in VARIANTS}
SAM, HQ, SAM2, EFFICIENT, EDGE = (BY_NAME[name] for name in ("sam", "hq-sam", "sam2", "efficient-sam", "edge-sam"))

EXPORTERS = [
    pytest.param(Signature(SAM, num_candidates=4, is_batched=True), id="streamseg"),
    pytest.param(Signature(SAM), id="segment-anything-low-resolution"),
    pytest.param(Signature(SAM, has_size=True), id="segment-anything-at-the-size-of-the-image"),
    pytest.param(Signature(SAM, embedding_name="output"), id="encoder-with-another-name"),
    pytest.param(Signature(SAM, is_interleaved=True, canvas=None), id="samexporter-with-preprocessing"),
    pytest.param(Signature(SAM, is_interleaved=True, canvas=(40, CANVAS)), id="samexporter-fixed-canvas"),
    pytest.param(Signature(HQ, num_candidates=3), id="hq-sam"),
    pytest.param(Signature(SAM2, is_batched=True, num_candidates=3), id="sam2-samexporter"),
    pytest.param(Signature(SAM2, has_size=True), id="sam2-at-the-requested-size"),
    pytest.param(
        Signature(EFFICIENT, canvas=None, has_size=True, is_batched=True, num_candidates=3), id="efficient-sam"
    ),
    pytest.param(Signature(EDGE, num_candidates=4), id="edge-sam"),
]


@pytest.mark.slow
@pytest.mark.parametrize("signature", EXPORTERS)
def test_an_image_enters_and_its_boxes_return(signature: Signature, tmp_path: Path):
    model = OnnxPair(*write_pair(tmp_path / "pair", signature))
    image = np.full((90, 160, 3), (200, 100, 50), dtype=np.uint8)
    embedding = model.encode(image)
    # Half of the image is padding or not, by the variant: the mean colour tells.
    mean = np.asarray(embedding.tensors[model.variant.embeddings[0]]).reshape(3)
    if signature.is_interleaved:
        share = 1.0 if signature.canvas is None else 36 / 40
        expected = np.array([200, 100, 50]) * share
    elif signature.variant is EFFICIENT:
        expected = np.array([200, 100, 50]) / 255
    else:
        share = 1.0 if signature.variant.fit == "stretch" else 36 / CANVAS
        expected = (np.array([200, 100, 50]) / 255 - IMAGENET_MEAN) / IMAGENET_STD * share
    np.testing.assert_allclose(mean, expected, rtol=2e-3)  # half a million float32 are added
    boxes = [(40.0, 20.0, 120.0, 70.0), (0.0, 0.0, 160.0, 90.0)]
    for box, found in zip(
        boxes, decoded_masks(model.decode(embedding, Queries.of_boxes(boxes)), (90, 160)), strict=True
    ):
        # A cell of the grid is 10 pixels wide: outlines are off by half of it at most.
        assert np.abs(np.array(found.mask.crop_box) - box).max() <= 5.5
    qualities = model.decode(embedding, Queries.of_boxes(boxes)).qualities
    assert len(qualities) == 2
    points = model.decode(embedding, Queries.of_points(np.array([[80, 45]], dtype=np.float32)))
    assert points.logits.shape[:2] == points.qualities.shape
    # Of four candidates the first one is for boxes, the others are for points.
    assert (qualities.shape[1], points.qualities.shape[1]) == {1: (1, 1), 3: (3, 3), 4: (1, 3)}[
        signature.num_candidates
    ]


def renamed(path: Path, old: str, new: str) -> None:
    graph = onnx.load(path)
    for port in [*graph.graph.input, *graph.graph.output]:
        if port.name == old:
            port.name = new
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    onnx.save(graph, path)


@pytest.mark.slow
def test_anything_else_is_refused(tmp_path: Path):
    encoder, decoder = write_pair(tmp_path / "sam", Signature(SAM))
    _, other = write_pair(tmp_path / "sam2", Signature(SAM2))
    with pytest.raises(WeightsError, match=r"is not a supported mask decoder: it has the inputs image and the outputs"):
        OnnxPair(decoder.with_name("encoder.onnx"), encoder)
    with pytest.raises(
        WeightsError, match=r"is not the encoder of .*: it has the outputs image_embeddings; .*image_embed"
    ):
        OnnxPair(encoder, other)
    with pytest.raises(WeightsError, match=r"not a supported image encoder: it has the inputs .*expected one input"):
        OnnxPair(_with_encoder_input(tmp_path, [1, 4, 8, 8]), decoder)
    with pytest.raises(WeightsError, match=r"cannot read .*nowhere"):
        OnnxPair(tmp_path / "nowhere.onnx", decoder)
    with pytest.raises(WeightsError, match=r"cannot read .*nowhere"):
        OnnxPair(encoder, tmp_path / "nowhere.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="not a usable ONNX graph"):
        OnnxPair(encoder, tmp_path / "broken.onnx")
    renamed(decoder, "point_coords", "points")
    with pytest.raises(WeightsError, match="expected the inputs image_embeddings, point_coords, point_labels"):
        OnnxPair(encoder, decoder)


def _with_encoder_input(folder: Path, shape: list[int]) -> Path:
    values = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    output = onnx.helper.make_tensor_value_info("image_embeddings", onnx.TensorProto.FLOAT, shape)
    node = onnx.helper.make_node("Identity", ["image"], ["image_embeddings"])
    graph = onnx.helper.make_graph([node], "encoder", [values], [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "four.onnx")
    return folder / "four.onnx"


@pytest.mark.slow
def test_a_fixed_number_of_points_is_refused(tmp_path: Path):
    encoder, decoder = write_pair(tmp_path, Signature(EFFICIENT, canvas=None, has_size=True, is_batched=True))
    graph = onnx.load(decoder)
    for port, axis in zip(graph.graph.input[1:3], (2, 2), strict=True):
        port.type.tensor_type.shape.dim[axis].dim_value = 1
    onnx.save(graph, decoder)
    with pytest.raises(
        WeightsError, match=r"takes 1 point per object only .*export it with a dynamic number of points"
    ):
        OnnxPair(encoder, decoder)


@pytest.mark.slow
def test_two_graphs_of_different_models_are_refused(tmp_path: Path):
    _, decoder = write_pair(tmp_path / "sam", Signature(SAM))
    with pytest.raises(
        WeightsError, match=r"has shape \[1, 3, 8, 8\], and the decoder needs image_embeddings of shape"
    ):
        OnnxPair(_with_encoder_input(tmp_path, [1, 3, 8, 8]), decoder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["encoder.onnx"], "must have one ONNX graph whose name contains encoder and one", id="one"),
        pytest.param(["a.onnx", "b.onnx"], "got a.onnx, b.onnx", id="other-names"),
        pytest.param(["x_encoder.onnx", "y_encoder.onnx", "decoder.onnx"], "must have one", id="two-encoders"),
    ],
)
def test_folders_without_a_pair(names: list[str], message: str, tmp_path: Path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsError, match=message):
        find_pair(tmp_path)


def test_a_folder_with_a_pair_of_any_names(tmp_path: Path):
    for name in ("mobile_sam.encoder.onnx", "mobile_sam.decoder.onnx"):
        (tmp_path / name).write_bytes(b"")
    assert find_pair(tmp_path) == (tmp_path / "mobile_sam.encoder.onnx", tmp_path / "mobile_sam.decoder.onnx")


def test_an_empty_folder_and_a_file(tmp_path: Path):
    with pytest.raises(WeightsError, match="has no promptable model; it needs two ONNX graphs"):
        load_promptable(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="is not a folder"):
        load_promptable(path)


def test_variants_are_told_apart():
    inputs = [frozenset(variant.inputs) for variant in VARIANTS]
    assert len(set(inputs)) == len(inputs)
