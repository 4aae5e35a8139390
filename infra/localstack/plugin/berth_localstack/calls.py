"""A record of every call, by account."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """One call; the outcome is the error's code, or empty."""

    service: str
    operation: str
    parameters: dict[str, Any]
    at: float = field(default_factory=time.time)
    outcome: str = ""

    def as_json(self) -> dict[str, Any]:
        """`at` is in milliseconds since 1970."""
        return {
            "service": self.service,
            "operation": self.operation,
            "parameters": self.parameters,
            "at": round(self.at * 1000),
            "outcome": self.outcome,
        }


_calls: dict[str, list[Call]] = defaultdict(list)
_operations: set[str] = set()


def record(account_id: str, call: Call) -> None:
    """Appends; appending is atomic in CPython."""
    _calls[account_id].append(call)
    _operations.add(f"{call.service}:{call.operation}")


def operations() -> list[str]:
    """Every operation that was ever called in any account, whatever was forgotten since."""
    return sorted(_operations)


def of(account_id: str) -> list[Call]:
    """In the order of their arrival."""
    return list(_calls.get(account_id, []))


def counts(account_id: str) -> dict[str, int]:
    """How often each operation was called, as in `elbv2:CreateListener`."""
    return dict(Counter(f"{one.service}:{one.operation}" for one in of(account_id)))


def forget(account_id: str) -> None:
    """Starts anew."""
    _calls.pop(account_id, None)
