"""What the control channel can ask of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from streamseg.errors import DataError
from streamseg.prompting import check_prompts
from streamseg.publish.control import Op
from streamseg.runtime.supervisor import Runtime
from streamseg.structures.prompt import EverythingPrompt, MaskPrompt, Prompt, TextPrompt
from streamseg.wire import collect_prompts, prompt_to_json, prompts_from_json
from streamseg.wire.header import prompt_statuses_to_json
from streamseg.wire.json_fields import dump_json

__all__ = ["control_operations"]

MAX_PROMPTS_BYTES: Final = 2 << 20
"""Of all prompts in force as JSON: half of what an answer may have."""


def control_operations(runtime: Runtime, on_prompts: Callable[[], None] | None = None) -> dict[str, Op]:
    """The operations on a run, by name; they may be called from several threads.

    status           {} -> figures of the run, see `RunStats.as_json`, and the prompts in force
    prompts.list     {} -> {"prompts": […], "states": {source: […]}}: how they stood in each source's latest frame
    prompts.set      {"prompts": […], "replace": false} -> {"prompts": […]}, those in force. Each takes the place of
                     the one with its id, or is added; with `replace` all others go. One that is in force already
                     stays as it is, with the object that it follows
    prompts.step     {"id": …} -> the prompts in force; that one goes on to the next object that it could mean
    prompts.clear    {"ids": […]} -> the prompts in force; without ids all of them go
    pause, resume    {} -> {"paused": …}
    step             {} -> {"paused": true}; one frame of each source comes through the pause

    Args:
        runtime: the run.
        on_prompts: called after other prompts came into force; what it raises is the answer.
    """
    pipeline = runtime.pipeline
    changing = threading.Lock()

    def listed() -> dict[str, Any]:
        return {"prompts": [prompt_to_json(prompt) for prompt in pipeline.prompts]}

    def change(prompts: Iterable[Prompt]) -> dict[str, Any]:
        """Bring these prompts into force; the caller holds the lock."""
        asked = collect_prompts(prompts)
        if asked != pipeline.prompts:
            num_bytes = len(dump_json([prompt_to_json(prompt) for prompt in asked], "prompts"))
            if num_bytes > MAX_PROMPTS_BYTES:
                raise DataError(
                    f"all prompts together may have {MAX_PROMPTS_BYTES} bytes as JSON, these would have {num_bytes};"
                    " clear some"
                )
            pipeline.set_prompts(asked)
            if on_prompts is not None:
                on_prompts()
        return listed()

    def status(args: Mapping[str, Any]) -> Any:
        _expect(args)
        return {**runtime.stats().as_json(), **listed()}

    def list_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args)
        ids = {prompt.prompt_id for prompt in pipeline.prompts}
        states = {
            source_id: prompt_statuses_to_json([status for status in statuses if status.prompt_id in ids])
            for source_id, statuses in runtime.prompt_statuses.items()
        }
        return {**listed(), "states": states}

    def set_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "prompts", "replace")
        if "prompts" not in args:
            raise DataError('prompts.set needs "prompts", a list of prompts')
        is_whole = args.get("replace", False)
        if not isinstance(is_whole, bool):
            raise DataError(f'"replace" is true or false, got {str(is_whole)[:40]!r}')
        given = prompts_from_json(args["prompts"])
        _check_sources(given, runtime.source_ids)
        _check_against_pictures(given, pipeline.image_sizes)
        with changing:
            before = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            prompts = {} if is_whole else dict(before)
            prompts.update({prompt.prompt_id: _kept(before.get(prompt.prompt_id), prompt) for prompt in given})
            return change(prompts.values())

    def step_prompt(args: Mapping[str, Any]) -> Any:
        _expect(args, "id")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            prompt = prompts[_known(args.get("id"), prompts)]
            if isinstance(prompt, EverythingPrompt | TextPrompt) or not prompt.follow:
                raise DataError(
                    f"prompt {prompt.prompt_id!r} has nothing to step through; points, a box or a mask that follow"
                    " have, each of the objects that they could mean"
                )
            prompts[prompt.prompt_id] = replace(prompt, step=prompt.step + 1)
            return change(prompts.values())

    def clear_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "ids")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            ids = args.get("ids", list(prompts))
            if not isinstance(ids, list):
                raise DataError(f'"ids" is a list of prompt ids, got {str(ids)[:40]!r}')
            cleared = {_known(prompt_id, prompts) for prompt_id in ids}
            return change(prompt for name, prompt in prompts.items() if name not in cleared)

    def pause(args: Mapping[str, Any]) -> Any:
        _expect(args)
        runtime.pause()
        return {"paused": True}

    def resume(args: Mapping[str, Any]) -> Any:
        _expect(args)
        runtime.resume()
        return {"paused": False}

    def step(args: Mapping[str, Any]) -> Any:
        _expect(args)
        if not runtime.step():
            raise DataError("the run is not paused, and goes from frame to frame by itself; pause it to step")
        return {"paused": True}

    return {
        "status": status,
        "prompts.list": list_prompts,
        "prompts.set": set_prompts,
        "prompts.step": step_prompt,
        "prompts.clear": clear_prompts,
        "pause": pause,
        "resume": resume,
        "step": step,
    }


def _expect(args: Mapping[str, Any], *known: str) -> None:
    unknown = [str(key)[:40] for key in args if key not in known]
    if unknown:
        raise DataError(f"unknown argument {unknown[0]!r}; valid ones are {', '.join(known) or 'none'}")


def _known(prompt_id: Any, prompts: Mapping[str, Prompt]) -> str:
    """The id of a prompt in force."""
    if not isinstance(prompt_id, str) or prompt_id not in prompts:
        names = ", ".join([*list(prompts)[:10], *(["…"] if len(prompts) > 10 else [])])
        raise DataError(f"there is no prompt {str(prompt_id)[:40]!r}; there are {names or 'none'}")
    return prompt_id


def _kept(before: Prompt | None, given: Prompt) -> Prompt:
    """The given prompt, with the mask of the one before where it is the same, which `==` does not see."""
    if isinstance(before, MaskPrompt) and isinstance(given, MaskPrompt):
        kept = replace(given, mask=before.mask)
        if prompt_to_json(kept) == prompt_to_json(given):
            return kept
    return given


def _check_sources(prompts: Sequence[Prompt], source_ids: Sequence[str]) -> None:
    """Raise DataError for a prompt of a source that is not there."""
    for prompt in prompts:
        if prompt.source_id is not None and prompt.source_id not in source_ids:
            raise DataError(
                f"prompt {prompt.prompt_id!r} asks the source {prompt.source_id!r}; there are {', '.join(source_ids)}"
            )


def _check_against_pictures(prompts: Sequence[Prompt], image_sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raise DataError for a prompt that lies outside the picture of every source that it asks."""
    for prompt in prompts:
        asked = [size for source_id, size in image_sizes.items() if prompt.source_id in (None, source_id)]
        refusals = []
        for size in asked:
            try:
                check_prompts([prompt], size)
                _check_canvas(prompt, size)
            except DataError as error:
                refusals.append(error)
        if refusals and len(refusals) == len(asked):
            raise refusals[0]


def _check_canvas(prompt: Prompt, image_size: tuple[int, int]) -> None:
    if isinstance(prompt, MaskPrompt) and prompt.image_size is not None and prompt.image_size != image_size:
        raise DataError(
            f"prompt {prompt.prompt_id!r}: its mask has the size {list(prompt.image_size)}, the picture"
            f" {list(image_size)}; give one of the picture's size, [H, W]"
        )
