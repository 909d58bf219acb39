"""The operations of the control channel on a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamseg.errors import DataError
from streamseg.publish.control import Op
from streamseg.publish.prompt_operations import check_arguments, prompt_operations, prompts_in_force
from streamseg.runtime.supervisor import Runtime
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Prompt

__all__ = ["control_operations"]


def control_operations(runtime: Runtime, on_prompts: Callable[[], None] | None = None) -> dict[str, Op]:
    """Return the operations on a run, by name. Thread-safe.

    status           {} -> statistics of the run, see `RunStats.as_json`, and the prompts in force
    prompts.*        see `prompt_operations`
    pause, resume    {} -> {"paused": …}
    step             {} -> {"paused": true}; one frame of each source is let through while paused

    Args:
        runtime: the run.
        on_prompts: called after the prompts have changed, to save them; its DataError becomes the "warning" of the
            reply, because the prompts are in force.
    """
    prompts = _PromptsOfRun(runtime, on_prompts)

    def status(args: Mapping[str, Any]) -> Any:
        check_arguments(args)
        return {**runtime.stats().as_json(), **prompts_in_force(prompts)}

    def pause(args: Mapping[str, Any]) -> Any:
        check_arguments(args)
        runtime.pause()
        return {"paused": True}

    def resume(args: Mapping[str, Any]) -> Any:
        check_arguments(args)
        runtime.resume()
        return {"paused": False}

    def step(args: Mapping[str, Any]) -> Any:
        check_arguments(args)
        if not runtime.step():
            raise DataError("the run is not paused and advances by itself; pause it to step")
        return {"paused": True}

    return {
        "status": status,
        **prompt_operations(prompts),
        "pause": pause,
        "resume": resume,
        "step": step,
    }


class _PromptsOfRun:
    """The prompts of a run, as `HoldsPrompts`."""

    refusals: Mapping[str, str] = {}

    def __init__(self, runtime: Runtime, on_prompts: Callable[[], None] | None) -> None:
        self._runtime = runtime
        self._on_prompts = on_prompts

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return self._runtime.pipeline.prompts

    def set_prompts(self, prompts: Sequence[Prompt]) -> str | None:
        self._runtime.pipeline.set_prompts(prompts)
        if self._on_prompts is not None:
            try:
                self._on_prompts()
            except DataError as error:
                return str(error)
        return None

    @property
    def source_ids(self) -> tuple[str, ...]:
        return self._runtime.source_ids

    @property
    def image_sizes(self) -> Mapping[str, tuple[int, int]]:
        return self._runtime.pipeline.image_sizes

    @property
    def prompt_statuses(self) -> Mapping[str, tuple[PromptStatus, ...]]:
        return self._runtime.prompt_statuses
