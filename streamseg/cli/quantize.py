"""`streamseg quantize`: write the network in 8 bits for OpenVINO, and measure what that costs in accuracy."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.terminal import ProgressBar
from streamseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from streamseg.engines.int8_graphs import Accuracy
    from streamseg.engines.openvino_model import OpenVinoModel

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quantize` to the command line."""
    parser = subparsers.add_parser(
        "quantize",
        help="write the network in 8 bits for OpenVINO",
        description="Quantise the network to 8 bits, with ranges measured on images, and write an OpenVINO model: "
        "FILE.xml and FILE.bin. The last layers stay in float. With --check, measure mask AR@100 before and after on "
        "labelled images, and record both: `engine: auto` uses only graphs with a recorded loss of at most 0.01, "
        "which it finds in the cache folder, or as NAME-int8.xml beside the weights NAME.safetensors.",
    )
    parser.add_argument(
        "--weights",
        default="default",
        help="default, FastSAM-s, FastSAM-x, or a .safetensors or .pt file (default %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="calibration images, similar to those that the network will see",
    )
    parser.add_argument(
        "--num-images", type=int, default=32, metavar="N", help="maximum number of them (default %(default)s)"
    )
    parser.add_argument(
        "--imgsz", type=int, help="input size of calibration and check, 32..4096 (default: from the weights)"
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="DATA",
        help="data set in COCO format for the measurement of accuracy; not the one that final results are measured on",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="with --check: use the first N images only")
    parser.add_argument("--out", type=Path, metavar="FILE.xml", help="output file (default: in the cache folder)")
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Quantise, measure, and write both files. A failure writes nothing."""
    _check_arguments(args)
    from streamseg.cli.named_weights import fetch_named
    from streamseg.engines.engine import imgsz_of
    from streamseg.engines.export import export_graph, graph_metadata
    from streamseg.engines.int8_graphs import int8_path
    from streamseg.engines.openvino_model import read_onnx, write_xml
    from streamseg.engines.openvino_quantization import load_nncf, quantize_graph
    from streamseg.engines.quantization import calibration_batches
    from streamseg.weights import load_weights

    load_nncf()  # fail before the weights are fetched
    fetch_named(args.weights)
    weights = load_weights(args.weights)
    imgsz = args.imgsz or imgsz_of(weights.metadata)
    images = calibration_batches(args.images, imgsz, args.num_images)
    out = args.out or int8_path(weights)
    graph = export_graph(weights.network(), metadata=graph_metadata(weights))
    print(f"quantising {weights.path} with {images.num_images} images at {imgsz} px …", flush=True)
    batches = list(images)
    quantized = quantize_graph(graph, batches, path=weights.path)
    metadata = {**quantized.metadata, **_provenance([batch.tobytes() for batch in batches])}
    if args.check is not None:
        accuracy = _measure([read_onnx(graph, path=out), quantized], args.check, args.limit, imgsz)
        metadata |= accuracy.to_metadata()
        _report(accuracy)
    size = write_xml(quantized.model, metadata, out)
    print(f"wrote {out} and {out.with_suffix('.bin').name} ({size / 1e6:.1f} MB, float32: {len(graph) / 1e6:.1f} MB)")
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    if args.out is not None and args.out.suffix != ".xml":
        raise ConfigError(f"--out must end in .xml, got {args.out}")
    if Path(args.weights).suffix in (".onnx", ".xml"):
        raise ConfigError(f"{args.weights} is already a graph; quantise the .safetensors or .pt file it was made from")
    if args.imgsz is not None and not 32 <= args.imgsz <= 4096:
        raise ConfigError(f"--imgsz must be 32..4096, got {args.imgsz}")
    if args.num_images < 1:
        raise ConfigError(f"--num-images must be 1 or more, got {args.num_images}")
    if args.limit is not None and (args.check is None or args.limit < 1):
        raise ConfigError(f"--limit must be 1 or more and requires --check, got {args.limit}")
    if not args.images.is_dir():
        raise DataError(f"no folder {args.images}; calibration requires a folder of images")
    if args.check is not None:
        if not args.check.is_dir():
            raise DataError(f"no folder {args.check}; --check takes a data set in COCO format")
        from streamseg.cli.eval_protocols import require_libraries

        require_libraries()


def _provenance(images: Sequence[bytes]) -> dict[str, str]:
    from streamseg import __version__

    digest = hashlib.sha256()
    for image in images:
        digest.update(image)
    return {"quantized_by": f"streamseg {__version__}", "calibration_sha256": digest.hexdigest()}


def _measure(sources: Sequence[OpenVinoModel], folder: Path, limit: int | None, imgsz: int) -> Accuracy:
    """Return mask AR@100 of the float and the 8-bit graph: of plain masks by raw score, so of the network alone."""
    from streamseg.cli.eval_protocols import PROTOCOLS
    from streamseg.config import SegmentationConfig
    from streamseg.datasets.problems import Problems
    from streamseg.engines.int8_graphs import Accuracy
    from streamseg.engines.openvino_engine import OpenVinoEngine
    from streamseg.evaluation.proposals import evaluate_proposals
    from streamseg.segmentation import Segmenter

    limits = PROTOCOLS["proposals"]
    # More than the objects that count would take longer, and leave the figure as it is.
    config = SegmentationConfig(imgsz=imgsz, conf=limits.conf, iou=limits.iou, max_det=100, masks="plain", scores="raw")
    figures = []
    for source in sources:
        with (
            Segmenter.from_config(config, engine=OpenVinoEngine(source, path=folder)) as segmenter,
            ProgressBar("images") as bar,
        ):
            scores = evaluate_proposals(segmenter, folder, limit=limit, on_image=bar, problems=Problems())
        figures.append((scores.mask.recall[100], scores.num_images))
    (in_float, num_images), (in_int8, _) = figures
    return Accuracy(in_float, in_int8, f"{folder.resolve().name}, {num_images} images, imgsz {imgsz}, plain masks")


def _report(accuracy: Accuracy) -> None:
    from streamseg.engines.int8_graphs import MAX_LOSS

    use = "may use it" if accuracy.is_acceptable else f"does not use it: the limit is {MAX_LOSS:g}"
    print(
        f"mask AR@100 on {accuracy.measured}: float {accuracy.in_float:.4f}, 8 bits {accuracy.in_int8:.4f}, "
        f"loss {accuracy.loss:.4f}; engine auto {use}"
    )
