"""Read PyTorch checkpoints (.pt), whose contents are pickles, without executing them.

archive (zip) ─► unpickler (closed machine, stubs) ─► modules (tree → tensors by name) ─► Checkpoint
                     ▲ storages (bytes → tensors)

`torch.load(weights_only=True)` with stub classes under `torch.serialization.safe_globals` was tried instead (torch
2.13) and gives up guarantees that are tested here:

- It accepts 50 of 20,000 mutated files (`benchmarks/fuzz_checkpoints.py`, seed 0) that this package rejects. In 15 of
  them, weights or pickle do not match their checksum, which torch does not verify; 14 have trailing data.
- It reads compressed archives: a file of 2.4 MB takes 4.3 GB of memory and 22 s.
- Errors on 143 of 179 hostile files have another text, most often about internals of torch ("internal miniz error",
  "pop from empty list"). About 70 mutated files cause warnings.
- While handling 41 rejected files, torch imports further modules of its own and compiles code.
- torch 2.6, the oldest supported version, does not compare the declared size of a storage with its data, and so reads
  beyond the end of the data.
- The list of safe globals belongs to the process, so other threads and libraries share it.

archive    the zip container
opcodes    split a pickle into opcodes
unpickler  interpret the opcodes
stubs      stand-ins for the classes and functions that a checkpoint refers to
storages   check and load tensors
modules    check the architecture and collect the tensors by name
read       `read_checkpoint`
errors     error messages
"""

from streamseg.weights.checkpoint.read import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "read_checkpoint"]
