"""The stages composed, without threads: frames in, messages out.

    segment ─► track ─► select ─► masks ─► Message

pipeline   `Pipeline`: segments batches, finishes single frames
stream     everything that is kept about one source between frames
compose    selections to the message that is published
"""

from streamseg.pipeline.pipeline import Pipeline
from streamseg.pipeline.result import FrameResult

__all__ = ["FrameResult", "Pipeline"]
