"""The operations of the control channel on prompts: of a run, and of a fleet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from streamseg.errors import DataError
from streamseg.publish.control import Op
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import EverythingPrompt, MaskPrompt, Prompt, TextPrompt
from streamseg.structures.prompt_location import check_prompts
from streamseg.wire import collect_prompts, prompt_to_json, prompts_from_json
from streamseg.wire.json_fields import dump_json
from streamseg.wire.prompt_statuses import prompt_statuses_to_json

__all__ = ["HoldsPrompts", "check_arguments", "prompt_operations", "prompts_in_force"]

logger = logging.getLogger(__name__)

MAX_PROMPTS_BYTES: Final = 2 << 20
"""Maximum size of all prompts in force as JSON: half of the maximum size of a reply."""
MAX_NAMES: Final = 10
"""Maximum number of names in an error."""


class HoldsPrompts(Protocol):
    """What has prompts: a run, or a fleet."""

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts in force."""
        ...

    def set_prompts(self, prompts: Sequence[Prompt]) -> str | None:
        """Replace the prompts.

        Returns:
            A warning: they are in force, but something could not be done; None: there is none.

        Raises:
            StreamsegError: a prompt is refused; nothing has changed.
        """
        ...

    @property
    def source_ids(self) -> Sequence[str]:
        """All sources."""
        ...

    @property
    def refusals(self) -> Mapping[str, str]:
        """Sources that cannot have prompts now, each with the reason."""
        ...

    @property
    def image_sizes(self) -> Mapping[str, tuple[int, int]]:
        """(H, W) of the latest image, by source id."""
        ...

    @property
    def prompt_statuses(self) -> Mapping[str, Sequence[PromptStatus]]:
        """Prompt statuses in the latest frame of each source that has delivered one."""
        ...


def prompts_in_force(holder: HoldsPrompts) -> dict[str, Any]:
    """Return the prompts in force as a part of a reply."""
    return {"prompts": [prompt_to_json(prompt) for prompt in holder.prompts]}


