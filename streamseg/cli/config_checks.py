"""Checks of a configuration against this machine, without starting anything: files, weights, endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from streamseg.errors import ConfigError, StreamsegError

if TYPE_CHECKING:
    from streamseg.config import Config, SourceConfig

__all__ = ["find_notices", "find_problems"]


def find_problems(config: Config) -> list[str]:
    """Return one line for each reason why a run of the configuration would not start; empty if there is none.

    Cameras, network streams and downloads are not tried.
    """
    lines = []
    for key, check in _checks(config):
        try:
            check()
        except (StreamsegError, OSError) as error:
            lines.append(f"{key}: {' '.join(str(error).split())}")
    return lines


def find_notices(config: Config) -> list[str]:
    """Return one line for each effect of a valid configuration that its author may not expect."""
    from streamseg.config.address import split_host_and_port
    from streamseg.publish.endpoints import is_loopback, is_public
    from streamseg.weights.resolve import cached_weights_path, find_weights

    lines = [
        f"publish.{key}: {endpoint} is reachable from other machines, without encryption (allow_public)"
        for key, endpoint in _endpoints(config)
        if config.publish.curve.secret_key is None and is_public(endpoint)
    ]
    if config.viewer.enabled and not is_loopback(config.viewer.host):
        lines.append(f"viewer.host: {config.viewer.host} is reachable from other machines, without encryption")
    metrics = config.metrics.endpoint
    if metrics is not None and not is_loopback(split_host_and_port(metrics)[0]):
        lines.append(f"metrics.endpoint: {metrics} is reachable from other machines, without encryption")
    if config.publish.imagezmq is not None and is_public(config.publish.imagezmq):
        lines.append(
            f"publish.imagezmq: {config.publish.imagezmq} is reachable from other machines, without encryption"
        )
    lines += _unhidden(config)
    weights = config.segmentation.weights
    if weights != "default" and not weights.endswith((".onnx", ".xml")):
        found = find_weights(weights)
        if not isinstance(found, Path) and not cached_weights_path(found).is_file():
            lines.append(f"segmentation.weights: {found.name} will be downloaded when it is first used")
    return lines


def _unhidden(config: Config) -> list[str]:
    """Return one line for each configured output with camera images in which an effect hides nothing."""
    if config.effect.kind not in ("blur", "cutout"):
        return []
    outputs = {
        "output.recording": config.output.recording,
        "output.mcap": config.output.mcap,
        "output.rerun": config.output.rerun,
        "foxglove.endpoint": config.foxglove.endpoint,
        "collect.folder": config.collect.folder,
    }
    return [
        f"{key}: gets the camera's images without the effect {config.effect.kind} (docs/effects.md)"
        for key, value in outputs.items()
        if value is not None
    ]


def _checks(config: Config) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the key that a check is about, and the check, which raises StreamsegError or OSError."""
    from streamseg.cli.modes import open_mode
    from streamseg.prompting import prompts_from_config
    from streamseg.publish.endpoints import check_endpoint
    from streamseg.runtime.prompt_file import PromptFile
    from streamseg.runtime.session import load_keys

    for position, source in enumerate(config.named_sources()):
        if source.type == "ros":
            continue  # opened by the node only
        yield f"sources.{position}", lambda source=source: _check_source(source)  # type: ignore[misc]
    yield "segmentation.weights", lambda: _check_weights(config.segmentation.weights)
    yield "mode", lambda: open_mode(config.mode).prompt_matcher(mask_scale=config.publish.mask_scale)
    yield "prompts", lambda: prompts_from_config(config.prompts)
    if any(prompt.text is not None for prompt in config.prompts):
        yield "text.encoders", lambda: _check_encoders(config.text.encoders)
    publish = config.publish
    is_encrypted = publish.curve.secret_key is not None
    yield "publish.curve", partial(load_keys, publish.curve)
    for key, endpoint in _endpoints(config):
        yield (
            f"publish.{key}",
            lambda endpoint=endpoint: check_endpoint(endpoint, allow_public=publish.allow_public or is_encrypted),  # type: ignore[misc]
        )
    yield "publish", lambda: _check_endpoints(config)
    if config.viewer.enabled:
        yield "viewer", lambda: _check_viewer(config)
    if config.metrics.endpoint is not None:
        yield "metrics.endpoint", lambda: _check_metrics(config)
    if config.foxglove.endpoint is not None:
        yield "foxglove.endpoint", lambda: _check_foxglove(config)
    if config.output.rerun is not None:
        yield "output.rerun", lambda: _check_rerun(config.output.rerun or "")
    if config.mqtt.address is not None:
        yield "mqtt.address", _check_mqtt
    if config.zones:
        yield "zones", _check_zones
    if config.output.video is not None:
        yield "output.video", lambda: _check_video(Path(config.output.video or ""))
    if config.output.recording is not None:
        yield "output.recording", lambda: _check_folder(Path(config.output.recording or ""))
    if config.output.prompts is not None:
        yield "output.prompts", PromptFile(config.output.prompts).load
    if config.output.mcap is not None:
        yield "output.mcap", lambda: _check_mcap(Path(config.output.mcap or ""))
    if config.effect.kind is not None:
        yield "effect.background", lambda: _check_effect(config)
    if config.output.webcam is not None:
        yield "output.webcam", lambda: _check_webcam(config.output.webcam or "")
    if publish.imagezmq is not None:
        yield "publish.imagezmq", lambda: _check_imagezmq(config)
    if config.collect.folder is not None:
        yield "collect.folder", lambda: _check_folder(Path(config.collect.folder or ""))
    for key in ("messages", "prompts"):
        path = getattr(config.output, key)
        if path is not None:
            yield f"output.{key}", lambda path=path: _check_output(Path(path))  # type: ignore[misc]


