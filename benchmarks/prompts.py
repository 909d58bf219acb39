"""What prompts that follow cost, and how often they find their objects again.

python -m benchmarks.prompts [--model WEIGHTS] [--seeds 0 1 …] [--num-prompts 1 10 …] [--json FILE] [--plot FILE]
python -m benchmarks.prompts --fit [--model WEIGHTS]        the weights of `prompting.reacquisition`, on other seeds

Whatever was chosen (weights, thresholds, times) was chosen on seeds 100 to 102, and the time after which a fragment
gives way on seed 0 as well. The default seeds are 21 to 23, on which nothing was.

Cost: a follower with 30 objects in a picture of 1280x720, and 1 to 1000 clicks on them, bound or lost; the least time
of the processor over rounds in which all take turns, so that what else runs on the machine does not count.

Re-acquisition: every figure of the rendered scene gets a prompt when it is seen for the first time, bound to its row.
Each time that it is not there for 0.2 s or more and then is again, hidden or out of the picture, the prompt should
answer it within a second. `track id` has the tracker's patience alone. The rows are the truth's, spoilt as in
`benchmarks.tracking` and with the colours of the picture, or what a network finds.

A part that is not seen is answered by its whole for a while. That is what a person wants, and not the part: such
answers count as wrong in `pure`, and are given apart in `whole`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.followed.fit import FIT_SEEDS, fit
from benchmarks.followed.scenes import FPS, NESTED, VARIANTS, Step, model_steps, truth_steps, whole_of
from benchmarks.harness import output_file, parser, report
from benchmarks.tracked.masks import instances_of
from streamseg.config import TrackingConfig
from streamseg.prompting import PromptFollower
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.structures.instances import Tracked
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import MaskPrompt, PointPrompt
from streamseg.tracking import Tracker

MIN_ABSENCE_SECONDS = 0.2
ANSWER_SECONDS = 1.0
NUM_ROUNDS = 40
SEEDS = (21, 22, 23)
"""On which nothing was chosen."""


@dataclass(frozen=True)
class Absences:
    """How prompts came through the absences of their objects."""

    variant: str
    follower: str
    num_absences: int
    share_right: float
    """Answered the right object within `ANSWER_SECONDS` of its return."""
    share_wrong: float
    """Answered another object then."""
    share_right_long: float
    """The same as `share_right` of absences longer than the tracker's patience; NaN where there is none."""
    num_long: int
    purity: float
    """Of all answers in all frames, those that are the prompt's object; rows that are no object are left out."""
    share_whole: float
    """Of the same the share that is what the prompt's object is a part of; wrong in `purity`."""
    num_answers: int
    """All of them."""
    num_found: int
    """Times that a prompt went on to another identity, other than that of its object's whole."""
    share_found_right: float
    """Of those the share that went on to the prompt's object; NaN where there is none."""


class TrackOnly:
    """The row that answered, as long as the tracker knows it."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def answers(self, tracked: Tracked, asked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Row by prompt; `asked` are the rows that are meant by new ones."""
        ids = tracked.track_ids.tolist()
        for name, row in asked.items():
            if self._ids.get(name, -1) < 0:
                self._ids[name] = ids[row]
        return {name: ids.index(identity) for name, identity in self._ids.items() if identity >= 0 and identity in ids}


class Following:
    """The prompt follower, asked with the mask of the row."""

    def __init__(self) -> None:
        self._follower = PromptFollower()
        self._prompts: tuple[MaskPrompt, ...] = ()

    def answers(self, tracked: Tracked, asked: dict[str, int], index: int, time_seconds: float) -> dict[str, int]:
        """Row by prompt; `asked` are the rows that are meant by new ones."""
        known = {prompt.prompt_id for prompt in self._prompts}
        rows = {name: row for name, row in asked.items() if name not in known}
        masks = instance_masks(tracked.instances, list(rows.values()))
        self._prompts += tuple(MaskPrompt(name, mask) for name, mask in zip(rows, masks, strict=True) if mask.area)
        selections = self._follower.update(tracked, self._prompts, frame_index=index, time_seconds=time_seconds)
        return {one.prompt_id: one.rows[0] for one in selections if one.rows}


FOLLOWERS: dict[str, Callable[[], TrackOnly | Following]] = {"track id": TrackOnly, "prompt": Following}


