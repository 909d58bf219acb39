"""Plot the progress of training: recall of each run's network over the images drawn, and the losses of the runs.

Takes the folders of training runs that continued one another, in that order (`streamseg train --out RUN`), and reads
the folder `eval-coco` of the data (--data, or the environment variable STREAMSEG_DATA). The networks are compared with
plain masks and raw scores at one input size.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness import DATA, output_file, parser, report
from streamseg.cli.terminal import ProgressBar
from streamseg.cli.train import WEIGHTS
from streamseg.errors import DataError, StreamsegError
from streamseg.evaluation.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, figure
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.segmentation import Segmenter
from streamseg.training.step_log import read_lines
from streamseg.training.trainer import LOSSES


@dataclass(frozen=True)
class Run:
    """Log of one run that continues the runs before it."""

    name: str
    num_drawn: list[int]
    """Number of images drawn so far, including earlier runs; one per line of the log."""
    losses: list[dict[str, float]]
    """Weighted mean losses since the line before; not comparable between other canvas sizes or loss weights."""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of training runs, in order")
    arguments.add_argument("--batch", type=int, default=16, help="images per step in all of them (%(default)s)")
    arguments.add_argument("--imgsz", type=int, default=512, help="(%(default)s)")
    arguments.add_argument("--data", type=Path, default=DATA)
    arguments.add_argument("--limit", type=int, default=None, help="use the first N images only")
    arguments.add_argument(
        "--image",
        "--picture",
        type=output_file,
        default=None,
        metavar="FILE",
        help="write the curves to this file (PNG)",
    )
    args = arguments.parse_args()

    try:
        runs = read_runs(args.runs, batch_size=args.batch)
        recalls = []
        for folder, run in zip(args.runs, runs, strict=True):
            recalls.append(recall_of(folder / WEIGHTS, args.data / "eval-coco", imgsz=args.imgsz, limit=args.limit))
            figures = "  ".join(f"{name} {value:.3f}" for name, value in recalls[-1].items())
            print(f"{run.name}: {run.num_drawn[-1]} images drawn | {figures}", flush=True)
        if args.image is not None:
            args.image.parent.mkdir(parents=True, exist_ok=True)
            draw(runs, recalls, args.image, imgsz=args.imgsz)
            print(f"wrote {args.image}")
    except StreamsegError as error:
        arguments.error(str(error))
    rows = [{**asdict(run), **recall} for run, recall in zip(runs, recalls, strict=True)]
    report({"benchmark": "learning_curve", "imgsz": args.imgsz, "runs": rows}, args.json)
    return 0


def read_runs(folders: Sequence[Path], *, batch_size: int) -> list[Run]:
    """Read the logs of consecutive runs.

    Raises:
        DataError: a folder has no log, or the log is empty.
    """
    runs: list[Run] = []
    before = 0
    for folder in folders:
        try:
            lines = read_lines(folder / LOSSES)
        except OSError as error:
            raise DataError(f"cannot read {folder / LOSSES}: {error.strerror or error}") from error
        if not lines:
            raise DataError(f"{folder} contains no {LOSSES} of a training run")
        drawn = [before + line["step"] * batch_size for line in lines]
        runs.append(Run(folder.name, drawn, [line["losses"] for line in lines]))
        before = drawn[-1]
    return runs


def recall_of(weights: Path, folder: Path, *, imgsz: int, limit: int | None) -> dict[str, float]:
    """Return the plotted recalls of a network, by name."""
    bar = ProgressBar("images")
    with Segmenter(weights, imgsz=imgsz, conf=0.001, max_det=1000, masks="plain", scores="raw") as segmenter:
        scores = evaluate_proposals(segmenter, folder, limit=limit, on_image=bar)
    bar.close()
    by_mask = {f"mask AR@{count}": recall for count, recall in scores.mask.recall.items()}
    return {**by_mask, "box AR@1000": scores.box.recall[1000]}


def draw(runs: Sequence[Run], recalls: Sequence[dict[str, float]], path: Path, *, imgsz: int) -> None:
    """Draw the losses of all runs and the recall after each run over the images drawn."""
    with figure(path, 2, title="The default network's training") as axes:
        for run in runs:
            thousands = [count / 1000 for count in run.num_drawn]
            axes[0].plot(thousands, [one["mask"] for one in run.losses], color=GREY, linewidth=1.2)
            axes[0].plot(thousands, [sum(one.values()) - one["mask"] for one in run.losses], color=INK, linewidth=1.2)
        axes[0].lines[0].set_label("mask")
        axes[0].lines[1].set_label("box, distribution and score")
        axes[0].set_ylabel("loss, weighted")
        axes[0].set_title("Losses; canvases and weights differ between runs")
        drawn = [run.num_drawn[-1] / 1000 for run in runs]
        colours = dict(zip(recalls[0], (BLUE, ORANGE, GREEN, PURPLE), strict=True))
        for name, colour in colours.items():
            axes[1].plot(drawn, [one[name] for one in recalls], "o-", color=colour, label=name)
        axes[1].set_title(f"After each run, {imgsz} px, plain masks")
        for axis in axes:
            for run in runs[:-1]:
                axis.axvline(run.num_drawn[-1] / 1000, color=GREY, linewidth=0.8, linestyle=":")
            axis.set(xlabel="images drawn, thousands", xlim=(0, None), ylim=(0, None))
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, fontsize=8)


if __name__ == "__main__":
    sys.exit(main())
