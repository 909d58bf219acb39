"""YAML to frozen, validated settings.

One section per stage; a stage is made from its section and sees no other. Every mistake in a file is
reported at once, one line each, with the path of the key; an unknown key names the nearest valid one.
`configs/demo.yaml` lists every key with its unit.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamseg.errors import ConfigError

__all__ = [
    "BatchingConfig",
    "Config",
    "ImagesSource",
    "OutputConfig",
    "PromptConfig",
    "PublishConfig",
    "SceneSource",
    "SegmentationConfig",
    "SourceConfig",
    "StreamSource",
    "TextConfig",
    "TrackingConfig",
    "ViewerConfig",
    "WebcamSource",
    "load_config",
    "parse_source",
]

SOURCE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Source ids become part of a ZeroMQ topic and of file names."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Source(Section):
    id: str = Field(default="", pattern=rf"^$|{SOURCE_ID_PATTERN}")
    """Name in topics and files; empty: made from the kind and the position, such as `webcam0`."""
    frame_id: str = ""
    """Name of the coordinate frame, for robots."""


class SceneSource(_Source):
    """The built-in rendered scene, with exact ground truth."""

    type: Literal["scene"] = "scene"
    width: int = Field(default=1280, ge=64, le=7680)
    height: int = Field(default=720, ge=64, le=4320)
    fps: float = Field(default=30.0, gt=0, le=1000)
    num_objects: int = Field(default=10, ge=0, le=200)
    num_frames: int | None = Field(default=None, ge=1)
    """None: endless."""
    seed: int = Field(default=0, ge=0)
    mode: Literal["live", "every_frame"] = "live"
    """live: paced at `fps`, the newest frame wins; every_frame: as fast as it is read, none dropped."""


class WebcamSource(_Source):
    """A camera that OpenCV opens by index (or by device path)."""

    type: Literal["webcam"] = "webcam"
    device: int | str = 0
    width: int | None = Field(default=1280, ge=1)
    height: int | None = Field(default=720, ge=1)
    fps: float | None = Field(default=30.0, gt=0)
    fourcc: str = Field(default="MJPG", min_length=4, max_length=4)


class StreamSource(_Source):
    """A video file or an RTSP/HTTP stream, read by PyAV."""

    type: Literal["stream"] = "stream"
    url: str
    mode: Literal["auto", "live", "every_frame"] = "auto"
    """auto: live for a network stream, every_frame for a file. A live file is paced by its timestamps."""
    loop: bool = False
    """Start a file again when it ends."""
    vid_stride: int = Field(default=1, ge=1)
    """Take every n-th frame."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """No packet for so long means that the connection is lost."""
    reconnect: bool = True
    """Network streams only: try again with back-off, for ever once it has been seen."""
    open_timeout_seconds: float = Field(default=10.0, gt=0)
    """A network stream that has never answered for so long fails."""


class ImagesSource(_Source):
    """A picture, a folder of pictures or a glob pattern, in natural order."""

    type: Literal["images"] = "images"
    path: str
    fps: float | None = Field(default=None, gt=0)
    """None: as fast as they are read."""


SourceConfig = Annotated[SceneSource | WebcamSource | StreamSource | ImagesSource, Field(discriminator="type")]


class BatchingConfig(Section):
    """Which frames go through the network together."""

    max_batch: int = Field(default=8, ge=1, le=64)
    deadline_ms: float = Field(default=10.0, ge=0)
    """The longest that a ready frame waits for frames of other sources."""
    max_age_ms: float = Field(default=1000.0, gt=0)
    """A live frame that arrived longer ago is dropped before the network, unless its source is that slow itself."""


class SegmentationConfig(Section):
    """The network and what is kept of its answer. Names and defaults follow the ecosystem's."""

    weights: str = "default"
    """`default` (embedded), `FastSAM-s` or `FastSAM-x` (downloaded once), or a path to .safetensors, .pt or .onnx."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    device: str = Field(default="auto", pattern=r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$")
    """auto: CUDA where there is some. TensorRT compiles for minutes, once for each shape of the pictures."""
    half: bool | Literal["auto"] = "auto"
    """Half precision; auto: on CUDA only."""
    imgsz: int | None = Field(default=None, ge=32, le=4096)
    """Long side of the network's input in pixels, rounded up to a multiple of 32; None: the weights' own."""
    conf: float = Field(default=0.25, ge=0, le=1)
    iou: float = Field(default=0.7, ge=0, le=1)
    """Boxes that overlap a better one by more than this are removed (NMS)."""
    max_det: int = Field(default=300, ge=1, le=3000)
    masks: Literal["auto", "plain", "sharp"] = "auto"
    """sharp: corrected object by object, where the weights bring a refiner; auto: where they do."""
    scores: Literal["auto", "raw", "calibrated"] = "auto"
    """calibrated: the IoU to expect of the mask, where the weights bring a refiner; auto: where they do."""


class TrackingConfig(Section):
    """Association over time."""

    enabled: bool = True
    high_score: float = Field(default=0.4, ge=0, le=1)
    """Detections from here on take part in the first round and may start tracks."""
    match_cost: float = Field(default=0.75, gt=0, le=2)
    """A pair that costs more is no match."""
    confirm_frames: int = Field(default=3, ge=1)
    """Matches in a row before a tentative track is given an identity."""
    max_lost_seconds: float = Field(default=1.0, ge=0)
    """How long a lost track waits to be found again."""


class PromptConfig(Section):
    """One prompt in a file: one of `points`, `box` and `text`, or none of them for everything.

    A mask has no place here: run lengths are nothing that a person writes. The control channel takes them.
    """

    id: str = Field(min_length=1, max_length=64)
    source: str | None = Field(default=None, pattern=SOURCE_ID_PATTERN)
    """The source that is asked; None: every source."""
    points: tuple[tuple[float, float], ...] | None = Field(default=None, max_length=1024)
    labels: tuple[int, ...] | None = None
    box: tuple[float, float, float, float] | None = None
    text: str | None = Field(default=None, max_length=256)
    follow: bool = True
    """Stay with the object that answers; False: ask about the place anew in every frame."""

    @model_validator(mode="after")
    def _one_kind(self) -> PromptConfig:
        kinds = [kind for kind in ("points", "box", "text") if getattr(self, kind) is not None]
        if len(kinds) > 1:
            raise ValueError(f"give one of points, box and text, not {' and '.join(kinds)}")
        if self.labels is not None and self.points is None:
            raise ValueError("labels belong to points")
        if not self.follow and self.points is None and self.box is None:
            raise ValueError("follow belongs to points or a box")
        return self


class TextConfig(Section):
    """How objects are compared with texts."""

    encoders: str = "default"
    """Folder of image and text encoders; `default`: `text/default` in the cache folder."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Lowest score of an answer; None: what suits the encoders' family, 0.5 for CLIP and 0.1 for SigLIP."""
    max_crops_per_frame: int = Field(default=4, ge=1, le=1024)
    """Objects looked at per frame; the others wait for the next frames."""
    background: Literal["dim", "blur", "fill"] = "blur"
    """What becomes of the surroundings of an object; fill: the mean of the encoders' pictures."""
    context: float = Field(default=0.2, ge=0, le=1)
    """Share of the box's longer side that is added on each side of it."""


