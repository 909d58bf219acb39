"""Checkpoints of others (.pt): pickles, read without running them.

archive (zip) ─► unpickler (closed machine, stubs) ─► modules (tree → tensors by name) ─► Checkpoint
                     ▲ storages (bytes → tensors)
"""

from streamseg.weights.checkpoint.read import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "read_checkpoint"]
