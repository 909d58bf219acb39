"""Sinks that a configuration asks for, besides the publisher: files, MQTT, data set, images for people, recordings."""

from __future__ import annotations

import contextlib

from streamseg.config import Config
from streamseg.publish.jpeg import EncodeImage
from streamseg.runtime.collector import Collector
from streamseg.runtime.mcap_file import McapFile
from streamseg.runtime.mqtt_sink import MqttSink
from streamseg.runtime.recorder import Recorder
from streamseg.runtime.sinks import MessageFile
from streamseg.runtime.watched_images import ImageZmqSink, WebcamSink
from streamseg.runtime.workers import Sink, SinkFactory

__all__ = ["open_outputs"]


def open_outputs(config: Config, encode_image: EncodeImage, unowned: contextlib.ExitStack) -> list[Sink | SinkFactory]:
    """Open the sinks of a configuration, in the order in which they are listed in statistics.

    Args:
        config: configuration of the run.
        encode_image: encodes images as JPEG.
        unowned: closes them until a run owns them.

    Raises:
        DataError: an output cannot be written, or another run writes it.
        ConfigError: a library is not installed, or the virtual webcam is missing.
        PublishError: the endpoint of imagezmq cannot be bound.
    """
    output = config.output
    sinks: list[Sink | SinkFactory] = []
    if output.messages is not None:
        sinks.append(MessageFile(output.messages))
        unowned.callback(sinks[-1].close)
    if output.mcap is not None:
        sinks.append(McapFile(output.mcap, max_bytes=_num_bytes(output.mcap_max_gb), encode_image=encode_image))
        unowned.callback(sinks[-1].close)
    if config.mqtt.address is not None:
        sinks.append(MqttSink(config.mqtt, lines=[zone.id for zone in config.zones if zone.line is not None]))
        unowned.callback(sinks[-1].close)
    if config.collect.folder is not None:
        sinks.append(Collector(config.collect))
        unowned.callback(sinks[-1].close)
    if output.webcam is not None:
        sinks.append(WebcamSink.open(output.webcam, config.named_sources()[0].id))
        unowned.callback(sinks[-1].close)
    publish = config.publish
    if publish.imagezmq is not None:
        sinks.append(
            ImageZmqSink(
                publish.imagezmq,
                image_format=publish.imagezmq_format,
                jpeg_quality=publish.jpeg_quality,
                allow_public=publish.allow_public,
            )
        )
        unowned.callback(sinks[-1].close)
    if output.recording is not None:
        sinks.append(
            Recorder(output.recording, segment_seconds=output.segment_seconds, keep_bytes=_num_bytes(output.keep_gb))
        )
    return sinks


def _num_bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else round(gigabytes * 1e9)
