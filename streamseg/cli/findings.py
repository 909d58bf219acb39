"""One line of the report of `streamseg doctor`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "print_finding"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str
    """`ok`, `absent` (missing but optional), `note` (works, but may be unexpected) or `broken` (required)."""
    remark: str


def print_finding(finding: Finding) -> None:
    """Print a finding at once."""
    print(f"  {finding.state:<7} {finding.name:<16} {finding.remark}", flush=True)
