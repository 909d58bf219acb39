"""Measure the cost of tracked prompts and their re-identification after absences.

python -m benchmarks.prompts [--model WEIGHTS] [--seeds 0 1 …] [--num-prompts 1 10 …] [--json FILE] [--plot FILE]
python -m benchmarks.prompts --fit [--model WEIGHTS]        fit the weights of `prompting.reid`, on other seeds

All tuned values (weights, thresholds, times) were tuned on seeds 100 to 102, the time after which a fragment is
abandoned on seed 0 as well. The default seeds, 21 to 23, were used for no tuning.

Cost: a prompt tracker with 30 objects in a 1280x720 image and 1 to 1000 clicks on them, bound or lost. The minimum CPU
time over interleaved rounds is reported, so other load on the machine does not count.

Re-identification: every sprite of the rendered scene gets a prompt bound to its row when it is first visible. After
each absence of at least 0.2 s (occluded or outside the image), the prompt should select it again within a second.
`track id` relies on the tracker's patience alone; `track` is the share of returned objects that have a track id within
the second, the most that following by track ids could reach. The rows come from the ground truth, degraded as in
`benchmarks.tracking` and with the colours of the image, or from a network.

While a part is not visible, the prompt selects its whole for a while. Users want this, but the whole is not the part:
such rows count as wrong in `pure` and are reported separately in `whole`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import torch

from benchmarks.harness import output_file, parser, report
from benchmarks.prompt_tracking.absences import Absences, absences
from benchmarks.prompt_tracking.costs import costs
from benchmarks.prompt_tracking.fit import FIT_SEEDS, fit
from benchmarks.prompt_tracking.plot import draw
from benchmarks.prompt_tracking.scenes import NESTED, VARIANTS, Step, model_steps, truth_steps
from streamseg.segmentation import Segmenter

SEEDS = (21, 22, 23)
"""Seeds used for no tuning."""


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", help="scenes (default: 21 to 23; 100 to 102 for --fit)")
    flags.add_argument("--num-prompts", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300, 1000])
    flags.add_argument("--model", metavar="WEIGHTS", help="also measure with these weights: default, or a path")
    flags.add_argument("--plot", type=output_file, metavar="FILE", help="write a plot to this file (PNG)")
    flags.add_argument("--fit", action="store_true", help="fit and print the weights of re-identification instead")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    if arguments.fit:
        segmenter = Segmenter(arguments.model or "default", embeddings=True)
        fit_sources = (partial(model_steps, segmenter), partial(truth_steps, NESTED))
        fitted = fit((list(make(seed)) for seed in arguments.seeds or FIT_SEEDS) for make in fit_sources)
        print("\n".join(f"{name}: {value}" for name, value in fitted.items()))
        report(fitted, arguments.json)
        return
    seeds = arguments.seeds or list(SEEDS)
    cost = costs(arguments.num_prompts)
    for state, line in cost.items():
        print(f"{state:8}" + "  ".join(f"{number}: {milliseconds:.3f} ms" for number, milliseconds in line.items()))
    fewest, most = min(arguments.num_prompts), max(arguments.num_prompts)
    per_prompt = {state: round((line[most] - line[fewest]) / max(most - fewest, 1), 5) for state, line in cost.items()}
    print(f"per additional prompt: {per_prompt} ms")
    rows: list[Absences] = []
    sources: dict[str, Callable[[int], Iterator[Step]]] = {
        variant.name: partial(truth_steps, variant) for variant in VARIANTS
    }
    if arguments.model is not None:
        segmenter = Segmenter(arguments.model, embeddings=True)
        sources[f"{arguments.model} weights"] = lambda seed: model_steps(segmenter, seed)
    print(
        f"{'variant':20} {'method':10} {'absences':>8} {'right':>6} {'wrong':>6} {'track':>6}"
        f" {'long':>5} {'right':>6} {'pure':>6} {'whole':>6} {'rows':>7}"
        f" {'found':>6} {'right':>6}"
    )
    for name, source in sources.items():
        for row in absences(name, (list(source(seed)) for seed in seeds)):
            rows.append(row)
            print(
                f"{row.variant:20} {row.method:10} {row.num_absences:8d} {row.share_right:6.3f}"
                f" {row.share_wrong:6.3f} {row.share_tracked:6.3f}"
                f" {row.num_long:5d} {row.share_right_long:6.3f} {row.purity:6.3f} {row.share_whole:6.3f}"
                f" {row.num_answers:7d} {row.num_found:6d} {row.share_found_right:6.3f}",
                flush=True,
            )
    if arguments.plot is not None:
        draw(cost, rows, arguments.plot)
    report(
        {
            "seeds": seeds,
            "ms_per_frame": cost,
            "ms_per_additional_prompt": per_prompt,
            "absences": [
                {"follower" if key == "method" else key: value for key, value in asdict(row).items()} for row in rows
            ],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
