"""The settings of every stage, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from streamseg.config.sources import SOURCE_ID_PATTERN, SceneSource, Section, SourceConfig

__all__ = [
    "BatchingConfig",
    "Config",
    "OutputConfig",
    "PromptConfig",
    "PublishConfig",
    "SegmentationConfig",
    "TextConfig",
    "TrackingConfig",
    "ViewerConfig",
]

FORMER_MODES: Final = {"default": "streamseg", "reference": "fastsam"}
"""Values of the former key `prompting`."""


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
    expected_conf: float = Field(default=0.05, ge=0, le=1)
    """Objects that are followed are found from this score on where they are expected, and nothing else is; 1: never."""


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
    """Objects looked at at a time; the others wait. Of live sources, beside the frames, which do not wait for it."""
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
    mode: Literal["streamseg", "fastsam"] = "streamseg"
    """fastsam: masks and prompt matches of the official FastSAM program. Former key: `prompting: default | reference`.
    """
    text: TextConfig = TextConfig()
    publish: PublishConfig = PublishConfig()
    viewer: ViewerConfig = ViewerConfig()
    output: OutputConfig = OutputConfig()

    @model_validator(mode="before")
    @classmethod
    def _accept_former_key(cls, values: Any) -> Any:
        """Accept `prompting`, the former name of `mode`, with its former values."""
        if not isinstance(values, Mapping) or "prompting" not in values:
            return values
        former = values["prompting"]
        if "mode" in values:
            raise ValueError(f"mode and its former name prompting are both given; remove prompting: {former}")
        if former not in FORMER_MODES:
            raise ValueError(f"prompting must be {' or '.join(FORMER_MODES)}, got {former!r}; its new name is mode")
        return {**{key: value for key, value in values.items() if key != "prompting"}, "mode": FORMER_MODES[former]}

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

    def named_sources(self) -> tuple[SourceConfig, ...]:
        """The sources, each with an id."""
        return tuple(
            source if source.id else source.model_copy(update={"id": f"{source.type}{position}"})
            for position, source in enumerate(self.sources)
        )