def absences(name: str, sequences: Iterable[Sequence[Step]]) -> list[Absences]:
    """One row per follower."""
    returns: dict[str, list[tuple[float, bool, bool]]] = {follower: [] for follower in FOLLOWERS}
    answers: dict[str, list[tuple[int, int]]] = {follower: [] for follower in FOLLOWERS}
    founds: dict[str, list[bool]] = {follower: [] for follower in FOLLOWERS}
    for steps in sequences:
        tracked = _tracked(steps)
        for follower, make in FOLLOWERS.items():
            told, seen = _told(steps, tracked, make())
            returns[follower] += _returns(steps, told, seen)
            given = [
                (int(step.truth[row]), int(name))
                for step, rows in zip(steps, told, strict=True)
                for name, row in rows.items()
            ]
            answers[follower] += [(one, wanted) for one, wanted in given if one >= 0]
            founds[follower] += _founds(steps, tracked, told)
    patience = TrackingConfig().max_lost_seconds
    results = []
    for follower, found in returns.items():
        long = [right for seconds, right, _ in found if seconds > patience]
        results.append(
            Absences(
                variant=name,
                follower=follower,
                num_absences=len(found),
                share_right=_share([right for _, right, _ in found]),
                share_wrong=_share([wrong for _, _, wrong in found]),
                share_right_long=_share(long),
                num_long=len(long),
                purity=_share([one == wanted for one, wanted in answers[follower]]),
                share_whole=_share([one == whole_of(wanted) != wanted for one, wanted in answers[follower]]),
                num_answers=len(answers[follower]),
                num_found=len(founds[follower]),
                share_found_right=_share(founds[follower]),
            )
        )
    return results


def _share(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4) if values else float("nan")


def _tracked(steps: Sequence[Step]) -> list[Tracked]:
    """The same for all followers."""
    tracker = Tracker(TrackingConfig())
    return [tracker.update(step.instances, step.time_seconds) for step in steps]


def _told(
    steps: Sequence[Step], tracked: Sequence[Tracked], follower: TrackOnly | Following
) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """What the follower answers in each frame, and the frames in which each object is there."""
    told, seen = [], dict[int, list[int]]()
    for index, (step, rows) in enumerate(zip(steps, tracked, strict=True)):
        asked: dict[str, int] = {}
        for row, (truth, identity) in enumerate(zip(step.truth.tolist(), rows.track_ids.tolist(), strict=True)):
            if truth < 0:
                continue
            seen.setdefault(truth, []).append(index)
            # A person clicks on what is there for longer than a frame.
            if identity >= 0 and len(set(seen[truth])) >= 5:
                asked.setdefault(str(truth), row)
        told.append(follower.answers(rows, asked, index, step.time_seconds))
    return told, seen


def _founds(steps: Sequence[Step], tracked: Sequence[Tracked], told: Sequence[dict[str, int]]) -> list[bool]:
    """For each time that a prompt's answer has another identity than the last: whether it is the prompt's object."""
    last: dict[str, int] = {}  # identity of the last answer that was any
    founds = []
    for step, rows, answers in zip(steps, tracked, told, strict=True):
        for name, row in answers.items():
            identity, truth = int(rows.track_ids[row]), int(step.truth[row])
            if truth < 0 or truth == whole_of(int(name)) != int(name):
                continue
            if name in last and identity != last[name]:
                founds.append(truth == int(name))
            last[name] = identity
    return founds


def _returns(
    steps: Sequence[Step], told: Sequence[dict[str, int]], seen: dict[int, list[int]]
) -> list[tuple[float, bool, bool]]:
    """For each return of a prompt's object: seconds of absence, whether it was answered, whether another was."""
    found = []
    within = round(ANSWER_SECONDS * FPS)
    for truth, frames in seen.items():
        first_answer = next((index for index, rows in enumerate(told) if str(truth) in rows), None)
        visible = sorted(set(frames))
        for before, after in itertools.pairwise(visible):
            gone = steps[after].time_seconds - steps[before].time_seconds - 1 / FPS
            stays = sum(after <= frame < after + within for frame in visible) >= within // 2
            if first_answer is None or before < first_answer or gone < MIN_ABSENCE_SECONDS - 1e-6 or not stays:
                continue
            rows = [
                (told[index].get(str(truth)), steps[index].truth)
                for index in range(after, after + within)
                if index < len(steps)
            ]
            given = [int(ids[row]) for row, ids in rows if row is not None]
            # The last word counts: an answer that was given up again is none.
            right = bool(given) and given[-1] == truth
            found.append((gone, right, bool(given) and given[-1] not in (truth, -1)))
    return found


