"""`streamseg eval`: measure the quality of weights by standard protocols; tables, plots and JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.data_problems import ProblemReport, add_strict_argument
from streamseg.cli.eval_held_out import add_held_out_arguments, check_held_out, open_held_out
from streamseg.cli.eval_protocols import PROTOCOLS, Protocol, protocol_names, require_libraries
from streamseg.cli.eval_reports import Request
from streamseg.cli.segment import add_segmentation_arguments, segmentation_config
from streamseg.cli.terminal import ProgressBar, print_table
from streamseg.errors import ConfigError, DataError, reason_of

if TYPE_CHECKING:
    from streamseg.config import SegmentationConfig
    from streamseg.engines import Engine
    from streamseg.segmentation import Segmenter

__all__ = ["add_parser", "run"]

DATA_VARIABLE = "STREAMSEG_DATA"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `eval` to the command line."""
    listed = "; ".join(f"{name}: {protocol.summary}" for name, protocol in PROTOCOLS.items())
    parser = subparsers.add_parser(
        "eval",
        aliases=["val"],
        help="measure the quality of weights by standard protocols",
        description=f"Print tables of scores. Protocols: {listed}; all: every protocol.",
    )
    # Checked while it is parsed: of two unknown words, the first one is named.
    parser.add_argument(
        "protocol",
        type=protocol_names,
        metavar="PROTOCOL",
        help=f"one of {', '.join([*PROTOCOLS, 'all'])}",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DATA",
        help="data set in COCO format, the data.yaml of a YOLO data set (its split val), or a folder that contains the"
        f" data sets under their names, such as eval-coco (default: the environment variable {DATA_VARIABLE})",
    )
    add_held_out_arguments(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N images only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for plots (PNG)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the scores, settings and provenance to this file"
    )
    add_strict_argument(parser)
    unset = dict.fromkeys(("conf", "iou", "max_det"), "depends on the protocol")
    ranked_iou = PROTOCOLS["proposals"].ranked_iou
    unset["iou"] += f"; for proposals {ranked_iou:g} if scores are calibrated"
    add_segmentation_arguments(parser, unset)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the protocols one after the other. All arguments are checked before the first one starts."""
    names: Sequence[str] = args.protocol
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit must be 1 or more, got {args.limit}")
    if args.out is not None and find_spec("matplotlib") is None:
        raise ConfigError("--out needs matplotlib, which is not installed; run: pip install 'streamseg[eval]'")
    check_held_out(args, names)
    require_libraries()
    protocols = {name: PROTOCOLS[name] for name in names}
    data_sets = {name: protocol.folder for name, protocol in protocols.items()}
    folders = dict.fromkeys(names, _requested(args.data)) if args.held_out else _folders(args.data, data_sets)
    for path in (args.out, None if args.json is None else args.json.parent):
        if path is not None:
            _make_folder(path)

    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.provenance import provenance
    from streamseg.datasets.problems import Problems
    from streamseg.evaluation.results import result_fields
    from streamseg.evaluation.truth import network_boxes, own_scores
    from streamseg.segmentation import Segmenter
    from streamseg.segmentation.duplicates import ranking_scores
    from streamseg.segmentation.extents import detection_boxes

    origin: dict[str, Any] = provenance() | {"limit": args.limit}
    results: dict[str, Any] = {}
    skipped = ProblemReport()
    fetch_named(args.weights)
    for name, protocol in protocols.items():
        config = _config(args, protocol)
        problems = Problems()
        skippable = None if args.strict else problems
        held_out = open_held_out(args, folders[name], skippable)
        with Segmenter.from_config(config, embeddings=protocol.embeddings) as opened:
            # As published, proposals of networks without a refiner are ranked by their own scores.
            is_ranked = config.scores != "raw" and opened.engine.refiner is not None
            segmenter = opened
            if is_ranked and _suppresses_less(args, protocol, opened.engine):
                config = config.model_copy(update={"iou": protocol.ranked_iou})
                segmenter = Segmenter.from_config(config, embeddings=protocol.embeddings, engine=opened.engine)
            started = time.perf_counter()
            live = _live(config, segmenter.engine)
            with ProgressBar(protocol.unit) as bar:
                rank, box = (ranking_scores, detection_boxes) if is_ranked else (own_scores, network_boxes)
                request = Request(segmenter, live, rank, box, folders[name], args.limit, bar, skippable, held_out)
                report = protocol.run(request)
            seconds = time.perf_counter() - started
            settings = config.model_dump() | {"imgsz": segmenter.imgsz}
            engine = _describe_engine(segmenter.engine)
        for position, table in enumerate(report.tables):
            print(end="\n" if position else "", flush=True)
            print_table(table)
        shown = ", ".join(f"{key} {settings[key]:g}" for key in ("imgsz", "conf", "iou", "max_det"))
        skipped.count(problems)
        print(f"  {shown}, engine {engine}; {seconds:.0f} s\n", flush=True)
        results[name] = {
            "scores": result_fields(report.scores),
            "settings": settings,
            "engine": engine,
            "folder": None if protocol.folder is None else str(folders[name]),
            "held_out": None if args.held_out is None else str(args.held_out),
            "skipped": problems.counts(),
            "seconds": round(seconds, 1),
        }
        if args.out is not None:
            _draw(report.plots, args.out)
        if args.json is not None:  # after each protocol, so that a later failure loses nothing
            _write_json(args.json, origin | {"weights": _describe_weights(args.weights), "protocols": results})
    if args.json is not None:
        print(f"wrote {args.json}")
    return 0


def _folders(requested: Path | None, data_sets: Mapping[str, str | None]) -> dict[str, Path]:
    """Return the data folder of each protocol.

    It is the subfolder with the data set's name, or the requested folder itself. One data set cannot serve several
    protocols, so they need their subfolders.

    Args:
        requested: the folder or `data.yaml` on the command line; None for the folder in the environment.
        data_sets: name of the data set by protocol; None for protocols without data.
    """
    from streamseg.datasets.yolo_yaml import find_yolo_yaml

    names = list(dict.fromkeys(name for name in data_sets.values() if name is not None))
    if not names:
        return dict.fromkeys(data_sets, Path())
    requested = _requested(requested)
    if not requested.is_dir() and find_yolo_yaml(requested) is None:
        raise DataError(
            f"{requested} is neither a folder nor a data.yaml; --data takes a data set, or a folder that contains"
            f" {', '.join(names)}"
        )
    missing = [name for name in names if not (requested / name).is_dir()]
    if missing and len(data_sets) > 1:
        others = ", ".join(protocol for protocol, name in data_sets.items() if name not in missing)
        raise DataError(
            f"{requested} has no folder {', '.join(missing)}; to run all protocols, give a folder with all data sets;"
            f" or run {others} one by one, whose data is present"
        )
    return {
        protocol: Path() if name is None else requested if name in missing else requested / name
        for protocol, name in data_sets.items()
    }


def _requested(folder: Path | None) -> Path:
    """Return the folder or `data.yaml` of the command line, or else of the environment."""
    if folder is not None:
        return folder
    if not os.environ.get(DATA_VARIABLE):
        raise ConfigError(f"no data set given; use --data FOLDER or the environment variable {DATA_VARIABLE}")
    return Path(os.environ[DATA_VARIABLE])


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write into {path}: {reason_of(error)}") from error


def _config(args: argparse.Namespace, protocol: Protocol) -> SegmentationConfig:
    """Return the user's settings, with the protocol's defaults for everything else."""
    chosen = {name: getattr(args, name) for name in ("conf", "iou", "max_det") if getattr(args, name) is not None}
    values = {"conf": protocol.conf, "iou": protocol.iou, "max_det": protocol.max_det} | chosen
    return segmentation_config(argparse.Namespace(**{**vars(args), **values}))


def _suppresses_less(args: argparse.Namespace, protocol: Protocol, engine: Engine) -> bool:
    """Return whether the protocol's threshold of suppression for ranked objects applies: not if the user chose one."""
    return args.iou is None and protocol.ranked_iou is not None and engine.suppression is None


