"""Read the configuration of a run again on SIGHUP, and apply only what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from streamseg.cli.hangup_reload import HangupReload

if TYPE_CHECKING:
    from streamseg.config import Config, PromptConfig
    from streamseg.publish.control import Op
    from streamseg.runtime import RunStats
    from streamseg.runtime.source_manager import SourceManager

__all__ = ["Reloader", "change_prompts"]


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
        changes += change_prompts(self._operations, before.prompts, config.prompts)
        restart = [
            name
            for name in type(config).model_fields
            if name not in ("sources", "prompts") and getattr(config, name) != getattr(before, name)
        ]
        self._config = config.model_copy(update={name: getattr(before, name) for name in restart})
        return [*changes, *(f"{name} needs a restart" for name in restart)]


def change_prompts(
    operations: Mapping[str, Op], before: Sequence[PromptConfig], after: Sequence[PromptConfig]
) -> list[str]:
    """Change the prompts from one configuration to another; those that only the control channel changed are untouched.

    Args:
        operations: operations of the run or the fleet.
        before: prompts of the configuration in force.
        after: prompts of the new one.

    Returns:
        One text per change.
    """
    known = {prompt.id: prompt for prompt in before}
    changed = [prompt for prompt in after if known.get(prompt.id) != prompt]
    if changed:
        values = [prompt.model_dump(mode="json", exclude_defaults=True) for prompt in changed]
        operations["prompts.set"]({"prompts": values})
    in_force = {prompt["id"] for prompt in operations["prompts.list"]({})["prompts"]}
    gone = [name for name in known if name in in_force and name not in {prompt.id for prompt in after}]
    if gone:
        operations["prompts.clear"]({"ids": gone})
    return [*(f"prompt {prompt.id}" for prompt in changed), *(f"prompt {name} removed" for name in gone)]
