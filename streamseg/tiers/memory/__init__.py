"""Memory tier: followed prompts by the memory of a video model, SAM 2 or EdgeTAM.

model      the interface of video models, and what they see
sessions   the video models of transformers, one streaming session per object, with bounded memory
loading    a folder of weights as a video model
opening    the tier of a configuration
followed   one followed prompt: what tracker and memory say, and whom to believe
tier       the tier: which objects have a memory, when it is started, corrected and used
"""

from streamseg.tiers.memory.model import ObjectMemory, Seen, VideoModel
from streamseg.tiers.memory.opening import open_memory_tier
from streamseg.tiers.memory.tier import SessionMemoryTier

__all__ = ["ObjectMemory", "Seen", "SessionMemoryTier", "VideoModel", "open_memory_tier"]
