"""What an account owns: settings, load balancers, target groups, listeners. Everything is kept per account and region."""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends

_sequence = itertools.count(1)


@dataclass
class Settings:
    """How the cloud behaves for one account. Times are in milliseconds of real time."""

    provisioning_ms: int = 0
    """From CreateLoadBalancer until the state is `active`."""
    target_health_ms: int = 0
    """From registration (or the group's first listener) until a target is `healthy`."""
    drain_scale: float = 0.001
    """Factor on `deregistration_delay.timeout_seconds`: 300 s are 0.3 s."""
    interface_linger_ms: int = 0
    """From DeleteLoadBalancer until its network interfaces are gone and its Elastic IPs free."""
    name_linger_ms: int = 0
    """From DeleteLoadBalancer until the name can be taken again."""
    consistency_ms: int = 0
    """From the creation of a resource until Describe calls show it."""
    latency_ms: int = 0
    """Added to every call; calls do not wait for each other."""
    unhealthy_targets: list[str] = field(default_factory=list)
    """Instance ids and addresses that fail their health checks."""
    certificates: list[str] | None = None
    """ARNs of the certificates that exist; none given: every well-formed one of the caller's account and region."""
    load_balancers_limit: int = 50
    target_groups_limit: int = 3000
    listeners_limit: int = 50
    targets_limit: int = 500
    """Registrations per load balancer and zone; per load balancer when cross-zone load balancing is on."""
    certificates_limit: int = 25
    rules_limit: int = 60
    """Per security group and direction, for IPv4 and IPv6 each."""

    def change(self, values: dict[str, Any]) -> None:
        """Sets some of them by their names in camel case. Raises KeyError for a name that there is not."""
        names = {camel(name): name for name in asdict(self)}
        for key in values:
            if key not in names:
                raise KeyError(f"no setting {key}; there are {', '.join(names)}")
        for key, value in values.items():
            setattr(self, names[key], value)

    def as_json(self) -> dict[str, Any]:
        """All of them by their names in camel case."""
        return {camel(name): value for name, value in asdict(self).items()}


def camel(name: str) -> str:
    """`drain_scale` is `drainScale`."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


@dataclass
class Resource:
    """What load balancers, target groups and listeners have in common."""

    arn: str
    tags: dict[str, str]
    attributes: dict[str, str]
    sequence: int = field(default_factory=lambda: next(_sequence), init=False)
    created: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)
    born: float = field(default_factory=time.monotonic, init=False)

    def age_ms(self) -> float:
        """Time since the creation."""
        return (time.monotonic() - self.born) * 1000


@dataclass
class Zone:
    """One enabled Availability Zone of a load balancer, with its subnet, addresses and network interface."""

    name: str
    subnet_id: str
    allocation_id: str | None = None
    private_ipv4: str | None = None
    ipv6: str | None = None
    ipv6_prefix: str | None = None
    interface_id: str = ""

    def asked_for(self) -> tuple[str | None, ...]:
        """What the caller chose: two zones with the same answer are configured alike."""
        return (self.subnet_id, self.allocation_id, self.private_ipv4, self.ipv6, self.ipv6_prefix)


@dataclass
class LoadBalancer(Resource):
    """A Network Load Balancer."""

    name: str
    dns_name: str
    scheme: str
    vpc_id: str
    ip_address_type: str
    zones: list[Zone]
    security_groups: list[str]
    created_with_groups: bool
    ipv6_source_nat: str = "off"
    private_link_rules: str = "on"


@dataclass
class Target:
    """An instance or address on one port."""

    id: str
    port: int
    zone: str | None
    since: float
    draining_since: float | None = None


@dataclass
class TargetGroup(Resource):
    """A target group; `settings` are the members of the API's TargetGroup that the caller chooses."""

    name: str
    settings: dict[str, Any]
    targets: dict[tuple[str, int], Target] = field(default_factory=dict)
    used_since: float | None = None


@dataclass
class Listener(Resource):
    """A listener with its one action, to forward to target groups."""

    load_balancer_arn: str
    protocol: str
    port: int
    forward: list[tuple[str, int]]
    """ARN and weight of each target group."""
    ssl_policy: str | None = None
    certificate: str | None = None
    further_certificates: list[str] = field(default_factory=list)
    alpn: str | None = None


@dataclass
class Region:
    """ELBv2's state in one region of one account."""

    account_id: str
    name: str
    """As in `eu-west-1`."""
    load_balancers: dict[str, LoadBalancer] = field(default_factory=dict)
    target_groups: dict[str, TargetGroup] = field(default_factory=dict)
    listeners: dict[str, Listener] = field(default_factory=dict)
    lingering_names: dict[str, float] = field(default_factory=dict)
    """Names of deleted load balancers, and the moment at which they are free."""
    lingering_interfaces: dict[str, float] = field(default_factory=dict)
    group_born: dict[str, float] = field(default_factory=dict)
    """Moments of creation of security groups."""

    @property
    def settings(self) -> Settings:
        """The account's."""
        return settings[self.account_id]

    @property
    def ec2(self) -> EC2Backend:
        """The same account's and region's EC2."""
        return ec2_backends[self.account_id][self.name]

    def arn(self, resource: str) -> str:
        """The ARN of a resource of ELBv2."""
        return f"arn:aws:elasticloadbalancing:{self.name}:{self.account_id}:{resource}"

    def is_visible(self, resource: Resource) -> bool:
        """Whether Describe calls show it yet."""
        return resource.age_ms() >= self.settings.consistency_ms

    def listeners_of(self, load_balancer_arn: str) -> list[Listener]:
        """In the order of creation."""
        return [one for one in self.listeners.values() if one.load_balancer_arn == load_balancer_arn]

    def load_balancers_of(self, group_arn: str) -> list[str]:
        """ARNs of the load balancers with a listener that forwards to the target group."""
        users = (
            one.load_balancer_arn
            for one in self.listeners.values()
            if any(arn == group_arn for arn, _ in one.forward)
        )
        return list(dict.fromkeys(users))


settings: dict[str, Settings] = defaultdict(Settings)
_regions: dict[str, dict[str, Region]] = defaultdict(dict)
_locks: dict[str, threading.RLock] = defaultdict(threading.RLock)


@contextmanager
def locked(account_id: str, name: str) -> Iterator[Region]:
    """The account's region, for one call at a time: neither moto's state nor ours bears two threads at once."""
    with _locks[account_id]:
        regions = _regions[account_id]
        if name not in regions:
            regions[name] = Region(account_id, name)
        yield regions[name]


def reset(account_id: str) -> None:
    """Forgets everything that the account has, EC2 included, and its settings."""
    with _locks[account_id]:
        _regions.pop(account_id, None)
        ec2_backends.pop(account_id, None)
        settings.pop(account_id, None)
