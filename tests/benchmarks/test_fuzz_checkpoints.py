import pickle
from pathlib import Path

import pytest

from benchmarks.fuzz_checkpoints import MAX_SECONDS, MUTATIONS, AuditMonitor, fuzz, reason


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_mutated_checkpoints_are_read_or_rejected(seed):
    outcome = fuzz(200, seed=seed)
    assert outcome.num_files == outcome.num_read + sum(outcome.rejections.values()) == 200
    assert outcome.mutations.keys() == MUTATIONS.keys()
    assert len(outcome.rejections) > 20
    assert outcome.events == []
    assert outcome.slowest_seconds < MAX_SECONDS


def test_monitor_records_executed_code_and_opened_files(tmp_path):
    own = tmp_path / "own"
    own.write_bytes(b"")
    monitor = AuditMonitor(own)
    with monitor:
        own.read_bytes()
    assert monitor.close() == []
    with monitor:
        eval("1")
        Path(__file__).read_bytes()
        pickle.loads(b"\x80\x02cposixpath\njoin\n.")
    recorded = " ".join(monitor.close())
    for event in ("compile", "exec", "open", "pickle.find_class"):
        assert event in recorded
    before = len(monitor.close())
    eval("2")
    assert len(monitor.close()) == before


def test_reasons_omit_details():
    assert (
        reason("storage '7' declares 3 elements of torch.float32; download it again") == "storage declares elements of"
    )
