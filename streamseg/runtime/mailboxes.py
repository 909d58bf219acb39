"""The mailboxes of all sources: which are open, which have ended, and which a pause holds back. Not thread-safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from streamseg.runtime.batching import MailboxState
from streamseg.runtime.deadlines import NO_LIMITS, SourceLimits
from streamseg.runtime.mailbox import Mailbox

__all__ = ["Mailboxes"]


class Mailboxes:
    """Mailboxes by source id.

    Args:
        sources: whether each source is live, by source id.
        limits: limits of sources, by source id; others have none.
    """

    def __init__(self, sources: Mapping[str, bool], limits: Mapping[str, SourceLimits]) -> None:
        self.latest = {
            source_id: Mailbox(source_id, is_live=is_live, limits=limits.get(source_id, NO_LIMITS))
            for source_id, is_live in sources.items()
        }
        """The latest mailbox of each source, also after its end, because it has the drops."""
        self.open = dict(self.latest)
        self.is_paused = False
        self._removed: list[str] = []
        """Ids of removed sources whose end `take_ended` has not reported yet."""
        self._stepping: set[str] = set()
        """Ids of sources that still owe a frame to `step`."""

    def __len__(self) -> int:
        """Return the number of waiting frames."""
        return sum(len(mailbox) for mailbox in self.open.values())

    def add(self, source_id: str, *, is_live: bool, limits: SourceLimits) -> None:
        """Add a source; if it was removed before, its counts of drops continue.

        Raises:
            ValueError: there is such a source, and it has not ended.
        """
        if source_id in self.open:
            raise ValueError(f"there is a source {source_id!r} already")
        before = self.latest.get(source_id)
        mailbox = Mailbox(source_id, is_live=is_live, limits=limits)
        if before is not None:
            mailbox.drops = before.drops
        self.latest[source_id] = self.open[source_id] = mailbox

    def remove(self, source_id: str) -> bool:
        """Remove a source and drop its waiting frames; return False if it has ended or is unknown."""
        mailbox = self.open.pop(source_id, None)
        if mailbox is None:
            return False
        mailbox.has_ended = True
        mailbox.drop("removed")
        self._stepping.discard(source_id)
        self._removed.append(source_id)
        return True

    def take_ended(self) -> tuple[str, ...]:
        """Remove and return the sources that have ended and have no waiting frame; each is returned once."""
        removed, self._removed = tuple(self._removed), []
        ended = tuple(source_id for source_id, box in self.open.items() if box.has_ended and not len(box))
        for source_id in ended:
            del self.open[source_id]
            self._stepping.discard(source_id)
        return removed + ended

    def pause(self) -> None:
        """Hold everything back until `resume`; the waiting frames of live sources are dropped."""
        self.is_paused = True
        self._stepping.clear()
        for mailbox in self.open.values():
            if mailbox.is_live:
                mailbox.drop("paused")

    def resume(self) -> None:
        """Continue after `pause`."""
        self.is_paused = False
        self._stepping.clear()

    def step(self) -> None:
        """Let one frame of each source through while paused; one that still owes a frame owes no second one."""
        self._stepping.update(self.open)

    def stepped(self, source_ids: Iterable[str]) -> None:
        """Report that frames of these sources were taken."""
        self._stepping.difference_update(source_ids)

    def holds(self, source_id: str) -> bool:
        """Return whether the frames of a source are held back."""
        return self.is_paused and source_id not in self._stepping

    def states(self) -> list[MailboxState]:
        """Return the mailboxes from which frames may be taken; while paused, only one frame for a step."""
        states = [mailbox.state() for source_id, mailbox in self.open.items() if not self.holds(source_id)]
        return [replace(state, num_ready=min(state.num_ready, 1)) for state in states] if self.is_paused else states
