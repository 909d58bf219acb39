"""`streamseg eval`: how good weights are, by the field's protocols: tables, plots and JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.evaluations import PROTOCOLS, load_protocol, protocol_names
from streamseg.cli.evaluations.protocol import Protocol, Report, Request
from streamseg.cli.progress import CountingBar
from streamseg.cli.segment import add_segmentation_arguments, segmentation_config
from streamseg.cli.tables import format_table
from streamseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from streamseg.config import SegmentationConfig
    from streamseg.engines import Engine
    from streamseg.segmentation import Segmenter

__all__ = ["add_parser", "run"]

DATA_VARIABLE = "STREAMSEG_DATA"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `eval`."""
    listed = "; ".join(f"{name}: {summary}" for name, summary in PROTOCOLS.items())
    parser = subparsers.add_parser(
        "eval",
        help="measure how good weights are, by the field's protocols",
        description=f"Prints tables of figures. {listed}; all: every one of these.",
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help=", ".join([*PROTOCOLS, "all"]))
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="the data set, or a folder with the data sets under their names, such as eval-coco"
        f" (default: the environment variable {DATA_VARIABLE})",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N pictures only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="draw plots (PNG) there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, and how they were made")
    add_segmentation_arguments(parser, dict.fromkeys(("conf", "iou", "max_det"), "the protocol's"))
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Run the protocols one after the other; whatever can be wrong with the request is said before the first."""
    names = protocol_names(args.protocol)
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit must be 1 or more, got {args.limit}")
    if args.out is not None and find_spec("matplotlib") is None:
        raise ConfigError("--out needs matplotlib, which is not installed; run: pip install 'streamseg[eval]'")
    protocols = {name: load_protocol(name) for name in names}
    folders = _folders(args.data, {name: protocol.folder for name, protocol in protocols.items()})
    for path in (args.out, None if args.json is None else args.json.parent):
        if path is not None:
            _make_folder(path)

    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.provenance import provenance
    from streamseg.segmentation import Segmenter

    origin: dict[str, Any] = provenance() | {"limit": args.limit}
    results: dict[str, Any] = {}
    fetch_named(args.weights)
    for name, protocol in protocols.items():
        config = _config(args, protocol)
        with Segmenter.from_config(config, embeddings=protocol.embeddings) as segmenter:
            started = time.perf_counter()
            report = _measure(segmenter, _live(config, segmenter.engine), protocol, folders[name], args.limit)
            seconds = time.perf_counter() - started
            settings = config.model_dump() | {"imgsz": segmenter.imgsz}
        print("\n\n".join(format_table(table) for table in report.tables), flush=True)
        shown = ", ".join(f"{key} {settings[key]:g}" for key in ("imgsz", "conf", "iou", "max_det"))
        print(f"  {shown}; {seconds:.0f} s\n", flush=True)
        results[name] = {
            "scores": dataclasses.asdict(report.scores),
            "settings": settings,
            "folder": None if protocol.folder is None else str(folders[name]),
            "seconds": round(seconds, 1),
        }
        if args.out is not None:
            _draw(report.plots, args.out)
        if args.json is not None:  # after each, so that a later one that fails costs nothing
            _write_json(args.json, origin | {"weights": _describe_weights(args.weights), "protocols": results})
    if args.json is not None:
        print(f"wrote {args.json}")
    return 0


def _folders(asked: Path | None, wanted: Mapping[str, str | None]) -> dict[str, Path]:
    """Where the data set of each protocol lies: the folder of its name in what the user named, or that itself.

    Several protocols cannot share one data set, so that they need their folders.
    """
    names = list(dict.fromkeys(name for name in wanted.values() if name is not None))
    if not names:
        return dict.fromkeys(wanted, Path())
    if asked is None:
        if not os.environ.get(DATA_VARIABLE):
            raise ConfigError(f"name the data with --data FOLDER, or in the environment variable {DATA_VARIABLE}")
        asked = Path(os.environ[DATA_VARIABLE])
    if not asked.is_dir():
        raise DataError(f"{asked} is no folder; --data names a data set, or a folder that holds {', '.join(names)}")
    missing = [name for name in names if not (asked / name).is_dir()]
    if missing and len(wanted) > 1:
        others = ", ".join(protocol for protocol, name in wanted.items() if name not in missing)
        raise DataError(
            f"{asked} has no folder {', '.join(missing)}; to run all protocols, name a folder with all data sets,"
            f" or ask one by one for {others}, which have theirs"
        )
    return {
        protocol: Path() if name is None else asked if name in missing else asked / name
        for protocol, name in wanted.items()
    }


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write into {path}: {error.strerror}") from error


def _config(args: argparse.Namespace, protocol: Protocol) -> SegmentationConfig:
    """The settings as the user wants them, and as the protocol does where the user is silent."""
    chosen = {name: getattr(args, name) for name in ("conf", "iou", "max_det") if getattr(args, name) is not None}
    values = {"conf": protocol.conf, "iou": protocol.iou, "max_det": protocol.max_det} | chosen
    return segmentation_config(argparse.Namespace(**{**vars(args), **values}))


def _live(config: SegmentationConfig, engine: Engine) -> Segmenter:
    """What finds objects as in a live run that is told no thresholds."""
    from streamseg.config import SegmentationConfig
    from streamseg.segmentation import Segmenter

    usual, inside = SegmentationConfig(), engine.suppression
    # A graph may have removed more already, without anybody asking.
    conf = usual.conf if inside is None else max(usual.conf, inside.conf)
    iou = usual.iou if inside is None else min(usual.iou, inside.iou)
    limits = {"conf": conf, "iou": iou, "max_det": usual.max_det}
    return Segmenter.from_config(config.model_copy(update=limits), engine=engine)


def _measure(segmenter: Segmenter, live: Segmenter, protocol: Protocol, folder: Path, limit: int | None) -> Report:
    bar = CountingBar(protocol.unit)
    try:
        return protocol.run(Request(segmenter, live, folder, limit, bar))
    finally:
        bar.close()


def _draw(plots: Mapping[str, Callable[[Path], None]], folder: Path) -> None:
    for file_name, draw in plots.items():
        try:
            draw(folder / file_name)
        except OSError as error:
            raise DataError(f"cannot write {folder / file_name}: {error.strerror}") from error
        print(f"wrote {folder / file_name}")


def _describe_weights(source: str) -> dict[str, Any]:
    """Which file it was, beyond doubt, and what it says about itself."""
    import hashlib

    from streamseg.weights import load_weights

    if Path(source).suffix == ".onnx":
        with Path(source).open("rb") as stream:
            return {"name": source, "sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "metadata": {}}
    weights = load_weights(source)
    return {"name": source, "sha256": weights.sha256, "metadata": weights.metadata}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        path.write_text(json.dumps(_without_nan(content), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


def _without_nan(value: Any) -> Any:
    """The same with null for nan and infinity, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return value
