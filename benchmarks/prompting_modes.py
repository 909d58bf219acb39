"""Show where the matches of `mode: streamseg` and `mode: fastsam` differ.

python -m benchmarks.prompting_modes [--image FILE.png] [--json FILE]

Three drawn images with known masks: three points on three objects, a background point on a part of an object, and a box
on an empty area. Both modes match prompts with the same instances; the matches are drawn side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from benchmarks.harness import output_file, parser, report
from streamseg.drawing import Colour, colour_of
from streamseg.fastsam.reference_drawing import draw_reference
from streamseg.fastsam.reference_matching import ReferenceMatcher
from streamseg.geometry import letterbox
from streamseg.pipeline.compose import Matches, PromptMatcher, SelectionMatcher
from streamseg.prompting import PromptSet, select
from streamseg.structures.arrays import ImageArray
from streamseg.structures.instances import Instances, Tracked
from streamseg.structures.prompt import BoxPrompt, PointPrompt, Prompt
from streamseg.telemetry import StageTimer

SIZE = (300, 420)
"""(H, W) of each image."""
IMGSZ = 832
MARGIN = 14
HEADER = 34
CAPTION = 30

Shape = tuple[str, tuple[int, int, int, int], Colour]
"""Kind ("ellipse" or "rectangle"), box xyxy and colour."""

TABLE: Shape = ("rectangle", (0, 205, 420, 300), (172, 138, 104))
APPLE: Shape = ("ellipse", (40, 130, 130, 220), (196, 64, 52))
ORANGE: Shape = ("ellipse", (160, 160, 250, 250), (232, 150, 48))
PLUM: Shape = ("ellipse", (285, 140, 365, 215), (120, 70, 140))
CARD: Shape = ("rectangle", (70, 50, 350, 260), (208, 204, 190))
WINDOW: Shape = ("rectangle", (150, 100, 290, 210), (112, 160, 196))
KNOB: Shape = ("ellipse", (195, 130, 245, 180), (236, 206, 120))


@dataclass(frozen=True)
class Case:
    """One image and its prompt."""

    title: str
    shapes: tuple[Shape, ...]
    prompt: Prompt


CASES = (
    Case(
        "three points on three objects",
        (TABLE, APPLE, ORANGE, PLUM),
        PointPrompt("click", ((85, 168), (205, 188), (325, 170)), (1, 1, 1)),
    ),
    Case(
        "background point on a part",
        (CARD, WINDOW, KNOB),
        PointPrompt("click", ((220, 155), (100, 230)), (0, 1)),
    ),
    Case(
        "a box on nothing",
        (TABLE, APPLE, ORANGE, PLUM),
        BoxPrompt("box", (30, 20, 150, 90)),
    ),
)


def paint(shape: Shape, canvas: ImageArray, colour: Colour | int) -> None:
    """Draw a filled shape."""
    kind, (x0, y0, x1, y1), _ = shape
    if kind == "ellipse":
        centre, axes = ((x0 + x1) // 2, (y0 + y1) // 2), ((x1 - x0) // 2, (y1 - y0) // 2)
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, cv2.FILLED)
    else:
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, cv2.FILLED)


def image_of(shapes: tuple[Shape, ...]) -> ImageArray:
    """Draw the shapes on a light background, later ones in front."""
    canvas = np.full((*SIZE, 3), 226, dtype=np.uint8)
    for shape in shapes:
        paint(shape, canvas, shape[2])
    return canvas


def instances_of(shapes: tuple[Shape, ...]) -> Instances:
    """Return the instances of a perfect network: each shape complete despite occlusion; the first scores highest."""
    place = letterbox(SIZE, IMGSZ)
    grid = place.input_size[0] // 4, place.input_size[1] // 4
    boxes, logits = [], []
    for shape in shapes:
        mask = np.zeros(SIZE, dtype=np.uint8)
        paint(shape, mask, 1)
        scaled = cv2.resize(mask.astype(np.float32), place.scaled_size[::-1], interpolation=cv2.INTER_LINEAR)
        letterboxed = np.zeros(place.input_size, dtype=np.float32)
        letterboxed[place.top : place.top + scaled.shape[0], place.left : place.left + scaled.shape[1]] = scaled
        logits.append(cv2.resize(letterboxed, grid[::-1], interpolation=cv2.INTER_AREA) * 12 - 6)
        down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append([across[0], down[0], across[-1] + 1, down[-1] + 1])
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.linspace(0.9, 0.7, len(shapes)),
        mask_logits=torch.from_numpy(np.stack(logits)),
        grid_to_image=place.to_image(4),
        image_size=SIZE,
    )


def match(matcher: PromptMatcher, tracked: Tracked, prompt: Prompt) -> Matches:
    """Match one prompt with the instances of an image."""
    prompts = PromptSet.of([prompt])
    return matcher.match(tracked, prompts, select=lambda: select(tracked, prompts), texts=(), timer=StageTimer())


def panel(image: ImageArray, case: Case, matches: Matches | None) -> ImageArray:
    """Draw the prompt and its matches, if given, on an image."""
    objects = matches.objects if matches is not None else ()
    points = case.prompt if isinstance(case.prompt, PointPrompt) else None
    drawn = draw_reference(
        image,
        [one.mask for one in objects],
        colours=[colour_of(2) for _ in objects],
        with_contours=True,
        boxes=[case.prompt.box] if isinstance(case.prompt, BoxPrompt) else [],
        point_coords=points.point_coords if points is not None else (),
        point_labels=points.point_labels if points is not None else (),
    )
    if points is not None:  # larger than in the reference, to be visible in a small image
        for (x, y), label in zip(points.point_coords, points.point_labels, strict=True):
            colour = (255, 235, 0) if label else (230, 0, 200)
            cv2.circle(drawn, (round(x), round(y)), 7, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(drawn, (round(x), round(y)), 5, colour, cv2.FILLED, cv2.LINE_AA)
    return drawn


def description(matches: Matches) -> str:
    """Describe the matches in a few words."""
    if not matches.objects:
        return "no match"
    (one,) = matches.objects
    kind = "one merged mask" if matches.selections[0].mask is not None else f"object {one.track_id}"
    return f"{kind}, {one.area} px, score {matches.selections[0].scores[0]:.2f}"


def sheet(rows: list[tuple[Case, Matches, Matches]]) -> ImageArray:
    """Draw one line per case: the prompt, and the matches in both modes."""
    height, width = SIZE
    line = height + CAPTION
    canvas = np.full((HEADER + len(rows) * (line + MARGIN), 3 * width + 4 * MARGIN, 3), 255, dtype=np.uint8)

    def write(text: str, x: int, y: int, scale: float) -> None:
        cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)

    lefts = [MARGIN + column * (width + MARGIN) for column in range(3)]
    for left, title in zip(lefts, ("prompt", "mode: streamseg", "mode: fastsam"), strict=True):
        write(title, left, 23, 0.65)
    for row, (case, ours, theirs) in enumerate(rows):
        top = HEADER + row * (line + MARGIN)
        image = image_of(case.shapes)
        for left, matches in zip(lefts, (None, ours, theirs), strict=True):
            canvas[top : top + height, left : left + width] = panel(image, case, matches)
            write(case.title if matches is None else description(matches), left, top + height + 21, 0.52)
    return canvas


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--image",
        "--picture",
        type=output_file,
        default=None,
        metavar="FILE.png",
        help="draw the matches and write them to this file",
    )
    args = arguments.parse_args()
    rows, results = [], []
    for case in CASES:
        instances = instances_of(case.shapes)
        tracked = Tracked(instances, torch.arange(1, len(instances) + 1))
        ours = match(SelectionMatcher(), tracked, case.prompt)
        theirs = match(ReferenceMatcher(), tracked, case.prompt)
        print(f"{case.title}\n  streamseg  {description(ours)}\n  fastsam    {description(theirs)}")
        rows.append((case, ours, theirs))
        results.append(
            {
                "case": case.title,
                "default": {"rows": ours.selections[0].rows, "area_px": sum(one.area for one in ours.objects)},
                "reference": {"rows": theirs.selections[0].rows, "area_px": sum(one.area for one in theirs.objects)},
            }
        )
    if args.image is not None:
        args.image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(args.image), cv2.cvtColor(sheet(rows), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(f"wrote {args.image}, {args.image.stat().st_size / 1000:.0f} kB")
    report({"benchmark": "prompting_modes", "size": list(SIZE), "cases": results}, args.json)


if __name__ == "__main__":
    main()
