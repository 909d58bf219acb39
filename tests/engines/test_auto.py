import numpy as np
import pytest

from streamseg.engines import build_engine
from streamseg.engines.auto import BUILDING_SECONDS, fastest_engine, measured_engine
from streamseg.engines.choices import choice_key, read_choice
from streamseg.engines.core_time import CoreTime
from streamseg.errors import EngineError
from streamseg.weights import load_weights, save_weights
from tests.support.networks import blobs, lively_network
from tests.support.openvino import WITH_OPENVINO

IMAGES = np.zeros((1, 32, 64, 3), np.uint8)


class Machine:
    """A clock, and engines that advance it, with cores that other work holds for a share of the time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waited = 0.0
        self.busy_share = 0.0
        self.built: list[str] = []
        self.closed: list[str] = []
        self.num_runs = 0

    def __call__(self) -> float:
        return self.seconds

    def cores(self) -> CoreTime:
        return CoreTime(self.seconds, self.seconds - self.waited, {1: self.waited})

    def work(self, seconds: float) -> None:
        self.seconds += seconds
        self.waited += seconds * self.busy_share

    def builder(self, name: str, *, run_seconds: float = 0.01, build_seconds: float = 0.1, error: str = ""):
        def build() -> "FakeEngine":
            self.work(build_seconds)
            self.built.append(name)
            if error:
                raise EngineError(error)
            return FakeEngine(self, name, run_seconds)

        return build


class FakeEngine:
    """The parts of an engine that the selection uses."""

    def __init__(self, machine: Machine, name: str, run_seconds: float) -> None:
        self.name, self._machine, self._run_seconds = name, machine, run_seconds

    def run(self, images) -> None:
        assert images is IMAGES
        self._machine.num_runs += 1
        self._machine.work(self._run_seconds)

    def close(self) -> None:
        self._machine.closed.append(self.name)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))


def select(machine: Machine, builders, **subject):
    key = choice_key(**subject)
    return measured_engine(builders, key, IMAGES, timer=machine, cores=machine.cores, num_threads=1)


def test_fastest_engine_is_measured_once_and_remembered():
    machine = Machine()
    builders = {
        "onnx": machine.builder("onnx", run_seconds=0.02),
        "openvino": machine.builder("openvino", run_seconds=0.01),
        "torch": machine.builder("torch", run_seconds=0.03),
    }
    assert select(machine, builders).name == "openvino"
    assert machine.closed == ["onnx", "torch"]
    assert read_choice(choice_key()) == "openvino"
    num_runs = machine.num_runs
    machine.built.clear()
    assert select(machine, builders).name == "openvino"
    assert machine.built == ["openvino"]
    assert machine.num_runs == num_runs
    select(machine, builders, weights="others")
    assert machine.num_runs == 2 * num_runs


def test_choice_of_a_busy_machine_is_for_this_run_only(caplog):
    machine = Machine()
    builders = {"onnx": machine.builder("onnx", run_seconds=0.02), "openvino": machine.builder("openvino")}
    machine.busy_share = 0.6
    assert select(machine, builders).name == "openvino"
    assert machine.closed == ["onnx"]
    assert read_choice(choice_key()) is None
    assert (
        "engine openvino, the fastest of onnx 20.0 ms, openvino 10.0 ms, but other work held the cores for 60 % of the"
        " time: it is used for this run only, and the next one measures again; set $STREAMSEG_ENGINE" in caplog.text
    )
    machine.busy_share = 0.0
    select(machine, builders)
    assert read_choice(choice_key()) == "openvino"


def test_engine_that_cannot_be_built_is_logged_and_left_out(caplog):
    machine = Machine()
    builders = {"onnx": machine.builder("onnx", error="no such device"), "torch": machine.builder("torch")}
    assert select(machine, builders).name == "torch"
    assert "without engine onnx: no such device" in caplog.text


def test_no_engine_at_all_is_one_line_with_the_reasons():
    machine = Machine()
    builders = {"onnx": machine.builder("onnx", error="no device"), "torch": machine.builder("torch", error="no room")}
    with pytest.raises(EngineError, match=r"no engine can run these weights \(onnx: no device; torch: no room\)"):
        select(machine, builders)


def test_slow_building_ends_the_comparison():
    machine = Machine()
    builders = {
        "onnx": machine.builder("onnx"),
        "openvino": machine.builder("openvino", build_seconds=BUILDING_SECONDS + 1),
        "torch": machine.builder("torch", run_seconds=0.001),
    }
    assert select(machine, builders).name == "onnx"
    assert machine.built == ["onnx", "openvino"]
    assert read_choice(choice_key()) == "onnx"


def test_comparison_that_a_busy_machine_cut_short_is_for_this_run_only():
    machine = Machine()

    def quiet_from_now_on() -> "FakeEngine":
        engine = machine.builder("openvino", build_seconds=BUILDING_SECONDS + 1)()
        machine.busy_share = 0.0
        return engine

    machine.busy_share = 0.5
    builders = {"onnx": machine.builder("onnx"), "openvino": quiet_from_now_on, "torch": machine.builder("torch")}
    assert select(machine, builders).name == "onnx"
    assert read_choice(choice_key()) is None


def test_export_before_the_first_engine_is_no_reason_to_compare_fewer():
    machine = Machine()
    builders = {
        "onnx": machine.builder("onnx", build_seconds=BUILDING_SECONDS + 1),
        "openvino": machine.builder("openvino", run_seconds=0.001),
    }
    assert select(machine, builders).name == "openvino"


def test_remembered_engine_that_is_no_candidate_any_more_is_measured_again():
    machine = Machine()
    key = choice_key()
    select(machine, {"openvino": machine.builder("openvino")})
    assert read_choice(key) == "openvino"
    assert select(machine, {"onnx": machine.builder("onnx")}).name == "onnx"


@pytest.fixture
def weights(tmp_path):
    return save_weights(lively_network().state_dict(), tmp_path / "n.safetensors", metadata={"imgsz": "64"})


@pytest.mark.slow
@WITH_OPENVINO
def test_measured_engine_of_real_weights_runs(weights, tmp_path):
    idle = CoreTime(0, 0)
    engines = [fastest_engine(load_weights(weights), with_int8=True, cores=lambda: idle) for _ in range(2)]
    assert engines[0].name in ("onnx", "openvino", "torch")
    assert engines[1].name == engines[0].name
    assert engines[0].run(blobs((64, 64))[None]).scores.shape == (1, 84)
    assert len(list((tmp_path / "cache" / "engines").iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "onnx", pytest.param("openvino", marks=WITH_OPENVINO)])
def test_environment_replaces_the_measurement(weights, monkeypatch, tmp_path, name):
    monkeypatch.setenv("STREAMSEG_ENGINE", name)
    assert build_engine(weights, device="cpu").name == name
    assert not (tmp_path / "cache" / "engines").exists()


@pytest.mark.slow
def test_unknown_engine_in_the_environment_is_rejected(weights, monkeypatch):
    monkeypatch.setenv("STREAMSEG_ENGINE", "fast")
    with pytest.raises(EngineError, match="STREAMSEG_ENGINE must be auto, torch, onnx or openvino, got 'fast'"):
        build_engine(weights, device="cpu")
