"""FastSAM's tables, measured here: paper | reference | here, side by side.

scripts/reproduce_paper [--weights FastSAM-x] [--coco DIR] [--lvis DIR] [--bsds DIR] [--limit N] [--json FILE]

Table 1 (speed) needs the weights alone; 2 (edges) BSDS500; 3 (box AR) COCO val2017; 4 and 5 (box and mask AR) LVIS v1
with COCO's pictures. What is absent is left out, with a line that says what to fetch. "Paper" is Zhao et al.,
"Fast Segment Anything", arXiv 2306.12156; "reference" is what others measured with the same weights, where somebody
published it. Pictures go in at 1024 px with 1000 proposals each, as there; --conf and --iou are not stated there.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.io import loadmat

from benchmarks.harness import measure, parser, report
from streamseg.capture.scene import SceneRenderer
from streamseg.cli.progress import ProgressBar
from streamseg.errors import StreamsegError
from streamseg.evaluation.edges import evaluate_edges
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.prompting import select
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, Prompt

FETCH = {
    "coco": "COCO val2017: http://images.cocodataset.org/zips/val2017.zip and .../annotations/annotations_trainval2017"
    ".zip, unpacked into one folder (val2017/, annotations/); give it as --coco",
    "lvis": "LVIS v1: lvis_v1_val.json of https://www.lvisdataset.org/dataset in one folder (--lvis), and COCO's"
    " train2017/ and val2017/ pictures, which it is about, in another (--coco)",
    "bsds": "BSDS500: BSR_bsds500.tgz of https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/, "
    "unpacked; give its folder BSR/BSDS500/data as --bsds",
}

SURVEY = "survey arXiv 2410.04960, RTX 3090, with post-processing"


@dataclass(frozen=True)
class Row:
    """One figure of one table."""

    table: str
    figure: str
    paper: float | None
    here: float
    reference: float | None = None
    source: str = ""
    """Of the reference."""


def speed(segmenter: Segmenter, num_runs: int) -> list[Row]:
    """Table 1: milliseconds per picture, by the number of point prompts."""
    image = SceneRenderer(1024, 1024, seed=0).render(0)
    rng = np.random.default_rng(0)
    asked: dict[str, list[Prompt]] = {
        f"{count} point prompts": [
            PointPrompt(str(number), (tuple(point),), (1,))
            for number, point in enumerate(rng.uniform(0, 1024, (count, 2)))
        ]
        for count in (1, 10, 100)
    }
    asked["everything, all masks"] = [EverythingPrompt()]

    def answer(prompts: list[Prompt]) -> Callable[[], object]:
        def run() -> object:
            instances = segmenter([image])[0]
            tracked = Tracked(instances, torch.full((len(instances),), -1))
            rows = sorted({row for selection in select(tracked, prompts) for row in selection.rows})
            return instance_masks(instances, rows)

        return run

    timings = measure({name: answer(prompts) for name, prompts in asked.items()}, num_runs=num_runs, num_warmups=1)
    return [
        Row(
            "1 speed, ms",
            name,
            40.0,
            timing.p50,
            *((106.0, SURVEY) if name.startswith("everything") else ()),
        )
        for name, timing in timings.items()
    ]


def edges(segmenter: Segmenter, folder: Path, limit: int | None) -> list[Row]:
    """Table 2: zero-shot edges."""
    with bsds_folder(folder) as prepared, progress() as show:
        scores = evaluate_edges(segmenter, prepared, limit=limit, on_picture=show)
    figures = (scores.ods, scores.ois, scores.average_precision, scores.recall_at_half_precision)
    return [
        Row("2 edges, BSDS500", name, paper, here)
        for name, paper, here in zip(("ODS", "OIS", "AP", "R50"), (0.750, 0.790, 0.793, 0.903), figures, strict=True)
    ]


def coco(segmenter: Segmenter, folder: Path, limit: int | None) -> list[Row]:
    """Table 3: box proposals on COCO, all classes as one."""
    with (
        annotated_folder(folder / "annotations" / "instances_val2017.json", folder / "val2017", limit) as prepared,
        progress() as show,
    ):
        box = evaluate_proposals(segmenter, prepared, on_picture=show).box
    figures = {**{f"AR@{limit}": value for limit, value in box.recall.items()}, "AUC": box.auc}
    papers = (0.157, 0.473, 0.637, 0.322)
    return [
        Row("3 box proposals, COCO", name, paper, here)
        for (name, here), paper in zip(figures.items(), papers, strict=True)
    ]


def lvis(segmenter: Segmenter, folder: Path, pictures: Path, limit: int | None) -> list[Row]:
    """Tables 4 and 5: box and mask AR@1000 on LVIS v1."""
    with annotated_folder(folder / "lvis_v1_val.json", pictures, limit) as prepared, progress() as show:
        scores = evaluate_proposals(segmenter, prepared, on_picture=show)
    rows: list[Row] = []
    for table, of, papers in (
        ("4 box AR@1000, LVIS", scores.box, (0.571, 0.443, 0.771, 0.853)),
        ("5 mask AR@1000, LVIS", scores.mask, (0.497, 0.356, 0.727, 0.776)),
    ):
        figures = {"all": of.recall[1000], **of.recall_by_size}
        rows += [Row(table, name, paper, here) for (name, here), paper in zip(figures.items(), papers, strict=True)]
    return rows


@contextmanager
def annotated_folder(annotations: Path, pictures: Path, limit: int | None) -> Iterator[Path]:
    """COCO's or LVIS' own files as a folder with `instances.json` and `images/`, of the first pictures only."""
    content = json.loads(annotations.read_text(encoding="utf-8"))
    images = sorted(content["images"], key=lambda image: image["id"])[:limit]
    chosen = {image["id"] for image in images}
    for image in images:
        if "file_name" not in image:  # LVIS names COCO's address: …/val2017/000000000139.jpg
            image["file_name"] = "/".join(image["coco_url"].split("/")[-2:])
    entries = [entry for entry in content["annotations"] if entry["image_id"] in chosen]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = {"images": images, "annotations": entries, "categories": content["categories"]}
        (folder / "instances.json").write_text(json.dumps(written), encoding="utf-8")
        (folder / "images").symlink_to(pictures.resolve(), target_is_directory=True)
        yield folder


@contextmanager
def bsds_folder(folder: Path) -> Iterator[Path]:
    """BSDS500's test set as a folder with `instances.json`, `images/` and `gt/`; one that is so already stays."""
    if (folder / "instances.json").is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name)
        (prepared / "gt").mkdir()
        (prepared / "images").symlink_to((folder / "images" / "test").resolve(), target_is_directory=True)
        images: list[dict[str, Any]] = []
        for path in sorted((folder / "groundTruth" / "test").glob("*.mat")):
            drawings = [drawing["Boundaries"][0, 0] for drawing in loadmat(path)["groundTruth"][0]]
            for annotator, drawing in enumerate(drawings):
                cv2.imwrite(str(prepared / "gt" / f"{path.stem}_{annotator}.png"), (drawing > 0).astype(np.uint8) * 255)
            height, width = drawings[0].shape
            images.append({"id": len(images), "file_name": f"{path.stem}.jpg", "height": height, "width": width})
        (prepared / "instances.json").write_text(json.dumps({"images": images, "annotations": []}), encoding="utf-8")
        yield prepared


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    bar = ProgressBar("pictures")
    try:
        yield lambda done, _: bar.update(done)
    finally:
        bar.close()


