"""Segmentation on the host: every step but the network, which any engine runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.engines import Engine, Raw
from streamseg.geometry import Letterbox
from streamseg.modeling.network import PROTOTYPE_STRIDE
from streamseg.modeling.preprocess import PADDING, letterbox_images
from streamseg.modeling.refiner import Refiner
from streamseg.segmentation.box_fit import fit_to_boxes
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.close_ups import CloseUps
from streamseg.segmentation.detections import Detections, detections_of
from streamseg.segmentation.embedding import embed
from streamseg.segmentation.features import feature_map
from streamseg.segmentation.own_boxes import own_boxes
from streamseg.segmentation.results import ImageInstances
from streamseg.segmentation.second_look import Looker
from streamseg.structures.arrays import ImageArray
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.telemetry import StageTimer

__all__ = ["HostSegmentation"]


class HostSegmentation:
    """Segments images with any engine: letterboxing, selection, masks, embeddings and the refiner on the host."""

    def __init__(
        self,
        engine: Engine,
        settings: SelectionSettings,
        *,
        refiner: Refiner | None,
        sharp: bool,
        calibrated: bool,
        embeds: bool,
        timer: StageTimer,
        max_close_ups: int = 0,
        max_followed_close_ups: int = 0,
    ) -> None:
        """Keep the engine, which the caller closes.

        Args:
            engine: the network.
            settings: thresholds.
            refiner: the refiner; None for plain masks and raw scores.
            sharp: whether it corrects masks.
            calibrated: whether its scores replace those of the network.
            embeds: whether to compute appearance embeddings and provide features of the image.
            timer: receives the times of `preprocess`, `network` and `postprocess`, in milliseconds per batch; the last
                one includes close-ups.
            max_close_ups: maximum number of windows around new prompts per image (`close_ups`); 0: none. Only for
                masks that the refiner corrects.
            max_followed_close_ups: the same for windows around small targets that are followed.
        """
        self._engine = engine
        self._settings = settings
        self._refiner = refiner
        self._sharp, self._calibrated = sharp, calibrated
        self._embeds = embeds
        self._timer = timer
        self._close_ups: CloseUps | None = None
        if (max_close_ups or max_followed_close_ups) and sharp and refiner is not None:
            windows = HostSegmentation(
                engine, settings, refiner=refiner, sharp=True, calibrated=calibrated, embeds=False, timer=StageTimer()
            )
            self._close_ups = CloseUps(windows.segment, max_close_ups, max_followed_close_ups)

    def segment(
        self,
        images: Sequence[ImageArray],
        places: Sequence[Letterbox],
        regions: Sequence[SearchRegions],
        refines: Sequence[bool] | None = None,
    ) -> list[ImageInstances]:
        """Segment images uint8 (H, W, 3) RGB of any sizes, and return the instances of each, in order.

        Images with equal letterboxed shapes go through the network as one batch, or as several if the engine has a
        `max_batch`.

        Args:
            images: the images; none give an empty list.
            places: placement of each image in the network's input.
            regions: search regions of each image.
            refines: for each image, whether the refiner, if there is one, runs; None: for all.
        """
        results: dict[int, ImageInstances] = {}
        for positions, batch, raw in self._run(images, places):
            with self._timer.stage("postprocess"):
                for row, p in enumerate(positions):
                    found = detections_of(raw, row, places[p], regions[p], self._settings)
                    results[p] = self._instances(
                        found, batch[row], images[p], places[p], regions[p], refines=refines is None or refines[p]
                    )
        return [results[position] for position in range(len(images))]

    def begin(
        self,
        images: Sequence[ImageArray],
        places: Sequence[Letterbox],
        regions: Sequence[SearchRegions],
        refines: Sequence[bool],
    ) -> list[Callable[[], ImageInstances]]:
        """Run the network on images; each function returned does the rest for its image, see `segment`.

        `postprocess` is then measured per image, by the thread that calls the function. For images with close-ups, the
        function has nothing left to do, because these need the network, which only this thread may run.
        """

        def finish(raw: Raw, row: int, letterboxed: ImageArray, p: int) -> ImageInstances:
            with self._timer.stage("postprocess"):
                found = detections_of(raw, row, places[p], regions[p], self._settings)
                return self._instances(found, letterboxed, images[p], places[p], regions[p], refines=refines[p])

        def begin_one(raw: Raw, row: int, letterboxed: ImageArray, p: int) -> Callable[[], ImageInstances]:
            rest = partial(finish, raw, row, letterboxed, p)
            if self._close_ups is None or not self._close_ups.may_apply(regions[p], places[p]):
                return rest
            found = rest()
            return lambda: found

        begun: dict[int, Callable[[], ImageInstances]] = {}
        for positions, batch, raw in self._run(images, places):
            begun.update((p, begin_one(raw, row, batch[row], p)) for row, p in enumerate(positions))
        return [begun[position] for position in range(len(images))]

    def _run(
        self, images: Sequence[ImageArray], places: Sequence[Letterbox]
    ) -> Iterator[tuple[list[int], npt.NDArray[np.uint8], Raw]]:
        """Run the network on batches of equal letterboxed shapes; yield positions, letterboxed images and results."""
        batches: dict[tuple[int, int], list[int]] = {}
        for position, place in enumerate(places):
            batches.setdefault(place.input_size, []).append(position)
        for positions in self._split(batches.values()):
            with self._timer.stage("preprocess"):
                batch = letterbox_images([images[p] for p in positions], [places[p] for p in positions])
            with self._timer.stage("network"):
                raw = self._engine.run(batch)
            yield positions, batch, raw

    def segment_one(
        self, image: ImageArray, place: Letterbox, regions: SearchRegions, *, refines: bool
    ) -> ImageInstances:
        """Segment one image as part of a stage that the caller measures; see `segment`."""
        batch = letterbox_images([image], [place])
        found = detections_of(self._engine.run(batch), 0, place, regions, self._settings)
        return self._instances(found, batch[0], image, place, regions, refines=refines)

    def warmup(self, place: Letterbox, num_images: int) -> None:
        """Run grey batches of `num_images` images, and the refiner on one object."""
        grey = np.full((*place.image_size, 3), PADDING, np.uint8)
        for positions in self._split([list(range(num_images))]):
            batch = np.full((len(positions), *place.input_size, 3), PADDING, np.uint8)
            self._engine.run(batch)  # OpenVINO compiles for a shape that occurs twice in a row
            found = detections_of(self._engine.run(batch), 0, place, NO_REGIONS, self._settings)
            prototypes = torch.from_numpy(found.prototypes).float()
            height, width = place.image_size
            whole = ImageInstances(
                boxes=torch.tensor([[0.0, 0.0, width, height]]),
                scores=torch.ones(1),
                mask_logits=prototypes[:1],
                grid_to_image=place.to_image(PROTOTYPE_STRIDE),
                image_size=place.image_size,
            )
            self._refine(whole, torch.ones(1, dtype=torch.bool), prototypes, grey, place, batch[0])

    def _split(self, batches: Iterable[list[int]]) -> Iterator[list[int]]:
        """Split the batches into parts of at most the engine's `max_batch`."""
        for positions in batches:
            most = self._engine.max_batch or len(positions)
            yield from (positions[first : first + most] for first in range(0, len(positions), most))

    def _instances(
        self,
        found: Detections,
        letterboxed: ImageArray,
        image: ImageArray,
        place: Letterbox,
        regions: SearchRegions,
        *,
        refines: bool,
    ) -> ImageInstances:
        """Return the objects of one image, given with its letterboxed and its original pixels."""
        prototypes = torch.from_numpy(found.prototypes).float()  # (32, Mh, Mw)
        instances = ImageInstances(
            boxes=found.boxes,
            scores=found.scores,
            mask_logits=torch.mm(found.coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
            grid_to_image=place.to_image(PROTOTYPE_STRIDE),
            image_size=place.image_size,
            own_boxes=own_boxes(found, place),
        )
        if self._embeds:
            features = partial(feature_map, found.prototypes, found.embeddings, letterboxed, place)
            instances = replace(instances, embeddings=embed(instances, prototypes, letterboxed), features=features)
        if not refines:
            return instances
        if self._embeds and self._refiner is not None and self._sharp:
            instances = replace(instances, look=Looker(self._refiner, *found.source, image, place, letterboxed))
        instances = self._refine(instances, found.is_prompted, prototypes, image, place, letterboxed)
        if self._close_ups is None:
            return instances
        return self._close_ups(instances, regions, image, place, prototypes, letterboxed)

    def _refine(
        self,
        instances: ImageInstances,
        is_prompted: Tensor,
        prototypes: Tensor,
        image: ImageArray,
        place: Letterbox,
        letterboxed: ImageArray,
    ) -> ImageInstances:
        """Apply the refiner's masks and/or scores, as configured; corrected masks of prompted boxes fit them."""
        if self._refiner is None:
            return instances
        refined, scores = self._refiner.refine(instances, prototypes, image, place, letterboxed)
        corrected = fit_to_boxes(refined, is_prompted) if self._sharp else instances
        if not self._calibrated:
            return corrected
        order = scores.argsort(descending=True, stable=True)
        return replace(corrected, scores=scores)[order]
