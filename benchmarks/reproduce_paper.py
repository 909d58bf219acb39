"""Reproduce FastSAM's tables: paper | reference | here, side by side.

scripts/reproduce_paper [--weights FastSAM-x] [--coco DIR] [--lvis DIR] [--bsds DIR] [--only speed …] [--limit N]

Table 1 (speed) requires only the weights; 2 (edges) BSDS500; 3 (box AR) COCO val2017; 4 and 5 (box and mask AR) LVIS v1
with COCO's images. Tables without data are skipped, with a line that states what to fetch. "Paper" is Zhao et al.,
"Fast Segment Anything", arXiv 2306.12156, on an RTX 3090; "reference" is a published measurement by others with the
same weights: the survey arXiv 2410.04960, which also prompts with the labelled boxes. Table 6 of the paper prompts with
the boxes of a ViTDet, which no data set contains.

Images are segmented at 1024 px. Recall and edges use 1000 proposals, as in the paper, which does not state its --conf
and --iou; speed and boxes use the settings of the official program, conf 0.4 and iou 0.9.
"""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import measure, parser, report
from benchmarks.paper.data_sets import bsds_folder, coco_folder, lvis_folder
from streamseg.cli.named_weights import fetch_named
from streamseg.cli.terminal import ProgressBar
from streamseg.errors import DataError, StreamsegError
from streamseg.evaluation.edges import evaluate_edges
from streamseg.evaluation.prompted import evaluate_prompted
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.prompting import select
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, Prompt
from streamseg.synthetic import SceneRenderer

FETCH = {
    "coco": "COCO val2017: http://images.cocodataset.org/zips/val2017.zip and http://images.cocodataset.org/"
    "annotations/annotations_trainval2017.zip, unpacked into one folder (val2017/, annotations/); pass it as --coco",
    "lvis": "LVIS v1: lvis_v1_val.json of https://www.lvisdataset.org/dataset in one folder (--lvis), and the"
    " images of COCO, which it annotates, in another (--coco): val2017.zip and train2017.zip of"
    " http://images.cocodataset.org/zips/",
    "bsds": "BSDS500: BSR_bsds500.tgz of https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/, "
    "unpacked; pass its folder BSR/BSDS500/data as --bsds",
}

SURVEY = "survey arXiv 2410.04960"
OFFICIAL = {"conf": 0.4, "iou": 0.9, "max_det": 300}
"""Default settings of the official program."""


@dataclass(frozen=True)
class Row:
    """One figure of one table."""

    table: str
    figure: str
    paper: float | None
    here: float
    reference: float | None = None
    source: str = ""
    """Source of the reference figure."""


@dataclass(frozen=True)
class Measurement:
    """Tables measured on one data set."""

    tables: str
    """Names of the tables, for messages."""
    data: str | None
    """Key in `FETCH`; None if no data are required."""
    run: Callable[[Segmenter, Path], list[Row]]
    is_official: bool = False
    """Whether to use the settings of the official program."""


def speed(segmenter: Segmenter, num_runs: int) -> list[Row]:
    """Measure table 1: milliseconds per image, by the number of point prompts."""
    image = SceneRenderer(1024, 1024, seed=0).render(0)
    rng = np.random.default_rng(0)
    prompts_by_name: dict[str, list[Prompt]] = {
        f"{count} point prompt{'s' * (count > 1)}": [
            PointPrompt(str(number), (tuple(point),), (1,))
            for number, point in enumerate(rng.uniform(0, 1024, (count, 2)))
        ]
        for count in (1, 10, 100)
    }
    prompts_by_name["everything, all masks"] = [EverythingPrompt()]

    def segment_and_select(prompts: list[Prompt]) -> Callable[[], object]:
        def run() -> object:
            instances = segmenter([image])[0]
            tracked = Tracked(instances, torch.full((len(instances),), -1))
            rows = sorted({row for selection in select(tracked, prompts) for row in selection.rows})
            return instance_masks(instances, rows)

        return run

    timings = measure(
        {name: segment_and_select(prompts) for name, prompts in prompts_by_name.items()},
        num_runs=num_runs,
        num_warmups=1,
    )
    survey = (106.0, f"{SURVEY}, RTX 3090, with post-processing")
    return [
        Row("1 speed, ms", name, 40.0, timing.p50, *(survey if name.startswith("everything") else ()))
        for name, timing in timings.items()
    ]


