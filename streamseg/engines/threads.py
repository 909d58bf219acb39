"""Whose the cores are beside the network."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits

from streamseg.engines.engine import Engine

__all__ = ["leave_cores"]


def leave_cores(engine: Engine) -> None:
    """Let torch and NumPy work in one thread from here on, where something else runs the network; for good.

    What is left for them then is small: their other threads gain nothing, and wait by spinning on cores that the
    network, capture and encoding need. On 2 cores a frame with 30 objects took 83 ms with two threads of torch, and 68
    with one; on busy ones a product of NumPy's that takes 40 microseconds took 30 ms.
    """
    if engine.name != "torch":
        torch.set_num_threads(1)
        threadpool_limits(1, user_api="blas")
