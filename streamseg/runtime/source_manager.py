"""Changes of the sources of a run: from the control channel, and from a configuration that is read again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any, Protocol

from streamseg.capture import Source
from streamseg.config import SourceConfig
from streamseg.errors import DataError, reason_of
from streamseg.redaction import redact
from streamseg.runtime.deadlines import SourceLimits
from streamseg.structures.source_status import SourceStatus

__all__ = ["MAX_SOURCES", "SourceManager", "limits_of"]

MAX_SOURCES = 256
"""Maximum number of sources of a run, as in a configuration."""


class ChangesSources(Protocol):
    """A run whose sources can be changed, such as `Runtime`; DataError is raised if a change is impossible."""

    def add_source(self, source: Source, limits: SourceLimits) -> None:
        """Add a source."""
        ...

    def remove_source(self, source_id: str) -> None:
        """Remove a source."""
        ...

    def replace_source(self, source: Source, limits: SourceLimits) -> None:
        """Replace the source with the same id."""
        ...

    def source_statuses(self) -> dict[str, SourceStatus]:
        """Return the status of each source."""
        ...


class SourceManager:
    """Opens, removes and restarts the sources of a run by their sections. Thread-safe.

    Args:
        run: the run; its sources are those of the sections.
        sections: sections of the configuration; those without an id have the ids of `Config.named_sources`.
        open_source: opens a section that has an id.
    """

    def __init__(
        self, run: ChangesSources, sections: Sequence[SourceConfig], open_source: Callable[[SourceConfig], Source]
    ) -> None:
        self._run = run
        self._opener = open_source
        self._lock = threading.Lock()
        self._sections = {section.id: section for section in sections}
        """All sources of the run, by id."""
        self._configured = set(self._sections)
        """Ids of the sources that came from a configuration, not from the control channel."""

    def as_json(self) -> list[dict[str, Any]]:
        """Return each source as JSON values: its section with a redacted address, and its state."""
        with self._lock:  # held by every change, so that each source has its state
            sections, statuses = list(self._sections.values()), self._run.source_statuses()
        return [_to_json(section, statuses.get(section.id)) for section in sections]

    def add(self, section: SourceConfig) -> str:
        """Add a source, and return its id: that of the section, or a free one.

        Raises:
            DataError: the id is in use, there are too many sources, or the run has ended.
            SourceError: the file or folder cannot be used.
        """
        with self._lock:
            return self._add(section)

    def remove(self, source_id: str) -> None:
        """Remove a source.

        Raises:
            DataError: it is unknown or the only one, or the run has ended.
        """
        with self._lock:
            self._remove(source_id)

    def restart(self, source_id: str) -> None:
        """Open a source again, also one that has ended or failed.

        Raises:
            DataError: it is unknown, or the run has ended.
            SourceError: the file or folder cannot be used.
        """
        with self._lock:
            section = self._known(source_id)
            self._run.replace_source(self._open_source(section), limits_of(section))

    def apply(self, sections: Sequence[SourceConfig]) -> list[str]:
        """Change the sources from the configuration to these sections; those of the control channel are untouched.

        A source whose section is the same continues undisturbed. A section without an id keeps the id of an equal one.

        Returns:
            One line per change; empty if nothing has changed.

        Raises:
            DataError: an id is in use by the control channel, or there are too many sources; nothing has changed then.
                Or the run has ended.
            SourceError: a file or folder cannot be used; nothing has changed then.
        """
        with self._lock:
            named = self._named(sections)
            changed = [section for section in named if self._sections.get(section.id) != section]
            gone = sorted(self._configured - {section.id for section in named})
            for section in changed:
                if section.id in self._sections and section.id not in self._configured:
                    raise DataError(f"source {section.id!r} was added by the control channel; choose another id")
            if len({*self._sections, *(section.id for section in named)} - {*gone}) > MAX_SOURCES:
                raise DataError(f"a run has at most {MAX_SOURCES} sources")
            opened = [self._open_source(section) for section in changed]
            changes = []
            # New sources come first, because a run is never without one.
            for section, source in sorted(
                zip(changed, opened, strict=True), key=lambda pair: pair[0].id in self._sections
            ):
                if section.id in self._sections:
                    self._run.replace_source(source, limits_of(section))
                    changes.append(f"changed {section.id}")
                else:
                    self._run.add_source(source, limits_of(section))
                    changes.append(f"added {section.id}")
                self._sections[section.id] = section
                self._configured.add(section.id)
            for source_id in gone:
                self._remove(source_id)
                changes.append(f"removed {source_id}")
            return changes

    def _named(self, sections: Sequence[SourceConfig]) -> list[SourceConfig]:
        """Give each section an id: equal ones keep theirs, the others get free ones, by which a source is changed."""
        taken = {section.id for section in sections if section.id} | (set(self._sections) - self._configured)
        ids = [section.id or self._id_of_equal(section, taken) for section in sections]
        for place, section in enumerate(sections):
            ids[place] = ids[place] or _free_id(section, taken)
            taken.add(ids[place])
        return [section.model_copy(update={"id": one}) for section, one in zip(sections, ids, strict=True)]

    def _id_of_equal(self, section: SourceConfig, taken: set[str]) -> str:
        """Return the id of a source with an equal section, and add it to those taken; "" if there is none."""
        for source_id, known in self._sections.items():
            if source_id not in taken and known.model_copy(update={"id": ""}) == section:
                taken.add(source_id)
                return source_id
        return ""

    def _open_source(self, section: SourceConfig) -> Source:
        """Open a source; an error of the system, such as a name that is too long, is one of its section."""
        try:
            return self._opener(section)
        except OSError as error:
            raise DataError(f"source {section.id!r} cannot be opened: {reason_of(error)}") from error

    def _add(self, section: SourceConfig) -> str:
        if len(self._sections) >= MAX_SOURCES:
            raise DataError(f"a run has at most {MAX_SOURCES} sources; remove one first")
        if section.id in self._sections:
            raise DataError(f"there is a source {section.id!r}; choose another id, or remove it first")
        if not section.id:
            section = section.model_copy(update={"id": _free_id(section, self._sections)})
        self._run.add_source(self._open_source(section), limits_of(section))
        self._sections[section.id] = section
        return section.id

    def _remove(self, source_id: str) -> None:
        self._run.remove_source(self._known(source_id).id)
        del self._sections[source_id]
        self._configured.discard(source_id)

    def _known(self, source_id: str) -> SourceConfig:
        section = self._sections.get(source_id)
        if section is None:
            names = ", ".join([*list(self._sections)[:10], *(["…"] if len(self._sections) > 10 else [])])
            raise DataError(f"no source {source_id[:64]!r}; sources are {names}")
        return section


def limits_of(section: SourceConfig) -> SourceLimits:
    """Return the limits that a section sets."""
    return SourceLimits(
        deadline_ns=None if section.deadline_ms is None else round(section.deadline_ms * 1e6),
        min_period_ns=0 if section.max_fps is None else round(1e9 / section.max_fps),
        weight=section.weight,
    )


def _free_id(section: SourceConfig, taken: Collection[str]) -> str:
    """Return the first of `stream0`, `stream1` … that is not taken."""
    return next(name for number in count() if (name := f"{section.type}{number}") not in taken)


def _to_json(section: SourceConfig, status: SourceStatus | None) -> dict[str, Any]:
    values = section.model_dump(mode="json")
    if "url" in values:
        values["url"] = redact(values["url"])
    if status is not None:
        values |= {"state": status.state, "state_seconds": round(status.seconds, 3), "error": status.error}
    return values
