"""Measure time and memory of a frame, from image to all masks, compared with Ultralytics FastSAM.

python -m benchmarks.versus_ultralytics [--setup | --peer-python PYTHON] [--imgsz 640] [--size s] [--int8]

Both load the same file of seeded weights in the official format and use the same images, thresholds and number of
threads. A frame goes from an image in memory to boxes, scores and all masks at the image's size (`retina_masks=True` in
Ultralytics). Each program runs in its own process; they alternate frame by frame in a shuffled order. Masks have the
form that each program returns: crops in streamseg, one array (K, H, W) in Ultralytics; `stacked` is streamseg with that
array built as well. `network` is the time reported by each program (including decoding), `rest` everything else.

Memory is the peak resident size during a frame (ru_maxrss, reset before each) above the baseline: the resident size
after a warm-up on a tiny image, with the weights loaded. The peer requires its own environment, which `--setup` creates
once (benchmarks/peers/ultralytics/requirements.txt).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.harness import Timing, parser, report
from benchmarks.peers.client import ROOT, Child, set_up
from benchmarks.peers.server import Frame
from streamseg.engines.export import export_graph
from streamseg.engines.openvino_model import write_xml
from streamseg.engines.openvino_quantization import quantize_graph
from streamseg.engines.torch_engine import TorchEngine
from streamseg.geometry import letterbox
from streamseg.modeling.network import Network
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.segmentation import Segmenter
from streamseg.structures.instances import Instances
from streamseg.weights import load_weights
from tests.golden.reference import seeded_weights
from tests.support.checkpoints import official_checkpoint

ENVIRONMENT = ROOT / "build" / "peers" / "ultralytics"
REQUIREMENTS = ROOT / "benchmarks" / "peers" / "ultralytics" / "requirements.txt"

IMAGE_SIZES = ((720, 1280), (1080, 1920))
IOU, MAX_DET = 0.7, 300
BINS = {"s": 16, "x": 26}
"""Number of bins per box side in the published files."""
BOX_DECAY = 0.2
"""Decrease in logits from bin to bin of a box side: with 16 bins, boxes cover about 5 % of the frame on average. The
cost of our masks grows with their boxes; the cost of the peer's masks grows with the frame, regardless of the boxes."""
SLACK = 3
"""Maximum deviation of the number of objects, to place the threshold in the widest gap between scores."""
SAME_SCORE = 0.001
"""Maximum score difference of objects of both programs that may be the same object."""

PEER, STACKED = "ultralytics", "streamseg onnx, stacked"
SIDES = {PEER: (PEER, False), "streamseg torch": ("torch", False), "streamseg onnx": ("onnx", False)}
SIDES[STACKED] = ("onnx", True)
"""Process and whether masks are stacked, by name in the table."""
INT8 = "openvino int8"
INT8_SIDES = {f"streamseg {INT8}": (INT8, False), f"streamseg {INT8}, stacked": (INT8, True)}
"""The same with `--int8`."""


@dataclass(frozen=True)
class Candidate:
    """Measurements of one program in one case."""

    total_ms: Timing
    network_ms: float
    """Median time of the network."""
    rest_ms: float
    """Median time outside the network."""
    peak_mb: float
    """Maximum over all frames."""
    num_objects: int

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Candidate:
        """Summarise single frames."""
        counts = {frame.num_objects for frame in frames}
        if len(counts) != 1:
            raise RuntimeError(f"the same image gave different numbers of objects: {sorted(counts)}")
        return cls(
            total_ms=Timing.of([frame.total_ms / 1000 for frame in frames]),
            network_ms=round(float(np.median([frame.network_ms for frame in frames])), 1),
            rest_ms=round(float(np.median([frame.total_ms - frame.network_ms for frame in frames])), 1),
            peak_mb=max(frame.peak_mb for frame in frames),
            num_objects=counts.pop(),
        )


def ratios(candidates: Mapping[str, Candidate]) -> dict[str, dict[str, float]]:
    """Return the ratio of the peer's figure to the candidate's, by candidate and figure."""
    peer = candidates[PEER]
    return {
        name: {
            "total": round(peer.total_ms.p50 / candidate.total_ms.p50, 2),
            "network": round(peer.network_ms / candidate.network_ms, 2),
            "rest": round(peer.rest_ms / candidate.rest_ms, 2),
            "peak": round(peer.peak_mb / candidate.peak_mb, 2),
        }
        for name, candidate in candidates.items()
        if name != PEER
    }


