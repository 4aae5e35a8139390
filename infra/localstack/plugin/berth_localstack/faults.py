"""Faults that a test asks for: errors, throttling, closed connections and delays, for chosen operations."""

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from typing import Any

THROTTLED = {"elbv2": ("Throttling", 400, "Rate exceeded")}
"""Code, status and message by service; EC2's own are the default (EC2 API reference, "Request throttling")."""
EC2_THROTTLED = ("RequestLimitExceeded", 503, "Request limit exceeded.")

_numbers = itertools.count(1)


@dataclass
class Fault:
    """One rule. The first rule that matches a call and does not let it pass decides about it."""

    service: str = "*"
    """`elbv2`, `ec2` or `sts`; patterns as in file names."""
    operation: str = "*"
    """As in `Describe*`."""
    skip: int = 0
    """Matching calls that pass before it begins."""
    times: int | None = None
    """Calls after which it is over."""
    after: bool = False
    """The call takes effect first, and only its answer is replaced or delayed."""
    code: str | None = None
    status: int = 400
    message: str = "injected by the test"
    disconnect: bool = False
    """The connection is closed without an answer."""
    delay_ms: int = 0
    rate: float | None = None
    """Calls a second that pass, for each service; the others are throttled."""
    burst: int = 1
    id: int = field(default_factory=lambda: next(_numbers), init=False)
    hits: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)

    def strikes(self, service: str, operation: str) -> bool:
        """Whether it concerns this call; counts."""
        if not fnmatch(service, self.service) or not fnmatch(operation, self.operation):
            return False
        if self.rate is not None:
            struck = not self._takes_token(service, self.rate)
        else:
            self._seen += 1
            struck = self._seen > self.skip and (self.times is None or self.hits < self.times)
        self.hits += struck
        return struck

    def _takes_token(self, service: str, rate: float) -> bool:
        now = time.monotonic()
        tokens, then = self._buckets.get(service, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - then) * rate)
        self._buckets[service] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def error(self, service: str) -> tuple[str, int, str] | None:
        """Code, status and message, if an error is the answer."""
        if self.code is not None:
            return self.code, self.status, self.message
        return THROTTLED.get(service, EC2_THROTTLED) if self.rate is not None else None


WISHES = {"delayMs": "delay_ms"} | {
    one.name: one.name for one in fields(Fault) if one.init and one.name != "delay_ms"
}

_faults: dict[str, list[Fault]] = defaultdict(list)
_lock = threading.Lock()


def add(account_id: str, wishes: dict[str, Any]) -> int:
    """Adds a rule, returns its number. Raises KeyError for a member that there is not."""
    for key in wishes:
        if key not in WISHES:
            raise KeyError(f"a fault has no {key}; there are {', '.join(WISHES)}")
    fault = Fault(**{WISHES[key]: value for key, value in wishes.items()})
    with _lock:
        _faults[account_id].append(fault)
    return fault.id


def remove(account_id: str, number: int | None = None) -> None:
    """Removes one rule, or all of the account."""
    with _lock:
        kept = [one for one in _faults.pop(account_id, []) if number is not None and one.id != number]
        if kept:
            _faults[account_id] = kept


def described(account_id: str) -> list[dict[str, Any]]:
    """Numbers and hits of the account's rules."""
    with _lock:
        return [{"id": one.id, "hits": one.hits} for one in _faults.get(account_id, [])]


def find(account_id: str, service: str, operation: str) -> Fault | None:
    """The rule that decides about this call."""
    if account_id not in _faults:
        return None
    with _lock:
        return next((one for one in _faults.get(account_id, []) if one.strikes(service, operation)), None)
