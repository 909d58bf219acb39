"""Threads around a pipeline: frames move from sources to sinks, and the run ends cleanly however it ends.

    capture ─► Mailbox ─┐
    capture ─► Mailbox ─┼─► segment ─► Handover ─► finish ─► sinks
    capture ─► Mailbox ─┘

A live source's mailbox holds one frame, the newest; a file's blocks its reader. Everything between two
threads holds one piece of work, so that nothing grows old in a queue.
"""

from streamseg.runtime.stats import Ages, RunStats, SourceStats, describe_drops
from streamseg.runtime.supervisor import Runtime
from streamseg.runtime.workers import Sink

__all__ = ["Ages", "RunStats", "Runtime", "Sink", "SourceStats", "describe_drops"]
