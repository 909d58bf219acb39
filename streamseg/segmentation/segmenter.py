"""The segmenter: images in, every object of each out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self, cast, overload

import numpy as np

from streamseg.config import SegmentationConfig
from streamseg.engines import Engine, EngineName, build_engine
from streamseg.errors import StreamsegError
from streamseg.geometry import Letterbox, letterbox, letterbox_into
from streamseg.modeling.network import STRIDES
from streamseg.modeling.preprocess import check_image
from streamseg.resources import Resource
from streamseg.segmentation.candidates import SelectionSettings
from streamseg.segmentation.host import HostSegmentation
from streamseg.segmentation.inputs import ImageLike, is_image, many_images, read_image
from streamseg.segmentation.on_device import on_host, open_device, segment_on_device
from streamseg.segmentation.results import ImageInstances
from streamseg.segmentation.settings_checks import check_engine, check_ranges
from streamseg.structures.arrays import ImageArray
from streamseg.structures.degradation import NO_DEGRADATION, Degradation
from streamseg.structures.nv12 import Nv12Image
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.telemetry import StageTimer

__all__ = ["Segmenter"]

FILES_AT_ONCE: Final = 8
"""Number of image files that are read and segmented together."""


class Segmenter(Resource):
    """Segmentation of every instance in images, independent of any prompts.

    The result for an image does not depend on the other images of the batch: the rows are the same, with boxes equal
    to 0.01 pixels, and scores and logits equal to 0.001. Not thread-safe: one thread at a time may call it.
    """

    def __init__(
        self,
        weights: str | Path = "default",
        *,
        engine: EngineName | Engine = "auto",
        device: str = "auto",
        half: bool | Literal["auto"] = "auto",
        imgsz: int | None = None,
        conf: float = 0.25,
        iou: float = 0.7,
        max_det: int = 300,
        masks: Literal["auto", "plain", "sharp"] = "auto",
        scores: Literal["auto", "raw", "calibrated"] = "auto",
        embeddings: bool = False,
        expected_conf: float = 0.05,
        max_close_ups: int = 8,
        max_followed_close_ups: int = 1,
    ) -> None:
        """Load the weights.

        Args:
            weights: `default` (embedded), a name (`FastSAM-s`, `FastSAM-x`), or the path of a .safetensors, .pt,
                .onnx or .xml file.
            engine: `auto`, `torch`, `onnx`, `openvino`, `device`, `tensorrt`, or an existing engine, which determines
                weights, device and half. `device` is torch with the selection of detections on the device as well,
                `tensorrt` the same with the network in TensorRT.
            device: `auto` (CUDA if available), `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
            half: half precision; `auto` enables it on CUDA only.
            imgsz: long side of the network's input in pixels, 32..4096; rounded up to a multiple of 32. None for the
                size that the weights were made for. Third-party graphs often support one size only.
            conf: score threshold, exclusive, 0..1. Not lower than that of a graph with built-in suppression, whose
                `max_det` is a limit, too.
            iou: overlap threshold, 0..1: a box that overlaps a better one by more is removed. Not higher than that of
                a graph with built-in suppression.
            max_det: maximum number of objects per image, 1..3000.
            masks: `plain` computes masks from prototypes alone, like FastSAM. `sharp` corrects each object with the
                refiner included in the weights. `auto` is sharp if the weights include a refiner.
            scores: `raw` keeps the scores of the network. `calibrated` replaces them by the refiner's estimate of the
                mask IoU. `auto` is calibrated if the weights include a refiner. `conf` and NMS use the raw scores in
                every case.
            embeddings: compute an appearance embedding per object, for tracking through videos, and provide features of
                the image, for propagating masks.
            expected_conf: score threshold, exclusive, 0..1, for detections in expected search regions that are
                otherwise empty; 1 disables them.
            max_close_ups: maximum number of windows per image, around prompted boxes and points of search regions, that
                the network sees enlarged, 0..1000, each at the price of one more image. A box takes one window, a point
                two; further ones are searched for in the whole image only. Sharp masks only.
            max_followed_close_ups: the same for targets of followed regions, 0..1000: only those that are small in the
                network's input and not found well in the whole image have windows. Not with engine `device` and
                `tensorrt`.

        Raises:
            ConfigError: a value is out of range, or the weights include no refiner for `sharp` or `calibrated`.
            WeightsError: the weights are missing, broken or of another architecture.
            EngineError: the device is not available, or the engine does not support a setting, such as an `imgsz` that
                differs from the fixed size of its graph, or objects that the suppression inside the graph removes.
        """
        limited = {
            "imgsz": imgsz,
            "conf": conf,
            "iou": iou,
            "max_det": max_det,
            "expected_conf": expected_conf,
            "max_close_ups": max_close_ups,
            "max_followed_close_ups": max_followed_close_ups,
        }
        check_ranges(limited)
        self.conf = conf
        self.iou = iou
        self.max_det = max_det
        self.expected_conf = expected_conf
        self.engine: Engine = (
            build_engine(weights, engine=engine, device=device, half=half) if isinstance(engine, str) else engine
        )
        self.imgsz = imgsz if imgsz is not None else self.engine.imgsz
        try:
            check_engine(self.engine, imgsz=self.imgsz, conf=conf, iou=iou, masks=masks, scores=scores)
        except StreamsegError:
            self.engine.close()
            raise
        settings = SelectionSettings(conf=conf, iou=iou, max_det=max_det, expected_conf=expected_conf)
        self.defers = False
        """Whether a run calls `begin_batch` and leaves the rest to the thread that finishes frames; set it before the
        first frame. It pays if the network leaves a core."""
        self.timer = StageTimer()
        """Milliseconds per batch in `preprocess`, `network` and `postprocess`. With `engine: device`, `network` only
        starts the work, and `postprocess` includes the wait for it."""
        self._refiner = None if masks == "plain" and scores == "raw" else self.engine.refiner
        sharp, calibrated = masks != "plain", scores != "raw"
        self._host = HostSegmentation(
            self.engine,
            settings,
            refiner=self._refiner,
            sharp=sharp,
            calibrated=calibrated,
            embeds=embeddings,
            timer=self.timer,
            max_close_ups=max_close_ups,
            max_followed_close_ups=max_followed_close_ups,
        )
        self._device = open_device(
            self.engine, settings, refiner=self._refiner, sharp=sharp, calibrated=calibrated, embeds=embeddings
        )

    @classmethod
    def from_config(cls, config: SegmentationConfig, *, embeddings: bool = False, engine: Engine | None = None) -> Self:
        """Create a segmenter from its section of the configuration.

        Args:
            config: the section.
            embeddings: compute an embedding per object.
            engine: an existing engine to share, in place of the configured weights, engine and device.
        """
        return cls(
            config.weights,
            engine=config.engine if engine is None else engine,
            device=config.device,
            half=config.half,
            imgsz=config.imgsz,
            conf=config.conf,
            iou=config.iou,
            max_det=config.max_det,
            masks=config.masks,
            scores=config.scores,
            embeddings=embeddings,
            expected_conf=config.expected_conf,
            max_close_ups=config.max_close_ups,
            max_followed_close_ups=config.max_followed_close_ups,
        )

    @overload
    def __call__(  # type: ignore[overload-overlap]  # an array is iterable, too
        self, images: ImageLike, regions: None = None, *, bgr: bool = False
    ) -> ImageInstances: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # an iterator is iterable, too
        self, images: Iterator[ImageLike], regions: None = None, *, bgr: bool = False
    ) -> Iterator[ImageInstances]: ...
    @overload
    def __call__(
        self, images: Iterable[ImageLike], regions: Sequence[SearchRegions] | None = None, *, bgr: bool = False
    ) -> list[ImageInstances]: ...
    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike],
        regions: Sequence[SearchRegions] | None = None,
        *,
        bgr: bool = False,
    ) -> ImageInstances | list[ImageInstances] | Iterator[ImageInstances]:
        """Segment one image or several, of any sizes.

        Args:
            images: one image, or several: a list or another iterable, a batch (N, H, W, 3) or (N, 3, H, W), or a
                generator. An image is a path, a PIL image, an array (H, W, 3) or a tensor (3, H, W) of uint8 or floats
                0..1, in RGB; `inputs.read_image` describes further shapes and types.
            regions: search regions, for lists of arrays uint8 (H, W, 3) RGB only, see `segment_batch`.
            bgr: arrays and tensors are BGR, as OpenCV reads them.

        Returns:
            One image gives its instances; several give a list, in order; a generator gives a generator, which reads
            and segments one image at a time. Instances are on the host and, unless `regions` are given, include their
            image. An image without objects has instances with no rows. No images give an empty list.

        Raises:
            DataError: an image is of another type, shape or range.
            SourceError: a file cannot be read or is not an image.
            ValueError: there are more or fewer regions than images.
        """
        if regions is not None:
            arrays = [read_image(image, bgr=True) for image in many_images(images)] if bgr else images
            return self.segment_batch(cast(Sequence[ImageArray], arrays), regions)
        if is_image(images):
            return self._with_images([images], bgr)[0]
        several = many_images(images)
        if isinstance(several, Iterator):
            return (self._with_images([image], bgr)[0] for image in several)
        listed = list(several)
        # Arrays are in memory already; of files, only a few are read at once.
        at_once = FILES_AT_ONCE if any(not isinstance(image, np.ndarray) for image in listed) else len(listed)
        parts = (listed[first : first + at_once] for first in range(0, len(listed), max(at_once, 1)))
        return [found for part in parts for found in self._with_images(part, bgr)]

    def _with_images(self, sources: Sequence[ImageLike], bgr: bool) -> list[ImageInstances]:
        """Read and segment images; the results include them."""
        images = [read_image(source, bgr=bgr) for source in sources]
        found = self.segment_batch(images, [NO_REGIONS] * len(images))
        return [replace(instances, image=image) for instances, image in zip(found, images, strict=True)]

    def offers(self, degradation: Degradation) -> bool:
        """Return whether images can be segmented with this degradation, and whether that is cheaper than without.

        A graph with a fixed input size has no other one, and TensorRT compiles for each size for minutes.
        """
        is_fixed = self.engine.input_size is not None or self.engine.device.startswith("tensorrt")
        if degradation.imgsz_scale != 1 and is_fixed:
            return False
        return degradation.imgsz_scale != 1 or (degradation.plain_masks and self._refiner is not None)

    @property
    def reads_nv12(self) -> bool:
        """Whether images in NV12 stay where they are: on the device of the engine."""
        return self._device is not None

    def segment_batch(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation] | None = None,
    ) -> list[ImageInstances]:
        """Segment images of any sizes, with search regions.

        Images with equal letterboxed shapes go through the network as one batch, or as several if the engine has a
        `max_batch`.

        Args:
            images: uint8 (H, W, 3) RGB each, or in NV12, on the device if the engine is `device` or `tensorrt`.
            regions: one per image. Each prompted box gets an object of its own with that box, which replaces whatever
                overlaps it by more than `iou`. An object that is found only because of a region may score less than
                `conf`.
            degradations: reduced quality, one per image; None: the configured quality.

        Returns:
            The instances of each image, in order, on the host, without their image; an image without objects has
            instances with no rows. No images give an empty list.

        Raises:
            DataError: an image has another type or shape.
            ValueError: there are more or fewer regions or degradations than images.
        """
        places, refines = self._plan(images, regions, degradations)
        if self._device is not None:
            return segment_on_device(self._device, self._host, images, places, regions, refines, timer=self.timer)
        return self._host.segment([on_host(image) for image in images], places, regions, refines)

    def begin_batch(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation] | None = None,
    ) -> list[Callable[[], ImageInstances]]:
        """Run the network on images, and leave the rest to the functions returned, one per image, in order.

        Each returns the instances of its image, as `segment_batch` does, and is called once. One other thread may call
        them, while this one runs the network on later images. With `engine: device` and `tensorrt` nothing is left.

        Args:
            images: see `segment_batch`.
            regions: see `segment_batch`.
            degradations: see `segment_batch`.

        Raises:
            DataError, ValueError: see `segment_batch`.
        """
        places, refines = self._plan(images, regions, degradations)
        if self._device is not None:
            found = segment_on_device(self._device, self._host, images, places, regions, refines, timer=self.timer)
            return [partial(_same, instances) for instances in found]
        return self._host.begin([on_host(image) for image in images], places, regions, refines)

    def _plan(
        self,
        images: Sequence[ImageArray | Nv12Image],
        regions: Sequence[SearchRegions],
        degradations: Sequence[Degradation] | None,
    ) -> tuple[list[Letterbox], list[bool]]:
        """Check a batch; return the place of each image, and whether it is refined."""
        if degradations is None:
            degradations = [NO_DEGRADATION] * len(images)
        if len(degradations) != len(images):
            raise ValueError(f"{len(degradations)} degradations for {len(images)} images; pass one per image")
        if len(regions) != len(images):
            raise ValueError(f"{len(regions)} search regions for {len(images)} images; pass one per image")
        for image in images:
            if not isinstance(image, Nv12Image):
                check_image(image)
        places = [
            self._place(image.size if isinstance(image, Nv12Image) else image.shape[:2], one.imgsz_scale)
            for image, one in zip(images, degradations, strict=True)
        ]
        return places, [not degradation.plain_masks for degradation in degradations]

    def _place(self, image_size: tuple[int, int], scale: float = 1.0) -> Letterbox:
        """Return the placement of an image of (H, W) in the network's input, of the configured size times a scale."""
        if self.engine.input_size is not None:
            return letterbox_into(image_size, self.engine.input_size)
        return letterbox(image_size, max(round(self.imgsz * scale), max(STRIDES)))

    def warmup(
        self, image_size: tuple[int, int] = (720, 1280), *, num_images: int = 1, imgsz_scale: float = 1.0
    ) -> None:
        """Run grey images of (H, W) and one object once, because the first run is slower, on a GPU by seconds.

        Args:
            image_size: size of the images to come.
            num_images: number of images of a batch; each number is a shape of its own.
            imgsz_scale: size of the network's input relative to the configured one.
        """
        place = self._place(image_size, imgsz_scale)
        (self._host if self._device is None else self._device).warmup(place, num_images)

    def close(self) -> None:
        """Release the device memory."""
        if self._device is not None:
            self._device.close()
        self.engine.close()


def _same(instances: ImageInstances) -> ImageInstances:
    return instances
