"""J & F of the variants on sequences with masks, in live runs of the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.mask_propagation.efficientnet import EfficientNetFeatures
from benchmarks.mask_propagation.variants import Variant
from streamseg.datasets.problems import Problems
from streamseg.engines import Engine, Raw
from streamseg.evaluation.davis import contour_accuracy, region_similarity
from streamseg.evaluation.prompt_tracking import SequenceFrame, first_prompts, guided_answers
from streamseg.evaluation.sequences import usable_sequences
from streamseg.evaluation.video import FPS
from streamseg.segmentation import Segmenter
from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.instances import Instances
from streamseg.structures.mask import CropMask
from streamseg.structures.prompt import SpatialPrompt
from streamseg.structures.search_regions import SearchRegions

__all__ = ["CachedEngine", "Score", "ablation", "region_and_contour"]

MIN_SMOOTH_FRAMES = 10
"""Minimum length of a sequence; shorter ones consist of frames far apart, in which nothing can be propagated."""


@dataclass(frozen=True)
class Score:
    """One variant on one sequence."""

    variant: str
    prompt: str
    sequence: str
    region_and_contour: float
    """J & F, without the first and last frame."""
    share_propagated: float
    """Share of the frames in which the propagated mask is selected."""
    share_empty: float
    """Share of the frames without a mask."""


class CachedEngine:
    """An engine that runs each image of a sequence once, however many variants see it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._results: dict[bytes, Raw] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, images: npt.NDArray[np.uint8]) -> Raw:
        """See `Engine.run`."""
        key = images.tobytes()
        if key not in self._results:
            self._results[key] = self._engine.run(images)
        return self._results[key]

    def clear(self) -> None:
        """Forget the results."""
        self._results = {}


class VariantSegmenter:
    """A segmenter whose instances have the features of a variant."""

    def __init__(self, segmenter: Segmenter, variant: Variant, efficientnet: Callable[[ImageArray], Any]) -> None:
        self._segmenter = segmenter
        self._variant = variant
        self._efficientnet = efficientnet

    def __call__(
        self, images: Sequence[ImageArray], regions: Sequence[SearchRegions] | None = None
    ) -> Sequence[Instances]:
        """See `SegmentFunction`."""
        found = self._segmenter.segment_batch(images, regions or [SearchRegions()] * len(images))
        return [self._with_features(instances, image) for instances, image in zip(found, images, strict=True)]

    def _with_features(self, instances: Instances, image: ImageArray) -> Instances:
        source = instances.features
        match self._variant.features:
            case "none":
                return replace(instances, features=None)
            case "colour" if isinstance(source, partial):
                prototypes, _, *others = source.args
                return replace(instances, features=partial(source.func, prototypes, None, *others))
            case "efficientnet":
                return replace(instances, features=partial(self._efficientnet, image))
        return instances


def ablation(
    engine: CachedEngine, folder: Path, variants: Sequence[Variant], *, limit: int | None, imgsz: int | None = None
) -> Iterable[Score]:
    """Yield the scores of all variants, sequence by sequence.

    Args:
        engine: the network.
        folder: sequences as `streamseg eval video` reads them; short ones are omitted.
        variants: the variants.
        limit: maximum number of frames per sequence; None for all.
        imgsz: size of the network's input; None for that of the weights.
    """
    segmenter = Segmenter(engine=engine, imgsz=imgsz, embeddings=True)
    features: dict[bytes, Any] = {}
    network = EfficientNetFeatures(segmenter.imgsz) if any(one.features == "efficientnet" for one in variants) else None

    def efficientnet(image: ImageArray) -> Any:
        key = image.tobytes()
        if key not in features and network is not None:
            features[key] = network(image)
        return features[key]

    for path, labelled in usable_sequences(folder, Problems(), limit=limit).items():
        if len(labelled) < MIN_SMOOTH_FRAMES:
            continue
        pairs = [frame.read() for frame in labelled]
        images, truth = [image for image, _ in pairs], [mask for _, mask in pairs]
        for prompt in first_prompts(truth[0]).values():
            for variant in variants:
                wrapped = VariantSegmenter(segmenter, variant, efficientnet)
                yield _score(wrapped, variant, prompt, path.name, images, truth)
        engine.clear()
        features.clear()


def _score(
    segment: VariantSegmenter,
    variant: Variant,
    prompt: SpatialPrompt,
    sequence: str,
    images: Sequence[ImageArray],
    truth: Sequence[MaskArray],
) -> Score:
    frames = [SequenceFrame(image, Instances.empty(truth[0].shape), index / FPS) for index, image in enumerate(images)]
    answers = list(guided_answers(segment, prompt, frames, propagation=variant.settings))
    is_empty = [not mask.crop.any() for mask, _ in answers]
    is_propagated = [
        not empty and status.mask_source == "propagated" for empty, (_, status) in zip(is_empty, answers, strict=True)
    ]
    return Score(
        variant.name,
        prompt.prompt_id,
        sequence,
        region_and_contour([mask for mask, _ in answers], truth),
        float(np.mean(is_propagated)),
        float(np.mean(is_empty)),
    )


def region_and_contour(masks: Sequence[CropMask], truth: Sequence[MaskArray]) -> float:
    """Return the mean J & F of the masks of at least 3 frames, without the first and last one."""
    scored = [(mask.full(true.shape), true) for mask, true in zip(masks, truth, strict=True)][1:-1]
    return float(np.mean([(region_similarity(*pair) + contour_accuracy(*pair)) / 2 for pair in scored]))
