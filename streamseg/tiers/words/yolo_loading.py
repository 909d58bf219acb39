"""A folder with a graph of YOLO-World and the names of its classes."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import onnxruntime

from streamseg.engines.onnx_session import open_session
from streamseg.errors import ConfigError, WeightsError, reason_of
from streamseg.tiers.words.yolo_layout import YoloWorldLayout
from streamseg.tiers.words.yolo_world import PADDING, EmbedTexts, YoloWorld

__all__ = ["GRAPH_SUFFIX", "class_names", "load_yolo_world"]

GRAPH_SUFFIX: Final = ".onnx"
CLASS_FILES: Final = ("classes.txt", "texts.json")


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
        raise WeightsError(f"cannot read {path}: {reason_of(error)}") from error
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