def present(folder: Path | None, *parts: str) -> bool:
    return folder is not None and all((folder / part).exists() for part in parts)


def has_bsds(folder: Path | None) -> bool:
    return present(folder, "images/test", "groundTruth/test") or present(folder, "instances.json", "gt", "images")


def tables(segmenter: Segmenter, args: Namespace) -> Iterator[Sequence[Row]]:
    """What can be measured, one table after the other; a line on standard error for what cannot."""
    yield speed(segmenter, args.runs)
    has_coco = present(args.coco, "val2017")
    if has_bsds(args.bsds):
        yield edges(segmenter, args.bsds, args.limit)
    else:
        print(f"table 2 left out; fetch {FETCH['bsds']}", file=sys.stderr)
    if has_coco and present(args.coco, "annotations/instances_val2017.json"):
        yield coco(segmenter, args.coco, args.limit)
    else:
        print(f"table 3 left out; fetch {FETCH['coco']}", file=sys.stderr)
    if has_coco and present(args.lvis, "lvis_v1_val.json"):
        yield lvis(segmenter, args.lvis, args.coco, args.limit)
    else:
        print(f"tables 4 and 5 left out; fetch {FETCH['lvis']}", file=sys.stderr)


def show_rows(rows: Sequence[Row]) -> None:
    places = 1 if rows[0].table.startswith("1") else 3
    for row in rows:
        paper, reference = ("–" if value is None else f"{value:.{places}f}" for value in (row.paper, row.reference))
        source = f"  ({row.source})" if row.source else ""
        print(f"{row.table:22} {row.figure:22} {paper:>8} {reference:>10} {row.here:8.{places}f}{source}", flush=True)


def main() -> int:
    flags = parser(__doc__)
    flags.add_argument("--weights", default="FastSAM-x", help="FastSAM-x, FastSAM-s, default, or a path")
    flags.add_argument("--coco", type=Path, metavar="DIR", help="with val2017/, annotations/ (and train2017/ for LVIS)")
    flags.add_argument("--lvis", type=Path, metavar="DIR", help="with lvis_v1_val.json")
    flags.add_argument("--bsds", type=Path, metavar="DIR", help="BSR/BSDS500/data, or a folder like eval-edges")
    flags.add_argument("--limit", type=int, metavar="N", help="the first N pictures of each data set: a trial")
    flags.add_argument("--runs", type=int, default=20, help="timed runs for table 1")
    flags.add_argument("--imgsz", type=int, default=1024)
    flags.add_argument("--conf", type=float, default=0.001)
    flags.add_argument("--iou", type=float, default=0.7)
    flags.add_argument("--device", default="auto")
    args = flags.parse_args()
    rows: list[Row] = []
    try:
        with Segmenter(
            args.weights, device=args.device, imgsz=args.imgsz, conf=args.conf, iou=args.iou, max_det=1000
        ) as segmenter:
            trial = "" if args.limit is None else f", the first {args.limit} pictures only: no comparison"
            print(f"{args.weights}, imgsz {segmenter.imgsz}, conf {args.conf:g}, iou {args.iou:g}{trial}")
            print(f"{'table':22} {'':22} {'paper':>8} {'reference':>10} {'here':>8}")
            for table in tables(segmenter, args):
                show_rows(table)
                rows += table
    except StreamsegError as error:
        print(f"reproduce_paper: {error}", file=sys.stderr)
        return 2
    settings = {name: getattr(args, name) for name in ("weights", "imgsz", "conf", "iou", "limit")}
    report({"benchmark": "reproduce_paper", **settings, "rows": rows}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
