"""J & F on varied sequences and prompts: what following gains where nothing was tuned.

The settings of following were chosen on the sequences of films-dev, forwards, from exact prompts in their first frames.
Here the same sequences are run backwards, mirrored, faster, smaller, in larger images and disturbed, from later frames
on, and from prompts that are drawn carelessly. A change that gains on most of these is not one that fits the few
sequences.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.mask_propagation.ablation import MIN_SMOOTH_FRAMES, CachedEngine, region_and_contour
from streamseg.datasets.problems import Problems
from streamseg.evaluation.prompt_tracking import SequenceFrame, first_prompts, guided_answers
from streamseg.evaluation.sequences import usable_sequences
from streamseg.evaluation.video import FPS
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.structures.prompt import BoxPrompt, PointPrompt, SpatialPrompt
from streamseg.structures.search_regions import SearchRegions

__all__ = ["VARIATIONS", "Estimate", "Variation", "VariedScore", "changes", "mean_scores", "varied_scores"]

MIN_FRAMES: Final = 4
"""Minimum length of a varied sequence: the first and last frame are not scored."""
BOX_ERROR: Final = 0.06
"""Standard deviation of the edges of carelessly drawn boxes, as a fraction of their sides."""

Pair = tuple[ImageArray, MaskArray]
"""An image (H, W, 3) and the mask (H, W) of its object."""


@dataclass(frozen=True)
class Variation:
    """One way in which sequences, or the prompts in their first frames, differ from those of films-dev."""

    name: str
    sequence: Callable[[Sequence[Pair], np.random.Generator], Sequence[Pair]] = lambda pairs, _: pairs
    prompts: Callable[[MaskArray, np.random.Generator], Mapping[str, SpatialPrompt]] = lambda mask, _: first_prompts(
        mask
    )
    is_for_smooth: bool = False
    """Whether it makes no sense for sequences of frames that are far apart already."""


@dataclass(frozen=True)
class VariedScore:
    """One prompt that was followed through one varied sequence."""

    variation: str
    prompt: str
    sequence: str
    region_and_contour: float
    """J & F, without the first and last frame."""


@dataclass(frozen=True)
class Estimate:
    """A mean over prompts, first over those in one sequence, and its standard error."""

    mean: float
    standard_error: float
    """Over sequences, because prompts in one sequence fail together; nan for a single sequence."""
    num_prompts: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.standard_error:.3f}"


def _every(step: int, pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    return pairs[::step]


def _since(start: int, pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    return pairs[start:]


def _mirrored(pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    return [(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])) for image, mask in pairs]


def _halved(pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    """Return half the size: images by the mean of four pixels, masks by their majority."""
    return [(_half(image).astype(np.uint8), _half(mask.astype(np.float32)) >= 0.5) for image, mask in pairs]


def _half(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _far(factor: int, pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    """Return sequences in the middle of an image `factor` times as large, on their first image, enlarged and blurred.

    The network, which sees the whole image, then sees the object `factor` times as small.
    """
    first, _mask = pairs[0]
    height, width = first.shape[:2]
    large = cv2.resize(first, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    around = cv2.GaussianBlur(large, (0, 0), 0.02 * factor * width).astype(np.uint8)
    top, left = ((factor - 1) * side // 2 for side in (height, width))
    middle = (slice(top, top + height), slice(left, left + width))
    framed = []
    for image, mask in pairs:
        whole, where = around.copy(), np.zeros(around.shape[:2], np.bool_)
        whole[middle], where[middle] = image, mask
        framed.append((whole, where))
    return framed


def _noisy(pairs: Sequence[Pair], rng: np.random.Generator) -> Sequence[Pair]:
    """Return images with the noise of a dark room: independent in each pixel, standard deviation 12 of 255."""
    return [
        ((image + rng.normal(0, 12, image.shape).astype(np.float32)).clip(0, 255).astype(np.uint8), mask)
        for image, mask in pairs
    ]


def _blurred(pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    """Return images out of focus: a Gaussian whose standard deviation is 0.4 % of the diagonal."""
    return [
        (cv2.GaussianBlur(image, (0, 0), 0.004 * float(np.hypot(*mask.shape))).astype(np.uint8), mask)
        for image, mask in pairs
    ]


def _darkening(pairs: Sequence[Pair], _: np.random.Generator) -> Sequence[Pair]:
    """Return images that become darker, down to 40 % in the last frame."""
    gains = np.linspace(1, 0.4, len(pairs))
    return [((image * gain).astype(np.uint8), mask) for gain, (image, mask) in zip(gains, pairs, strict=True)]


def _careless(truth: MaskArray, rng: np.random.Generator) -> Mapping[str, SpatialPrompt]:
    """Return a box with errors, and a click on any pixel that is not at the outline of the object."""
    exact = first_prompts(truth)["box"]
    assert isinstance(exact, BoxPrompt)
    box = np.array(exact.box)
    errors = rng.normal(0, BOX_ERROR, 4).clip(-3 * BOX_ERROR, 3 * BOX_ERROR) * np.tile(box[2:] - box[:2], 2)
    x0, y0, x1, y1 = (box + errors).clip(0, np.tile(truth.shape[::-1], 2)).tolist()
    depth = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # People do not click on the outline itself.
    inner = np.argwhere(depth >= max(1.0, 0.3 * float(depth.max())))
    y, x = inner[rng.integers(len(inner))]
    return {"box": BoxPrompt("box", (x0, y0, x1, y1)), "1 point": PointPrompt("1 point", ((x + 0.5, y + 0.5),), (1,))}


VARIATIONS: Final = (
    Variation("as they are"),
    Variation("backwards", lambda pairs, _: pairs[::-1]),
    Variation("mirrored", _mirrored),
    Variation("every second frame", partial(_every, 2), is_for_smooth=True),
    Variation("every third frame, backwards", lambda pairs, _: pairs[::-1][::3], is_for_smooth=True),
    Variation("from frame 10 on", partial(_since, 10), is_for_smooth=True),
    Variation("from frame 20 on", partial(_since, 20), is_for_smooth=True),
    Variation("careless prompts", prompts=_careless),
    Variation("careless prompts, backwards", lambda pairs, _: pairs[::-1], _careless),
    Variation("careless prompts, from frame 5 on", partial(_since, 5), _careless, is_for_smooth=True),
    Variation("half the size", _halved),
    Variation("in an image four times as large", partial(_far, 4)),
    Variation("noisy", _noisy),
    Variation("blurred", _blurred),
    Variation("darkening", _darkening),
)


def varied_scores(
    engine: CachedEngine,
    folder: Path,
    variations: Sequence[Variation] = VARIATIONS,
    *,
    limit: int | None = None,
    imgsz: int | None = None,
    max_followed_close_ups: int = 1,
) -> Iterable[VariedScore]:
    """Yield the score of each prompt, sequence by sequence. The order of `variations` changes no score.

    Args:
        engine: the network.
        folder: sequences as `streamseg eval video` reads them. Varied ones that are shorter than `MIN_FRAMES`, or whose
            first mask is empty, are omitted.
        variations: what is varied.
        limit: maximum number of frames per varied sequence; None for all.
        imgsz: size of the network's input; None for that of the weights.
        max_followed_close_ups: see `Segmenter`.
    """
    segmenter = Segmenter(engine=engine, imgsz=imgsz, embeddings=True, max_followed_close_ups=max_followed_close_ups)

    def segment(images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None) -> Sequence[Instances]:
        return segmenter.segment_batch(images, regions or [SearchRegions()] * len(images))

    for path, labelled in usable_sequences(folder, Problems()).items():
        pairs = [frame.read() for frame in labelled]
        for variation in variations:
            if variation.is_for_smooth and len(pairs) < MIN_SMOOTH_FRAMES:
                continue
            rng = np.random.default_rng(zlib.crc32(f"{variation.name} {path.name}".encode()))
            varied = variation.sequence(pairs, rng)[:limit]
            if len(varied) < MIN_FRAMES or not varied[0][1].any():
                continue
            truth = [mask for _, mask in varied]
            frames = [
                SequenceFrame(image, Instances.empty(mask.shape), index / FPS)
                for index, (image, mask) in enumerate(varied)
            ]
            for kind, prompt in variation.prompts(truth[0], rng).items():
                masks = [mask for mask, _ in guided_answers(segment, prompt, frames)]
                yield VariedScore(variation.name, kind, path.name, region_and_contour(masks, truth))
        engine.clear()


def mean_scores(scores: Sequence[VariedScore]) -> dict[tuple[str, str], Estimate]:
    """Return the mean J & F by variation and prompt kind; the variation "" stands for all of them."""
    return _estimates((one, one.region_and_contour) for one in scores)


def changes(before: Sequence[VariedScore], after: Sequence[VariedScore]) -> dict[tuple[str, str], Estimate]:
    """Return the change between two states of the code, see `mean_scores`, over the prompts that both have."""
    known = {(one.variation, one.prompt, one.sequence): one.region_and_contour for one in before}
    pairs = [(one, known.get((one.variation, one.prompt, one.sequence))) for one in after]
    return _estimates((one, one.region_and_contour - earlier) for one, earlier in pairs if earlier is not None)


def _estimates(values: Iterable[tuple[VariedScore, float]]) -> dict[tuple[str, str], Estimate]:
    grouped: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one, value in values:
        for name in (one.variation, ""):
            grouped[name, one.prompt][one.sequence].append(value)
    return {key: _estimate(list(by_sequence.values())) for key, by_sequence in grouped.items()}


def _estimate(by_sequence: Sequence[Sequence[float]]) -> Estimate:
    means = np.array([np.mean(one) for one in by_sequence])
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return Estimate(float(means.mean()), error, sum(map(len, by_sequence)))
