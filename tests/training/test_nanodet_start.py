"""Conversion of NanoDet-g, with graphs of the same convolutions and random weights."""

import numpy as np
import pytest
import torch
from PIL import Image

from streamseg.errors import DataError, WeightsError
from streamseg.modeling.nanodet import build_nanodet
from streamseg.training.nanodet_start import NUM_BINS, NUM_CLASSES, convert_graph, fit_scores, fold_normalisation, main
from streamseg.weights.tfjs import Node, TfjsGraph

pytestmark = pytest.mark.slow


def graph_of(seed=0, *, num_convolutions=34):
    """A graph with the convolutions of NanoDet-g and random weights, without the operations between them."""
    network = build_nanodet(seed=seed)
    rng = torch.Generator().manual_seed(seed)
    layers = [*network.backbone.modules(), *network.neck.modules()]
    shapes = [tuple(one.weight.shape) for one in layers if isinstance(one, torch.nn.Conv2d)]
    for _ in range(3):
        shapes += [(128, 128, 3, 3), (NUM_CLASSES + 4 * NUM_BINS, 128, 1, 1)]
    tensors, nodes = {}, []
    for index, shape in enumerate(shapes[:num_convolutions]):
        name = f"convolution_{index}" if index else "convolution"
        fan_in = shape[1] * shape[2] * shape[3]
        tensors[f"kernel{index}"] = torch.randn(*shape[2:], shape[1], shape[0], generator=rng) / fan_in**0.5
        tensors[f"bias{index}"] = torch.randn(shape[0], generator=rng)
        nodes.append(Node(name, "Conv2D", ("x", f"kernel{index}"), {}))
        nodes.append(Node(f"Add_{index}", "Add", (name, f"bias{index}"), {}))
    # The order of nodes in a file is not that of the numbers.
    return TfjsGraph(tuple(reversed(nodes)), tensors, ())


@pytest.fixture(scope="module")
def converted():
    return convert_graph(graph_of())


def test_convolutions_are_taken_by_their_number(converted):
    network, predictions = converted
    graph = graph_of()
    kernel = graph.tensors["kernel1"].permute(3, 2, 0, 1)
    assert torch.equal(network.backbone.stages[0].cv1.conv.weight, kernel)
    assert torch.equal(network.towers[2].conv.bias, graph.tensors["bias32"])
    assert torch.equal(predictions[2].bias, graph.tensors["bias33"])


def test_box_bins_are_kept_and_widened(converted):
    network, predictions = converted
    features = torch.rand(1, 128, 4, 4)
    with torch.no_grad():
        wide = network.box[1](features).unflatten(1, (4, 16))
        original = predictions[1](features)[:, NUM_CLASSES:].unflatten(1, (4, NUM_BINS))
    torch.testing.assert_close(wide[:, :, :NUM_BINS], original)
    assert (wide[:, :, NUM_BINS:] < original[:, :, -1:]).all()
    assert (wide[:, :, NUM_BINS:].diff(dim=2) < 0).all()


def test_normalisation_is_folded_into_the_stem():
    network, _ = convert_graph(graph_of())
    images = torch.rand(1, 3, 32, 32)
    mean, std = torch.tensor([103.53, 116.28, 123.675]), torch.tensor([57.375, 57.12, 58.395])
    normalised = (images.flip(1) * 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    with torch.no_grad():
        expected = network.backbone.stem(normalised)
        fold_normalisation(network)
        torch.testing.assert_close(
            network.backbone.stem(images)[..., 1:, 1:], expected[..., 1:, 1:], rtol=1e-4, atol=1e-3
        )


def test_scores_are_fitted_to_the_most_probable_class():
    network, predictions = convert_graph(graph_of())
    for prediction in predictions:
        torch.nn.init.zeros_(prediction.weight[:NUM_CLASSES])
        with torch.no_grad():
            prediction.bias[:NUM_CLASSES] = -6.0
            prediction.weight[5] = 0.3 * torch.randn(128, 1, 1, generator=torch.Generator().manual_seed(1))
            prediction.bias[5] = 0.5
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(2)]
    losses = fit_scores(network, predictions, iter(images))
    assert len(losses) == 3
    with torch.no_grad():
        features = torch.rand(1, 128, 8, 8)
        ours = network.score[0](features).sigmoid()
        theirs = predictions[0](features)[:, :NUM_CLASSES].amax(1, keepdim=True).sigmoid()
    assert float((ours - theirs).abs().mean()) < 0.2


def test_scores_need_images(converted):
    with pytest.raises(DataError, match="at least one image"):
        fit_scores(*converted, iter([]))


def test_other_graph_is_rejected():
    with pytest.raises(WeightsError, match="33 convolutions, but not those of NanoDet-g"):
        convert_graph(graph_of(num_convolutions=33))


def test_missing_graph_is_one_line(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    arguments = [str(tmp_path / "nanodet.json"), "--images", str(tmp_path), "--out", str(tmp_path / "a.safetensors")]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("convert_nanodet: cannot read")
    assert not (tmp_path / "a.safetensors").exists()
