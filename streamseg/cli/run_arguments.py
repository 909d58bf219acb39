"""Arguments that make up the configuration of a run: configuration file, sources, settings and their short forms."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.cli.segment import add_segmentation_arguments
from streamseg.cli.tier_options import add_quality_argument
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.config import Config

__all__ = ["add_config_arguments", "config_from_arguments", "is_config_file", "network_sets", "split_inputs"]

SUFFIXES = (".yaml", ".yml")
MAX_HEAD_BYTES = 65536
"""Number of bytes read from a file without a known suffix, to tell a configuration from a video."""


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that make up a configuration: file, sources, settings."""
    from streamseg.config import SegmentationConfig

    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="sources (camera number, path, URL or scene), and at most one configuration file (CONFIG.yaml); sources"
        " replace those of the configuration file (default: built-in defaults, with the scene)",
    )
    parser.add_argument("--source", action="append", default=[], metavar="S", help="another source; repeatable")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="KEY=VALUE",
        help="override a setting, e.g. tracking.max_lost_seconds=5; repeatable",
    )
    add_quality_argument(parser, ", for prompted objects")
    parser.add_argument("--loop", action="store_true", help="restart video files when they end")
    add_segmentation_arguments(parser, dict.fromkeys(SegmentationConfig.model_fields, "from the configuration"))


def is_config_file(text: str) -> bool:
    """Return whether an input is a configuration file, and not a source.

    By suffix (.yaml, .yml); a file with another suffix is a configuration if it contains YAML keys and values. A single
    word that is neither a source nor a file counts as the name of a configuration.
    """
    if text == "scene" or text.isdecimal() or re.match(r"[a-z][a-z0-9+.-]*:", text, re.IGNORECASE):
        return False
    path = Path(text)
    if path.suffix.lower() in SUFFIXES:
        return not path.is_dir()
    if path.is_file():
        return _contains_keys(path)
    return re.fullmatch(r"[\w-]+", text) is not None and not path.exists()


def _contains_keys(path: Path) -> bool:
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(MAX_HEAD_BYTES).decode("utf-8")
        return "\0" not in text and isinstance(yaml.safe_load(text), dict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return False


def config_from_arguments(
    args: argparse.Namespace, *, defaults: Sequence[str] = (), overrides: Sequence[str] = ()
) -> Config:
    """Return the configuration that the arguments describe.

    Args:
        args: arguments of `add_config_arguments`.
        defaults: settings `key.path=value` that those of the arguments override.
        overrides: settings that override those of the arguments.

    Raises:
        ConfigError: more than one configuration file, an invalid configuration, or `--loop` without a video file.
    """
    from streamseg.config import load_config

    path, sources = split_inputs(args)
    sets = [*defaults, *args.sets, *network_sets(args), *overrides]
    config = load_config(path, sets=sets, sources=sources)
    return _looped(config) if args.loop else config


def split_inputs(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """Return the configuration file, None if there is none, and the sources.

    Raises:
        ConfigError: more than one configuration file, or an input that is neither a file nor a known name.
    """
    from streamseg.config.included import find_included, included_configs

    files = [text for text in args.inputs if is_config_file(text)]
    for text in files:
        if Path(text).suffix == "" and not Path(text).is_file() and find_included(text) is None:
            raise ConfigError(
                f"there is no file {text}; give a path, a camera number, a URL, scene, a CONFIG.yaml, or an included"
                f" configuration: {', '.join(included_configs())}"
            )
    if len(files) > 1:
        raise ConfigError(f"give one configuration file, not {len(files)}: {', '.join(files)}")
    return files[0] if files else None, [text for text in args.inputs if text not in files] + args.source


def network_sets(args: argparse.Namespace) -> list[str]:
    """Return the given options of the network and its tiers, such as `--conf 0.4`, as settings."""
    from streamseg.config import SegmentationConfig

    given = {name: getattr(args, name) for name in SegmentationConfig.model_fields}
    # JSON is YAML, and quotes what has a meaning there.
    sets = [f"segmentation.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]
    return [*sets, *([f"quality.model={json.dumps(args.quality)}"] if args.quality is not None else [])]


def _looped(config: Config) -> Config:
    """Return the configuration with every video file restarted at its end."""
    from streamseg.config import StreamSource

    files = [
        isinstance(source, StreamSource) and ("://" not in source.url or source.url.startswith("file:"))
        for source in config.sources
    ]
    if not any(files):
        raise ConfigError("--loop restarts video files, but no source is a video file; remove it, or give a file")
    sources = [
        source.model_copy(update={"loop": True}) if is_file else source
        for source, is_file in zip(config.sources, files, strict=True)
    ]
    return config.model_copy(update={"sources": tuple(sources)})