def table(candidates: Mapping[str, Candidate]) -> str:
    """Format one case in milliseconds and MB, with the ratio to the peer in brackets."""
    lines = [f"  {'':<24}{'p50':>8}{'p95':>9}{'':>9}{'network':>9}{'':>9}{'rest':>9}{'':>9}{'memory':>9}{'':>9}"]
    times = ratios(candidates)
    for name, candidate in candidates.items():
        figures = (candidate.total_ms.p50, candidate.network_ms, candidate.rest_ms, candidate.peak_mb)
        cells = [f"{figure:9.1f}" for figure in figures]
        cells.insert(1, f"{candidate.total_ms.p95:9.1f}")
        multiples = [f"({value:.1f} x)" for value in times[name].values()] if name in times else [""] * 4
        for position, multiple in zip((2, 4, 6, 8), multiples, strict=True):
            cells.insert(position, f"{multiple:>9}")
        lines.append(f"  {name:<23}" + "".join(cells))
    return "\n".join(lines)


def threshold(scores: npt.NDArray[np.float32], num_objects: int, slack: int = SLACK) -> float:
    """Return a threshold exceeded by about `num_objects` of the descending scores (N,), in the widest gap."""
    if len(scores) <= num_objects + slack:
        raise ValueError(f"{len(scores)} objects are too few to choose {num_objects} of them")
    counts = range(max(num_objects - slack, 1), num_objects + slack + 1)
    count = max(counts, key=lambda count: float(scores[count - 1] - scores[count]))
    return float(scores[count - 1] + scores[count]) / 2


