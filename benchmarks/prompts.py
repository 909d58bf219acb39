"""What prompts that follow cost, and how often they find their objects again.

python -m benchmarks.prompts [--model WEIGHTS] [--seeds 0 1 …] [--num-prompts 1 10 …] [--json FILE] [--plot FILE]
python -m benchmarks.prompts --fit [--model WEIGHTS]        the weights of `prompting.reacquisition`, on other seeds

Cost: a follower with 30 objects in a picture of 1280x720, and 1 to 1000 clicks on them, bound or lost.

Re-acquisition: every object of the rendered scene gets a prompt when it is seen for the first time, bound to its row.
Each time that it is not there for 0.2 s or more and then is again, the prompt should answer it within a second. `track
id` has the tracker's patience alone. The rows are the truth's, spoilt as in `benchmarks.tracking` and with the colours
of the picture, or what a network finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import tracking
from benchmarks.harness import measure, parser, report
from streamseg.capture.scene import SceneRenderer
from streamseg.config import TrackingConfig
from streamseg.geometry import letterbox
from streamseg.prompting import PromptFollower
from streamseg.prompting.looks import Looks
from streamseg.prompting.reacquisition import FEATURES, features
from streamseg.prompting.sightings import Sighting, sight
from streamseg.segmentation import Segmenter, instance_masks
from streamseg.segmentation.embedding import embeddings
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.message import CropMask
from streamseg.structures.prompt import MaskPrompt, PointPrompt
from streamseg.tracking import Tracker

FPS = 10.0
SECONDS = 20.0
FIT_SEEDS = (100, 101, 102)
MIN_ABSENCE_SECONDS = 0.2
ANSWER_SECONDS = 1.0
VARIANTS = (
    tracking.Variant("objects", fps=FPS),
    tracking.Variant("nested", nested=True, fps=FPS),
    tracking.Variant("nested, spoilt", nested=True, fps=FPS, dropout=0.1, jitter=0.03, low=0.2, clutter=1.0),
)


@dataclass(frozen=True, eq=False)
class Step:
    """One frame: rows, and the truth of each."""

    instances: Instances
    time_seconds: float
    truth: np.ndarray
    """(K,) identity, -1 for what is none."""


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
    """Of all answers in all frames, those that are the prompt's object."""


def truth_steps(variant: tracking.Variant, seed: int) -> Iterator[Step]:
    """The truth's boxes and masks, spoilt, with the colours of the rendered pictures."""
    rng = np.random.default_rng([seed, 7])
    renderer = SceneRenderer(tracking.SIZE[1], tracking.SIZE[0], num_objects=tracking.NUM_OBJECTS, seed=seed, fps=FPS)
    place = letterbox(tracking.SIZE, 640)
    for index, truth in enumerate(tracking.scene(seed, FPS)):
        instances, rows = tracking.detections(truth, variant, rng)
        picture = np.full((*place.input_size, 3), 114, np.uint8)
        height, width = place.scaled_size
        scaled = cv2.resize(renderer.render(index), (width, height), interpolation=cv2.INTER_AREA)
        picture[place.top : place.top + height, place.left : place.left + width] = scaled
        # There is no network here: one prototype of nothing, so that colours alone tell objects apart.
        nothing = torch.zeros((1, *instances.mask_logits.shape[1:]))
        looks = embeddings(instances, nothing, picture)
        ids = np.where(rows >= 0, truth.track_ids[rows], -1)
        yield Step(replace(instances, embeddings=looks), index / FPS, ids)


def model_steps(segmenter: Segmenter, seed: int, fps: float = FPS) -> Iterator[Step]:
    """What a network finds; a row is the object that its mask shares more than half with."""
    renderer = SceneRenderer(tracking.SIZE[1], tracking.SIZE[0], num_objects=tracking.NUM_OBJECTS, seed=seed, fps=fps)
    for index, truth in enumerate(tracking.scene(seed, fps)):
        instances = segmenter([renderer.render(index)])[0].to("cpu")
        known = tracking.instances_of(
            truth.boxes.astype(np.float64), np.ones(len(truth.boxes)), list(truth.masks), segmenter.imgsz
        )
        similarity = tracking.mask_iou(known, instances)
        ids = np.full(len(instances), -1)
        if len(truth.track_ids) and len(instances):
            best = similarity.argmax(axis=0)
            ids = np.where(similarity.max(axis=0) > 0.5, truth.track_ids[best], -1)
        yield Step(instances, index / fps, ids)


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
    outcomes: dict[str, list[tuple[float, bool, bool]]] = {follower: [] for follower in FOLLOWERS}
    answers: dict[str, list[bool]] = {follower: [] for follower in FOLLOWERS}
    for steps in sequences:
        for follower, make in FOLLOWERS.items():
            told, seen = _told(steps, make())
            outcomes[follower] += _returns(steps, told, seen)
            answers[follower] += [
                bool(steps[index].truth[row] == int(prompt))
                for index, rows in enumerate(told)
                for prompt, row in rows.items()
            ]
    patience = TrackingConfig().max_lost_seconds
    results = []
    for follower, found in outcomes.items():
        long = [right for seconds, right, _ in found if seconds > patience]
        results.append(
            Absences(
                name,
                follower,
                len(found),
                round(float(np.mean([right for _, right, _ in found])), 4) if found else float("nan"),
                round(float(np.mean([wrong for _, _, wrong in found])), 4) if found else float("nan"),
                round(float(np.mean(long)), 4) if long else float("nan"),
                len(long),
                round(float(np.mean(answers[follower])), 4),
            )
        )
    return results


