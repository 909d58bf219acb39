"""Open a run from a configuration."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from streamseg.capture import Source, open_source
from streamseg.config import BatchingConfig, Config, CurveConfig, SceneSource, SourceConfig, WebcamSource
from streamseg.drawing.effect_book import EffectBook
from streamseg.drawing.effects import load_style
from streamseg.engines import CompilesShapes, has_free_core, leave_core_for_sources, leave_cores
from streamseg.errors import ConfigError
from streamseg.pipeline import Pipeline
from streamseg.pipeline.mode import Mode
from streamseg.prompting import prompts_from_config
from streamseg.publish import ControlServer, Publisher, ServerKeys
from streamseg.publish.control import Op
from streamseg.publish.jpeg import EncodeImage, SharedJpeg
from streamseg.runtime.background import BackgroundThread
from streamseg.runtime.batching import GPU_BATCH
from streamseg.runtime.ladder import degradation_steps
from streamseg.runtime.operations import control_operations
from streamseg.runtime.outputs import open_outputs
from streamseg.runtime.prompt_file import PromptFile
from streamseg.runtime.sinks import PublishSink
from streamseg.runtime.source_manager import SourceManager, limits_of
from streamseg.runtime.source_operations import source_operations
from streamseg.runtime.supervisor import Runtime
from streamseg.runtime.workers import ReportsSources, Sink, SinkFactory
from streamseg.segmentation import Segmenter
from streamseg.telemetry import Histogram
from streamseg.tiers.opening import open_tiers
from streamseg.zones import ZoneBook

__all__ = ["OpenSource", "Session", "load_keys", "open_runtime"]

OpenSource = Callable[[SourceConfig], Source]
"""Returns the source of a section."""

logger = logging.getLogger(__name__)

SLOW_NICENESS = 10
"""Niceness of the thread in which models slower than the budget of their tier work."""
DEFAULT_SIZE = (720, 1280)
"""Image size (H, W) for which the network is warmed up if the size of a source is unknown before it is opened."""


@dataclass(frozen=True)
class Session:
    """A run that is ready to start, with its endpoints and operations."""

    runtime: Runtime
    endpoint: str | None
    """Actual address of the multipart messages; None if nothing is published."""
    single_endpoint: str | None
    """Actual address of the single-part messages; None if they are not published."""
    control_endpoint: str | None
    """Actual address of the control channel for prompts, status and pause; None if there is none."""
    latencies: Callable[[], dict[tuple[str, str], Histogram]]
    """Returns the histograms of stages and ages so far, in ms, by (name, source id): the stages, `age` when the message
    was made, `publish` when it was sent. Thread-safe."""
    operations: Mapping[str, Op]
    """Operations of the control channel, for other clients such as the page. Thread-safe."""
    sources: SourceManager
    """Changes of the sources while the run is in progress. Thread-safe."""


@contextlib.contextmanager
def open_runtime(
    config: Config,
    mode: Mode,
    sinks: Sequence[Sink | SinkFactory] = (),
    *,
    open_section: Callable[[SourceConfig, OpenSource], Source] | None = None,
    encode_image: EncodeImage | None = None,
) -> Iterator[Session]:
    """Open all parts of a configuration except the sources, which are opened when the run starts.

    If `output.prompts` names an existing file, its prompts, from an earlier run, replace those of the configuration.
    The prompts are saved there when they change and at the end.

    Args:
        config: configuration of the whole run.
        mode: opens the stages whose behaviour depends on `config.mode`.
        sinks: additional sinks, after the publisher and the message file; closed with the run.
        open_section: opens the sources instead of `capture.open_source`, which it receives for those it leaves to it.
        encode_image: encodes the images of `publish.jpeg_quality`, shared with the additional sinks; None: one for the
            run's own outputs.

    Raises:
        ConfigError: settings exclude each other.
        SourceError: a file or folder cannot be a source.
        WeightsError, EngineError: the network cannot be loaded.
        DataError: an output cannot be written, or a prompt is invalid.
        PublishError: an endpoint cannot be bound.
    """
    with contextlib.ExitStack() as stack:
        # Until a Runtime owns the sinks, they are closed here if any part cannot be opened.
        unowned = stack.enter_context(contextlib.ExitStack())
        for sink in sinks:
            unowned.callback(sink.close)
        publish = config.publish
        if publish.endpoint is None and publish.single_endpoint is not None:
            raise ConfigError("publish.single_endpoint requires publish.endpoint; set both or neither")
        style = load_style(config.effect)
        sections = config.named_sources()
        standard: OpenSource = partial(open_source, gives_up=config.exit_on_failure)
        opening: OpenSource = standard if open_section is None else lambda section: open_section(section, standard)
        encode_image = encode_image or SharedJpeg(publish.jpeg_quality)
        sources = [opening(section) for section in sections]
        limits = {section.id: limits_of(section) for section in sections}
        prompts = prompts_from_config(config.prompts)
        prompt_file = PromptFile(config.output.prompts) if config.output.prompts is not None else None
        saved = prompt_file.load() if prompt_file is not None else None
        if saved is not None:
            if saved.prompts != prompts:
                logger.warning("the prompts of %s replace those of the configuration", config.output.prompts)
            prompts = saved.prompts
        # Endpoints first, so that a port in use is reported at once and not after the weights were loaded.
        all_sinks: list[Sink | SinkFactory] = []
        keys = load_keys(publish.curve)
        publisher = None
        if publish.endpoint is not None:
            publisher = Publisher(
                publish.endpoint,
                single_endpoint=publish.single_endpoint,
                mask_encoding=publish.mask_encoding,
                encode_image=encode_image,
                keys=keys,
                allow_public=publish.allow_public,
            )
            unowned.callback(publisher.close)
            publish_sink = PublishSink(publisher)
            for source in sources:
                publish_sink.add_source(source.source_id, is_live=source.is_live)
            all_sinks.append(publish_sink)
        matcher = mode.prompt_matcher(mask_scale=publish.mask_scale)
        leave_core_for_sources(sum(source.is_live for source in sources))
        segmenter = mode.open_segmenter(config.segmentation, embeddings=True)
        segmenter.defers = has_free_core(segmenter.engine, os.cpu_count())
        leave_cores(segmenter.engine)
        batching = _batching(config.batching, segmenter.engine.device)
        steps = degradation_steps(config.degradation, segmenter)
        has_deadlines = any(section.deadline_ms is not None for section in sections)
        scales = sorted({1.0, *(one.imgsz_scale for one in steps if has_deadlines)})
        sizes = {_known_size(section) or DEFAULT_SIZE for section in sections}
        warm_up = partial(_warm_up, segmenter, sizes, batching.max_batch or GPU_BATCH, scales)
        if segmenter.engine.device == "cpu":
            warm_up()
        # Frames of files wait until their objects are compared with texts, as they do for every stage.
        any_live = any(source.is_live for source in sources)
        background = stack.enter_context(BackgroundThread()).submit if any_live else None
        if isinstance(segmenter.engine, CompilesShapes):
            segmenter.engine.start = background
        # A worker of its own: a run of a large model takes seconds, for which texts must not wait. It gives way to the
        # network: its answers are late in any case.
        slow = stack.enter_context(BackgroundThread(niceness=SLOW_NICENESS)).submit if any_live else None
        pipeline = Pipeline(
            segmenter,
            prepare=None if segmenter.engine.device == "cpu" else warm_up,
            tracking=config.tracking,
            prompts=prompts,
            matcher=matcher,
            frame_ids={source.source_id: source.frame_id for source in sources},
            text=mode.text_matcher(config.text, start=background),
            tiers=open_tiers(config, slow),
            zones=ZoneBook(config.zones),
            effects=EffectBook(style, new_lock=threading.Lock),
        )
        on_prompts = None
        if prompt_file is not None:
            if saved is not None:
                prompt_file.restore(pipeline, saved)
            on_prompts = partial(prompt_file.save, pipeline)
        all_sinks += open_outputs(config, encode_image, unowned)
        runtime = stack.enter_context(
            Runtime(
                sources,
                pipeline,
                [*all_sinks, *sinks],
                batching=batching,
                limits=limits,
                steps=steps,
                degradation=config.degradation,
            )
        )
        unowned.pop_all()
        for sink in all_sinks:
            if isinstance(sink, ReportsSources):
                sink.report_sources(runtime.source_statuses)
        manager = SourceManager(runtime, sections, opening)
        operations = {**control_operations(runtime, on_prompts), **source_operations(manager)}
        control = None
        if publish.control_endpoint is not None:
            control = stack.enter_context(
                ControlServer(publish.control_endpoint, operations, keys=keys, allow_public=publish.allow_public)
            )
        if prompt_file is not None:
            stack.callback(prompt_file.save, pipeline, is_last=True)
        yield Session(
            runtime,
            endpoint=publisher.endpoint if publisher is not None else None,
            single_endpoint=publisher.single_endpoint if publisher is not None else None,
            control_endpoint=control.endpoint if control is not None else None,
            latencies=partial(_latencies, pipeline, publisher),
            operations=operations,
            sources=manager,
        )


def _latencies(pipeline: Pipeline, publisher: Publisher | None) -> dict[tuple[str, str], Histogram]:
    """Return the histograms of a run."""
    published = publisher.ages.snapshot() if publisher is not None else {}
    return {**pipeline.timer.by_source.snapshot(), **published}


def load_keys(config: CurveConfig) -> ServerKeys | None:
    """Load the keys that a configuration names, None if none; raises PublishError if one cannot be read."""
    if config.secret_key is None:
        return None
    return ServerKeys.load(config.secret_key, read=config.read, control=config.control)


def _batching(config: BatchingConfig, device: str) -> BatchingConfig:
    """Return the settings with a maximum batch size that fits the device of the network, if they leave it open."""
    if config.max_batch is not None:
        return config
    return config.model_copy(update={"max_batch": 1 if device == "cpu" else GPU_BATCH})


def _warm_up(segmenter: Segmenter, sizes: Iterable[tuple[int, int]], max_batch: int, scales: Iterable[float]) -> None:
    """Run all shapes to come once: in the inference thread of a GPU, whose libraries choose kernels per thread."""
    for size, scale in product(sizes, scales):
        for num_images in _batch_sizes(segmenter.engine.device, max_batch):
            segmenter.warmup(size, num_images=num_images, imgsz_scale=scale)


def _batch_sizes(device: str, most: int) -> list[int]:
    """Return the numbers of images to warm up for: on a GPU, each new number of images chooses kernels anew."""
    return [1] if device == "cpu" else sorted({*(2**power for power in range(most.bit_length())), most})


def _known_size(section: object) -> tuple[int, int] | None:
    """Return the configured image size (H, W) of a source; None if its section does not give one."""
    if isinstance(section, SceneSource | WebcamSource) and section.height is not None and section.width is not None:
        return section.height, section.width
    return None
