"""Services of the node as requests to the control operations; the definitions are in `ros/streamseg_ros/srv`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streamseg.errors import DataError, StreamsegError

__all__ = ["SERVICES", "Operation", "call"]

Operation = Callable[[dict[str, Any]], Any]
"""Operation of the control channel: arguments to result."""


def _add_prompt(request: Any) -> dict[str, Any]:
    """Return the arguments of `prompts.set`; empty strings and sequences count as missing."""
    numbers = [float(value) for value in request.points]
    if len(numbers) % 2:
        raise DataError(f"points must be x0, y0, x1, y1, …, got {len(numbers)} numbers")
    prompt: dict[str, Any] = {"id": request.id}
    if request.source:
        prompt["source"] = request.source
    if numbers:
        prompt["points"] = [numbers[index : index + 2] for index in range(0, len(numbers), 2)]
        if len(request.labels):
            prompt["labels"] = [int(label) for label in request.labels]
    if len(request.box):
        prompt["box"] = [float(value) for value in request.box]
    if request.text:
        prompt["text"] = request.text
    if not request.follow:
        prompt["follow"] = False
    return {"prompts": [prompt]}


def _remove_prompt(request: Any) -> dict[str, Any]:
    """Return the arguments of `prompts.clear`; without ids, all prompts are removed."""
    ids = [str(one) for one in request.ids]
    return {"ids": ids} if ids else {}


def _step(request: Any) -> dict[str, Any]:
    """Return the arguments of `prompts.step`."""
    return {"id": request.id}


SERVICES: Final[Mapping[str, tuple[str, str, Callable[[Any], dict[str, Any]]]]] = {
    "add_prompt": ("streamseg_ros/srv/AddPrompt", "prompts.set", _add_prompt),
    "remove_prompt": ("streamseg_ros/srv/RemovePrompt", "prompts.clear", _remove_prompt),
    "step": ("streamseg_ros/srv/Step", "prompts.step", _step),
}
"""Type, control operation and arguments, by the name of the service."""


def call(name: str, request: Any, operations: Mapping[str, Operation]) -> tuple[bool, str]:
    """Answer a request to a service.

    Returns:
        Whether it succeeded, and the message: the ids of the prompts in force, or the error, in one line.
    """
    _, operation, arguments = SERVICES[name]
    try:
        args = arguments(request)
        result = operations[operation](args)
    except StreamsegError as error:
        return False, str(error)
    return True, ", ".join(prompt["id"] for prompt in result["prompts"])
