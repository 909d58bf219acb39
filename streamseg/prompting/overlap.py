"""The instances that fit a prompt best, where fit is an IoU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from streamseg.structures.prompt import Prompt, Selection

__all__ = ["MIN_SCORE", "select_fitting"]

MIN_SCORE = 0.3
"""Below this an instance is no answer. A person that fills a third of its tight box scores about 0.65."""


def select_fitting(prompts: Sequence[Prompt], fit: Tensor, *, nested: bool) -> list[Selection]:
    """Answer each of P prompts with the instance that fits it best, or with none.

    Args:
        prompts: P of them.
        fit: float (P, K) 0..1 with K instances, one at least, on the host.
        nested: all from `MIN_SCORE` on, best first, instead of the best alone.
    """
    # (P, K), or the best alone: (P, 1)
    scores, rows = fit.sort(dim=1, descending=True, stable=True) if nested else fit.max(dim=1, keepdim=True)
    num_rows = (scores >= MIN_SCORE).sum(dim=1)  # (P,)
    return [
        Selection(prompt.prompt_id, tuple(found[:count]), tuple(ranked[:count]))
        for prompt, found, ranked, count in zip(prompts, rows.tolist(), scores.tolist(), num_rows.tolist(), strict=True)
    ]
