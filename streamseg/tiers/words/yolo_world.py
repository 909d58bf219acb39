"""YOLO-World as an ONNX graph, in the forms of `yolo_layout`.

The embeddings of the classes are inside the graph, whose folder names the classes, or they are a second input
(1, C, D), computed by CLIP's text encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime

from streamseg.engines.onnx_session import RUN_ERRORS, quiet
from streamseg.errors import EngineError
from streamseg.structures.arrays import Float32Array, ImageArray, IndexArray
from streamseg.tiers.words.detector import Detections
from streamseg.tiers.words.suppression import suppressed
from streamseg.tiers.words.yolo_layout import YoloWorldLayout

__all__ = ["PADDING", "EmbedTexts", "YoloWorld"]

NMS_IOU: Final = 0.65
"""IoU above which a box of the same class is suppressed: the authors' default."""
MAX_DETECTIONS: Final = 300
"""Maximum number of detections per image."""
PADDING: Final = " "
"""Text that fills unused classes, as the authors use it."""

EmbedTexts = Callable[[Sequence[str]], Float32Array]
"""Embeds T texts as float32 (T, D) of length 1."""


class YoloWorld:
    """YOLO-World in ONNX Runtime.

    Args:
        session: the graph.
        layout: its form.
        name: source of the graph, for messages.
        classes: names of the classes inside the graph, in order; None if their embeddings are an input.
        embed: embeds texts for the input; None if the embeddings are inside.
    """

    default_threshold = 0.25
    """The authors' default."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        layout: YoloWorldLayout,
        *,
        name: str,
        classes: Sequence[str] | None = None,
        embed: EmbedTexts | None = None,
    ) -> None:
        self._session = session
        self.layout = layout
        self._name = name
        self._classes = None if classes is None else {text.casefold(): one for one, text in enumerate(classes)}
        self._embed = embed

    def unknown(self, texts: Sequence[str]) -> str | None:
        """Return why some texts cannot be detected; None if all can be."""
        if self._classes is not None:
            missing = [text for text in texts if text.strip().casefold() not in self._classes]
            if missing:
                known = sorted(text for text in self._classes if text.strip())
                listed = ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
                return f"{self._name} does not know {', '.join(map(repr, missing))}; its classes are {listed}"
        limit = self.layout.num_classes
        if limit is not None and len(texts) > limit:
            ignored = len(texts) - limit
            return f"{self._name} takes {limit} texts at once; the last {ignored} of {len(texts)} are ignored"
        return None

    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        """Detect texts in an image, see `Detector.detect`.

        Raises:
            EngineError: the graph cannot be run, or its outputs are inconsistent.
        """
        scaled = self.layout.prepare(image)
        feeds = {self.layout.images: scaled.pixels}
        if self.layout.texts is not None:
            feeds[self.layout.texts] = self._embeddings(texts)
        with quiet():
            try:
                values = self._session.run(None, feeds)
            except RUN_ERRORS as error:
                raise EngineError(f"{self._name} cannot be run: {str(error).strip().splitlines()[0]}") from error
        outputs = dict(zip((entry.name for entry in self._session.get_outputs()), values, strict=True))
        boxes, scores, classes = self._decoded(outputs, threshold)
        positions = self._positions(texts)
        known = np.array([one in positions for one in classes.tolist()], np.bool_)
        boxes, scores, classes = boxes[known], scores[known], classes[known]
        boxes = (boxes - np.array(scaled.offset * 2, np.float32)) / np.float32(scaled.scale)
        found = np.array([positions[one] for one in classes.tolist()], np.int64)
        return Detections.of(boxes, scores, found, (image.shape[0], image.shape[1]))

    def _embeddings(self, texts: Sequence[str]) -> Float32Array:
        if self._embed is None:
            raise EngineError(f"{self._name} needs embeddings of texts")
        limit = self.layout.num_classes
        wanted = [*texts][:limit]
        wanted += [PADDING] * ((limit or len(wanted)) - len(wanted))
        return self._embed(wanted)[None].astype(np.float32)

    def _positions(self, texts: Sequence[str]) -> dict[int, int]:
        """Return the position among the texts by class of the graph."""
        if self._classes is None:
            return {position: position for position in range(len(texts))}
        known = [(self._classes.get(text.strip().casefold()), position) for position, text in enumerate(texts)]
        return {one: position for one, position in known if one is not None}

    def _decoded(self, outputs: dict[str, Any], threshold: float) -> tuple[Float32Array, Float32Array, IndexArray]:
        """Return boxes (N, 4) xyxy in input pixels, their scores (N,) and classes (N,)."""
        if self.layout.form == "suppressed":
            count = int(np.ravel(outputs["num_dets"])[0])
            boxes = outputs["boxes"].reshape(-1, 4)[:count].astype(np.float32)
            scores, classes = (np.ravel(outputs[one])[:count] for one in ("scores", "labels"))
            kept = scores >= threshold
            return boxes[kept], scores[kept].astype(np.float32), classes[kept].astype(np.int64)
        if self.layout.form == "raw":
            boxes, scores = outputs["boxes"][0].reshape(-1, 4), outputs["scores"][0]
        else:
            (rows,) = outputs.values()
            centres, sizes = rows[0, :2].T, rows[0, 2:4].T
            boxes, scores = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), rows[0, 4:].T
        if scores.ndim != 2 or len(scores) != len(boxes):
            raise EngineError(f"{self._name} returns {len(boxes)} boxes and scores of shape {scores.shape}")
        return suppressed(boxes.astype(np.float32), scores.astype(np.float32), threshold, NMS_IOU, MAX_DETECTIONS)
