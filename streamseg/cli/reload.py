"""Read the configuration of a run again on SIGHUP, and apply only what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streamseg.cli.hangup_reload import HangupReload
from streamseg.wire import prompt_to_json

if TYPE_CHECKING:
    from streamseg.config import Config
    from streamseg.publish.control import Op
    from streamseg.runtime import RunStats
    from streamseg.runtime.source_manager import SourceManager

__all__ = ["Reloader"]


class Reloader(HangupReload):
    """Applies the changes of a configuration to a run: sources and prompts; the rest needs a restart, and is named.

    What the control channel has changed, and the configuration has not, is untouched. An invalid configuration changes
    nothing. Use it as a context manager: inside, SIGHUP requests a reload.

    Args:
        sources: the sources of the run.
        operations: its operations.
        config: the configuration in force.
        load: reads it again; its StreamsegError is logged.
    """

    def __init__(
        self, sources: SourceManager, operations: Mapping[str, Op], config: Config, load: Callable[[], Config]
    ) -> None:
        self._sources = sources
        self._operations = operations
        self._config = config
        super().__init__(lambda: self._apply(load()))

    def beside(self, on_stats: Callable[[RunStats], None]) -> Callable[[RunStats], None]:
        """Return a callback of the run's statistics that also polls."""

        def both(stats: RunStats) -> None:
            on_stats(stats)
            self.poll()

        return both

    def _apply(self, config: Config) -> list[str]:
        """Apply a configuration, and return what has changed."""
        before = self._config
        changes = self._sources.apply(config.sources) if config.sources != before.sources else []
        changes += self._change_prompts(config)
        restart = [
            name
            for name in type(config).model_fields
            if name not in ("sources", "prompts") and getattr(config, name) != getattr(before, name)
        ]
        self._config = config.model_copy(update={name: getattr(before, name) for name in restart})
        return [*changes, *(f"{name} needs a restart" for name in restart)]

    def _change_prompts(self, config: Config) -> list[str]:
        from streamseg.prompting import prompts_from_config

        before = {prompt.id: prompt for prompt in self._config.prompts}
        after = {prompt.id: prompt for prompt in config.prompts}
        changed = [prompt for name, prompt in after.items() if before.get(name) != prompt]
        operations = self._operations
        if changed:
            operations["prompts.set"]({"prompts": [prompt_to_json(one) for one in prompts_from_config(changed)]})
        in_force = {prompt["id"] for prompt in operations["prompts.list"]({})["prompts"]}
        gone = [name for name in before if name not in after and name in in_force]
        if gone:
            operations["prompts.clear"]({"ids": gone})
        return [*(f"prompt {prompt.id}" for prompt in changed), *(f"prompt {name} removed" for name in gone)]
