"""Prompts from the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from streamseg.config import PromptConfig
from streamseg.structures.prompt import BoxPrompt, EverythingPrompt, PointPrompt, Prompt, TextPrompt

__all__ = ["prompts_from_config"]


def prompts_from_config(configs: Sequence[PromptConfig]) -> tuple[Prompt, ...]:
    """Return the prompts of a configuration; an entry without points, box and text selects everything.

    Raises:
        DataError: a prompt is inconsistent.
    """
    prompts: list[Prompt] = []
    for config in configs:
        if config.points is not None:
            labels = config.labels if config.labels is not None else (1,) * len(config.points)
            prompts.append(PointPrompt(config.id, config.points, labels, source_id=config.source, follow=config.follow))
        elif config.box is not None:
            prompts.append(BoxPrompt(config.id, config.box, source_id=config.source, follow=config.follow))
        elif config.text is not None:
            prompts.append(TextPrompt(config.id, config.text, source_id=config.source))
        else:
            prompts.append(EverythingPrompt(config.id, source_id=config.source))
    return tuple(prompts)
