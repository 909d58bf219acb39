"""What the control channel can ask of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamseg.errors import DataError
from streamseg.prompting import check_prompts
from streamseg.publish.control import Op
from streamseg.runtime.supervisor import Runtime
from streamseg.structures.prompt import Prompt
from streamseg.wire import prompt_to_json, prompts_from_json

__all__ = ["control_operations"]

MAX_PROMPTS = 256
"""At a time; as many as one request may bring."""


def control_operations(runtime: Runtime) -> dict[str, Op]:
    """The operations on a run, by name.

    status           {} -> figures of the run, see `RunFigures.as_json`
    prompts.list     {} -> {"prompts": […]}
    prompts.set      {"prompts": […], "replace": false} -> the prompts in force. Each takes the place of the one
                     with its id, or is added; with `replace` all others go
    prompts.clear    {"ids": […]} -> the prompts in force; without ids all of them go
    pause, resume    {} -> {"paused": …}
    """
    pipeline = runtime.pipeline

    def listed() -> dict[str, Any]:
        return {"prompts": [prompt_to_json(prompt) for prompt in pipeline.prompts]}

    def status(args: Mapping[str, Any]) -> Any:
        _expect(args)
        return {**runtime.figures().as_json(), **listed()}

    def list_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args)
        return listed()

    def set_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "prompts", "replace")
        if "prompts" not in args:
            raise DataError('prompts.set needs "prompts", a list of prompts')
        replace = args.get("replace", False)
        if not isinstance(replace, bool):
            raise DataError(f'"replace" is true or false, got {str(replace)[:40]!r}')
        given = prompts_from_json(args["prompts"])
        _check_against_pictures(given, pipeline.image_sizes)
        prompts = {} if replace else {prompt.prompt_id: prompt for prompt in pipeline.prompts}
        prompts.update({prompt.prompt_id: prompt for prompt in given})
        if len(prompts) > MAX_PROMPTS:
            raise DataError(f"there may be {MAX_PROMPTS} prompts at a time, these would be {len(prompts)}")
        pipeline.set_prompts(tuple(prompts.values()))
        return listed()

    def clear_prompts(args: Mapping[str, Any]) -> Any:
        _expect(args, "ids")
        prompts = {prompt.prompt_id: prompt for prompt in pipeline.prompts}
        ids = args.get("ids", list(prompts))
        if not isinstance(ids, list):
            raise DataError(f'"ids" is a list of prompt ids, got {str(ids)[:40]!r}')
        unknown = [str(name)[:40] for name in ids if not isinstance(name, str) or name not in prompts]
        if unknown:
            raise DataError(f"there is no prompt {unknown[0]!r}; there are {', '.join(prompts) or 'none'}")
        pipeline.set_prompts([prompt for name, prompt in prompts.items() if name not in ids])
        return listed()

    def pause(args: Mapping[str, Any]) -> Any:
        _expect(args)
        runtime.pause()
        return {"paused": True}

    def resume(args: Mapping[str, Any]) -> Any:
        _expect(args)
        runtime.resume()
        return {"paused": False}

    return {
        "status": status,
        "prompts.list": list_prompts,
        "prompts.set": set_prompts,
        "prompts.clear": clear_prompts,
        "pause": pause,
        "resume": resume,
    }


def _expect(args: Mapping[str, Any], *known: str) -> None:
    unknown = [str(key)[:40] for key in args if key not in known]
    if unknown:
        raise DataError(f"unknown argument {unknown[0]!r}; valid ones are {', '.join(known) or 'none'}")


def _check_against_pictures(prompts: Sequence[Prompt], image_sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raise DataError for a prompt that lies outside the picture of every source; one may be meant for some only."""
    for prompt in prompts:
        refusals = []
        for size in image_sizes.values():
            try:
                check_prompts([prompt], size)
            except DataError as error:
                refusals.append(error)
        if refusals and len(refusals) == len(image_sizes):
            raise refusals[0]
