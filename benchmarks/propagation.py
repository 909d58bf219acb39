"""Following by label propagation: an ablation on sequences with masks, and the cost per frame.

scripts/bench propagation [--data FOLDER] [--limit N] [--variants NAME …] [--json FILE]
scripts/bench propagation --varied [--variations NAME …] [--data FOLDER] [--limit N] [--json FILE] [--against FILE]
scripts/bench propagation --cost [--num-targets 0 1 2 …] [--json FILE] [--plot FILE]

Ablation: a box and a click in the first frame of each smooth sequence, followed in live runs of the whole pipeline;
J & F without the first and last frame. The network runs once per frame for all variants. Settings were chosen on
these sequences (films-dev), and on no other ones.

Varied: the same with the default settings on all sequences, varied in many ways, and from careless prompts
(`mask_propagation.variations`). With the JSON file of an earlier state of the code, the paired changes and their
standard errors are printed. A change counts if the gain over all variations is above two standard errors.

Cost: CPU time of one frame of 720p on one core, with random features of the default network's shape, which are computed
from its prototypes and embedding: that is included. The targets move between two frames. The least mean of 12
consecutive frames is reported, so other load on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.harness import DATA, output_file, parser, report
from benchmarks.mask_propagation.ablation import CachedEngine, Score, ablation
from benchmarks.mask_propagation.costs import NUM_EMBEDDINGS, NUM_PROTOTYPES, costs
from benchmarks.mask_propagation.plot import draw
from benchmarks.mask_propagation.variants import VARIANTS
from benchmarks.mask_propagation.variations import VARIATIONS, VariedScore, changes, mean_scores, varied_scores
from streamseg.engines import build_engine


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--data", type=Path, default=DATA / "films-dev", help="folder of sequences with masks")
    flags.add_argument("--weights", default="default")
    flags.add_argument("--limit", type=int, metavar="N", help="the first N frames of each sequence only")
    flags.add_argument("--variants", nargs="+", metavar="NAME", choices=[one.name for one in VARIANTS])
    flags.add_argument("--varied", action="store_true", help="vary sequences and prompts, with the default settings")
    flags.add_argument("--variations", nargs="+", metavar="NAME", choices=[one.name for one in VARIATIONS])
    flags.add_argument("--max-followed-close-ups", type=int, default=1, help="of --varied, see docs/prompts.md")
    flags.add_argument(
        "--against", type=Path, metavar="FILE", help="results of --varied with an earlier state, to compare"
    )
    flags.add_argument("--cost", action="store_true", help="measure the cost instead")
    flags.add_argument("--num-targets", type=int, nargs="+", default=[0, 1, 2, 3, 5, 7, 10, 15, 20])
    flags.add_argument("--plot", type=output_file, metavar="FILE", help="write a plot of the cost to this file (PNG)")
    arguments = flags.parse_args()
    if arguments.against is not None and not arguments.varied:
        flags.error("--against compares results of --varied; add --varied, or omit --against")
    # As in a run, see `engines.leave_cores`.
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    cv2.setNumThreads(1)
    if arguments.cost:
        refiner = build_engine(arguments.weights).refiner
        if refiner is None:
            raise SystemExit(f"--weights {arguments.weights} include no refiner, which second looks need")
        cost = costs(arguments.num_targets, refiner)
        print(f"{'targets':23}" + "".join(f"{number:8d}" for number in arguments.num_targets))
        for state, line in cost.items():
            print(f"{state:23}" + "".join(f"{line[number]:8.2f}" for number in arguments.num_targets) + "  ms")
        if arguments.plot is not None:
            draw(cost, arguments.plot)
        report({"channels": [NUM_PROTOTYPES, NUM_EMBEDDINGS], "ms_per_frame": cost}, arguments.json)
        return
    if arguments.varied:
        _report_varied(arguments)
        return
    variants = [one for one in VARIANTS if arguments.variants is None or one.name in arguments.variants]
    engine = CachedEngine(build_engine(arguments.weights))
    scores = []
    for score in ablation(engine, arguments.data, variants, limit=arguments.limit):
        scores.append(score)
        print(
            f"{score.sequence:18} {score.prompt:8} {score.variant:26} J&F {score.region_and_contour:.3f}"
            f"  propagated {score.share_propagated:4.0%}  empty {score.share_empty:4.0%}",
            flush=True,
        )
    means = _means(scores)
    print(f"\n{'':28}" + "".join(f"{prompt:>10}" for prompt in next(iter(means.values()), {})))
    for variant, by_prompt in means.items():
        print(f"{variant:28}" + "".join(f"{value:10.3f}" for value in by_prompt.values()))
    report(
        {
            "weights": arguments.weights,
            "imgsz": engine.imgsz,
            "limit": arguments.limit,
            "settings": {one.name: {"features": one.features, **asdict(one.settings)} for one in variants},
            "region_and_contour": means,
            "sequences": [asdict(score) for score in scores],
        },
        arguments.json,
    )


def _report_varied(arguments: argparse.Namespace) -> None:
    before = None if arguments.against is None else _read_scores(arguments.against)
    engine = CachedEngine(build_engine(arguments.weights))
    scores = []
    chosen = [one for one in VARIATIONS if arguments.variations is None or one.name in arguments.variations]
    number = arguments.max_followed_close_ups
    for score in varied_scores(engine, arguments.data, chosen, limit=arguments.limit, max_followed_close_ups=number):
        scores.append(score)
        print(f"{score.sequence:24}{score.variation:36}{score.prompt:9}J&F {score.region_and_contour:.3f}", flush=True)
    means = mean_scores(scores)
    for title, table in (("J & F", means), *(() if before is None else (("change", changes(before, scores)),))):
        print(f"\n{title:36}{'box':>20}{'1 point':>20}")
        for name in dict.fromkeys(variation for variation, _ in table):
            cells = [str(table[name, prompt]) if (name, prompt) in table else "" for prompt in ("box", "1 point")]
            print(f"{name or 'all':36}" + "".join(f"{cell:>20}" for cell in cells))
    report(
        {
            "weights": arguments.weights,
            "imgsz": engine.imgsz,
            "limit": arguments.limit,
            "max_followed_close_ups": arguments.max_followed_close_ups,
            "region_and_contour": [
                {"variation": variation, "prompt": prompt, **asdict(mean)}
                for (variation, prompt), mean in means.items()
            ],
            "scores": [asdict(score) for score in scores],
        },
        arguments.json,
    )


def _read_scores(path: Path) -> list[VariedScore]:
    """Read the scores of a result of `--varied`.

    Raises:
        SystemExit: the file is unreadable or something else.
    """
    try:
        return [VariedScore(**one) for one in json.loads(path.read_text())["scores"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"--against {path} must be a JSON file written by --varied --json: {error}") from error


def _means(scores: list[Score]) -> dict[str, dict[str, float]]:
    """Return the mean J & F over sequences, by variant and prompt."""
    grouped: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        grouped.setdefault(score.variant, {}).setdefault(score.prompt, []).append(score.region_and_contour)
    return {
        variant: {prompt: round(float(np.mean(values)), 4) for prompt, values in by_prompt.items()}
        for variant, by_prompt in grouped.items()
    }


if __name__ == "__main__":
    main()
