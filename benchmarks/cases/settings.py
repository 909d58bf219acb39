"""Cases of configurations and addresses."""

from __future__ import annotations

from benchmarks.cases.harness import Case, Workspace, require

__all__ = ["CASES"]


def repeated_key(workspace: Workspace, name: str) -> str:
    """One line names the key and both lines."""
    done = workspace.streamseg("check-config", workspace.inputs / name).require(2)
    require(all(word in done.error for word in ("'segmentation'", "lines 1 and 3")), done.error)
    return done.error.strip()[-120:]


def cut_value(workspace: Workspace, name: str) -> str:
    """One line says to quote the value, and does not show the password."""
    done = workspace.streamseg("check-config", workspace.inputs / name).require(2)
    require("line 4" in done.error and "quote" in done.error, done.error)
    require("admin" not in done.text and "1word" not in done.text, "the password is shown")
    return done.error.strip()[-120:]


def password(workspace: Workspace, name: str) -> str:
    """One line says what to write; nothing is tried again."""
    address = (workspace.inputs / name).read_text().strip()
    done = workspace.streamseg("run", "--source", address, "--no-publish", "--duration", "5").require(2)
    require("write %23 for #" in done.error, done.error)
    require("pa#1" not in done.text and "next try" not in done.text, "the password is shown, or it is tried again")
    return done.error.strip()[-120:]


CASES = (
    Case("dupkey.yaml", "the key and both lines are named, exit code 2", repeated_key),
    Case("hash.yaml", "quote the value, exit code 2", cut_value),
    Case("rtsp_password.txt", "write %23, exit code 2 at once", password),
)
