"""`streamseg.compat`, the former name of `streamseg.fastsam`."""

from __future__ import annotations

import importlib
import sys
import warnings

import streamseg.fastsam


def test_former_name_warns_once_and_exports_the_same_names(monkeypatch):
    monkeypatch.delitem(sys.modules, "streamseg.compat", raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        former = importlib.import_module("streamseg.compat")
        assert importlib.import_module("streamseg.compat") is former
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert "streamseg.compat is now streamseg.fastsam" in str(warning.message)
    assert former.__all__ == streamseg.fastsam.__all__
    for name in former.__all__:
        assert getattr(former, name) is getattr(streamseg.fastsam, name)
