"""Configuration sections of the stages, and the whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from streamseg.config.address import split_host_and_port
from streamseg.config.collect import CollectConfig
from streamseg.config.degradation import DegradationConfig
from streamseg.config.effect import EffectConfig
from streamseg.config.mqtt import MqttConfig
from streamseg.config.output import OutputConfig
from streamseg.config.publish import CurveConfig, PublishConfig
from streamseg.config.sources import SOURCE_ID_PATTERN, SceneSource, Section, SourceConfig
from streamseg.config.tiers import DEVICE_PATTERN, Device, FollowConfig, QualityConfig, device_name
from streamseg.config.zones import ZoneConfig

__all__ = [
    "BatchingConfig",
    "Config",
    "CurveConfig",
    "FoxgloveConfig",
    "MetricsConfig",
    "OutputConfig",
    "PromptConfig",
    "PublishConfig",
    "SegmentationConfig",
    "StageSections",
    "TextConfig",
    "TrackingConfig",
    "ViewerConfig",
    "device_name",
]

FORMER_MODES: Final = {"default": "streamseg", "reference": "fastsam"}
"""Values of the former key `prompting`."""

NETWORK_DEVICE_PATTERN: Final = r"^(auto|cpu|(cuda|tensorrt)(:\d+)?)$"


class BatchingConfig(Section):
    """Batching of frames for the network."""

    max_batch: int | None = Field(default=None, ge=1, le=64)
    """Maximum number of frames per batch. None: 8 on a GPU; 1 on a CPU, where a batch takes as long as its frames one
    by one."""
    deadline_ms: float = Field(default=10.0, ge=0)
    """Maximum time that a ready frame waits for frames of other sources."""
    max_age_ms: float = Field(default=1000.0, gt=0)
    """Maximum time since arrival of a live frame; older frames are dropped before the network, unless their source
    itself is slower."""


class SegmentationConfig(Section):
    """The network and the selection of its detections. Names and defaults follow the ecosystem's conventions."""

    weights: str = "default"
    """`default` (embedded), `FastSAM-s` or `FastSAM-x` (downloaded once), or a path to .safetensors, .pt, .onnx or .xml
    (OpenVINO, written by `streamseg quantize`)."""
    engine: Literal["auto", "torch", "onnx", "openvino", "device", "tensorrt"] = "auto"
    """auto: torch on CUDA; on the CPU ONNX Runtime or, with the extra `openvino`, the fastest engine, measured once.
    device: torch with the selection of detections on the GPU, too."""
    device: Device = Field(default="auto", pattern=NETWORK_DEVICE_PATTERN)
    """auto: CUDA if available; a number N: cuda:N. TensorRT compiles for minutes, once per image shape."""
    half: bool | Literal["auto"] = "auto"
    """Half precision; auto: on CUDA only."""
    imgsz: int | None = Field(default=None, ge=32, le=4096)
    """Long side of the network's input in pixels, rounded up to a multiple of 32; None: value stored in the weights."""
    conf: float = Field(default=0.25, ge=0, le=1)
    """Minimum score of a detection."""
    iou: float = Field(default=0.7, ge=0, le=1)
    """Overlap with a better box above which a box is removed (NMS)."""
    max_det: int = Field(default=300, ge=1, le=3000)
    """Maximum number of objects per frame."""
    masks: Literal["auto", "plain", "sharp"] = "auto"
    """sharp: corrected per object by the weights' refiner; auto: sharp if the weights include a refiner."""
    scores: Literal["auto", "raw", "calibrated"] = "auto"
    """calibrated: expected IoU of the mask, from the weights' refiner; auto: calibrated if they include a refiner."""
    expected_conf: float = Field(default=0.05, ge=0, le=1)
    """Minimum score of a followed object where it is expected; other objects are unaffected; 1: off."""
    max_close_ups: int = Field(default=8, ge=0, le=1000)
    """Maximum number of enlarged windows per frame that new boxes (one each) and points (two) are searched for in."""
    max_followed_close_ups: int = Field(default=1, ge=0, le=1000)
    """Maximum number of enlarged windows per frame that small followed objects are searched for in."""


