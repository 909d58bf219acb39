"""Threads around a pipeline: move frames from sources to sinks, and end a run cleanly in every case.

    capture ─► Mailbox ─┐
    capture ─► Mailbox ─┼─► segment ─► SlotQueue ─► finish ─► publisher
    capture ─► Mailbox ─┘                                └─► ResultSlot ─► any other sink

A live source's mailbox holds one frame, the newest; a file's mailbox blocks its reader. Between two
threads there is at most one piece of work, so that nothing grows old in a queue.

background    work that frames need not wait for       prompt_file  prompts saved across restarts
admission     which frames are worth their work        session      a run from a configuration
batching      which frames form a batch
frame_queue   frames that wait for the network         mailbox      those of one source
sources       the sources, their threads and states    source_manager  changes of the sources by their sections
source_operations  these changes by the control channel  sinks        publisher and message file
operations    operations of the control channel        stats        run statistics as records
stats_collector  collects them
sink_group    all sinks of a run                       sink_runner  one sink in its own thread
sink_health   state machine: ok, degraded, failed      sink_slot    results that wait for a sink
recorder      recordings: images and messages          recording_limit  the size of their folder
line_file     a file of whole lines
supervisor    Runtime: the run as a whole              workers      the work of each thread
stage_threads  the threads of the network and after it  ending       the end of a run
source_changes  what a source that comes or goes changes
"""

from streamseg.runtime.sink_health import SinkStats
from streamseg.runtime.sink_slot import SinkPolicy
from streamseg.runtime.stats import Ages, RunStats, SourceStats, describe_drops
from streamseg.runtime.supervisor import Runtime
from streamseg.runtime.workers import Sink, SinkFactory

__all__ = [
    "Ages",
    "RunStats",
    "Runtime",
    "Sink",
    "SinkFactory",
    "SinkPolicy",
    "SinkStats",
    "SourceStats",
    "describe_drops",
]
