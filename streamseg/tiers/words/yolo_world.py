"""YOLO-World as an ONNX graph, in the forms that its authors' exporter and Ultralytics write.

| output of the graph                | written by                                   | suppressed inside |
|------------------------------------|----------------------------------------------|-------------------|
| `num_dets`, `boxes`, `scores`, `labels` | the authors' exporter                   | yes               |
| `scores`, `boxes`                  | the authors' exporter with `--without-nms`   | no                |
| one of (1, 4 + C, N)               | Ultralytics' exporter                        | no                |

The first two stretch an image that is padded with black to a square, as the authors' example does; the third is padded
with grey. The embeddings of the classes are inside the graph, whose folder names the classes, or they are a second
input (1, C, D), computed by CLIP's text encoder.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
import onnxruntime
import torch

from streamseg.engines.onnx_session import RUN_ERRORS, open_session, quiet
from streamseg.errors import ConfigError, EngineError, WeightsError
from streamseg.geometry import nms
from streamseg.structures.arrays import Float32Array, ImageArray, IndexArray
from streamseg.tiers.words.detector import Detections

__all__ = ["ALLOWED", "YoloWorld", "YoloWorldLayout", "class_names", "load_yolo_world"]

NMS_IOU: Final = 0.65
"""IoU above which a box of the same class is suppressed: the authors' default."""
MAX_DETECTIONS: Final = 300
"""Maximum number of detections per image."""
DEFAULT_SIZE: Final = 640
"""Side of the input if the graph accepts any."""
PADDING: Final = " "
"""Text that fills unused classes, as the authors use it."""
GRAPH_SUFFIX: Final = ".onnx"
CLASS_FILES: Final = ("classes.txt", "texts.json")
ALLOWED: Final = (
    "one input float32 (1, 3, H, W), optionally a second one float32 (1, C, D) for the classes' embeddings, and the"
    " outputs num_dets, boxes, scores, labels; or scores, boxes; or one output (1, 4 + C, N)"
)

EmbedTexts = Callable[[Sequence[str]], Float32Array]
"""Embeds T texts as float32 (T, D) of length 1."""


class Scaled(NamedTuple):
    """An image at the size of the input, and how its pixels are placed there."""

    pixels: Float32Array
    """float32 (1, 3, S, S), 0..1."""
    scale: float
    """Input pixels per image pixel."""
    offset: tuple[float, float]
    """(x, y) of the image's corner in input pixels."""


