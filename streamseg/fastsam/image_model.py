"""Images to `Results`: the part of `FastSAM` that scripts call with images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, overload

import torch

from streamseg.config import TrackingConfig
from streamseg.engines import Engine, build_engine
from streamseg.errors import ConfigError
from streamseg.fastsam.inference import segment_image
from streamseg.fastsam.options import Options, device_name, read_options
from streamseg.fastsam.results import NAMES, Prompting, Results
from streamseg.fastsam.results_selection import Numbers, apply_prompts
from streamseg.fastsam.saving import ResultWriter
from streamseg.fastsam.sources import SourceLike, is_endless, source_images
from streamseg.segmentation import Segmenter
from streamseg.tracking import Tracker

__all__ = ["ImageModel"]


class ImageModel:
    """A model that finds every object in images; prompts select among these objects.

    The weights are read once per device and precision; the first read is in the constructor. Not thread-safe.
    """

    task = "segment"

    def __init__(
        self,
        model: str | Path = "FastSAM-x.pt",
        *,
        prompting: Prompting = "reference",
        engine: Literal["auto", "torch", "onnx", "openvino"] = "auto",
    ) -> None:
        """Load the weights.

        Args:
            model: path (.pt, .safetensors, .onnx), name of published weights, or `default` for the weights that come
                with the package.
            prompting: `reference` makes masks and matches prompts by FastSAM's rules, with their peculiarities;
                `default` does both by streamseg's rules.
            engine: engine that runs the network.

        Raises:
            WeightsError: the file does not exist or is not a supported network.
            ConfigError: `prompting` has another value.
        """
        if prompting not in ("reference", "default"):
            raise ConfigError(f"prompting must be reference or default, got {prompting!r}")
        self.prompting: Prompting = prompting
        self.model_name = str(model)
        self.names = dict(NAMES)
        self._engine_kind = engine
        self._engines: dict[tuple[str, bool], Engine] = {}
        self._tracker: Tracker | None = None
        self._device = device_name(None)
        self._engine(self._device, half=False)

    @property
    def device(self) -> torch.device:
        """Device of calls without a `device` option."""
        return torch.device(self._device)

    def to(self, device: Any) -> Self:
        """Set the default device and return this model."""
        self._device = device_name(device)
        return self

    @overload
    def __call__(self, source: SourceLike, stream: Literal[False] = False, **options: Any) -> list[Results]: ...

    @overload
    def __call__(self, source: SourceLike, stream: Literal[True], **options: Any) -> Iterator[Results]: ...

    def __call__(self, source: SourceLike, stream: bool = False, **options: Any) -> list[Results] | Iterator[Results]:
        """Segment images; see `predict`."""
        return self.predict(source, True, **options) if stream else self.predict(source, **options)

    @overload
    def predict(
        self,
        source: SourceLike,
        stream: Literal[False] = False,
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        labels: Numbers | int | None = None,
        texts: str | Sequence[str] | None = None,
        **options: Any,
    ) -> list[Results]: ...

    @overload
    def predict(
        self,
        source: SourceLike,
        stream: Literal[True],
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        labels: Numbers | int | None = None,
        texts: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Iterator[Results]: ...

    def predict(
        self,
        source: SourceLike,
        stream: bool = False,
        bboxes: Numbers | None = None,
        points: Numbers | None = None,
        labels: Numbers | int | None = None,
        texts: str | Sequence[str] | None = None,
        **options: Any,
    ) -> list[Results] | Iterator[Results]:
        """Find all objects in images, or those that match prompts (see `apply_prompts` for the rules).

        Args:
            source: path, folder, glob pattern, video, address or webcam number, array (H, W, 3) BGR, PIL image, or a
                list of paths, arrays and PIL images.
            stream: return an iterator, which processes each image on demand, instead of a list.
            bboxes: [x0, y0, x1, y1] or a list of such boxes, in pixels.
            points: [x, y] or a list of such points, in pixels.
            labels: 1 foreground or 0 background for each point; None: all 1.
            texts: descriptions; text encoders must have been exported (see `rows_for_texts`).
            **options: see `Options`.

        Returns:
            One result per image, in order; an image without objects has a result without rows.

        Raises:
            ConfigError: an option is unknown, unavailable or out of range.
            DataError: a prompt is invalid, or the source is not of a supported type.
            SourceError: an image, video or camera cannot be read.
            EngineError: the device is not available.
            WeightsError: texts are given without text encoders.
        """
        select = partial(apply_prompts, bboxes=bboxes, points=points, labels=labels, texts=texts)
        results = self._results(source, stream, read_options(options), select=select)
        return results if stream else list(results)

    @overload
    def track(
        self, source: SourceLike, stream: Literal[False] = False, persist: bool = False, **options: Any
    ) -> list[Results]: ...

    @overload
    def track(
        self, source: SourceLike, stream: Literal[True], persist: bool = False, **options: Any
    ) -> Iterator[Results]: ...

    def track(
        self, source: SourceLike, stream: bool = False, persist: bool = False, **options: Any
    ) -> list[Results] | Iterator[Results]:
        """Find all objects in a video, with identities from streamseg's tracker in `boxes.id`.

        Args:
            source: see `predict`.
            stream: see `predict`.
            persist: continue with the identities of the previous call instead of starting again.
            **options: see `Options`.

        Returns:
            One result per image. Objects without an identity are omitted: their score is too low to start a track.
        """
        if not persist or self._tracker is None:
            # In the originals objects have an identity from the first image on.
            self._tracker = Tracker(TrackingConfig(confirm_frames=1))
        results = self._results(source, stream, read_options(options, "track"), tracker=self._tracker)
        return results if stream else list(results)

    def _results(
        self,
        source: SourceLike,
        stream: bool,
        options: Options,
        *,
        select: Callable[[Results], Results] = lambda result: result,
        tracker: Tracker | None = None,
    ) -> Iterator[Results]:
        """Validate the options now; read, segment and write the images lazily."""
        if is_endless(source) and not stream:
            raise ConfigError(f"the source {source!r} has no end; use stream=True, and leave the loop when done")
        segmenter = self._segmenter(options)
        images = source_images(source, vid_stride=options.vid_stride)

        def finished() -> Iterator[Results]:
            with ResultWriter(options.saving, "predict" if tracker is None else "track") as writer:
                for image in images:
                    found = segment_image(
                        image, segmenter, prompting=self.prompting, retina=options.retina_masks, tracker=tracker
                    )
                    result = select(found)
                    writer.write(image, result)
                    yield result

        return finished()

    def _segmenter(self, options: Options) -> Segmenter:
        device = self._device if options.device is None else device_name(options.device)
        return Segmenter(
            engine=self._engine(device, half=options.half and device != "cpu"),
            imgsz=options.imgsz,
            conf=options.conf,
            iou=options.iou,
            max_det=options.max_det,
            masks="plain" if self.prompting == "reference" else "auto",
            scores="raw" if self.prompting == "reference" else "auto",
        )

    def _engine(self, device: str, *, half: bool) -> Engine:
        key = (device, half)
        if key not in self._engines:
            self._engines[key] = build_engine(self.model_name, engine=self._engine_kind, device=device, half=half)
        return self._engines[key]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name!r}, prompting={self.prompting!r})"
