"""The entry point of the process."""

import sys

import pytest

from streamseg.__main__ import main


class Interrupted:
    """An import during which Ctrl-C is pressed."""

    def find_spec(self, name, path=None, target=None):
        if name == "streamseg.cli.main":
            raise KeyboardInterrupt
        return None


def test_ctrl_c_while_modules_are_loaded_is_no_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "streamseg.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main() == 130
