"""YAML to frozen, validated settings.

sources     where pictures come from
sections    the other stages, and the whole
loading     files and the command line to a Config, with every mistake named

One section per stage; a stage is made from its section and sees no other. Every mistake in a file is
reported at once, one line each, with the path of the key; an unknown key names the nearest valid one.
`configs/demo.yaml` lists every key with its unit.
"""

from streamseg.config.loading import load_config
from streamseg.config.sections import (
    BatchingConfig,
    Config,
    OutputConfig,
    PromptConfig,
    PublishConfig,
    SegmentationConfig,
    TextConfig,
    TrackingConfig,
    ViewerConfig,
)
from streamseg.config.sources import (
    IMAGE_SUFFIXES,
    SOURCE_ID_PATTERN,
    ImagesSource,
    SceneSource,
    SourceConfig,
    StreamSource,
    WebcamSource,
    parse_source,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "SOURCE_ID_PATTERN",
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