class PublishConfig(Section):
    """ZeroMQ endpoints."""

    endpoint: str | None = "tcp://127.0.0.1:5555"
    """Multipart messages; None: publish nothing. Port 0 lets the system choose."""
    single_endpoint: str | None = None
    """Single-part messages for readers with CONFLATE; None: off."""
    control_endpoint: str | None = "tcp://127.0.0.1:5556"
    """Prompts and status; None: off."""
    allow_public: bool = False
    """Allow an endpoint that other machines can reach, without encryption."""
    mask_encoding: Literal["rle-crop-u32", "bits-crop", "coco-rle", "label-u16"] = "rle-crop-u32"
    mask_scale: float = Field(default=1.0, gt=0, le=1)
    """Size of the masks relative to the source image."""
    jpeg_quality: int = Field(default=80, ge=1, le=100)


class ViewerConfig(Section):
    """The page that shows the run in a browser."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    port: int = Field(default=8765, ge=0, le=65535)
    """0: the system chooses."""
    allow_public: bool = False
    """Allow a host that other machines can reach, without encryption; the address then holds the only secret."""
    max_width: int = Field(default=1280, ge=64, le=7680)
    """Wider pictures are sent to the browser at this width in pixels, and so are their masks."""
    jpeg_quality: int = Field(default=80, ge=1, le=100)


class OutputConfig(Section):
    """What is written to disk; everything is off by default."""

    video: str | None = None
    """MP4 with overlays."""
    messages: str | None = None
    """One line of JSON per frame."""
    prompts: str | None = None
    """JSON: the prompts in force and what they follow. Where the file exists, its prompts are asked in place of the
    configuration's: an earlier run left off with them."""


