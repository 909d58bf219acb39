"""States of prompts as JSON: the `prompts` of a header, and of the control channel's `prompts.list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from streamseg.errors import WireError
from streamseg.structures.message import MaskSource, PromptState, PromptStatus
from streamseg.wire import json_fields
from streamseg.wire.json_fields import MAX_PROMPT_STATUSES

__all__ = ["parse_prompt_statuses", "prompt_statuses_to_json"]

STATES: Final[dict[str, PromptState]] = {state: state for state in get_args(PromptState)}
SOURCES: Final[dict[str, MaskSource]] = {source: source for source in get_args(MaskSource)}


def prompt_statuses_to_json(statuses: Sequence[PromptStatus]) -> list[dict[str, Any]]:
    """Return a header's `prompts`; raise WireError if there are more than a reader accepts."""
    if len(statuses) > MAX_PROMPT_STATUSES:
        raise WireError(f"a header holds at most {MAX_PROMPT_STATUSES} prompts, got {len(statuses)}")
    return [
        {
            "id": status.prompt_id,
            "state": status.state,
            "confidence": round(float(status.confidence), 4),
            "mask_quality": None if status.mask_quality is None else round(float(status.mask_quality), 4),
            "track_id": int(status.track_id),
            "mask_source": status.mask_source,
        }
        for status in statuses
    ]


def parse_prompt_statuses(values: Mapping[str, Any]) -> tuple[PromptStatus, ...]:
    """Parse the `prompts` of a header; a header without them, of version 1.0, has no prompts.

    Raises:
        WireError: a value is missing, out of range or of the wrong type.
    """
    if "prompts" not in values:
        return ()
    return tuple(_parse(status) for status in json_fields.items(values, "prompts", MAX_PROMPT_STATUSES))


def _parse(values: Any) -> PromptStatus:
    if not isinstance(values, dict):
        raise WireError(f"each of 'prompts' must be a JSON object, got {type(values).__name__}")
    return PromptStatus(
        prompt_id=json_fields.text(values, "id"),
        state=STATES.get(json_fields.text(values, "state"), "none"),
        confidence=_share(values, "confidence"),
        track_id=json_fields.integer(values, "track_id", low=-1),
        # Absent before version 1.2.
        mask_quality=None if values.get("mask_quality") is None else _share(values, "mask_quality"),
        mask_source=_source(values),
    )


def _source(values: Mapping[str, Any]) -> MaskSource | None:
    """Parse the source of a mask: an instance if it is unknown, as it always was before version 1.2."""
    if values.get("mask_source", "") is None:
        return None
    return SOURCES.get(json_fields.text(values, "mask_source"), "proposal") if "mask_source" in values else "proposal"


def _share(values: Mapping[str, Any], key: str) -> float:
    share = json_fields.number(values, key)
    if not 0 <= share <= 1:
        raise WireError(f"{key!r} must be a number from 0 to 1, got {share:g}")
    return share
