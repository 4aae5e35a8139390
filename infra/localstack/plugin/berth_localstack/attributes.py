"""Attributes of load balancers, target groups and listeners: defaults for Network Load Balancers, and allowed values.

Source: API reference of Elastic Load Balancing v2, LoadBalancerAttribute, TargetGroupAttribute, ListenerAttribute.
"""

from collections.abc import Callable
from typing import Any

from .errors import invalid, not_configurable
from .state import Listener, LoadBalancer, TargetGroup

Rule = Callable[[str], bool]


def one_of(*values: str) -> Rule:
    """Exactly one of these."""
    return lambda value: value in values


def between(least: int, most: int) -> Rule:
    """A whole number of the range, both ends included."""
    return lambda value: value.isdecimal() and least <= int(value) <= most


def anything(_: str) -> bool:
    """No rule."""
    return True


def off_or(rule: Rule) -> Rule:
    """`off`, or what the rule allows."""
    return lambda value: value == "off" or rule(value)


BOOLEAN = one_of("true", "false")
COUNT = between(1, 1_000_000)

LOAD_BALANCER: dict[str, Rule] = {
    "deletion_protection.enabled": BOOLEAN,
    "load_balancing.cross_zone.enabled": BOOLEAN,
    "access_logs.s3.enabled": BOOLEAN,
    "access_logs.s3.bucket": anything,
    "access_logs.s3.prefix": anything,
    "ipv6.deny_all_igw_traffic": BOOLEAN,
    "zonal_shift.config.enabled": BOOLEAN,
    "dns_record.client_routing_policy": one_of(
        "availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"
    ),
    "secondary_ips.auto_assigned.per_subnet": between(0, 7),
}

TARGET_GROUP: dict[str, Rule] = {
    "deregistration_delay.timeout_seconds": between(0, 3600),
    "deregistration_delay.connection_termination.enabled": BOOLEAN,
    "load_balancing.cross_zone.enabled": one_of("true", "false", "use_load_balancer_configuration"),
    "preserve_client_ip.enabled": BOOLEAN,
    "proxy_protocol_v2.enabled": BOOLEAN,
    "stickiness.enabled": BOOLEAN,
    "stickiness.type": one_of("source_ip"),
    "target_group_health.dns_failover.minimum_healthy_targets.count": off_or(COUNT),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": off_or(between(1, 100)),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": COUNT,
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": off_or(
        between(1, 100)
    ),
    "target_health_state.unhealthy.connection_termination.enabled": BOOLEAN,
    "target_health_state.unhealthy.draining_interval_seconds": between(0, 360_000),
}

LISTENER: dict[str, Rule] = {"tcp.idle_timeout.seconds": between(60, 6000)}


def load_balancer_defaults(scheme: str) -> dict[str, str]:
    """What a new load balancer has."""
    return {
        "deletion_protection.enabled": "false",
        "load_balancing.cross_zone.enabled": "false",
        "access_logs.s3.enabled": "false",
        "access_logs.s3.bucket": "",
        "access_logs.s3.prefix": "",
        "ipv6.deny_all_igw_traffic": "true" if scheme == "internal" else "false",
        "zonal_shift.config.enabled": "false",
        "dns_record.client_routing_policy": "any_availability_zone",
        "secondary_ips.auto_assigned.per_subnet": "0",
    }


def target_group_defaults(protocol: str, target_type: str) -> dict[str, str]:
    """What a new target group has."""
    datagrams = protocol in ("UDP", "TCP_UDP")
    return {
        "deregistration_delay.timeout_seconds": "300",
        "deregistration_delay.connection_termination.enabled": "true" if datagrams else "false",
        "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
        "preserve_client_ip.enabled": "false" if target_type == "ip" and not datagrams else "true",
        "proxy_protocol_v2.enabled": "false",
        "stickiness.enabled": "false",
        "stickiness.type": "source_ip",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
        "target_health_state.unhealthy.connection_termination.enabled": "false" if datagrams else "true",
        "target_health_state.unhealthy.draining_interval_seconds": "0",
    }


def listener_defaults(protocol: str) -> dict[str, str]:
    """What a new listener has: the idle time-out of TLS and UDP is fixed."""
    return {"tcp.idle_timeout.seconds": "350"} if protocol in ("TCP", "TCP_UDP") else {}


def change_load_balancer(balancer: LoadBalancer, wanted: list[dict[str, Any]]) -> None:
    """ModifyLoadBalancerAttributes: all of them or none."""
    after = balancer.attributes | _read("Load balancer", LOAD_BALANCER, wanted)
    if after["access_logs.s3.enabled"] == "true" and not after["access_logs.s3.bucket"]:
        raise not_configurable("The access logs' S3 bucket must be specified when access logs are enabled")
    secondary = "secondary_ips.auto_assigned.per_subnet"
    if int(after[secondary]) < int(balancer.attributes[secondary]):
        raise not_configurable(f"The attribute '{secondary}' can't be decreased")
    balancer.attributes = after


def change_target_group(group: TargetGroup, wanted: list[dict[str, Any]]) -> None:
    """ModifyTargetGroupAttributes: all of them or none."""
    values = _read("Target group", TARGET_GROUP, wanted)
    protocol = group.settings["Protocol"]
    datagrams = protocol in ("UDP", "TCP_UDP")
    if datagrams and values.get("preserve_client_ip.enabled") == "false":
        raise not_configurable(f"Client IP preservation can't be disabled for {protocol} target groups")
    termination = "target_health_state.unhealthy.connection_termination.enabled"
    if datagrams and values.get(termination) == "true":
        raise not_configurable(f"The attribute '{termination}' can't be enabled for {protocol} target groups")
    if protocol == "TLS" and values.get("stickiness.enabled") == "true":
        raise not_configurable("Stickiness is not supported for TLS target groups")
    after = group.attributes | values
    interval = values.get("target_health_state.unhealthy.draining_interval_seconds", "0")
    if after[termination] == "true" and interval != "0":
        raise not_configurable(f"A draining interval needs '{termination}' to be false")
    group.attributes = after


def change_listener(listener: Listener, wanted: list[dict[str, Any]]) -> None:
    """ModifyListenerAttributes."""
    values = _read("Listener", LISTENER, wanted)
    for key in values:
        if key not in listener.attributes:
            raise not_configurable(f"The attribute '{key}' is not supported for {listener.protocol} listeners")
    listener.attributes |= values


def described(attributes: dict[str, str]) -> list[dict[str, str]]:
    """As the API returns them."""
    return [{"Key": key, "Value": value} for key, value in attributes.items()]


def is_cross_zone(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether targets get traffic from every zone; the group's own setting wins."""
    own = group.attributes["load_balancing.cross_zone.enabled"]
    return (balancer.attributes["load_balancing.cross_zone.enabled"] if own.startswith("use") else own) == "true"


def _read(kind: str, rules: dict[str, Rule], wanted: list[dict[str, Any]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for attribute in wanted:
        key, value = attribute.get("Key", ""), attribute.get("Value", "")
        if key not in rules:
            raise invalid(f"{kind} attribute key '{key}' is not recognized")
        if not rules[key](value):
            raise invalid(f"{kind} attribute value '{value}' for attribute key '{key}' is not valid")
        values[key] = value
    return values