@dataclass(frozen=True)
class YoloWorldLayout:
    """Names and form of the inputs and outputs of a graph."""

    images: str
    texts: str | None
    """Name of the input of embeddings; None if they are inside the graph."""
    form: Literal["suppressed", "raw", "single"]
    size: int
    """Side of the square input in pixels."""
    num_classes: int | None
    """Number of classes of the input of embeddings; None: any number, or there is no such input."""

    @classmethod
    def of(cls, session: onnxruntime.InferenceSession, path: Path) -> YoloWorldLayout:
        """Recognise a graph.

        Raises:
            WeightsError: it has none of the supported forms; says what was found and what is allowed.
        """
        inputs = {entry.name: entry for entry in session.get_inputs()}
        outputs = {entry.name: entry for entry in session.get_outputs()}
        images = [name for name, entry in inputs.items() if len(entry.shape) == 4]
        texts = [name for name, entry in inputs.items() if len(entry.shape) == 3]
        form: Literal["suppressed", "raw", "single"] | None = None
        if {"num_dets", "boxes", "scores", "labels"} <= set(outputs):
            form = "suppressed"
        elif {"scores", "boxes"} == set(outputs):
            form = "raw"
        elif len(outputs) == 1 and len(next(iter(outputs.values())).shape) == 3:
            form = "single"
        are_floats = all(entry.type == "tensor(float)" for entry in inputs.values())
        if form is None or len(images) != 1 or len(texts) > 1 or len(inputs) != 1 + len(texts) or not are_floats:
            raise WeightsError(f"{path} is no graph of YOLO-World: it has {_ports(session)}; allowed are {ALLOWED}")
        height, width = inputs[images[0]].shape[2:]
        if isinstance(height, int) and isinstance(width, int) and height != width:
            raise WeightsError(f"{path} takes images of {width}x{height}; export it with a square size")
        num_classes = inputs[texts[0]].shape[1] if texts else None
        return cls(
            images[0],
            texts[0] if texts else None,
            form,
            height if isinstance(height, int) else DEFAULT_SIZE,
            num_classes if isinstance(num_classes, int) else None,
        )


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
        scaled = self.prepare(image)
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

    def prepare(self, image: ImageArray) -> Scaled:
        """Return an image (H, W, 3) as the input of the graph."""
        height, width = image.shape[:2]
        size = self.layout.size
        scale = size / max(height, width)
        if self.layout.form == "single":
            scaled_size = round(width * scale), round(height * scale)
            resized = cv2.resize(image, scaled_size, interpolation=cv2.INTER_LINEAR)
            left, top = (size - scaled_size[0]) // 2, (size - scaled_size[1]) // 2
            square = np.full((size, size, 3), 114, np.uint8)
            square[top : top + scaled_size[1], left : left + scaled_size[0]] = resized
            offset = float(left), float(top)
        else:
            side = max(height, width)
            left, top = (side - width) // 2, (side - height) // 2
            padded = np.zeros((side, side, 3), np.uint8)
            padded[top : top + height, left : left + width] = image
            square = np.asarray(cv2.resize(padded, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
            offset = left * scale, top * scale
        pixels = square.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        return Scaled(np.ascontiguousarray(pixels), scale, offset)

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


def suppressed(
    boxes: Float32Array, scores: Float32Array, threshold: float, iou: float, max_detections: int
) -> tuple[Float32Array, Float32Array, IndexArray]:
    """Return the detections that are left of raw ones: class by class, overlapping ones are suppressed.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N, C), 0..1.
        threshold: minimum score.
        iou: overlap above which the box with the lower score is suppressed.
        max_detections: maximum number of detections.

    Returns:
        Boxes (M, 4), scores (M,), descending, and classes (M,).
    """
    anchors, classes = np.nonzero(scores >= threshold)
    chosen = scores[anchors, classes]
    kept: list[int] = []
    for one in np.unique(classes).tolist():
        members = np.flatnonzero(classes == one)
        left = nms(torch.from_numpy(boxes[anchors[members]]), torch.from_numpy(chosen[members]), iou)
        kept += members[left.numpy()].tolist()
    kept.sort(key=lambda position: -float(chosen[position]))
    final = np.array(kept[:max_detections], np.int64)
    return boxes[anchors[final]], chosen[final], classes[final].astype(np.int64)


def load_yolo_world(folder: Path, *, device: str = "cpu", embed: Callable[[], EmbedTexts] | None = None) -> YoloWorld:
    """Load a folder with one ONNX graph, and the names of its classes if their embeddings are inside.

    Args:
        folder: folder with one `.onnx` file, and `classes.txt` (one name per line) or `texts.json` (a list of names, or
            of lists of names, as the authors' exporter reads it).
        device: `cpu`, `cuda` or `cuda:N`.
        embed: opens the embedding of texts, if they are an input.

    Raises:
        WeightsError: the folder or the graph is not usable; says what is allowed.
        EngineError: the device is not available.
    """
    graphs = sorted(folder.glob(f"*{GRAPH_SUFFIX}"))
    if len(graphs) != 1:
        raise WeightsError(f"{folder} has {len(graphs)} .onnx files; YOLO-World is a folder with one, and classes.txt")
    path = graphs[0]
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    session = open_session(contents, path=path, device=device)
    layout = YoloWorldLayout.of(session, path)
    if layout.texts is None:
        return YoloWorld(session, layout, name=path.name, classes=class_names(folder, session, path))
    if embed is None:
        raise ConfigError(f"{path} takes embeddings of texts; configure text.encoders with CLIP ViT-B/32")
    return YoloWorld(session, layout, name=path.name, embed=embed())


def class_names(folder: Path, session: onnxruntime.InferenceSession, path: Path) -> list[str]:
    """Return the names of the classes inside a graph: from a file beside it, or from its metadata.

    Raises:
        WeightsError: they are missing or invalid.
    """
    texts, listed = folder / CLASS_FILES[0], folder / CLASS_FILES[1]
    try:
        if texts.is_file():
            names: Any = texts.read_text(encoding="utf-8").splitlines()
        elif listed.is_file():
            names = [one[0] if isinstance(one, list) and one else one for one in json.loads(listed.read_text("utf-8"))]
        else:
            stated = ast.literal_eval(session.get_modelmeta().custom_metadata_map.get("names", "{}"))
            names = [stated[one] for one in sorted(stated)] if isinstance(stated, dict) else stated
    except (OSError, ValueError, SyntaxError, TypeError, KeyError) as error:
        raise WeightsError(f"the names of the classes of {path} cannot be read: {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise WeightsError(
            f"{path} has its classes inside, but nothing names them; write {CLASS_FILES[0]} beside it, a name per line"
        )
    return [name.strip() if name != PADDING else name for name in names]


def _ports(session: onnxruntime.InferenceSession) -> str:
    inputs = ", ".join(f"{entry.name} {entry.shape}" for entry in session.get_inputs())
    outputs = ", ".join(f"{entry.name} {entry.shape}" for entry in session.get_outputs())
    return f"inputs {inputs} and outputs {outputs}"
