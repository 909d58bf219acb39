"""Hostile clients of the control channel; scripts/faults sends 100,000 requests, the suite fewer."""

import json
import random

import pytest

from tests.faults.strangers import LIMIT_SECONDS, fuzzed_requests
from tests.support.control_requests import SEEDS, mutated_request


@pytest.mark.slow
def test_fuzzed_requests_are_answered_and_the_run_goes_on():
    assert fuzzed_requests(2_000, 500, seed=7) < LIMIT_SECONDS


def test_mutations_are_reproducible_and_reach_every_operation():
    bodies = [mutated_request(random.Random(1)) for _ in range(3)]
    assert len(set(bodies)) == 1
    generator = random.Random(2)
    ops = set()
    for _ in range(2_000):
        try:
            request = json.loads(mutated_request(generator))
        except (ValueError, RecursionError):
            continue
        if isinstance(request, dict) and isinstance(request.get("op"), str):
            ops.add(request["op"])
    assert {seed["op"] for seed in SEEDS} <= ops