class TrackingConfig(Section):
    """Association of detections over time."""

    enabled: bool = True
    high_score: float = Field(default=0.4, ge=0, le=1)
    """Minimum score of detections that take part in the first association round and may start tracks."""
    match_cost: float = Field(default=0.75, gt=0, le=2)
    """Maximum cost of a matching pair."""
    confirm_frames: int = Field(default=3, ge=1)
    """Consecutive matches before a tentative track gets an identity; three times as many for other outlines of tracked
    objects."""
    max_lost_seconds: float = Field(default=1.0, ge=0)
    """Time that a lost track waits to be found again."""


class PromptConfig(Section):
    """One prompt: one of `points`, `box` and `text`, or none of them for everything.

    Masks are not supported here, because run lengths are not written by hand. The control channel accepts them.
    """

    id: str = Field(min_length=1, max_length=64)
    source: str | None = Field(default=None, pattern=SOURCE_ID_PATTERN)
    """Source that the prompt applies to; None: every source."""
    points: tuple[tuple[float, float], ...] | None = Field(default=None, max_length=1024)
    labels: tuple[int, ...] | None = None
    box: tuple[float, float, float, float] | None = None
    text: str | None = Field(default=None, max_length=256)
    follow: bool = True
    """Follow the matched object; False: evaluate the prompt at its place anew in every frame."""

    @model_validator(mode="after")
    def _one_kind(self) -> PromptConfig:
        kinds = [kind for kind in ("points", "box", "text") if getattr(self, kind) is not None]
        if len(kinds) > 1:
            raise ValueError(f"give one of points, box and text, not {' and '.join(kinds)}")
        if self.labels is not None and self.points is None:
            raise ValueError("labels require points")
        if not self.follow and self.points is None and self.box is None:
            raise ValueError("follow requires points or a box")
        return self


class TextConfig(Section):
    """Comparison of objects with texts."""

    model: str = Field(default="clip", min_length=1, max_length=4096)
    """clip: encoders of CLIP's family, SigLIP's included, in the folder `encoders`; or an open-vocabulary detector, by
    name or folder, see `streamseg weights list`."""
    every: int = Field(default=5, ge=1, le=1000)
    """Use a detector in every n-th frame of a source; the tracks carry its labels in between."""
    encoders: str = "default"
    """Folder with image and text encoders; `default`: `text/default` in the cache folder."""
    device: Device = Field(default="auto", pattern=DEVICE_PATTERN)
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Minimum score of a match; None: depends on the encoders' family, 0.5 for CLIP and 0.1 for SigLIP."""
    max_crops_per_frame: int = Field(default=4, ge=1, le=1024)
    """Maximum number of objects embedded at a time; the others wait. For live sources, embedding runs in the
    background and frames do not wait for it."""
    background: Literal["dim", "blur", "fill"] = "blur"
    """Treatment of the surroundings of an object; fill: the encoders' mean colour."""
    context: float = Field(default=0.2, ge=0, le=1)
    """Margin added on each side of an object's box, as a fraction of its longer side."""


class ViewerConfig(Section):
    """The page that displays the run in a browser."""

    enabled: bool = False
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    port: int = Field(default=8765, ge=0, le=65535)
    """Port; 0: the system chooses."""
    allow_public: bool = False
    """Allow a host that other machines can reach, without encryption; the only protection is the secret in the page's
    address."""
    max_width: int = Field(default=1280, ge=64, le=7680)
    """Maximum width in pixels of the images and masks sent to the browser; wider ones are scaled down."""
    jpeg_quality: int = Field(default=80, ge=1, le=100)