def _told(steps: Sequence[Step], follower: TrackOnly | Following) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """What the follower answers in each frame, and the frames in which each object is there."""
    tracker = Tracker(TrackingConfig())
    told, seen = [], dict[int, list[int]]()
    for index, step in enumerate(steps):
        tracked = tracker.update(step.instances, step.time_seconds)
        asked: dict[str, int] = {}
        for row, (truth, identity) in enumerate(zip(step.truth.tolist(), tracked.track_ids.tolist(), strict=True)):
            if truth < 0:
                continue
            seen.setdefault(truth, []).append(index)
            # A person clicks on what is there for longer than a frame.
            if identity >= 0 and len(set(seen[truth])) >= 5:
                asked.setdefault(str(truth), row)
        told.append(follower.answers(tracked, asked, index, step.time_seconds))
    return told, seen


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
    instances = tracking.instances_of(boxes, np.linspace(0.9, 0.5, 60), crops)
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
    timings = measure(candidates, num_runs=30)
    return {state: {number: timings[f"{state} {number}"].p50 for number in numbers} for state in ("bound", "lost")}


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


def fit(sequences: Iterable[Sequence[Step]]) -> dict[str, object]:
    """Logistic regression of the features on whether two rows are the same object, seen some time apart."""
    values, same = [], []
    for steps in sequences:
        sightings = [_by_truth(step, index) for index, step in enumerate(steps)]
        for index in range(3, len(sightings), 4):
            for identity in sightings[index].rows:
                recent = sightings[max(0, index - 30) : index + 1]
                looks = Looks.of([(one, one.rows[identity]) for one in recent if identity in one.rows])
                for later in (sightings[index + gap] for gap in (3, 5, 10, 20, 40, 80) if index + gap < len(sightings)):
                    if later.track_ids:
                        values.append(features([looks], later, range(len(later.track_ids)))[0])
                        same.append(np.array(later.track_ids) == identity)
    matrix, wanted = np.concatenate(values), np.concatenate(same)
    fitted: dict[str, object] = {"num_pairs": len(wanted), "num_same": int(wanted.sum())}
    for name, columns in (("weights", range(6)), ("weights_without_looks", range(4))):
        chosen = matrix[:, list(columns)]
        weights = np.zeros(chosen.shape[1])
        for _ in range(60):
            odds = 1 / (1 + np.exp(-np.clip(chosen @ weights, -30, 30)))
            curvature = (chosen * (odds * (1 - odds))[:, None]).T @ chosen + 1e-5 * len(wanted) * np.eye(len(weights))
            weights -= np.linalg.solve(curvature, chosen.T @ (odds - wanted) + 1e-5 * len(wanted) * weights)
        fitted[name] = dict(zip(FEATURES, np.round(weights, 2).tolist(), strict=False))
    return fitted


def _by_truth(step: Step, index: int) -> Sighting:
    """The first row of each object named by it, the others by nothing."""
    ids = step.truth.copy()
    for identity in np.unique(ids[ids >= 0]):
        ids[np.flatnonzero(ids == identity)[1:]] = -1
    return sight(Tracked(step.instances, torch.from_numpy(ids.astype(np.int64))), index, step.time_seconds)


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
    left.set(xscale="log", yscale="log", xlabel="prompts", ylabel="ms per frame", title="Cost of prompts, 30 objects")
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
    flags.add_argument("--seeds", type=int, nargs="+", default=list(range(4)), help="scenes to follow")
    flags.add_argument("--num-prompts", type=int, nargs="+", default=[1, 3, 10, 30, 100, 300, 1000])
    flags.add_argument("--model", metavar="WEIGHTS", help="also with what these weights find: default, or a path")
    flags.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures there (PNG)")
    flags.add_argument("--fit", action="store_true", help="print the weights of re-acquisition instead")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    if arguments.fit:
        segmenter = Segmenter(arguments.model or "default")
        report(fit([list(model_steps(segmenter, seed)) for seed in FIT_SEEDS]), arguments.json)
        return
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
        segmenter = Segmenter(arguments.model)
        sources[f"{arguments.model} weights"] = lambda seed: model_steps(segmenter, seed)
    print(
        f"{'variant':20} {'follower':10} {'absences':>8} {'right':>6} {'wrong':>6} {'long':>5} {'right':>6} {'pure':>6}"
    )
    for name, source in sources.items():
        for row in absences(name, (list(source(seed)) for seed in arguments.seeds)):
            rows.append(row)
            print(
                f"{row.variant:20} {row.follower:10} {row.num_absences:8d} {row.share_right:6.3f}"
                f" {row.share_wrong:6.3f} {row.num_long:5d} {row.share_right_long:6.3f} {row.purity:6.3f}",
                flush=True,
            )
    if arguments.plot is not None:
        draw(cost, rows, arguments.plot)
    report(
        {
            "seeds": arguments.seeds,
            "ms_per_frame": cost,
            "ms_per_additional_prompt": per_prompt,
            "absences": [asdict(row) for row in rows],
        },
        arguments.json,
    )


if __name__ == "__main__":
    main()
