"""From a configuration to a run that can be started."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from streamseg.capture import open_source
from streamseg.config import Config, SceneSource, WebcamSource
from streamseg.engines import leave_cores
from streamseg.errors import ConfigError
from streamseg.pipeline import Pipeline
from streamseg.pipeline.mode import Mode
from streamseg.prompting import prompts_from_config
from streamseg.publish import ControlServer, Publisher
from streamseg.publish.control import Op
from streamseg.runtime.background import BackgroundThread
from streamseg.runtime.operations import control_operations
from streamseg.runtime.prompt_file import PromptFile
from streamseg.runtime.sinks import MessageFile, PublishSink
from streamseg.runtime.supervisor import Runtime
from streamseg.runtime.workers import Sink

__all__ = ["Session", "open_runtime"]

logger = logging.getLogger(__name__)

USUAL_SIZE = (720, 1280)
"""(H, W) that the network is warmed up for where a source does not say before it is opened."""


@dataclass(frozen=True)
class Session:
    """A run that is ready to start, and where it can be reached."""

    runtime: Runtime
    endpoint: str | None
    """Multipart messages; the real address, None where nothing is published."""
    single_endpoint: str | None
    """Single-part messages."""
    control_endpoint: str | None
    """Prompts, status, pause."""
    operations: Mapping[str, Op]
    """What the control endpoint answers, for others who steer the run; from any thread."""


@contextlib.contextmanager
def open_runtime(config: Config, mode: Mode, sinks: Sequence[Sink] = ()) -> Iterator[Session]:
    """Open everything that a configuration names but the sources, which open when the run starts.

    Where `output.prompts` names a file that is there, its prompts are asked in place of the configuration's: an
    earlier run left off with them. They are kept when they change and at the end.

    Args:
        config: the whole of a run.
        mode: opens the stages whose behaviour the configuration names by `mode`.
        sinks: besides the publisher and the file of messages; they come last and are closed with the run.

    Raises:
        ConfigError: settings that exclude each other.
        SourceError: a file or folder that cannot be a source.
        WeightsError, EngineError: there is no such network.
        DataError: an output cannot be written, or a prompt contradicts itself.
        PublishError: an endpoint cannot be bound.
    """
    with contextlib.ExitStack() as stack:
        # Until a Runtime has them, the sinks are closed here where something cannot be opened.
        ownerless = stack.enter_context(contextlib.ExitStack())
        for sink in sinks:
            ownerless.callback(sink.close)
        publish = config.publish
        if publish.endpoint is None and publish.single_endpoint is not None:
            raise ConfigError("publish.single_endpoint needs publish.endpoint; set both, or neither")
        sections = config.named_sources()
        sources = [open_source(section) for section in sections]
        prompts = prompts_from_config(config.prompts)
        prompt_file = PromptFile(config.output.prompts) if config.output.prompts is not None else None
        saved = prompt_file.load() if prompt_file is not None else None
        if saved is not None:
            if saved.prompts != prompts:
                logger.warning("the prompts of %s are asked, not the configuration's", config.output.prompts)
            prompts = saved.prompts
        # Endpoints first: a port in use shows at once, and not after the weights were loaded.
        all_sinks: list[Sink] = []
        publisher = None
        if publish.endpoint is not None:
            publisher = Publisher(
                publish.endpoint,
                single_endpoint=publish.single_endpoint,
                mask_encoding=publish.mask_encoding,
                jpeg_quality=publish.jpeg_quality,
                allow_public=publish.allow_public,
            )
            ownerless.callback(publisher.close)
            files = [source.source_id for source in sources if not source.is_live]
            all_sinks.append(PublishSink(publisher, every_frame_of=files))
        matcher = mode.prompt_matcher(mask_scale=publish.mask_scale)
        segmenter = mode.open_segmenter(config.segmentation, embeddings=True)
        leave_cores(segmenter.engine)
        for size in {_known_size(section) or USUAL_SIZE for section in sections}:
            segmenter.warmup(size)
        # The frames of files wait for their objects to be compared with texts, as they do for everything.
        any_live = any(source.is_live for source in sources)
        background = stack.enter_context(BackgroundThread()).submit if any_live else None
        pipeline = Pipeline(
            segmenter,
            tracking=config.tracking,
            prompts=prompts,
            matcher=matcher,
            frame_ids={source.source_id: source.frame_id for source in sources},
            text=mode.text_matcher(config.text, start=background),
        )
        on_prompts = None
        if prompt_file is not None:
            if saved is not None:
                prompt_file.restore(pipeline, saved)
            on_prompts = partial(prompt_file.save, pipeline)
        if config.output.messages is not None:
            messages = MessageFile(config.output.messages)
            ownerless.callback(messages.close)
            all_sinks.append(messages)
        runtime = stack.enter_context(Runtime(sources, pipeline, [*all_sinks, *sinks], batching=config.batching))
        ownerless.pop_all()
        operations = control_operations(runtime, on_prompts)
        control = None
        if publish.control_endpoint is not None:
            control = stack.enter_context(
                ControlServer(publish.control_endpoint, operations, allow_public=publish.allow_public)
            )
        if prompt_file is not None:
            stack.callback(prompt_file.save, pipeline, is_last=True)
        yield Session(
            runtime,
            endpoint=publisher.endpoint if publisher is not None else None,
            single_endpoint=publisher.single_endpoint if publisher is not None else None,
            control_endpoint=control.endpoint if control is not None else None,
            operations=operations,
        )


def _known_size(section: object) -> tuple[int, int] | None:
    """(H, W) of a source's pictures, where its section tells."""
    if isinstance(section, SceneSource | WebcamSource) and section.height is not None and section.width is not None:
        return section.height, section.width
    return None
