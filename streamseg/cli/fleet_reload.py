"""Read the configuration of a fleet again on SIGHUP, and move cameras."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamseg.cli.signals import on_hangup
from streamseg.errors import StreamsegError

if TYPE_CHECKING:
    from streamseg.config import FleetConfig
    from streamseg.fleet.controller import Controller

__all__ = ["FleetReloader"]

logger = logging.getLogger(__name__)


class FleetReloader:
    """Applies the changes of a configuration to a fleet; an invalid one changes nothing.

    Use it as a context manager: inside, SIGHUP requests a reload, which the next `poll` performs.

    Args:
        controller: the fleet.
        load: reads the configuration again; its StreamsegError is logged.
    """

    def __init__(self, controller: Controller, load: Callable[[], FleetConfig]) -> None:
        self._controller = controller
        self._load = load
        self._is_requested = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(on_hangup(self.request))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def request(self) -> None:
        """Request a reload; called by a signal handler."""
        self._is_requested = True

    def poll(self) -> None:
        """Reload if it was requested, and log the result in one line."""
        if not self._is_requested:
            return
        self._is_requested = False
        try:
            changes = self._controller.apply(self._load())
        except StreamsegError as error:
            logger.error("the configuration was not reloaded: %s", "; ".join(str(error).splitlines()))
        else:
            logger.warning("the configuration was reloaded: %s", ", ".join(changes) or "nothing has changed")
