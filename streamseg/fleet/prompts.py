"""The prompts of a fleet: kept here, in force on every worker, and given to the workers that come later."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from streamseg.errors import DataError
from streamseg.fleet.report import PromptReply
from streamseg.fleet.status import CameraStatus
from streamseg.structures.message import PromptStatus
from streamseg.structures.prompt import Prompt
from streamseg.wire import prompt_to_json
from streamseg.wire.prompt_statuses import parse_prompt_statuses

__all__ = ["FleetPrompts", "TakesPrompts"]

WAIT_SECONDS: Final = 2.0
"""Time for the workers to reply to new prompts; clients wait 5 s."""


class TakesPrompts(Protocol):
    """One worker, such as `Link`."""

    @property
    def was_ready(self) -> bool:
        """Whether it can be reached."""
        ...

    def want_prompts(self, revision: int, prompts: Sequence[Mapping[str, Any]]) -> None:
        """Let it have these prompts."""
        ...

    def prompts_reply(self, revision: int, seconds: float) -> PromptReply | None:
        """Wait for its reply; None: there is none within `seconds`."""
        ...


class FleetPrompts:
    """The prompts, as `publish.prompt_operations.HoldsPrompts`.

    Every worker has all prompts, so that a camera finds its own wherever it moves. The targets begin anew there.

    Args:
        prompts: those of the configuration, which workers have from their start.
        workers: the workers by name.
        names: returns the ids of all cameras of the configuration in force.
        cameras: returns the newest status of every camera, by its id.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        workers: Mapping[str, TakesPrompts],
        names: Callable[[], Sequence[str]],
        cameras: Callable[[], Mapping[str, CameraStatus]],
    ) -> None:
        self._prompts = tuple(prompts)
        self._revision = 0
        self._workers = workers
        self._names = names
        self._cameras = cameras

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts in force."""
        return self._prompts

    def set_prompts(self, prompts: Sequence[Prompt]) -> str | None:
        """Give these prompts to every worker; one caller at a time.

        Returns:
            The workers that have not replied in time, in one line; None if there is none.

        Raises:
            DataError: a worker has refused them; the ones before are in force again.
        """
        before, self._prompts = self._prompts, tuple(prompts)
        self._distribute()
        end = time.monotonic() + WAIT_SECONDS
        silent = []
        for name, worker in self._workers.items():
            if not worker.was_ready:
                silent.append(name)
                continue
            reply = worker.prompts_reply(self._revision, max(end - time.monotonic(), 0.0))
            if reply is None:
                silent.append(name)
            elif reply.error is not None:
                self._prompts = before
                self._distribute()
                raise DataError(reply.error)
        if not silent:
            return None
        return f"the prompts are kept, but these workers have not replied yet: {', '.join(silent)}"

    @property
    def source_ids(self) -> Sequence[str]:
        """All cameras."""
        return self._names()

    @property
    def refusals(self) -> Mapping[str, str]:
        """Cameras that cannot be opened or are held back, with the reason."""
        return {name: one.refusal for name, one in self._cameras().items() if one.refusal is not None}

    @property
    def image_sizes(self) -> Mapping[str, tuple[int, int]]:
        """(H, W) of the latest image of each camera that has delivered one."""
        reports = {name: one.report for name, one in self._cameras().items()}
        return {name: one.image_size for name, one in reports.items() if one is not None and one.image_size is not None}

    @property
    def prompt_statuses(self) -> Mapping[str, Sequence[PromptStatus]]:
        """Prompt statuses of each camera at the last heartbeat."""
        return {
            name: parse_prompt_statuses({"prompts": [dict(status) for status in one.report.prompts]})
            for name, one in self._cameras().items()
            if one.report is not None and one.report.image_size is not None
        }

    def _distribute(self) -> None:
        self._revision += 1
        values = [prompt_to_json(prompt) for prompt in self._prompts]
        for worker in self._workers.values():
            worker.want_prompts(self._revision, values)
