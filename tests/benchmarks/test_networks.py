import json
import sys

import pytest

from benchmarks import networks
from streamseg.weights import save_weights
from tests.support.networks import lively_network


def test_candidates_run_in_turn_and_warm_ups_do_not_count():
    calls = []
    timings = networks.in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, num_runs=4, num_warmups=1)
    assert calls == ["a", "b"] * 5
    assert {clock.num_runs for clocks in timings.values() for clock in clocks} == {4}


@pytest.mark.slow
def test_weights_are_compared_at_every_number_of_threads(monkeypatch, tmp_path, capsys):
    weights = str(save_weights(lively_network().state_dict(), tmp_path / "a.safetensors"))
    target = tmp_path / "result.json"
    words = [weights, "--against", "yolov8n", "--input", "64", "96", "--num-runs", "2", "--json", str(target)]
    monkeypatch.setattr(sys, "argv", ["networks", *words])
    networks.main()
    written = json.loads(target.read_text())
    assert [(one["weights"], one["num_threads"]) for one in written["results"]] == [
        (name, count) for count in (1, 2) for name in (weights, "yolov8n")
    ]
    assert "96x64, 1 thread(s); ratios to yolov8n" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["100", "0", "-32", "a"])
def test_input_size_must_be_a_multiple_of_32(monkeypatch, capsys, size):
    monkeypatch.setattr(sys, "argv", ["networks", "--input", size, "64"])
    with pytest.raises(SystemExit):
        networks.main()
    assert f"must be a multiple of 32, got '{size}'" in capsys.readouterr().err or size == "-32"
