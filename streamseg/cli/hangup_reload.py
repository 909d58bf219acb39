"""Read a configuration again on SIGHUP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from streamseg.cli.signals import on_hangup
from streamseg.errors import StreamsegError

__all__ = ["HangupReload"]

logger = logging.getLogger(__name__)


class HangupReload:
    """Reloads a configuration when it was requested, and logs the result; an invalid one changes nothing.

    Use it as a context manager: inside, SIGHUP requests a reload, which the next `poll` performs.

    Args:
        reload: reads and applies the configuration, and returns one text per change; its StreamsegError is logged.
    """

    def __init__(self, reload: Callable[[], Sequence[str]]) -> None:
        self._reload = reload
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
        """Request a reload by the next `poll`; called by a signal handler."""
        self._is_requested = True

    def poll(self) -> None:
        """Reload if it was requested, and log the result in one line."""
        if not self._is_requested:
            return
        self._is_requested = False
        try:
            changes = self._reload()
        except StreamsegError as error:
            logger.error("the configuration was not reloaded: %s", "; ".join(str(error).splitlines()))
        else:
            logger.warning("the configuration was reloaded: %s", ", ".join(changes) or "nothing has changed")
