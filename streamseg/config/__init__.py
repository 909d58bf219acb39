"""Configuration: frozen, validated settings from YAML.

sources    sections of the sources, one per type
source_fields  the keys of each type of source, for forms
degradation  section of the degradation under lasting overload
tiers      sections of the tiers: better models for chosen objects
effect     section of the effects on images that people watch
publish    section of the ZeroMQ endpoints
output     section of files and the virtual webcam
sections   sections of the other stages, and the whole configuration
address    parsing of URLs
environment  references to environment variables
recorded_run  the recordings of a run as sources
yaml_text  YAML in which nothing is lost
included   configurations and recipes that are part of the package
fleet      the configuration of a fleet: workers, cameras, and sections of a run
explanations  validation errors in words
loading    load a Config from a file and the command line, reporting every error

Each stage has one section; it is built from that section and sees no other. All errors of a file are reported at
once, one line each, with the path of the key; for an unknown key, the nearest valid key is suggested.
`configs/demo.yaml` lists every key with its unit.
"""

from streamseg.config.degradation import DegradationConfig
from streamseg.config.fleet import FleetConfig, PlacementConfig, WorkerConfig
from streamseg.config.loading import (
    is_fleet_config,
    load_config,
    load_fleet_config,
    load_valid_part,
    parse_source_section,
)
from streamseg.config.sections import (
    BatchingConfig,
    Config,
    CurveConfig,
    FoxgloveConfig,
    MetricsConfig,
    OutputConfig,
    PromptConfig,
    PublishConfig,
    SegmentationConfig,
    TextConfig,
    TrackingConfig,
    ViewerConfig,
)
from streamseg.config.source_fields import source_fields
from streamseg.config.sources import (
    IMAGE_SUFFIXES,
    MCAP_SUFFIX,
    RECORDING_INDEX_NAME,
    SOURCE_ID_PATTERN,
    ImagesSource,
    RecordingSource,
    RosSource,
    SceneSource,
    SourceConfig,
    StreamSource,
    WebcamSource,
    parse_source,
)
from streamseg.config.tiers import FollowConfig, QualityConfig

__all__ = [
    "IMAGE_SUFFIXES",
    "MCAP_SUFFIX",
    "RECORDING_INDEX_NAME",
    "SOURCE_ID_PATTERN",
    "BatchingConfig",
    "Config",
    "CurveConfig",
    "DegradationConfig",
    "FleetConfig",
    "FollowConfig",
    "FoxgloveConfig",
    "ImagesSource",
    "MetricsConfig",
    "OutputConfig",
    "PlacementConfig",
    "PromptConfig",
    "PublishConfig",
    "QualityConfig",
    "RecordingSource",
    "RosSource",
    "SceneSource",
    "SegmentationConfig",
    "SourceConfig",
    "StreamSource",
    "TextConfig",
    "TrackingConfig",
    "ViewerConfig",
    "WebcamSource",
    "WorkerConfig",
    "is_fleet_config",
    "load_config",
    "load_fleet_config",
    "load_valid_part",
    "parse_source",
    "parse_source_section",
    "source_fields",
]
