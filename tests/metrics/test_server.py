"""The server of the metrics, over real connections on loopback."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from streamseg.errors import ConfigError, PublishError
from streamseg.metrics import MetricsServer
from streamseg.metrics.server import MAX_CONNECTIONS, check_endpoint
from streamseg.telemetry import Histogram, Histograms
from tests.support.run_stats import run_stats, source_stats
from tests.support.waiting import WAIT_SECONDS

ANYWHERE = "127.0.0.1:0"


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with MetricsServer(ANYWHERE) as server:
        yield server


def latencies() -> dict[tuple[str, str], Histogram]:
    histograms = Histograms()
    histograms.add("age", "cam0", 20.0)
    return dict(histograms.snapshot())


def request(server: MetricsServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection(server.endpoint, timeout=WAIT_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read().decode()
    finally:
        connection.close()


def test_metrics_are_prometheus_text(server: MetricsServer):
    server.attach(lambda: run_stats(source_stats()), latencies)
    status, kind, body = request(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(body)}
    assert {"streamseg_frames", "streamseg_frame_age_seconds", "streamseg_process_resident_memory_bytes"} <= names


def test_metrics_are_openmetrics_on_request(server: MetricsServer):
    server.attach(lambda: run_stats(source_stats()), latencies)
    _, kind, body = request(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert "streamseg_frames" in {family.name for family in parse_openmetrics(body)}


def test_before_the_run_it_is_alive_and_not_ready(server: MetricsServer):
    assert request(server, "/healthz")[0] == 200
    assert request(server, "/readyz")[0] == 503
    assert "streamseg_process_resident_memory_bytes" in request(server, "/metrics")[2]


def test_health_names_states(server: MetricsServer):
    server.attach(lambda: run_stats(source_stats(state="denied", num_frames=0)), latencies)
    status, kind, body = request(server, "/readyz?verbose")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {
        "ok": False,
        "reason": "no source delivers: cam0 denied",
        "sources": {"cam0": "denied"},
        "sinks": {},
    }
    assert request(server, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param("/", "GET", 404, id="root"),
        pytest.param("/metrics/", "GET", 404, id="slash"),
        pytest.param("/../metrics", "GET", 404, id="traversal"),
        pytest.param("/metrics", "POST", 501, id="post"),
        pytest.param("/metrics", "HEAD", 200, id="head"),
        pytest.param("/healthz", "HEAD", 200, id="head of health"),
    ],
)
def test_other_requests(server: MetricsServer, path: str, method: str, status: int):
    found, _, body = request(server, path, method)
    assert found == status
    assert (body == "") == (method == "HEAD")


def test_idle_connections_do_not_stop_others(server: MetricsServer):
    host, port = server.endpoint.rsplit(":", 1)
    idle = [socket.create_connection((host, int(port)), WAIT_SECONDS) for _ in range(MAX_CONNECTIONS - 1)]
    try:
        assert request(server, "/healthz")[0] == 200
    finally:
        for connection in idle:
            connection.close()


def test_connections_are_limited(server: MetricsServer):
    host, port = server.endpoint.rsplit(":", 1)
    connections = [socket.create_connection((host, int(port)), WAIT_SECONDS) for _ in range(MAX_CONNECTIONS + 1)]
    try:
        assert connections[-1].recv(1) == b""  # closed by the server
    finally:
        for connection in connections:
            connection.close()


def test_garbage_is_answered_and_harmless(server: MetricsServer):
    host, port = server.endpoint.rsplit(":", 1)
    for body in (b"\x00\xff\n\n", b"GET " + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b""):
        with socket.create_connection((host, int(port)), WAIT_SECONDS) as connection:
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert request(server, "/healthz")[0] == 200


def test_closing_twice_is_fine_and_frees_the_port():
    server = MetricsServer(ANYWHERE)
    endpoint = server.endpoint
    server.close()
    server.close()
    with MetricsServer(endpoint) as again:
        assert again.endpoint == endpoint


def test_port_in_use_is_one_line(server: MetricsServer):
    with pytest.raises(PublishError, match=rf"cannot serve metrics at {server.endpoint}: it is in use; choose another"):
        MetricsServer(server.endpoint)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "example.org", "192.0.2.1"])
def test_public_hosts_require_permission(host: str):
    with pytest.raises(PublishError, match=r"can be reached from other machines.*metrics\.allow_public"):
        check_endpoint(f"{host}:9464", allow_public=False)
    check_endpoint(f"{host}:9464", allow_public=True)


def test_unknown_host_is_one_line():
    with pytest.raises(PublishError, match=r"cannot serve metrics at nowhere\.invalid:9464"):
        MetricsServer("nowhere.invalid:9464", allow_public=True)


@pytest.mark.parametrize("endpoint", ["9464", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:1", "", "a b:1"])
def test_invalid_endpoint_is_one_line(endpoint: str):
    with pytest.raises(ConfigError, match="is not HOST:PORT with a port from 0 to 65535"):
        MetricsServer(endpoint)