def _endpoints(config: Config) -> list[tuple[str, str]]:
    """Return the keys and values of the endpoints that are not off."""
    keys = ("endpoint", "single_endpoint", "control_endpoint")
    values = [(key, getattr(config.publish, key)) for key in keys]
    return [(key, value) for key, value in values if value is not None]


def _check_source(source: SourceConfig) -> None:
    from streamseg.capture import open_source
    from streamseg.capture.images import ImageFiles
    from streamseg.imaging import image_sizes

    opened = open_source(source)
    if isinstance(opened, ImageFiles) and not opened.is_batch:  # of several, those that cannot be read are skipped
        image_sizes(opened.paths[0])


def _check_weights(weights: str) -> None:
    from streamseg.weights.resolve import find_weights

    if weights != "default":
        find_weights(weights)


def _check_encoders(encoders: str) -> None:
    from streamseg.text.description import EncodersDescription
    from streamseg.text.encoders import encoders_folder

    folder = encoders_folder(encoders)
    for name in EncodersDescription.read(folder).sha256:
        (folder / name).stat()


def _check_endpoints(config: Config) -> None:
    if config.publish.endpoint is None and config.publish.single_endpoint is not None:
        raise ConfigError("single_endpoint requires endpoint; set both or neither")
    fixed: dict[str, str] = {}
    for key, endpoint in _endpoints(config):
        if not endpoint.endswith((":0", ":*")) and fixed.setdefault(endpoint, key) != key:
            raise ConfigError(f"{key} and {fixed[endpoint]} are both {endpoint}; choose different ports")


def _check_viewer(config: Config) -> None:
    from streamseg.viewer.access import check_host

    check_host(config.viewer.host, allow_public=config.viewer.allow_public)
    if find_spec("aiohttp") is None:
        raise ConfigError("the page needs aiohttp, which is not installed; run: pip install 'streamseg[viewer]'")


def _check_metrics(config: Config) -> None:
    from streamseg.metrics.server import check_endpoint

    assert config.metrics.endpoint is not None
    check_endpoint(config.metrics.endpoint, allow_public=config.metrics.allow_public)


def _check_foxglove(config: Config) -> None:
    from streamseg.bridges.foxglove import check_endpoint

    assert config.foxglove.endpoint is not None
    check_endpoint(config.foxglove.endpoint, allow_public=config.foxglove.allow_public)


def _check_rerun(target: str) -> None:
    from streamseg.bridges.rerun import check_target

    check_target(target)


def _check_effect(config: Config) -> None:
    from streamseg.drawing.effects import load_style

    load_style(config.effect)


def _check_webcam(device: str) -> None:
    from streamseg.drawing.webcam import check_webcam

    check_webcam(device)


def _check_imagezmq(config: Config) -> None:
    from streamseg.publish.imagezmq import check_image_endpoint

    check_image_endpoint(config.publish.imagezmq or "", allow_public=config.publish.allow_public)


def _check_mqtt() -> None:
    from streamseg.runtime.mqtt_connection import require_mqtt

    require_mqtt()


def _check_zones() -> None:
    from streamseg.zones import require_zones

    require_zones()


def _check_video(path: Path) -> None:
    from streamseg.drawing.video import check_video_name

    _check_output(path)
    check_video_name(path)


def _check_mcap(path: Path) -> None:
    from streamseg.ros.mcap_writer import check_mcap_name, require_mcap

    _check_output(path)
    check_mcap_name(path)
    require_mcap()


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is not a folder; give the path of a folder")
    _check_parent(path)


def _check_output(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the path of a file")
    _check_parent(path)


def _check_parent(path: Path) -> None:
    parent = next(folder for folder in (path.parent, *path.parent.parents) if folder.exists())
    if not parent.is_dir():
        raise ConfigError(f"{parent} is not a folder; choose another path than {path}")