def agreement(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """Compare two results of equal length: largest score difference, mean and minimum IoU of masks.

    Scores are compared in descending order. Each mask is compared with the one of highest IoU among those of similar
    score.
    """
    shape = tuple(int(length) for length in ours["shape"])
    if shape != tuple(theirs["shape"]):
        raise RuntimeError(f"streamseg found masks of shape {shape}, Ultralytics of {tuple(theirs['shape'])}")
    masks = [np.unpackbits(side["masks"], count=int(np.prod(shape))).reshape(shape) for side in (ours, theirs)]
    ious = []
    for mask, score in zip(masks[0], ours["scores"], strict=True):
        alike = masks[1][np.abs(theirs["scores"] - score) < SAME_SCORE]
        ious.append(max((np.count_nonzero(mask & one) / np.count_nonzero(mask | one) for one in alike), default=0.0))
    differences = np.abs(np.sort(ours["scores"]) - np.sort(theirs["scores"]))
    return {
        "scores": float(differences.max()),
        "mean_iou": round(float(np.mean(ious)), 4),
        "least_iou": round(float(np.min(ious)), 4),
    }


def seeded_network(size: str) -> Network:
    """Build a network of the published size whose outputs are distributed like those of a trained one."""
    network = build_yolov8("s" if size == "s" else "x", reg_max=BINS[size]).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    weights = seeded_weights.seeded_weights(shapes, size)
    for name in weights:
        if re.fullmatch(r"model\.22\.cv2\.\d\.2\.bias", name):
            weights[name] = np.tile(-BOX_DECAY * np.arange(BINS[size]), 4).astype(np.float32)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return network


def quantized(graph: Path, imgsz: int) -> Path:
    """Write a graph in 8 bits beside it, with the ranges of the images that are measured."""
    images = [seeded_weights.input_images(size)[0] for size in IMAGE_SIZES]
    batches = [letterbox_images([image], [letterbox(image.shape[:2], imgsz)]) for image in images]
    model = quantize_graph(graph.read_bytes(), batches)
    write_xml(model.model, model.metadata, graph.with_suffix(".xml"))
    return graph.with_suffix(".xml")


def everything(network: Network, image: npt.NDArray[np.uint8], imgsz: int) -> Instances:
    """Return all objects of an image, including those of low score."""
    segmenter = Segmenter(engine=TorchEngine(network), imgsz=imgsz, conf=0.01, iou=IOU, max_det=3000)
    (instances,) = segmenter([image])
    return instances


def mean_box_share(instances: Instances, conf: float) -> float:
    """Return the mean area of boxes with a higher score, as a share of the image."""
    extents = instances.boxes[instances.scores > conf]
    areas = (extents[:, 2] - extents[:, 0]) * (extents[:, 3] - extents[:, 1])
    return round(float(areas.mean()) / (instances.image_size[0] * instances.image_size[1]), 4)


def run_case(children: Mapping[str, Child], image_path: Path, conf: float, num_runs: int, num_warmups: int) -> Any:
    """Run all candidates in turns; return their measurements and the agreement of their results.

    In 8 bits, scores differ by more than their distances, so that the objects above the threshold are other ones.
    """
    wanted = SIDES | (INT8_SIDES if INT8 in children else {})
    frames: dict[str, list[Frame]] = {name: [] for name in wanted}
    for child in children.values():
        child.request("image", path=str(image_path), conf=conf)
    rng = np.random.default_rng(0)
    for run in range(num_warmups + num_runs):
        # The order changes each time, so that no candidate always finds the caches left by the same predecessor.
        for name in rng.permutation(list(wanted)).tolist():
            child_name, stacked = wanted[name]
            frame = Frame(**children[child_name].request("frame", stacked=stacked))
            if run >= num_warmups:
                frames[name].append(frame)
    results = {}
    for name, child in children.items():
        path = image_path.with_name(f"result-{name}.npz")
        child.request("result", path=str(path))
        with np.load(path) as loaded:
            results[name] = dict(loaded)
        path.unlink()
    agreements = {name: agreement(results[name], results[PEER]) for name in results if name not in (PEER, INT8)}
    return {name: Candidate.of(values) for name, values in frames.items()}, agreements


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--setup", action="store_true", help="create the peer's environment first")
    arguments.add_argument("--peer-python", type=Path, default=ENVIRONMENT / "bin" / "python", metavar="PYTHON")
    arguments.add_argument("--size", default="s", choices=sorted(BINS), help="s: FastSAM-s, x: FastSAM-x")
    arguments.add_argument("--imgsz", type=int, default=640, help="640: default of the package; 1024: official default")
    arguments.add_argument("--num-objects", type=int, nargs="+", default=[30, 100, 200])
    arguments.add_argument("--heights", type=int, nargs="+", default=[720, 1080], choices=(720, 1080))
    arguments.add_argument("--num-threads", type=int, default=2)
    arguments.add_argument("--num-runs", type=int, default=10)
    arguments.add_argument("--num-warmups", type=int, default=1, help="per image and number of objects")
    arguments.add_argument("--int8", action="store_true", help="streamseg also in 8 bits, in OpenVINO")
    args = arguments.parse_args()
    if args.setup:
        set_up(ENVIRONMENT, REQUIREMENTS, [sys.executable])
    if not args.peer_python.is_file():
        print(f"no Python at {args.peer_python}; run once with --setup, or use --peer-python", file=sys.stderr)
        return 2
    torch.set_num_threads(args.num_threads)
    cv2.setNumThreads(args.num_threads)
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        weights = official_checkpoint(seeded_network(args.size), folder / "seeded.pt", imgsz=args.imgsz)
        network = load_weights(weights).network()  # rounded to half precision, as in the file
        graph = folder / "seeded.onnx"
        graph.write_bytes(export_graph(network))
        options = {
            "imgsz": args.imgsz,
            "iou": IOU,
            "max_det": MAX_DET,
            "num_threads": args.num_threads,
        }
        threads = {"OMP_NUM_THREADS": str(args.num_threads)}
        programs = {
            PEER: (args.peer_python, "benchmarks.peers.ultralytics.ultralytics_server", weights, "torch"),
            "torch": (sys.executable, "benchmarks.peers.streamseg_server", weights, "torch"),
            "onnx": (sys.executable, "benchmarks.peers.streamseg_server", graph, "onnx"),
        }
        if args.int8:
            programs[INT8] = (
                sys.executable,
                "benchmarks.peers.streamseg_server",
                quantized(graph, args.imgsz),
                "openvino",
            )
        children, sides = {}, {}
        for name, (python, module, path, engine) in programs.items():
            children[name] = stack.enter_context(Child(python, module, threads))
            sides[name] = children[name].request("start", weights=str(path), engine=engine, **options)
            print(f"{name}: {sides[name]}")
        for size in (size for size in IMAGE_SIZES if size[0] in args.heights):
            image = seeded_weights.input_images(size)[0]
            image_path = folder / f"{size[0]}.npy"
            np.save(image_path, image)
            instances = everything(network, image, args.imgsz)
            for num_objects in args.num_objects:
                conf = threshold(instances.scores.numpy(), num_objects)
                candidates, agreements = run_case(children, image_path, conf, args.num_runs, args.num_warmups)
                row = {
                    "picture": list(size),
                    "num_objects": {name: candidate.num_objects for name, candidate in candidates.items()},
                    "conf": round(conf, 5),
                    "mean_box_share": mean_box_share(instances, conf),
                    "candidates": {name: asdict(candidate) for name, candidate in candidates.items()},
                    "ratios": ratios(candidates),
                    "agreement_with_peer": agreements,
                }
                rows.append(row)
                print(
                    f"{size[1]}x{size[0]}, {candidates[PEER].num_objects} objects on both sides, boxes of "
                    f"{row['mean_box_share']:.1%} of the frame, masks' mean IoU {agreements['onnx']['mean_iou']:.3f}"
                )
                print(table(candidates), flush=True)
    report(
        {
            "benchmark": "versus_ultralytics",
            "size": args.size,
            "iou": IOU,
            "max_det": MAX_DET,
            "imgsz": args.imgsz,
            "num_threads": args.num_threads,
            "num_runs": args.num_runs,
            "sides": sides,
            "rows": rows,
        },
        args.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