def costs(numbers: Sequence[int]) -> dict[str, dict[int, float]]:
    """Milliseconds per frame by number of prompts: bound, and lost among 30 others."""
    rng = np.random.default_rng(0)
    boxes = np.zeros((60, 4))
    boxes[:, :2] = rng.uniform((0, 0), (1100, 560), (60, 2))
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(40, 160, (60, 2))
    crops = [CropMask(np.ones((8, 8), np.bool_), 0, 0) for _ in boxes]
    instances = instances_of(boxes, np.linspace(0.9, 0.5, 60), crops)
    vectors = rng.normal(size=(60, 132)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    instances = replace(instances, embeddings=torch.from_numpy(vectors))
    there = Tracked(instances[:30], torch.arange(1, 31))
    gone = Tracked(instances[30:], torch.arange(31, 61))
    centres = ((boxes[:30, :2] + boxes[:30, 2:]) / 2).tolist()
    candidates: dict[str, Callable[[], object]] = {}
    for number in numbers:
        prompts = tuple(
            PointPrompt(f"p{place}", ((centres[place % 30][0], centres[place % 30][1]),), (1,))
            for place in range(number)
        )
        for state, later in (("bound", there), ("lost", gone)):
            candidates[f"{state} {number}"] = _updates(prompts, there, later)
    least = _least_cpu_ms(candidates)
    return {state: {number: least[f"{state} {number}"] for number in numbers} for state in ("bound", "lost")}


def _least_cpu_ms(candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of the processor, the least of `NUM_ROUNDS` rounds in which all take turns."""
    least = dict.fromkeys(candidates, float("inf"))
    for _ in range(NUM_ROUNDS):
        for name, function in candidates.items():
            started = time.process_time()
            function()
            least[name] = min(least[name], (time.process_time() - started) * 1e3)
    return {name: round(milliseconds, 4) for name, milliseconds in least.items()}


def _updates(prompts: tuple[PointPrompt, ...], first: Tracked, later: Tracked) -> Callable[[], object]:
    """A function that shows the follower one more frame."""
    follower = PromptFollower()
    for index in range(3):
        follower.update(first, prompts, frame_index=index, time_seconds=index / 30)
    count = iter(range(3, 1 << 30))

    def update() -> object:
        index = next(count)
        return follower.update(later, prompts, frame_index=index, time_seconds=index / 30)

    return update


def draw(cost: dict[str, dict[int, float]], rows: Sequence[Absences], path: Path) -> None:
    """Both figures beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for state, line in cost.items():
        left.plot(list(line), list(line.values()), marker="o", label=state)
    fewest = min(cost["bound"])
    left.plot(
        list(cost["bound"]),
        [cost["bound"][fewest] + 0.1 * (number - fewest) for number in cost["bound"]],
        color="grey",
        linestyle=":",
        label="0.1 ms per prompt",
    )
    left.set(
        xscale="log", yscale="log", xlabel="prompts", ylabel="ms of CPU per frame", title="Cost of prompts, 30 objects"
    )
    left.legend()
    variants = list(dict.fromkeys(row.variant for row in rows))
    for shift, follower in zip((-0.2, 0.2), FOLLOWERS, strict=True):
        shares = [row.share_right for row in rows if row.follower == follower]
        right.bar(np.arange(len(variants)) + shift, shares, width=0.4, label=follower)
    right.set_xticks(range(len(variants)), variants, rotation=12)
    right.set(ylim=(0, 1), title="Right object again after an absence", ylabel="share")
    right.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, nargs="+", help="scenes to follow; 21 to 23, or those of --fit")
    flags.add_argument("--num-prompts", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300, 1000])
    flags.add_argument("--model", metavar="WEIGHTS", help="also with what these weights find: default, or a path")
    flags.add_argument("--plot", type=output_file, metavar="FILE", help="draw the figures there (PNG)")
    flags.add_argument("--fit", action="store_true", help="print the weights of re-acquisition instead")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    if arguments.fit:
        segmenter = Segmenter(arguments.model or "default", embeddings=True)
        sources = (partial(model_steps, segmenter), partial(truth_steps, NESTED))
        fitted = fit((list(make(seed)) for seed in arguments.seeds or FIT_SEEDS) for make in sources)
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
    followed: dict[str, Callable[[int], Iterator[Step]]] = {
        variant.name: partial(truth_steps, variant) for variant in VARIANTS
    }
    if arguments.model is not None:
        segmenter = Segmenter(arguments.model, embeddings=True)
        followed[f"{arguments.model} weights"] = lambda seed: model_steps(segmenter, seed)
    print(
        f"{'variant':20} {'follower':10} {'absences':>8} {'right':>6} {'wrong':>6} {'long':>5} {'right':>6} {'pure':>6}"
        f" {'whole':>6} {'answers':>7}"
        f" {'found':>6} {'right':>6}"
    )
    for name, source in followed.items():
        for row in absences(name, (list(source(seed)) for seed in seeds)):
            rows.append(row)
            print(
                f"{row.variant:20} {row.follower:10} {row.num_absences:8d} {row.share_right:6.3f}"
                f" {row.share_wrong:6.3f} {row.num_long:5d} {row.share_right_long:6.3f} {row.purity:6.3f}"
                f" {row.share_whole:6.3f} {row.num_answers:7d}"
                f" {row.num_found:6d} {row.share_found_right:6.3f}",
                flush=True,
            )
    if arguments.plot is not None:
        draw(cost, rows, arguments.plot)
    report(
        {
            "seeds": seeds,
            "ms_per_frame": cost,
            "ms_per_additional_prompt": per_prompt,
            "absences": [asdict(row) for row in rows],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
