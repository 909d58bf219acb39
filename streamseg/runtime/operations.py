"""The operations of the control channel on a run."""

from __future__ import annotations

import logging
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
from streamseg.wire.json_fields import dump_json
from streamseg.wire.prompt_statuses import prompt_statuses_to_json

__all__ = ["control_operations"]

logger = logging.getLogger(__name__)

MAX_PROMPTS_BYTES: Final = 2 << 20
"""Maximum size of all prompts in force as JSON: half of the maximum size of a reply."""


def control_operations(runtime: Runtime, on_prompts: Callable[[], None] | None = None) -> dict[str, Op]:
    """Return the operations on a run, by name. Thread-safe.

    status           {} -> statistics of the run, see `RunStats.as_json`, and the prompts in force
    prompts.list     {} -> {"prompts": […], "states": {source: […]}}: statuses in each source's latest frame
    prompts.set      {"prompts": […], "replace": false} -> {"prompts": […]}, the prompts in force. Each given prompt
                     replaces the one with its id, or is added; with `replace` all others are removed. A prompt
                     that is in force already is unchanged and keeps its target
    prompts.step     {"id": …} -> the prompts in force; this one moves on to its next candidate object
    prompts.clear    {"ids": […]} -> the prompts in force; without ids all are removed
    pause, resume    {} -> {"paused": …}
    step             {} -> {"paused": true}; one frame of each source is let through while paused

    Args:
        runtime: the run.
        on_prompts: called after the prompts have changed, to save them; its DataError becomes the "warning" of the
            reply, because the prompts are in force.
    """
    pipeline = runtime.pipeline
    changing = threading.Lock()

    def prompts_in_force() -> dict[str, Any]:
        return {"prompts": [prompt_to_json(prompt) for prompt in pipeline.prompts]}

    def change(prompts: Iterable[Prompt]) -> dict[str, Any]:
        """Put these prompts into force; the caller holds the lock."""
        collected = collect_prompts(prompts)
        if collected != pipeline.prompts:
            num_bytes = len(dump_json([prompt_to_json(prompt) for prompt in collected], "prompts"))
            if num_bytes > MAX_PROMPTS_BYTES:
                raise DataError(
                    f"all prompts together may have at most {MAX_PROMPTS_BYTES} bytes as JSON, these would have"
                    f" {num_bytes}; clear some"
                )
            pipeline.set_prompts(collected)
            if on_prompts is not None:
                try:
                    on_prompts()
                except DataError as error:
                    # They are in force: an error reply would claim the opposite.
                    logger.warning("%s", error)
                    return {**prompts_in_force(), "warning": str(error)}
        return prompts_in_force()

    def status(args: Mapping[str, Any]) -> Any:
        _expect(args)
        return {**runtime.stats().as_json(), **prompts_in_force()}

    def list_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args)
        ids = {prompt.prompt_id for prompt in pipeline.prompts}
        states = {
            source_id: prompt_statuses_to_json([status for status in statuses if status.prompt_id in ids])
            for source_id, statuses in runtime.prompt_statuses.items()
        }
        return {**prompts_in_force(), "states": states}

    def set_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "prompts", "replace")
        if "prompts" not in args:
            raise DataError('prompts.set requires "prompts", a list of prompts')
        replaces_all = args.get("replace", False)
        if not isinstance(replaces_all, bool):
            raise DataError(f'"replace" must be true or false, got {str(replaces_all)[:40]!r}')
        given = prompts_from_json(args["prompts"])
        _check_sources(given, runtime.source_ids)
        _check_image_sizes(given, pipeline.image_sizes)
        with changing:
            before = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            prompts = {} if replaces_all else dict(before)
            prompts.update({prompt.prompt_id: _keep_mask(before.get(prompt.prompt_id), prompt) for prompt in given})
            return change(prompts.values())

    def step_prompt(args: Mapping[str, Any]) -> Any:
        _expect(args, "id")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            prompt = prompts[_known(args.get("id"), prompts)]
            if isinstance(prompt, EverythingPrompt | TextPrompt) or not prompt.follow:
                raise DataError(
                    f"prompt {prompt.prompt_id!r} has no candidates to step through; only points, boxes and masks with"
                    " follow=true have"
                )
            prompts[prompt.prompt_id] = replace(prompt, step=prompt.step + 1)
            return change(prompts.values())

    def clear_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "ids")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
            ids = args.get("ids", list(prompts))
            if not isinstance(ids, list):
                raise DataError(f'"ids" must be a list of prompt ids, got {str(ids)[:40]!r}')
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
            raise DataError("the run is not paused and advances by itself; pause it to step")
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
    """Return the id if such a prompt is in force; raises DataError otherwise."""
    if not isinstance(prompt_id, str) or prompt_id not in prompts:
        names = ", ".join([*list(prompts)[:10], *(["…"] if len(prompts) > 10 else [])])
        raise DataError(f"no prompt {str(prompt_id)[:40]!r}; prompts in force are {names or 'none'}")
    return prompt_id


def _keep_mask(before: Prompt | None, given: Prompt) -> Prompt:
    """Return the given prompt, with the previous mask object if the pixels are equal, which `==` does not compare."""
    if isinstance(before, MaskPrompt) and isinstance(given, MaskPrompt):
        kept = replace(given, mask=before.mask)
        if prompt_to_json(kept) == prompt_to_json(given):
            return kept
    return given


def _check_sources(prompts: Sequence[Prompt], source_ids: Sequence[str]) -> None:
    """Raise DataError for a prompt that names an unknown source."""
    for prompt in prompts:
        if prompt.source_id is not None and prompt.source_id not in source_ids:
            raise DataError(
                f"prompt {prompt.prompt_id!r} names the unknown source {prompt.source_id!r}; sources are"
                f" {', '.join(source_ids)}"
            )


def _check_image_sizes(prompts: Sequence[Prompt], image_sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raise DataError for a prompt that lies outside the image of every source to which it applies."""
    for prompt in prompts:
        sizes = [size for source_id, size in image_sizes.items() if prompt.source_id in (None, source_id)]
        errors = []
        for size in sizes:
            try:
                check_prompts([prompt], size)
                _check_mask_size(prompt, size)
            except DataError as error:
                errors.append(error)
        if errors and len(errors) == len(sizes):
            raise errors[0]


def _check_mask_size(prompt: Prompt, image_size: tuple[int, int]) -> None:
    if isinstance(prompt, MaskPrompt) and prompt.image_size is not None and prompt.image_size != image_size:
        raise DataError(
            f"prompt {prompt.prompt_id!r}: its mask has the size {list(prompt.image_size)}, but the image"
            f" {list(image_size)}; the mask must have the size [H, W] of the image"
        )
