"""`streamseg batch`: segment folders of images and videos; stopped at any moment, it continues where it was."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamseg.cli.logs import print_note
from streamseg.cli.segment import add_segmentation_arguments, segmentation_config
from streamseg.errors import ConfigError, counted

if TYPE_CHECKING:
    from streamseg.fleet.batch.job import BatchCounts
    from streamseg.fleet.batch.settings import BatchSettings
    from streamseg.fleet.batch.worker import BatchWorker

__all__ = ["add_parser", "create_batch_worker", "run"]

FAILED_CODE = 1
"""Exit code if some inputs could not be segmented."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `batch` to the command line."""
    parser = subparsers.add_parser(
        "batch",
        help="segment folders of images and videos in many processes, or on a Ray cluster",
        description="Write the objects of each image and video below FOLDER to OUT/NAME.jsonl: one line of JSON per"
        " frame, with the masks as COCO RLE. Each output is complete or absent. The same command continues a batch that"
        " was stopped, and treats new, changed and failed inputs. Inputs that cannot be segmented are listed at the"
        f" end; the exit code is {FAILED_CODE} then.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="images and videos, also in folders below it")
    parser.add_argument("--out", required=True, metavar="OUT", help="output folder; on Ray, seen by all machines")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes (default 1)")
    parser.add_argument("--text", action="append", metavar="T", help="select objects by a text; repeatable")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="HOST:PORT",
        help="use the Ray cluster at this address, or of this machine, in place of processes",
    )
    parser.add_argument("--cpus", type=float, default=1.0, help="CPU cores per worker (default 1)")
    parser.add_argument("--gpus", type=float, default=0.0, help="with --ray: GPUs per worker, e.g. 0.5 (default 0)")
    add_segmentation_arguments(parser)
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Treat all inputs without an output; exit code 1 if some cannot be segmented."""
    from streamseg.cli.named_weights import fetch_named
    from streamseg.cli.terminal import ProgressBar
    from streamseg.config import PromptConfig
    from streamseg.fleet.batch.job import run_batch
    from streamseg.fleet.batch.settings import BatchSettings

    if args.workers < 1:
        raise ConfigError(f"--workers must be 1 or more, got {args.workers}")
    if not args.cpus > 0 or args.gpus < 0:
        raise ConfigError(f"--cpus must be more than 0, and --gpus 0 or more; got {args.cpus:g} and {args.gpus:g}")
    if args.gpus and args.ray is None:
        raise ConfigError("--gpus requires --ray; without it choose the device: --device cuda:0")
    texts = tuple(PromptConfig(id=f"text{number}", text=text) for number, text in enumerate(args.text or ()))
    everything = (PromptConfig(id="everything"),)
    settings = BatchSettings(segmentation=segmentation_config(args), prompts=texts or everything)
    fetch_named(settings.segmentation.weights)
    folder, out = Path(args.folder).absolute(), Path(args.out).absolute()
    latest: BatchCounts | None = None
    try:
        with ProgressBar("inputs") as progress:

            def show(counts: BatchCounts) -> None:
                nonlocal latest
                latest = counts
                progress(counts.num_finished, counts.num_inputs)

            counts = run_batch(folder, out, settings, partial(_process, args, settings, folder, out), show)
    except KeyboardInterrupt:
        finished = "" if latest is None else f" after {latest.num_finished} of {counted(latest.num_inputs, 'input')}"
        print_note(f"interrupted{finished}; the same command continues", args)
        raise
    before = f", {counts.num_before} done before" if counts.num_before else ""
    print(
        f"{counted(counts.num_inputs, 'input')}: {counts.num_done} done{before}, {len(counts.errors)} failed;"
        f" {counted(counts.num_frames, 'frame')}, {counted(counts.num_objects, 'object')} -> {args.out}"
    )
    for name, error in counts.errors.items():
        print(f"failed: {name}: {error}")
    return FAILED_CODE if counts.errors else 0


def create_batch_worker(
    values: Mapping[str, Any], folder: str, out: str, log_level: str, log_format: str
) -> BatchWorker:
    """Return a worker, in its own process, and set up the log there.

    Args:
        values: `BatchSettings` as JSON values.
        folder: folder of the inputs.
        out: output folder.
        log_level: level of the log, see `logs`.
        log_format: `text` or `json`.

    Raises:
        StreamsegError: the network cannot be loaded.
    """
    from streamseg.cli.logs import set_up_process_logs
    from streamseg.cli.modes import open_mode
    from streamseg.fleet.batch.worker import BatchWorker

    set_up_process_logs(log_level, log_format)
    return BatchWorker(values, folder, out, open_mode)


def _process(
    args: argparse.Namespace, settings: BatchSettings, folder: Path, out: Path, names: list[str]
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Treat inputs in processes or on a Ray cluster."""
    from streamseg.cli.logs import log_level

    arguments = (settings.model_dump(mode="json"), str(folder), str(out), log_level(args), args.log_format)
    num_workers = min(args.workers, len(names))
    if args.ray is not None:
        from streamseg.fleet.batch import ray_data
        from streamseg.fleet.ray_cluster import joined_cluster

        with joined_cluster(args.ray):
            yield from ray_data.process_all(
                names, num_workers, create_batch_worker, arguments, cpus=args.cpus, gpus=args.gpus
            )
        return
    from streamseg.fleet.batch.pool import process_all
    from streamseg.fleet.process import WorkerProcess

    environment = {"OMP_NUM_THREADS": str(max(int(args.cpus), 1))}
    start = partial(WorkerProcess, create_batch_worker, *arguments, environment=environment)
    yield from process_all(names, num_workers, start)
