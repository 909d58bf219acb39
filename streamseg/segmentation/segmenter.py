"""Pictures in, every object of each out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamseg.config import SegmentationConfig
from streamseg.engines import Engine, Raw, build_engine
from streamseg.errors import ConfigError, EngineError
from streamseg.geometry import Letterbox, letterbox, letterbox_into
from streamseg.modeling.network import PROTOTYPE_STRIDE, STRIDES
from streamseg.modeling.preprocess import check_image, letterbox_images
from streamseg.resources import Resource
from streamseg.segmentation.candidates import select_detections
from streamseg.segmentation.embedding import embed
from streamseg.structures.instances import Instances
from streamseg.structures.search_regions import NO_REGIONS, SearchRegions
from streamseg.telemetry import StageTimer

__all__ = ["Segmenter"]

_LIMITS = {"imgsz": (32, 4096), "conf": (0, 1), "iou": (0, 1), "max_det": (1, 3000), "expected_conf": (0, 1)}


class Segmenter(Resource):
    """Finds every instance in pictures, whatever is asked about them later.

    What it answers for a picture does not depend on the pictures beside it: the same rows come out, with
    boxes equal to 0.01 pixels, and scores and logits to 0.001. One thread at a time may call it.
    """

    def __init__(
        self,
        weights: str | Path = "default",
        *,
        engine: Literal["auto", "torch", "onnx"] | Engine = "auto",
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
    ) -> None:
        """Load the weights.

        Args:
            weights: `default` (embedded), a name (`FastSAM-s`, `FastSAM-x`), or the path of a .safetensors, .pt or
                .onnx file.
            engine: `auto`, `torch`, `onnx`, or an engine already made, which decides weights, device and half.
            device: `auto` (CUDA where there is some), `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`.
            half: half precision; `auto` on CUDA only.
            imgsz: long side of the network's input in pixels, 32..4096; rounded up to a multiple of 32.
                None: what the weights are made for. Graphs of other programs often allow one size only.
            conf: objects score more than this, 0..1; not below that of a graph with suppression inside, whose
                `max_det` is a limit, too.
            iou: boxes that overlap a better one by more than this are removed, 0..1; not above that of a graph with
                suppression inside.
            max_det: the most objects per picture, 1..3000.
            masks: `plain` as FastSAM's, from prototypes alone; `sharp` corrected object by object by the refiner
                that the weights bring; `auto`: sharp where they bring one.
            scores: `raw` as the network gave them; `calibrated`: the IoU to expect of the mask, by the refiner;
                `auto`: calibrated where the weights bring one. `conf` and NMS go by the raw ones in either case.
            embeddings: tell what the objects look like, for those who follow them through films.
            expected_conf: where a guide expects an object and none is found, one is taken that scores more than
                this, 0..1; with 1 none is.

        Raises:
            ConfigError: a number is out of its range, or the weights bring no refiner for `sharp` or `calibrated`.
            WeightsError: the weights are missing, broken or of another architecture.
            EngineError: the device is not there, or the engine cannot do what is asked, such as another `imgsz`
                than the only one of its graph, or objects that the suppression inside the graph removed.
        """
        limited = {"imgsz": imgsz, "conf": conf, "iou": iou, "max_det": max_det, "expected_conf": expected_conf}
        for name, value in limited.items():
            low, high = _LIMITS[name]
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} must be {low}..{high}, got {value}")
        self.conf = conf
        self.iou = iou
        self.max_det = max_det
        self.expected_conf = expected_conf
        self.engine: Engine = (
            build_engine(weights, engine=engine, device=device, half=half) if isinstance(engine, str) else engine
        )
        self.imgsz = imgsz if imgsz is not None else self.engine.imgsz
        only = self.engine.input_size
        if only is not None and -(-self.imgsz // max(STRIDES)) * max(STRIDES) != max(only):
            self.engine.close()
            raise EngineError(
                f"imgsz {imgsz} contradicts this graph, which takes pictures of {only[0]}x{only[1]} (H x W) only; "
                "leave imgsz away, or export the graph with free axes"
            )
        inside = self.engine.suppression
        if inside is not None and (conf < inside.conf or iou > inside.iou):
            self.engine.close()
            raise EngineError(
                f"conf {conf:g} and iou {iou:g} ask for objects that this graph has removed already, with conf "
                f"{inside.conf:g} and iou {inside.iou:g}; ask for no lower conf and no higher iou, or export it again"
            )
        wanted = [f"masks {masks}"] * (masks == "sharp") + [f"scores {scores}"] * (scores == "calibrated")
        if wanted and self.engine.refiner is None:
            self.engine.close()
            raise ConfigError(
                f"{' and '.join(wanted)} need a refiner, which these weights do not bring; use auto, or train one with "
                "`streamseg refine`"
            )
        self._refiner = None if masks == "plain" and scores == "raw" else self.engine.refiner
        self._sharp, self._calibrated = masks != "plain", scores != "raw"
        self._embeds = embeddings
        self.timer = StageTimer()
        """Milliseconds per batch in `preprocess`, `network` and `postprocess`."""

    @classmethod
    def from_config(
        cls,
        config: SegmentationConfig,
        *,
        reference: bool = False,
        embeddings: bool = False,
        engine: Engine | None = None,
    ) -> Segmenter:
        """Make one from its section of the configuration; as a reference, with its masks and scores.

        An engine that is made already is shared, and takes the place of the configured weights, engine and device.
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
            masks="plain" if reference else config.masks,
            scores="raw" if reference else config.scores,
            embeddings=embeddings,
            expected_conf=config.expected_conf,
        )

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Instances]:
        """Segment pictures, of any sizes.

        Those whose letterboxed shapes agree go through the network as one batch, or as several where the
        engine has a `max_batch`.

        Args:
            images: uint8 (H, W, 3) RGB each.

        Returns:
            One `Instances` per picture, in order, on the host; a picture without objects has one with no
            rows. No pictures give an empty list.

        Raises:
            DataError: an image has another type or shape.
        """
        return self.guided(images, [NO_REGIONS] * len(images))

    def guided(self, images: Sequence[npt.NDArray[np.uint8]], guides: Sequence[SearchRegions]) -> list[Instances]:
        """Segment pictures, and look more closely where somebody knows of objects.

        Args:
            images: as when called.
            guides: one for each picture. Each prompted box has an object of its own in the answer, with that box;
                it takes the place of what overlaps it by more than `iou`. An object that is found by a guide alone
                may score less than `conf`.

        Returns:
            As when called.

        Raises:
            DataError: an image has another type or shape.
            ValueError: the guides are not as many as the pictures.
        """
        if len(guides) != len(images):
            raise ValueError(f"{len(guides)} guides for {len(images)} pictures; one for each is needed")
        for image in images:
            check_image(image)
        places = [self._place((image.shape[0], image.shape[1])) for image in images]
        batches: dict[tuple[int, int], list[int]] = {}
        for position, place in enumerate(places):
            batches.setdefault(place.input_size, []).append(position)
        answers: dict[int, Instances] = {}
        for positions in self._split(batches.values()):
            with self.timer.stage("preprocess"):
                batch = letterbox_images([images[p] for p in positions], [places[p] for p in positions])
            with self.timer.stage("network"):
                raw = self.engine.run(batch)
            with self.timer.stage("postprocess"):
                for row, position in enumerate(positions):
                    answers[position] = self._choose(
                        raw, row, batch[row], images[position], places[position], guides[position]
                    )
        return [answers[position] for position in range(len(images))]

    def _place(self, image_size: tuple[int, int]) -> Letterbox:
        """Where a picture of (H, W) goes in the input."""
        if self.engine.input_size is not None:
            return letterbox_into(image_size, self.engine.input_size)
        return letterbox(image_size, self.imgsz)

    def _split(self, batches: Iterable[list[int]]) -> Iterator[list[int]]:
        """The batches in parts that the engine can take."""
        for positions in batches:
            most = self.engine.max_batch or len(positions)
            yield from (positions[first : first + most] for first in range(0, len(positions), most))

    def _choose(
        self,
        raw: Raw,
        row: int,
        picture: npt.NDArray[np.uint8],
        image: npt.NDArray[np.uint8],
        place: Letterbox,
        guide: SearchRegions,
    ) -> Instances:
        """The objects of row `row` of the batch: a picture of the network's input, made of an image (H, W, 3)."""
        anchors, boxes = select_detections(
            raw,
            row,
            place,
            conf=self.conf,
            iou=self.iou,
            max_det=self.max_det,
            guide=guide,
            expected_conf=self.expected_conf,
        )
        coefficients = torch.from_numpy(raw.mask_coefficients[row][anchors.numpy()]).float()  # (K, 32)
        prototypes = torch.from_numpy(raw.prototypes[row]).float()  # (32, Mh, Mw)
        instances = Instances(
            boxes=boxes,
            scores=torch.from_numpy(raw.scores[row])[anchors],
            mask_logits=torch.mm(coefficients, prototypes.flatten(1)).view(-1, *prototypes.shape[1:]),
            grid_to_image=place.to_image(PROTOTYPE_STRIDE),
            image_size=place.image_size,
        )
        if self._embeds:
            instances = replace(instances, embeddings=embed(instances, prototypes, picture))
        return self._refined(instances, prototypes, image, place, picture)

    def _refined(
        self,
        instances: Instances,
        prototypes: Tensor,
        image: npt.NDArray[np.uint8],
        place: Letterbox,
        picture: npt.NDArray[np.uint8],
    ) -> Instances:
        """With masks and scores as they are wanted."""
        if self._refiner is None:
            return instances
        corrected, scores = self._refiner.refine(instances, prototypes, image, place, picture)
        if not self._sharp:
            corrected = instances
        if not self._calibrated:
            return corrected
        order = scores.argsort(descending=True, stable=True)
        return replace(corrected, scores=scores)[order]

    def warmup(self, image_size: tuple[int, int] = (720, 1280), *, num_images: int = 1) -> None:
        """Run grey pictures of (H, W) once: the first run of a shape is slower, on a GPU by seconds."""
        size = self._place(image_size).input_size
        for positions in self._split([list(range(num_images))]):
            self.engine.run(np.full((len(positions), *size, 3), 114, dtype=np.uint8))

    def close(self) -> None:
        """Give the device's memory back."""
        self.engine.close()
