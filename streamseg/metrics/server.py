"""HTTP server of the metrics: /metrics for Prometheus, /healthz and /readyz for service managers."""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from streamseg.config.address import split_host_and_port
from streamseg.errors import ConfigError, PublishError, reason_of
from streamseg.metrics.health import Health, liveness, readiness
from streamseg.publish.endpoints import is_loopback
from streamseg.resources import Resource
from streamseg.runtime import RunStats
from streamseg.telemetry import Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["MetricsServer", "check_endpoint"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 16
"""Further connections are closed at once."""
REQUEST_SECONDS: Final = 5.0
"""Time for a client to send its request, and to take each part of the reply."""
PATHS: Final = "/metrics, /healthz, /readyz"


def check_endpoint(endpoint: str, *, allow_public: bool) -> None:
    """Check that a server at HOST:PORT is meant to be reachable, and that its package is installed.

    Raises:
        PublishError: other machines can reach it, without `allow_public`.
        ConfigError: prometheus-client is not installed.
    """
    host, _ = split_host_and_port(endpoint)
    if not allow_public and not is_loopback(host):
        raise PublishError(
            f"metrics at {endpoint} can be reached from other machines, without encryption: use 127.0.0.1,"
            " or set metrics.allow_public"
        )
    _import_client()


class MetricsServer(Resource):
    """Serves metrics and health in threads of its own. Before `attach` the run counts as starting.

    Args:
        endpoint: HOST:PORT; port 0 lets the system choose.
        allow_public: allow a host that other machines can reach.

    Raises:
        ConfigError: prometheus-client is not installed, or the endpoint is invalid.
        PublishError: the server cannot listen there, or only with `allow_public`.
    """

    def __init__(self, endpoint: str, *, allow_public: bool = False) -> None:
        check_endpoint(endpoint, allow_public=allow_public)
        from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

        from streamseg.metrics.families import RunCollector

        self._read: Callable[[], tuple[RunStats, dict[tuple[str, str], Histogram]]] | None = None
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(namespace="streamseg", registry=registry)
        PlatformCollector(registry=registry)
        registry.register(RunCollector(self._read_run))
        self._server = _listen(endpoint, registry, self._stats)
        host, port = self._server.server_address[:2]
        name = str(host)
        self.endpoint = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        """Actual HOST:PORT."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def attach(self, stats: Callable[[], RunStats], latencies: Callable[[], dict[tuple[str, str], Histogram]]) -> None:
        """Serve the metrics of a run.

        Args:
            stats: returns its statistics; thread-safe.
            latencies: returns histograms of stages and ages by (name, source id); thread-safe.
        """
        self._read = lambda: (stats(), latencies())

    def close(self) -> None:
        """Stop serving. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _read_run(self) -> tuple[RunStats, dict[tuple[str, str], Histogram]] | None:
        return None if self._read is None else self._read()

    def _stats(self) -> RunStats | None:
        found = self._read_run()
        return None if found is None else found[0]


def _import_client() -> None:
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "prometheus_client":
            raise
        raise ConfigError(
            "metrics need prometheus-client, which is not installed; run: pip install 'streamseg[metrics]'"
        ) from error


class _Server(ThreadingHTTPServer):
    """A server with a limited number of connections, whose threads do not delay the exit."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, family: int, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, if there is room for it."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log an error, such as a client that went away."""
        logger.debug("a request to the metrics has failed", exc_info=True)


def _listen(endpoint: str, registry: CollectorRegistry, stats: Callable[[], RunStats | None]) -> _Server:
    from prometheus_client.exposition import choose_encoder

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        timeout = REQUEST_SECONDS
        server_version = "streamseg"
        sys_version = ""

        def do_GET(self) -> None:
            self._reply(with_body=True)

        def do_HEAD(self) -> None:
            self._reply(with_body=False)

        def _reply(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            status, kind, body = HTTPStatus.OK, "application/json", b""
            if path == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                body = encode(registry)
            elif path in ("/healthz", "/readyz"):
                found = stats()
                health = liveness(found) if path == "/healthz" else readiness(found)
                status = HTTPStatus.OK if health.is_ok else HTTPStatus.SERVICE_UNAVAILABLE
                body = _health_json(health, found)
            else:
                status, kind = HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8"
                body = f"unknown path; there are {PATHS}\n".encode()
            self.send_response(status)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
            ):
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            logger.debug(format, *args)

    host, port = split_host_and_port(endpoint)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return _Server(family, (str(address[0]), int(address[1])), Handler)
    except OSError as error:
        where = f"cannot serve metrics at {endpoint}"
        if error.errno == errno.EADDRINUSE:
            raise PublishError(f"{where}: it is in use; choose another port, or 0 to let the system choose") from error
        raise PublishError(f"{where}: {reason_of(error)}") from error


def _health_json(health: Health, stats: RunStats | None) -> bytes:
    sources = {} if stats is None else {source.source_id: source.state for source in stats.sources}
    sinks = {} if stats is None else {sink.name: sink.state for sink in stats.sinks}
    values = {"ok": health.is_ok, "reason": health.reason, "sources": sources, "sinks": sinks}
    return json.dumps(values).encode() + b"\n"
