"""`streamseg export`: write the network as an ONNX graph, and compare its outputs with torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.errors import ConfigError, EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from streamseg.engines import Raw
    from streamseg.engines.quantization import CalibrationBatches
    from streamseg.modeling.nms import NmsSettings

__all__ = ["add_parser", "run"]

TOLERANCES = {"boxes": 1e-2, "scores": 1e-3, "mask_coefficients": 1e-3, "prototypes": 1e-3, "embeddings": 1e-3}
"""Maximum differences from torch in float32, as `Segmenter` guarantees them; boxes in pixels of the input. Float32
determines boxes no better: folding the batch norms alone changes a network's boxes by 1e-3 pixels."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as an ONNX graph",
        description="Write preprocessing, network and decoding as one graph. Input: uint8 (batch, height, width, 3) "
        "RGB, with any batch size, and any height and width in multiples of 32. Outputs: boxes, scores, mask "
        "coefficients and prototypes. With --nms, the graph outputs the best objects only, with complete masks, so "
        "that prompts need nothing but NumPy.",
    )
    parser.add_argument(
        "--weights",
        default="default",
        help="default, FastSAM-s, FastSAM-x, or a .safetensors or .pt file (default %(default)s)",
    )
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="output format (default %(default)s)")
    parser.add_argument("--half", action="store_true", help="half precision (for GPUs)")
    parser.add_argument(
        "--imgsz", type=int, default=640, help="input size of the comparison with torch, 32..4096 (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="output file")
    parser.add_argument(
        "--nms",
        action="store_true",
        help="include non-maximum suppression and masks: adds the outputs mask_logits (batch, N, height/4, width/4) "
        "and num_objects (batch,), with N = --max-det rows; rows after the last object are zero",
    )
    parser.add_argument("--conf", type=float, help="with --nms: score threshold, 0..1 (default 0.25)")
    parser.add_argument("--iou", type=float, help="with --nms: maximum IoU of two boxes, 0..1 (default 0.7)")
    parser.add_argument("--max-det", type=int, metavar="N", help="with --nms: rows per image, 1..3000 (default 100)")
    parser.add_argument(
        "--int8-calibration",
        type=Path,
        metavar="FOLDER",
        help="experimental: quantise the convolutions to 8 bits, with ranges measured on the images in this folder",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=64,
        metavar="N",
        help="with --int8-calibration: maximum number of images to use (default %(default)s)",
    )
    # The former name.
    parser.add_argument(
        "--calibration-pictures",
        type=int,
        dest="calibration_images",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare with torch on synthetic images, and write the file. A failure writes nothing."""
    if args.out.suffix != f".{args.format}":
        raise ConfigError(f"--out must end in .{args.format}, got {args.out}")
    if Path(args.weights).suffix == ".onnx":
        raise ConfigError(
            f"{args.weights} is already a graph; use it with --weights {args.weights}, "
            "or export the .safetensors or .pt file that it was made from"
        )
    if not 32 <= args.imgsz <= 4096:
        raise ConfigError(f"--imgsz must be 32..4096, got {args.imgsz}")
    suppression = _suppression(args)
    if args.half and args.int8_calibration is not None:
        raise ConfigError("--half and --int8-calibration are mutually exclusive; omit one of them")
    from streamseg.cli.named_weights import fetch_named
    from streamseg.engines import largest_differences
    from streamseg.engines.export import export_graph, graph_metadata
    from streamseg.engines.onnx_engine import OnnxEngine
    from streamseg.engines.torch_engine import TorchEngine
    from streamseg.geometry import letterbox
    from streamseg.weights import load_weights, write_atomically

    batches = None
    if args.int8_calibration is not None:
        from streamseg.engines.quantization import calibration_batches

        batches = calibration_batches(args.int8_calibration, args.imgsz, args.calibration_images)
    fetch_named(args.weights)
    weights = load_weights(args.weights)
    network = weights.network()
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"exporting {weights.path} ({num_parameters / 1e6:.1f} M parameters) …", flush=True)
    metadata = graph_metadata(weights)
    graph = export_graph(network, half=args.half, metadata=metadata)

    height, width = letterbox((720, 1280), args.imgsz).input_size
    print(f"comparing with torch on 2 images of {width}x{height} …", flush=True)
    images = _synthetic_images(2, height, width)
    raw = OnnxEngine(graph, path=args.out).run(images)
    differences = largest_differences(raw, TorchEngine(network, device="cpu").run(images))
    print("largest differences: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    too_far = [name for name, value in differences.items() if value > TOLERANCES[name]]
    if not args.half and too_far:
        limits = ", ".join(f"{name} {TOLERANCES[name]:g}" for name in too_far)
        raise EngineError(f"the graph differs from torch by more than allowed ({limits}); {args.out} was not written")
    if suppression is not None:
        graph = export_graph(network, half=args.half, suppression=suppression, metadata=metadata)
        _check_suppression(graph, images, raw, suppression, args.out)
    if batches is not None:
        graph = _quantized(graph, batches, args)

    with write_atomically(args.out) as temporary:
        temporary.write_bytes(graph)
    print(f"wrote {args.out} ({len(graph) / 1e6:.1f} MB)")
    return 0


def _synthetic_images(count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return uint8 (count, height, width, 3): overlapping discs of plain colours on noise.

    A trained network detects nothing in pure noise, which would leave suppression without input.
    """
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(96, 160, (count, height, width, 3), dtype=np.uint8)
    for image in images:
        for _ in range(12):
            centre = int(rng.integers(0, width)), int(rng.integers(0, height))
            radius = int(rng.integers(height // 16 + 1, height // 4 + 2))
            cv2.circle(image, centre, radius, rng.integers(0, 256, 3).tolist(), cv2.FILLED, cv2.LINE_AA)
    return images


def _suppression(args: argparse.Namespace) -> NmsSettings | None:
    """Return the requested thresholds; None without --nms."""
    given = {name: getattr(args, name) for name in ("conf", "iou", "max_det") if getattr(args, name) is not None}
    if not args.nms:
        if given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(f"{options} require{'s' * (len(given) == 1)} --nms; without it, all anchors are output")
        return None
    from streamseg.modeling.nms import NmsSettings

    return NmsSettings(**given)


def _check_suppression(
    graph: bytes, images: npt.NDArray[np.uint8], plain: Raw, suppression: NmsSettings, out: Path
) -> None:
    """Compare the graph's rows with those that suppression on the host selects from the plain graph's output."""
    import torch

    from streamseg.engines import Raw, largest_differences
    from streamseg.engines.onnx_engine import OnnxEngine
    from streamseg.modeling.decoding import DecodedPredictions
    from streamseg.modeling.nms import apply_nms

    arrays = (plain.boxes, plain.scores, plain.mask_coefficients, plain.prototypes)
    expected = apply_nms(DecodedPredictions(*map(torch.from_numpy, arrays)), suppression)
    selected = Raw(*(array.numpy() for array in expected[:4]))
    differences = largest_differences(OnnxEngine(graph, path=out).run(images), selected)
    print(
        f"built-in suppression selects {int(expected.num_objects.sum())} objects, largest differences: "
        + ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    )
    if any(value > TOLERANCES[name] for name, value in differences.items()):
        raise EngineError(f"the graph's suppression selects other rows than the host's; {out} was not written")


def _quantized(graph: bytes, batches: CalibrationBatches, args: argparse.Namespace) -> bytes:
    """Return the graph in 8 bits, and report the loss of accuracy without judging it."""
    from streamseg.engines.onnx_engine import OnnxEngine
    from streamseg.engines.quantization import agreement, calibration_batches, quantize

    print(f"calibrating 8 bits with {batches.num_images} images (experimental) …", flush=True)
    rounded = quantize(graph, batches)
    engines = [OnnxEngine(contents, path=args.out) for contents in (graph, rounded)]
    images = calibration_batches(args.int8_calibration, args.imgsz, 8)
    found = agreement((engine.run(image) for engine in engines) for image in images)
    print(
        f"8 bits on {images.num_images} images: {found.num_matched} of {found.num_objects} objects matched, "
        f"median differences: boxes {found.box_difference_px:.1e}, scores {found.score_difference:.1e}; "
        f"{len(rounded) / len(graph):.0%} of the size"
    )
    return rounded
