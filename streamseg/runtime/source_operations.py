"""The operations of the control channel on the sources of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamseg.config import parse_source_section, source_fields
from streamseg.errors import DataError
from streamseg.publish.control import Op
from streamseg.runtime.source_manager import SourceManager

__all__ = ["source_operations"]


def source_operations(sources: SourceManager) -> dict[str, Op]:
    """Return the operations on sources, by name. Thread-safe.

    sources.list     {} -> {"sources": [{section …, "state": …, "state_seconds": …, "error": …}]}
    sources.types    {} -> {"types": {type: [{"key": …, "kind": …, …}]}}: the keys of a section, see `source_fields`
    sources.add      a source's section of the configuration, such as {"type": "stream", "id": "door", "url": "rtsp://…"}
                     -> {"id": …}; without an id it gets a free one
    sources.remove   {"id": …} -> {"id": …}; the only source cannot be removed
    sources.restart  {"id": …} -> {"id": …}; also a source that has ended or failed
    """

    def list_sources(args: Mapping[str, Any]) -> Any:
        _expect_none("sources.list", args)
        return {"sources": sources.as_json()}

    def list_types(args: Mapping[str, Any]) -> Any:
        _expect_none("sources.types", args)
        return {"types": source_fields()}

    def add(args: Mapping[str, Any]) -> Any:
        return {"id": sources.add(parse_source_section(args))}

    def remove(args: Mapping[str, Any]) -> Any:
        source_id = _only_id(args)
        sources.remove(source_id)
        return {"id": source_id}

    def restart(args: Mapping[str, Any]) -> Any:
        source_id = _only_id(args)
        sources.restart(source_id)
        return {"id": source_id}

    return {
        "sources.list": list_sources,
        "sources.types": list_types,
        "sources.add": add,
        "sources.remove": remove,
        "sources.restart": restart,
    }


def _expect_none(op: str, args: Mapping[str, Any]) -> None:
    if args:
        raise DataError(f"unknown argument {str(next(iter(args)))[:40]!r}; {op} has none")


def _only_id(args: Mapping[str, Any]) -> str:
    unknown = [str(key)[:40] for key in args if key != "id"]
    if unknown:
        raise DataError(f"unknown argument {unknown[0]!r}; the only one is id")
    source_id = args.get("id")
    if not isinstance(source_id, str):
        raise DataError(f'"id" must be the id of a source, got {str(source_id)[:40]!r}')
    return source_id
