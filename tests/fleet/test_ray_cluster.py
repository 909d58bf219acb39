"""Workers on a Ray cluster of several raylets on this machine: one of them is killed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamseg.errors import ConfigError, StreamsegError
from streamseg.fleet.session import open_fleet
from streamseg.fleet.workers import Machine, plan_workers
from streamseg.publish import Subscriber
from tests.support.batch_workers import CopyingWorker
from tests.support.fleet_workers import PretendWorker
from tests.support.fleets import RunningFleet, fleet_config, wait_for_sources, wait_until

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'streamseg[fleet]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

from streamseg.fleet import ray_cluster  # noqa: E402
from streamseg.fleet.batch.ray_data import process_all  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]

NUM_WORKERS = 2
BACK_SECONDS, MARGIN_SECONDS = 10.0, 30.0
"""Promise, and the margin for a machine that is shared with the rest of the suite."""
STORE_BYTES = 100_000_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A head without room for workers, and one machine for each of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield from open_cluster()


def free_ports(number: int) -> list[int]:
    """Return different ports: each is held until all are known."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def node_options() -> dict[str, int]:
    """Little memory, and ports known in advance: a raylet need not wait for its agents, which busy machines delay."""
    names = ("dashboard_agent_listen_port", "runtime_env_agent_port", "metrics_agent_port", "metrics_export_port")
    return {"object_store_memory": STORE_BYTES, **dict(zip(names, free_ports(len(names)), strict=True))}


def open_cluster() -> Iterator[object]:
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **node_options()},
    )
    try:
        for _ in range(NUM_WORKERS):
            cluster.add_node(num_cpus=1, **node_options())
        with ray_cluster.joined_cluster(cluster.address):
            yield cluster
    finally:
        cluster.shutdown()


def test_no_cluster():
    """Before there is one: tests run in the order of the file."""
    expected = pytest.raises(ConfigError, match=r"no Ray cluster at auto.*ray start --head, or use --local")
    with expected, ray_cluster.joined_cluster("auto"):
        raise AssertionError("there is one on this machine")


def test_cameras_of_a_lost_machine_are_back_within_ten_seconds(cluster, record_property):
    assert len(ray_cluster.machines()) == NUM_WORKERS + 1
    cameras = [f"c{number}" for number in range(4)]
    config = fleet_config(*cameras, workers=[{"name": "w", "count": NUM_WORKERS}], lost_seconds=4.0)
    workers = ray_cluster.ray_workers(config, plan_workers(config, ray_cluster.machines()), PretendWorker)
    with open_fleet(config, workers) as session, Subscriber(session.endpoint) as subscriber:
        fleet = RunningFleet(session)
        try:
            wait_until(lambda: fleet.are_live(*cameras))
            before = {name: fleet.camera(name).worker for name in cameras}
            assert sorted(before.values()) == ["w0", "w0", "w1", "w1"]
            wait_for_sources(subscriber, *cameras)
            hosts = {name: link.report(time.monotonic(), 60.0).pid for name, link in session.controller.links.items()}
            lost = cluster.list_all_nodes()[-1]
            killed_at = time.monotonic()
            cluster.remove_node(lost, allow_graceful=False)
            wait_until(lambda: fleet.are_live(*cameras) and any(fleet.camera(c).worker != before[c] for c in cameras))
            moved = [name for name in cameras if fleet.camera(name).worker != before[name]]
            wait_for_sources(subscriber, *moved)
            seconds = time.monotonic() - killed_at
            record_property("back_seconds", seconds)
            print(f"{len(moved)} cameras of a killed raylet were back after {seconds:.1f} s; workers {hosts}")
            assert len(moved) == 2
            wait_for_sources(subscriber, *cameras)
            assert seconds < BACK_SECONDS + MARGIN_SECONDS
        finally:
            fleet.stop()


def test_a_batch_on_the_cluster(cluster, tmp_path: Path):
    contents = {"a": "x", "b": "bad", "c": "y"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    arguments = (str(tmp_path), str(tmp_path))
    found = dict(process_all(list(contents), 1, CopyingWorker, arguments, cpus=0.5, gpus=0.0))
    assert found["b"] == {"error": "b is bad"}
    assert [found[name]["output"] for name in "ac"] == ["a.jsonl", "c.jsonl"]
    (tmp_path / "d").write_text("full")
    with pytest.raises(StreamsegError, match="No space left"):
        list(process_all(["d"], 1, CopyingWorker, arguments, cpus=0.5, gpus=0.0))


@pytest.mark.parametrize(
    ("hosts", "publish", "is_allowed"),
    [
        pytest.param(["127.0.0.1"], {}, True, id="this-machine"),
        pytest.param(["127.0.0.1", "10.0.0.2"], {}, False, id="open"),
        pytest.param(["10.0.0.2"], {"allow_public": True}, True, id="permitted"),
        pytest.param(["10.0.0.2"], {"curve": {"secret_key": "k", "read": ["r"]}}, True, id="encrypted"),
    ],
)
def test_messages_that_cross_machines(hosts: list[str], publish: dict[str, object], is_allowed: bool):
    config = fleet_config("a", publish=publish)
    found = [Machine(host, 1.0, 0) for host in hosts]
    if is_allowed:
        ray_cluster.check_reachable(config, found)
    else:
        with pytest.raises(ConfigError, match="readable by everyone"):
            ray_cluster.check_reachable(config, found)