class MetricsConfig(Section):
    """Metrics and health over HTTP: /metrics for Prometheus, /healthz and /readyz."""

    endpoint: str | None = None
    """HOST:PORT to listen on; None: off. Port 0 lets the system choose."""
    allow_public: bool = False
    """Allow a host that other machines can reach, without encryption. Metrics contain the ids of sources, no addresses
    of cameras and no images."""

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            split_host_and_port(endpoint)
        return endpoint


class FoxgloveConfig(Section):
    """WebSocket server for Foxglove: images, masks, detections and prompts as ROS 2 messages."""

    endpoint: str | None = None
    """HOST:PORT to listen on; None: off. Port 0 lets the system choose."""
    allow_public: bool = False
    """Allow a host that other machines can reach, without encryption and password."""

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            split_host_and_port(endpoint)
        return endpoint


class StageSections(Section):
    """The stages behind the sources, as a run and the workers of a fleet have them.

    Keys are in the order of the bases of a class, the last base first.
    """

    batching: BatchingConfig = BatchingConfig()
    degradation: DegradationConfig = DegradationConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    tracking: TrackingConfig = TrackingConfig()
    prompts: tuple[PromptConfig, ...] = Field(default=(PromptConfig(id="everything"),), max_length=1024)
    mode: Literal["streamseg", "fastsam"] = "streamseg"
    """fastsam: masks and prompt matches of the official FastSAM program. Former key: `prompting: default | reference`.
    """
    zones: tuple[ZoneConfig, ...] = Field(default=(), max_length=256)
    text: TextConfig = TextConfig()
    quality: QualityConfig = QualityConfig()
    follow: FollowConfig = FollowConfig()


class _RunSources(Section):
    """The first keys of a run."""

    sources: tuple[SourceConfig, ...] = Field(default=(SceneSource(),), min_length=1, max_length=256)
    exit_on_failure: bool = False
    """Let a camera or stream that cannot be opened fail, and the run with it if no source is left; False: retry it
    until the run is stopped."""


class Config(StageSections, _RunSources):
    """The configuration of a run."""

    effect: EffectConfig = EffectConfig()
    publish: PublishConfig = PublishConfig()
    viewer: ViewerConfig = ViewerConfig()
    metrics: MetricsConfig = MetricsConfig()
    mqtt: MqttConfig = MqttConfig()
    foxglove: FoxgloveConfig = FoxgloveConfig()
    output: OutputConfig = OutputConfig()
    collect: CollectConfig = CollectConfig()

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
    def _tiers_need_own_masks(self) -> Config:
        for key, model in (("quality", self.quality.model), ("follow", self.follow.model)):
            if model is not None and self.mode == "fastsam":
                raise ValueError(f"{key}.model requires mode: streamseg, because fastsam has the masks of FastSAM")
        return self

    @model_validator(mode="after")
    def _unique_ids(self) -> Config:
        for what, ids in (
            ("source", [source.id for source in self.named_sources()]),
            ("prompt", [prompt.id for prompt in self.prompts]),
            ("zone", [zone.id for zone in self.zones]),
        ):
            twice = sorted({name for name in ids if ids.count(name) > 1})
            if twice:
                raise ValueError(f"{what} ids must be unique, these occur twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _prompts_and_zones_have_sources(self) -> Config:
        ids = [source.id for source in self.named_sources()]
        prompts = [("prompt", prompt.id, prompt.source) for prompt in self.prompts]
        for kind, name, source in [*prompts, *(("zone", zone.id, zone.source) for zone in self.zones)]:
            if source is not None and source not in ids:
                raise ValueError(
                    f"{kind} {name!r} refers to the unknown source {source!r}; valid sources are {', '.join(ids)}"
                )
        return self

    def named_sources(self) -> tuple[SourceConfig, ...]:
        """Return the sources, each with an id."""
        return tuple(
            source if source.id else source.model_copy(update={"id": f"{source.type}{position}"})
            for position, source in enumerate(self.sources)
        )
