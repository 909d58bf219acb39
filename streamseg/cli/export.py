"""`streamseg export`: write the network for other runtimes, and check that it answers the same."""

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

TOLERANCES = {"boxes": 1e-2, "scores": 1e-3, "mask_coefficients": 1e-3, "prototypes": 1e-3}
"""The largest differences from torch in float32, as `Segmenter` promises them; boxes in pixels of the input. Float32
does not fix boxes better: a network differs from itself by 1e-3 pixels when its batch norms are folded."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write the network as an ONNX graph",
        description="Writes preprocessing, network and decoding as one graph: uint8 (batch, height, width, 3) RGB in, "
        "boxes, scores, mask coefficients and prototypes out; any batch, and any height and width in multiples of 32. "
        "With --nms the best objects alone come out, with whole masks: prompts then need no more than NumPy.",
    )
    parser.add_argument(
        "--weights",
        default="default",
        help="default, FastSAM-s, FastSAM-x, or a .safetensors or .pt file (default %(default)s)",
    )
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="default %(default)s")
    parser.add_argument("--half", action="store_true", help="compute in half precision (for GPUs)")
    parser.add_argument(
        "--imgsz", type=int, default=640, help="input that the answers are compared at (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="where to write")
    parser.add_argument(
        "--nms",
        action="store_true",
        help="non-maximum suppression and masks inside: also gives mask_logits (batch, N, height/4, width/4) and "
        "num_objects (batch,), with N = --max-det rows, zeros behind the last object",
    )
    parser.add_argument("--conf", type=float, help="with --nms: objects score more than this, 0..1 (default 0.25)")
    parser.add_argument("--iou", type=float, help="with --nms: boxes overlap by no more than this, 0..1 (default 0.7)")
    parser.add_argument("--max-det", type=int, metavar="N", help="with --nms: rows per picture, 1..3000 (default 100)")
    parser.add_argument(
        "--int8-calibration",
        type=Path,
        metavar="FOLDER",
        help="experimental: round the convolutions to 8 bits, with the ranges that pictures of this folder show",
    )
    parser.add_argument(
        "--calibration-pictures",
        type=int,
        default=64,
        metavar="N",
        help="with --int8-calibration: the most pictures that are taken (default %(default)s)",
    )
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare with torch on drawn pictures, and write the file; all of it or nothing."""
    if args.out.suffix != f".{args.format}":
        raise ConfigError(f"--out must end in .{args.format}, got {args.out}")
    if Path(args.weights).suffix == ".onnx":
        raise ConfigError(
            f"{args.weights} is a graph already: run it as it is with --weights {args.weights}, "
            "or export the .safetensors or .pt file that it was made from"
        )
    if not 32 <= args.imgsz <= 4096:
        raise ConfigError(f"--imgsz must be 32..4096, got {args.imgsz}")
    suppression = _suppression(args)
    if args.half and args.int8_calibration is not None:
        raise ConfigError("--half and --int8-calibration exclude each other: leave one away")
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
    print(f"comparing with torch on 2 pictures of {width}x{height} …", flush=True)
    images = _pictures(2, height, width)
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


def _pictures(count: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Discs of plain colours, some over others, on noise: uint8 (count, height, width, 3).

    In noise alone a trained network finds nothing, and suppression would have nothing to choose from.
    """
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    pictures = rng.integers(96, 160, (count, height, width, 3), dtype=np.uint8)
    for picture in pictures:
        for _ in range(12):
            centre = int(rng.integers(0, width)), int(rng.integers(0, height))
            radius = int(rng.integers(height // 16 + 1, height // 4 + 2))
            cv2.circle(picture, centre, radius, rng.integers(0, 256, 3).tolist(), cv2.FILLED, cv2.LINE_AA)
    return pictures


def _suppression(args: argparse.Namespace) -> NmsSettings | None:
    """The thresholds asked for."""
    given = {name: getattr(args, name) for name in ("conf", "iou", "max_det") if getattr(args, name) is not None}
    if not args.nms:
        if given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigError(f"{options} need{'s' * (len(given) == 1)} --nms: without it, every anchor comes out")
        return None
    from streamseg.modeling.nms import NmsSettings

    return NmsSettings(**given)


def _check_suppression(
    graph: bytes, images: npt.NDArray[np.uint8], plain: Raw, suppression: NmsSettings, out: Path
) -> None:
    """Hold the graph's rows to those that are chosen from the plain graph's on the host."""
    import torch

    from streamseg.engines import Raw, largest_differences
    from streamseg.engines.onnx_engine import OnnxEngine
    from streamseg.modeling.decoding import DecodedPredictions
    from streamseg.modeling.nms import apply_nms

    arrays = (plain.boxes, plain.scores, plain.mask_coefficients, plain.prototypes)
    wanted = apply_nms(DecodedPredictions(*map(torch.from_numpy, arrays)), suppression)
    chosen = Raw(*(array.numpy() for array in wanted[:4]))
    differences = largest_differences(OnnxEngine(graph, path=out).run(images), chosen)
    print(
        f"suppression inside lets {int(wanted.num_objects.sum())} objects through, apart by "
        + ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
    )
    if any(value > TOLERANCES[name] for name, value in differences.items()):
        raise EngineError(f"the graph's suppression keeps other rows than the host's; {out} was not written")


def _quantized(graph: bytes, batches: CalibrationBatches, args: argparse.Namespace) -> bytes:
    """The graph in 8 bits; what that costs is told, not judged."""
    from streamseg.engines.onnx_engine import OnnxEngine
    from streamseg.engines.quantization import agreement, calibration_batches, quantize

    print(f"calibrating 8 bits with {batches.num_images} pictures (experimental) …", flush=True)
    rounded = quantize(graph, batches)
    engines = [OnnxEngine(contents, path=args.out) for contents in (graph, rounded)]
    pictures = calibration_batches(args.int8_calibration, args.imgsz, 8)
    found = agreement((engine.run(picture) for engine in engines) for picture in pictures)
    print(
        f"8 bits on {pictures.num_images} pictures: {found.num_matched} of {found.num_objects} objects found again, "
        f"median differences: boxes {found.box_difference_px:.1e}, scores {found.score_difference:.1e}; "
        f"{len(rounded) / len(graph):.0%} of the size"
    )
    return rounded
