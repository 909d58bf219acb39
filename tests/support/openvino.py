"""Marks for tests that need packages of the extras `openvino` and `quantize`."""

from importlib.util import find_spec

import pytest

WITH_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
WITHOUT_OPENVINO = pytest.mark.skipif(find_spec("openvino") is not None, reason="is about machines without OpenVINO")
WITH_NNCF = pytest.mark.skipif(
    find_spec("nncf") is None or find_spec("openvino") is None, reason="NNCF or OpenVINO is not installed"
)