def edges(segmenter: Segmenter, folder: Path, limit: int | None) -> list[Row]:
    """Measure table 2: zero-shot edges."""
    with progress() as show:
        scores = evaluate_edges(segmenter, folder, limit=limit, on_image=show)
    figures = (scores.ods, scores.ois, scores.average_precision, scores.recall_at_half_precision)
    return [
        Row("2 edges, BSDS500", name, paper, here)
        for name, paper, here in zip(("ODS", "OIS", "AP", "R50"), (0.750, 0.790, 0.793, 0.903), figures, strict=True)
    ]


def coco(segmenter: Segmenter, folder: Path) -> list[Row]:
    """Measure table 3: class-agnostic box proposals on COCO."""
    with progress() as show:
        box = evaluate_proposals(segmenter, folder, on_image=show).box
    figures = {**{f"AR@{limit}": value for limit, value in box.recall.items()}, "AUC": box.auc}
    papers = (0.157, 0.473, 0.637, 0.322)
    return [
        Row("3 box proposals, COCO", name, paper, here)
        for (name, here), paper in zip(figures.items(), papers, strict=True)
    ]


def lvis(segmenter: Segmenter, folder: Path) -> list[Row]:
    """Measure tables 4 and 5: box and mask AR@1000 on LVIS v1."""
    with progress() as show:
        scores = evaluate_proposals(segmenter, folder, on_image=show)
    rows: list[Row] = []
    for table, of, papers in (
        ("4 box AR@1000, LVIS", scores.box, (0.571, 0.443, 0.771, 0.853)),
        ("5 mask AR@1000, LVIS", scores.mask, (0.497, 0.356, 0.727, 0.776)),
    ):
        figures = {"all": of.recall[1000], **of.recall_by_size}
        rows += [Row(table, name, paper, here) for (name, here), paper in zip(figures.items(), papers, strict=True)]
    return rows


def boxes(name: str, reference: float) -> Callable[[Segmenter, Path], list[Row]]:
    """Return a measurement that is not in the paper: the masks selected by the labelled boxes."""

    def run(segmenter: Segmenter, folder: Path) -> list[Row]:
        with progress() as show:
            scores = evaluate_prompted(segmenter, folder, on_image=show)
        # The reference selects among objects found without the box, so the figure with search regions is not compared.
        return [Row(f"labelled boxes, {name}", "mIoU", None, scores.box.mean_iou, reference, SURVEY)]

    return run


@contextmanager
def progress() -> Iterator[ProgressBar]:
    bar = ProgressBar("images")
    try:
        yield bar
    finally:
        bar.close()


def measurements(num_runs: int, limit: int | None) -> dict[str, list[Measurement]]:
    """Return all measurements by their name in --only."""
    return {
        "speed": [Measurement("table 1", None, lambda segmenter, _: speed(segmenter, num_runs), is_official=True)],
        "edges": [Measurement("table 2", "bsds", lambda segmenter, folder: edges(segmenter, folder, limit))],
        "coco": [Measurement("table 3", "coco", coco)],
        "lvis": [Measurement("tables 4 and 5", "lvis", lvis)],
        "boxes": [
            Measurement("labelled boxes of COCO", "coco", boxes("COCO", 0.605), is_official=True),
            Measurement("labelled boxes of LVIS", "lvis", boxes("LVIS", 0.504), is_official=True),
        ],
    }


def prepare(wanted: Sequence[Measurement], args: Namespace, stack: ExitStack) -> dict[str | None, Path]:
    """Prepare the folders of available data sets until the stack is closed; print a line for each missing one."""
    layouts: dict[str, AbstractContextManager[Path]] = {
        "bsds": bsds_folder(args.bsds, args.limit),
        "coco": coco_folder(args.coco, args.limit),
        "lvis": lvis_folder(args.lvis, args.coco, args.limit),
    }
    folders: dict[str | None, Path] = {None: Path()}
    for name, layout in layouts.items():
        tables = [one.tables for one in wanted if one.data == name]
        if tables:
            try:
                folders[name] = stack.enter_context(layout)
            except DataError as error:
                print(f"{', '.join(tables)} skipped: {error}; fetch {FETCH[name]}", file=sys.stderr)
    return folders