def prompt_operations(holder: HoldsPrompts) -> dict[str, Op]:
    """Return the operations on prompts, by name. Thread-safe.

    prompts.list     {} -> {"prompts": […], "states": {source: […]}}: statuses in each source's latest frame
    prompts.set      {"prompts": […], "replace": false} -> {"prompts": […]}, the prompts in force. Each given prompt
                     replaces the one with its id, or is added; with `replace` all others are removed. A prompt
                     that is in force already is unchanged and keeps its target
    prompts.step     {"id": …} -> the prompts in force; this one moves on to its next candidate object
    prompts.clear    {"ids": […]} -> the prompts in force; without ids all are removed

    A warning of `set_prompts` becomes the "warning" of the reply, because the prompts are in force.

    Args:
        holder: the run, or the fleet.
    """
    changing = threading.Lock()

    def change(prompts: Iterable[Prompt]) -> dict[str, Any]:
        """Put these prompts into force; the caller holds the lock."""
        collected = collect_prompts(prompts)
        if collected != holder.prompts:
            num_bytes = len(dump_json([prompt_to_json(prompt) for prompt in collected], "prompts"))
            if num_bytes > MAX_PROMPTS_BYTES:
                raise DataError(
                    f"all prompts together may have at most {MAX_PROMPTS_BYTES} bytes as JSON, these would have"
                    f" {num_bytes}; clear some"
                )
            warning = holder.set_prompts(collected)
            if warning is not None:
                # They are in force: an error reply would claim the opposite.
                logger.warning("%s", warning)
                return {**prompts_in_force(holder), "warning": warning}
        return prompts_in_force(holder)

    def list_prompts(args: Mapping[str, Any]) -> Any:
        check_arguments(args)
        ids = {prompt.prompt_id for prompt in holder.prompts}
        states = {
            source_id: prompt_statuses_to_json([status for status in statuses if status.prompt_id in ids])
            for source_id, statuses in holder.prompt_statuses.items()
        }
        return {**prompts_in_force(holder), "states": states}

    def set_prompts(args: Mapping[str, Any]) -> Any:
        check_arguments(args, "prompts", "replace")
        if "prompts" not in args:
            raise DataError('prompts.set requires "prompts", a list of prompts')
        replaces_all = args.get("replace", False)
        if not isinstance(replaces_all, bool):
            raise DataError(f'"replace" must be true or false, got {str(replaces_all)[:40]!r}')
        given = prompts_from_json(args["prompts"])
        _check_sources(given, holder)
        _check_image_sizes(given, holder.image_sizes)
        with changing:
            before = {prompt.prompt_id: prompt for prompt in holder.prompts}
            prompts = {} if replaces_all else dict(before)
            prompts.update({prompt.prompt_id: _keep_mask(before.get(prompt.prompt_id), prompt) for prompt in given})
            return change(prompts.values())

    def step_prompt(args: Mapping[str, Any]) -> Any:
        check_arguments(args, "id")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in holder.prompts}
            prompt = prompts[_known(args.get("id"), prompts)]
            if isinstance(prompt, EverythingPrompt | TextPrompt) or not prompt.follow:
                raise DataError(
                    f"prompt {prompt.prompt_id!r} has no candidates to step through; only points, boxes and masks with"
                    " follow=true have"
                )
            prompts[prompt.prompt_id] = replace(prompt, step=prompt.step + 1)
            return change(prompts.values())

    def clear_prompts(args: Mapping[str, Any]) -> Any:
        check_arguments(args, "ids")
        with changing:
            prompts = {prompt.prompt_id: prompt for prompt in holder.prompts}
            ids = args.get("ids", list(prompts))
            if not isinstance(ids, list):
                raise DataError(f'"ids" must be a list of prompt ids, got {str(ids)[:40]!r}')
            cleared = {_known(prompt_id, prompts) for prompt_id in ids}
            return change(prompt for name, prompt in prompts.items() if name not in cleared)

    return {
        "prompts.list": list_prompts,
        "prompts.set": set_prompts,
        "prompts.step": step_prompt,
        "prompts.clear": clear_prompts,
    }


def check_arguments(args: Mapping[str, Any], *known: str) -> None:
    """Raise DataError for an argument that an operation does not have."""
    unknown = [str(key)[:40] for key in args if key not in known]
    if unknown:
        raise DataError(f"unknown argument {unknown[0]!r}; valid ones are {', '.join(known) or 'none'}")


def _known(prompt_id: Any, prompts: Mapping[str, Prompt]) -> str:
    """Return the id if such a prompt is in force; raises DataError otherwise."""
    if not isinstance(prompt_id, str) or prompt_id not in prompts:
        raise DataError(f"no prompt {str(prompt_id)[:40]!r}; prompts in force are {_names(prompts) or 'none'}")
    return prompt_id


def _keep_mask(before: Prompt | None, given: Prompt) -> Prompt:
    """Return the given prompt, with the previous mask object if the pixels are equal, which `==` does not compare."""
    if isinstance(before, MaskPrompt) and isinstance(given, MaskPrompt):
        kept = replace(given, mask=before.mask)
        if prompt_to_json(kept) == prompt_to_json(given):
            return kept
    return given


def _check_sources(prompts: Sequence[Prompt], holder: HoldsPrompts) -> None:
    """Raise DataError for a prompt whose source is unknown, or cannot have prompts."""
    source_ids, refusals = holder.source_ids, holder.refusals
    for prompt in prompts:
        name = prompt.source_id
        if name is None:
            continue
        if name not in source_ids:
            raise DataError(
                f"prompt {prompt.prompt_id!r} names the unknown source {name!r}; sources are {_names(source_ids)}"
            )
        if name in refusals:
            raise DataError(f"prompt {prompt.prompt_id!r}: {name!r} is not in use: {refusals[name]}")


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


def _names(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join([*known[:MAX_NAMES], *(["…"] if len(known) > MAX_NAMES else [])])
