"""`streamseg export`: write the network for other runtimes, and check that it answers the same."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamseg.errors import ConfigError, EngineError

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
        "boxes, scores, mask coefficients and prototypes out; any batch, and any height and width in multiples of 32.",
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
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare with torch on random pictures, and write the file; all of it or nothing."""
    if args.out.suffix != f".{args.format}":
        raise ConfigError(f"--out must end in .{args.format}, got {args.out}")
    if Path(args.weights).suffix == ".onnx":
        raise ConfigError(
            f"{args.weights} is a graph already: run it as it is with --weights {args.weights}, "
            "or export the .safetensors or .pt file that it was made from"
        )
    if not 32 <= args.imgsz <= 4096:
        raise ConfigError(f"--imgsz must be 32..4096, got {args.imgsz}")
    import numpy as np

    from streamseg.cli.named_weights import fetch_named
    from streamseg.geometry import letterbox
    from streamseg.segmentation.engines import largest_differences
    from streamseg.segmentation.engines.onnx_engine import OnnxEngine
    from streamseg.segmentation.engines.torch_engine import TorchEngine
    from streamseg.segmentation.export import export_graph, graph_metadata
    from streamseg.segmentation.weights import load_weights, write_atomically

    fetch_named(args.weights)
    weights = load_weights(args.weights)
    network = weights.network()
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"exporting {weights.path} ({num_parameters / 1e6:.1f} M parameters) …", flush=True)
    graph = export_graph(network, half=args.half, metadata=graph_metadata(weights))

    height, width = letterbox((720, 1280), args.imgsz).input_size
    print(f"comparing with torch on 2 pictures of {width}x{height} …", flush=True)
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    differences = largest_differences(
        OnnxEngine(graph, path=args.out).run(images), TorchEngine(network, device="cpu").run(images)
    )
    print("largest differences: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    too_far = [name for name, value in differences.items() if value > TOLERANCES[name]]
    if not args.half and too_far:
        limits = ", ".join(f"{name} {TOLERANCES[name]:g}" for name in too_far)
        raise EngineError(
            f"the graph differs from torch by more than allowed ({limits}); {args.out} was not written"
        )

    with write_atomically(args.out) as temporary:
        temporary.write_bytes(graph)
    print(f"wrote {args.out} ({len(graph) / 1e6:.1f} MB)")
    return 0
