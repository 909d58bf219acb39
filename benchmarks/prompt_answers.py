"""Measure whether prompts are right about their objects, and whether prompts on background find nothing.

scripts/bench prompt_answers [--data FOLDER] [--model WEIGHTS] [--json FILE]
scripts/bench prompt_answers --fit [--held-out RECIPE] [--images FOLDER]
                                            fit the weights of `prompting.confidence`, and print them

Claims: in each smooth sequence of films-dev (those with at least 20 frames; the others jump), a box and a click on the
object, given in the first frame and in the middle. Of the answers that claim at least 0.9, by their confidence and by
the expected IoU of their mask, at least 90 % should have an IoU of 0.5 with the object. `streamseg eval video` measures
other sequences.

Fit: on the same sequences, and on the images that a training recipe holds out, a box and a click per object. Weights
fitted on either set are judged by the other, in log loss, beside those in use.

Background: in the rendered scene, clicks and boxes where there is no object, while objects pass for two seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.harness import DATA, parser, report
from benchmarks.prompt_tracking.answer_fit import IN_USE, Row, fit, image_rows, log_losses
from streamseg.datasets.problems import Problems
from streamseg.evaluation.claims import Answer, score_claims
from streamseg.evaluation.davis import region_similarity
from streamseg.evaluation.prompt_tracking import first_prompts
from streamseg.evaluation.sequences import LabelledFrame, usable_sequences
from streamseg.evaluation.video import FPS
from streamseg.pipeline import Pipeline
from streamseg.prompting.confidence import FEATURES, features
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt
from streamseg.synthetic import SceneRenderer
from streamseg.training.held_out import held_out_images

MIN_FRAMES = 20
"""Minimum number of frames of a smooth sequence."""
RECIPE = Path(__file__).parents[1] / "configs" / "train-nanodet.yaml"
SCENE_SEEDS = (100, 101, 102)
SCENE_FPS = 10.0
SCENE_FRAMES = 20
NUM_CLICKS, NUM_BOXES = 8, 3
MARGIN_PX = 25
"""Minimum distance of a click on background from all objects."""


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--data", type=Path, default=DATA / "films-dev", metavar="FOLDER", help="sequences")
    flags.add_argument("--model", default="default", metavar="WEIGHTS", help="weights: default, or a path")
    flags.add_argument("--fit", action="store_true", help="fit and print the weights of the confidence instead")
    flags.add_argument(
        "--held-out", type=Path, default=RECIPE, metavar="RECIPE", help="recipe whose images are held out"
    )
    flags.add_argument("--images", type=Path, default=DATA, metavar="FOLDER", help="folder of the recipe's sources")
    arguments = flags.parse_args()
    torch.set_num_threads(1)
    with Segmenter(arguments.model, embeddings=True) as segmenter:
        sequences = usable_sequences(arguments.data, Problems())
        smooth = {folder.name: frames for folder, frames in sequences.items() if len(frames) >= MIN_FRAMES}
        rows = [row for name, frames in smooth.items() for row in _rows(segmenter, name, frames)]
        if arguments.fit:
            images = held_out_images(arguments.held_out, arguments.images, Problems())
            _report_fit({"films": rows, "images": list(image_rows(segmenter, images))}, arguments.json)
            return
        claims = score_claims([row.answer for row in rows])
        for name, of in claims.items():
            print(
                f"{name:13} {of.num_answers} answers, {of.num_claims} claim at least 0.9,"
                f" {of.share_correct:.3f} of these have IoU >= 0.5; mean {of.calibration.mean_score:.3f},"
                f" mean IoU {of.calibration.mean_iou:.3f}"
            )
        background = {seed: _background(segmenter, seed) for seed in SCENE_SEEDS}
    for seed, counts in background.items():
        print(f"scene {seed}: {counts['bound']} of {counts['prompts']} prompts on background selected an object")
    report({"claims": {name: asdict(of) for name, of in claims.items()}, "background": background}, arguments.json)


def _rows(segmenter: Segmenter, name: str, sequence: Sequence[LabelledFrame]) -> Iterator[Row]:
    """Yield the answers to a box and a click, given in the first frame and in the middle of a sequence."""
    frames = [frame.read() for frame in sequence]
    for first in (0, len(frames) // 2):
        if frames[first][1].any():
            for kind, prompt in first_prompts(frames[first][1]).items():
                yield from _answers(segmenter, f"{name}, {kind}, {first}", prompt, frames[first:])


def _answers(
    segmenter: Segmenter, trajectory: str, prompt: SpatialPrompt, frames: Sequence[tuple[ImageArray, MaskArray]]
) -> Iterator[Row]:
    pipeline = Pipeline(segmenter, prompts=(prompt,))
    for index, (image, truth) in enumerate(frames):
        frame = _frame(image, index, FPS)
        result = pipeline.finish(frame, pipeline.segment([frame])[0])
        (selection,) = result.selections
        if selection.status is None or not selection.rows:
            continue
        score = float(result.tracked.instances.scores[selection.rows[0]])
        mask = result.message.of(prompt.prompt_id)[0].mask
        answer = Answer(selection.status, region_similarity(mask.full(truth.shape), truth))
        yield Row(trajectory, features(prompt, score), selection.scores[0], answer)


def _report_fit(rows: dict[str, list[Row]], path: Path | None) -> None:
    """Fit on each set and on both, with equal weight per trajectory, and compare with the weights in use."""
    both = [row for of in rows.values() for row in of]
    weights: dict[str, Mapping[str, Sequence[float]]] = {
        "in use": IN_USE,
        **{name: fit(of) for name, of in rows.items()},
        "both": fit(both),
    }
    losses = {name: {of: log_losses(rows[of], by) for of in rows} for name, by in weights.items()}
    for name, by in weights.items():
        print(name, {key: list(values) for key, values in by.items()})
        for of, loss in losses[name].items():
            print(f"  log loss on {of} ({len(rows[of])} answers): {loss}")
    report({"features": FEATURES, "weights": weights, "log_losses": losses}, path)


def _background(segmenter: Segmenter, seed: int) -> dict[str, int]:
    """Return the number of prompts on background of a scene, and of those that select anything at any time."""
    renderer = SceneRenderer(1280, 720, seed=seed, fps=SCENE_FPS)
    union = np.zeros((720, 1280), dtype=np.bool_)
    for mask in renderer.truth(0).masks:
        union |= mask.full((720, 1280))
    distances = cv2.distanceTransform((~union).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rows, columns = np.nonzero(distances > MARGIN_PX)
    chosen = np.random.default_rng(seed).choice(len(rows), NUM_CLICKS + NUM_BOXES, replace=False)
    places = [(float(columns[one]) + 0.5, float(rows[one]) + 0.5) for one in chosen]
    prompts: list[SpatialPrompt] = [
        PointPrompt(f"click {number}", (place,), (1,)) for number, place in enumerate(places[:NUM_CLICKS])
    ]
    for number, (x, y) in enumerate(places[NUM_CLICKS:]):
        side = float(distances[int(y), int(x)]) / 2
        prompts.append(BoxPrompt(f"box {number}", (x - side, y - side, x + side, y + side)))
    pipeline = Pipeline(segmenter, prompts=prompts)
    bound: set[str] = set()
    for index in range(SCENE_FRAMES):
        (message,) = pipeline([_frame(renderer.render(index), index, SCENE_FPS)])
        bound |= {status.prompt_id for status in message.prompts if status.state != "none"}
    return {"prompts": len(prompts), "bound": len(bound)}


def _frame(image: ImageArray, index: int, fps: float) -> Frame:
    time_ns = round(index / fps * 1e9)
    return Frame(
        image=image,
        source_id="sequence",
        index=index,
        pts_seconds=index / fps,
        captured_ns=time_ns,
        clock="arrival",
        received_ns=time_ns,
    )


if __name__ == "__main__":
    main()