class Config(Section):
    """The whole of a run."""

    sources: tuple[SourceConfig, ...] = Field(default=(SceneSource(),), min_length=1, max_length=256)
    batching: BatchingConfig = BatchingConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    tracking: TrackingConfig = TrackingConfig()
    prompts: tuple[PromptConfig, ...] = Field(default=(PromptConfig(id="everything"),), max_length=1024)
    prompting: Literal["default", "reference"] = "default"
    """reference: prompts are answered as by the official FastSAM program, with its masks."""
    text: TextConfig = TextConfig()
    publish: PublishConfig = PublishConfig()
    viewer: ViewerConfig = ViewerConfig()
    output: OutputConfig = OutputConfig()

    @model_validator(mode="after")
    def _unique_ids(self) -> Config:
        for what, ids in (
            ("source", [source.id for source in self.named_sources()]),
            ("prompt", [prompt.id for prompt in self.prompts]),
        ):
            twice = sorted({name for name in ids if ids.count(name) > 1})
            if twice:
                raise ValueError(f"{what} ids must differ, these occur twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _prompts_have_sources(self) -> Config:
        ids = [source.id for source in self.named_sources()]
        for prompt in self.prompts:
            if prompt.source is not None and prompt.source not in ids:
                raise ValueError(f"prompt {prompt.id!r} asks the source {prompt.source!r}; there are {', '.join(ids)}")
        return self

    @model_validator(mode="after")
    def _reference_masks_have_one_size(self) -> Config:
        if self.prompting == "reference" and self.publish.mask_scale != 1:
            raise ValueError(
                f"prompting: reference makes masks at the picture's size; set publish.mask_scale to 1.0,"
                f" got {self.publish.mask_scale:g}"
            )
        return self

    def named_sources(self) -> tuple[SourceConfig, ...]:
        """The sources, each with an id."""
        return tuple(
            source if source.id else source.model_copy(update={"id": f"{source.type}{position}"})
            for position, source in enumerate(self.sources)
        )


def parse_source(text: str) -> SourceConfig:
    """Make a source from one word of the command line.

    A number or `/dev/video…` is a webcam, `scene` the rendered scene, `scheme://…` a stream; a
    folder, a glob pattern or a picture file are images, and any other path is a video file.
    """
    if text == "scene":
        return SceneSource()
    if text.isdecimal():
        return WebcamSource(device=int(text))
    if text.startswith("/dev/video"):
        return WebcamSource(device=text)
    if re.match(r"^[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return StreamSource(url=text)
    path = Path(text)
    if path.is_dir() or any(sign in text for sign in "*?[") or path.suffix.lower() in IMAGE_SUFFIXES:
        return ImagesSource(path=text)
    return StreamSource(url=text)


def load_config(path: str | Path | None = None, *, sets: Sequence[str] = (), sources: Sequence[str] = ()) -> Config:
    """Read a YAML file (or none: all defaults), then apply sources and `key.path=value` settings.

    Raises:
        ConfigError: the file is missing or no YAML, or a value is wrong; one line per mistake.
    """
    values: Any = {}
    if path is not None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the configuration {path}: {error}") from error
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold keys and values, got {type(values).__name__}")
    if sources:
        values = {**values, "sources": [parse_source(text).model_dump() for text in sources]}
    for setting in sets:
        _apply(values, setting)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(where + line for line in _explain(error))) from error


def _apply(values: dict[str, Any], setting: str) -> None:
    """Apply one `key.path=value`; list positions are numbers."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set needs key=value, got {setting!r}, e.g. segmentation.conf=0.4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from error
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
        else:
            raise ConfigError(f"--set {key}: there is nothing at {part!r}")
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ConfigError(f"--set {key}: there is nothing at {last!r}")


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        if problem["type"] == "too_short" and problem["input"]:
            continue  # pydantic counts only the valid items; their own lines say more
        path = ".".join(str(part) for part in problem["loc"] if part not in _TAGS) or "configuration"
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(sorted(known))}"
            lines.append(f"{path}: unknown key; {hint}")
        else:
            got = problem["input"]
            shown = "" if isinstance(got, Mapping) else f", got {got!r}"
            lines.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}{shown}")
    return lines


_SOURCE_MODELS: dict[str, type[_Source]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(SourceConfig)[0])
}
_TAGS = frozenset(_SOURCE_MODELS)


def _known_keys(path: Sequence[int | str]) -> list[str]:
    """Valid keys of the section at a validation error's path."""
    model: type[BaseModel] = Config
    for part in path:
        if part in _SOURCE_MODELS:
            model = _SOURCE_MODELS[str(part)]
        elif part == "prompts":
            model = PromptConfig
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
