"""The stages composed, without threads: frames in, messages out.

    segment ─► track ─► select ─► masks ─► Message

pipeline   `Pipeline`: segments batches, finishes single frames
stream     the state of one source between its frames
compose    matched prompts to the published message
mode       the stages whose behaviour is chosen where a run is put together
"""

from streamseg.pipeline.compose import FrameResult
from streamseg.pipeline.pipeline import Pipeline

__all__ = ["FrameResult", "Pipeline"]
