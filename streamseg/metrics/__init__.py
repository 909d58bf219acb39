"""Metrics and health of a run over HTTP, for Prometheus and for service managers.

families   metrics of a run, from its statistics        health   is the run alive, is it ready
gpu        memory of the GPUs                           server   MetricsServer: /metrics, /healthz, /readyz
"""

from streamseg.metrics.server import MetricsServer

__all__ = ["MetricsServer"]