def _live(config: SegmentationConfig, engine: Engine) -> Segmenter:
    """Return a segmenter with the thresholds and embeddings of a live run."""
    from streamseg.config import SegmentationConfig
    from streamseg.segmentation import Segmenter

    defaults, built_in = SegmentationConfig(), engine.suppression
    # A graph with built-in suppression may have removed more already.
    conf = defaults.conf if built_in is None else max(defaults.conf, built_in.conf)
    iou = defaults.iou if built_in is None else min(defaults.iou, built_in.iou)
    limits = {"conf": conf, "iou": iou, "max_det": defaults.max_det}
    return Segmenter.from_config(config.model_copy(update=limits), embeddings=True, engine=engine)


def _draw(plots: Mapping[str, Callable[[Path], None]], folder: Path) -> None:
    for file_name, draw in plots.items():
        try:
            draw(folder / file_name)
        except OSError as error:
            raise DataError(f"cannot write {folder / file_name}: {reason_of(error)}") from error
        print(f"wrote {folder / file_name}")


def _describe_engine(engine: Engine) -> str:
    """Return the name of the engine that ran, which `auto` leaves open, and whether it computed in 8 bits."""
    return f"{engine.name} in 8 bits" if getattr(engine, "is_quantized", False) else engine.name


def _describe_weights(source: str) -> dict[str, Any]:
    """Return the name, hash and metadata of the weights file."""
    import hashlib

    from streamseg.weights import load_weights

    if Path(source).suffix in (".onnx", ".xml"):
        with Path(source).open("rb") as stream:
            return {"name": source, "sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "metadata": {}}
    weights = load_weights(source)
    return {"name": source, "sha256": weights.sha256, "metadata": weights.metadata}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(_without_nan(content), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {reason_of(error)}") from error


def _without_nan(value: Any) -> Any:
    """Return a copy with null for NaN and infinity, which JSON cannot express."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return value