def show_rows(rows: Sequence[Row]) -> None:
    places = 1 if rows[0].table.startswith("1") else 3
    for row in rows:
        paper, reference = ("–" if value is None else f"{value:.{places}f}" for value in (row.paper, row.reference))
        source = f"  ({row.source})" if row.source else ""
        print(f"{row.table:22} {row.figure:22} {paper:>8} {reference:>10} {row.here:8.{places}f}{source}", flush=True)


def run(wanted: Sequence[Measurement], folders: dict[str | None, Path], args: Namespace, rows: list[Row]) -> int:
    """Run the measurements one after the other and print their rows; a failure is reported and the others continue.

    Returns:
        The exit code: 2 if a measurement failed or there was nothing to measure.
    """
    num_failed = 0
    possible = [one for one in wanted if one.data in folders]
    for is_official, chosen in groupby(possible, key=lambda one: one.is_official):
        settings = OFFICIAL if is_official else {"conf": args.conf, "iou": args.iou, "max_det": 1000}
        with Segmenter(args.weights, device=args.device, imgsz=args.imgsz, **settings) as segmenter:
            listed = ", ".join(f"{name} {value:g}" for name, value in settings.items())
            trial = "" if args.limit is None else f"; the first {args.limit} images only: not comparable"
            print(f"\n{args.weights}, imgsz {segmenter.imgsz}, {listed}{trial}")
            print(f"{'table':22} {'':22} {'paper':>8} {'reference':>10} {'here':>8}", flush=True)
            for one in chosen:
                try:
                    measured = one.run(segmenter, folders[one.data])
                except StreamsegError as error:
                    print(f"{one.tables} failed: {error}", file=sys.stderr)
                    num_failed += 1
                else:
                    show_rows(measured)
                    rows += measured
    return 2 if num_failed or not possible else 0


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def main() -> int:
    flags = parser(__doc__)
    flags.add_argument("--weights", default="FastSAM-x", help="FastSAM-x, FastSAM-s, default, or a path")
    flags.add_argument("--coco", type=Path, metavar="DIR", help="val2017/, annotations/ (and train2017/ for LVIS)")
    flags.add_argument("--lvis", type=Path, metavar="DIR", help="folder with lvis_v1_val.json")
    flags.add_argument("--bsds", type=Path, metavar="DIR", help="BSR/BSDS500/data, or a folder like eval-edges")
    flags.add_argument("--only", nargs="+", choices=list(measurements(1, None)), help="measure these tables only")
    flags.add_argument("--limit", type=positive, metavar="N", help="use the first N images of each data set: a trial")
    flags.add_argument("--runs", type=positive, default=20, help="number of timed runs for table 1")
    flags.add_argument("--imgsz", type=positive, default=1024)
    flags.add_argument("--conf", type=float, default=0.001)
    flags.add_argument("--iou", type=float, default=0.7)
    flags.add_argument("--device", default="auto")
    args = flags.parse_args()
    named = measurements(args.runs, args.limit)
    wanted = [one for name in args.only or named for one in named[name]]
    rows: list[Row] = []
    with ExitStack() as stack:
        try:
            fetch_named(args.weights)
            status = run(wanted, prepare(wanted, args, stack), args, rows)
        except (StreamsegError, OSError) as error:
            print(f"reproduce_paper: {error}", file=sys.stderr)
            status = 2
        except KeyboardInterrupt:
            print("reproduce_paper: stopped; completed measurements are kept", file=sys.stderr)
            status = 130
    if rows:
        settings = {name: getattr(args, name) for name in ("weights", "imgsz", "conf", "iou", "limit")}
        report({"benchmark": "reproduce_paper", **settings, "official": OFFICIAL, "rows": rows}, args.json)
    return status


if __name__ == "__main__":
    sys.exit(main())
