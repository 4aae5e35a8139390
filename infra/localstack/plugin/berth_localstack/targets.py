"""Targets: registration, quotas, health, draining."""

import time
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from .attributes import is_cross_zone
from .errors import invalid, refuse
from .operations import Request, group_of, operation
from .state import LoadBalancer, Region, Target, TargetGroup

PER_CALL = 200


@operation("RegisterTargets")
def register(region: Region, request: Request) -> dict[str, Any]:
    """One bad target fails the whole call. A draining target is taken back."""
    group = group_of(region, request["TargetGroupArn"])
    wanted = _wanted(group, request)
    if group.settings["TargetType"] == "instance":
        _check_instances(region, group, wanted)
    else:
        wanted = [(one, port, _zone_of_address(region, group, one, zone)) for one, port, zone in wanted]
    settle(region, group)
    after = dict(group.targets)
    for identifier, port, zone in wanted:
        known = after.get((identifier, port))
        if known is None or known.draining_since is not None:
            after[(identifier, port)] = Target(identifier, port, zone, time.monotonic())
    _check_quota(region, group, after)
    group.targets = after
    return {}


@operation("DeregisterTargets")
def deregister(region: Region, request: Request) -> dict[str, Any]:
    """Targets of a group in use drain first. Those that are not registered are no error."""
    group = group_of(region, request["TargetGroupArn"])
    for identifier, port, _ in _wanted(group, request):
        target = group.targets.get((identifier, port))
        if target is not None:
            _begin_to_drain(group, target)
    settle(region, group)
    return {}


def _wanted(group: TargetGroup, request: Request) -> list[tuple[str, int, str | None]]:
    targets = request["Targets"]
    if not targets:
        raise invalid("At least one target must be specified")
    if len(targets) > PER_CALL:
        raise invalid(f"The maximum number of targets per call is {PER_CALL}")
    if group.settings["TargetType"] == "instance" and any(one.get("AvailabilityZone") for one in targets):
        raise invalid("An Availability Zone can't be specified for targets of type instance")
    default = group.settings["Port"]
    return [(one["Id"], one.get("Port") or default, one.get("AvailabilityZone")) for one in targets]


def _check_instances(region: Region, group: TargetGroup, wanted: list[tuple[str, int, str | None]]) -> None:
    identifiers = list(dict.fromkeys(identifier for identifier, _, _ in wanted))
    for identifier in identifiers:
        if not identifier.startswith("i-"):
            raise invalid(f"Instance ID '{identifier}' is not valid")
    found = {one: region.ec2.get_instance_by_id(one) for one in identifiers}
    _refuse_some("The following instances do not exist", (one for one, that in found.items() if that is None))
    _refuse_some(
        "The following targets are not in a running state and cannot be registered",
        (one for one, that in found.items() if that.state != "running"),
    )
    _refuse_some(
        f"The following targets are not in the target group VPC '{group.settings['VpcId']}'",
        (one for one, that in found.items() if that.vpc_id != group.settings["VpcId"]),
    )


def _refuse_some(why: str, identifiers: Iterable[str]) -> None:
    names = ", ".join(f"'{one}'" for one in identifiers)
    if names:
        raise refuse("InvalidTarget", f"{why}: {names}")


def _zone_of_address(region: Region, group: TargetGroup, identifier: str, zone: str | None) -> str | None:
    """The zone of the subnet that has the address; outside the VPC it has to be given, as `all` or by name."""
    try:
        address = ip_address(identifier)
    except ValueError:
        raise invalid(f"The IP address '{identifier}' is not valid") from None
    if f"ipv{address.version}" != group.settings["IpAddressType"]:
        raise invalid(f"The IP address '{identifier}' is not of the target group's IP address type")
    for subnets in region.ec2.subnets.values():
        for subnet in subnets.values():
            blocks = [subnet.cidr_block, *(one["ipv6CidrBlock"] for one in subnet.ipv6_cidr_block_associations.values())]
            inside = any(block and address in ip_network(block) for block in blocks)
            if subnet.vpc_id == group.settings["VpcId"] and inside:
                return zone if zone == "all" else subnet.availability_zone
    if not address.is_private and address not in ip_network("100.64.0.0/10"):
        raise invalid(f"The IP address '{identifier}' is publicly routable")
    if zone is None:
        raise invalid(f"You must specify an Availability Zone for the IP address '{identifier}', which is not in the VPC")
    return zone


def _check_quota(region: Region, group: TargetGroup, after: dict[tuple[str, int], Target]) -> None:
    for arn in region.load_balancers_of(group.arn):
        check_targets(region, region.load_balancers[arn], {group.arn: after})


def check_targets(
    region: Region, balancer: LoadBalancer, changed: dict[str, dict[tuple[str, int], Target]]
) -> None:
    """Raises TooManyTargets. Each registration counts, also that of one target in several groups."""
    arns = {arn for one in region.listeners_of(balancer.arn) for arn, _ in one.forward} | set(changed)
    count: Counter[str] = Counter()
    for group in (region.target_groups[arn] for arn in arns):
        targets = changed.get(group.arn, group.targets).values()
        cross_zone = is_cross_zone(balancer, group)
        count.update("all" if cross_zone else str(zone_of(region, one)) for one in targets)
    if count and max(count.values()) > region.settings.targets_limit:
        raise refuse("TooManyTargets", "You have reached the maximum number of targets for this load balancer")


def zone_of(region: Region, target: Target) -> str | None:
    """Where the target is."""
    if target.zone is not None:
        return target.zone
    instance = region.ec2.get_instance_by_id(target.id)
    return region.ec2.get_subnet(instance.subnet_id).availability_zone if instance else None


def settle(region: Region, group: TargetGroup) -> None:
    """Lets instances that are gone drain, and removes what has drained."""
    for target in group.targets.values():
        if group.settings["TargetType"] == "instance" and _is_gone(region, target):
            _begin_to_drain(group, target)
    delay = float(group.attributes["deregistration_delay.timeout_seconds"]) * region.settings.drain_scale
    now = time.monotonic()
    group.targets = {
        key: one
        for key, one in group.targets.items()
        if one.draining_since is None or (group.used_since is not None and now - one.draining_since < delay)
    }


def _begin_to_drain(group: TargetGroup, target: Target) -> None:
    """A group that no listener uses has nothing to drain: `settle` removes its target at once."""
    if target.draining_since is None:
        target.draining_since = time.monotonic()


def _is_gone(region: Region, target: Target) -> bool:
    instance = region.ec2.get_instance_by_id(target.id)
    return instance is None or instance.state in ("shutting-down", "terminated")


@operation("DescribeTargetHealth")
def describe_health(region: Region, request: Request) -> dict[str, Any]:
    """Of all targets, or of the named ones, registered or not."""
    group = group_of(region, request["TargetGroupArn"])
    if not region.is_visible(group):
        raise refuse("TargetGroupNotFound", f"Target group '{group.arn}' not found")
    settle(region, group)
    balancers = [region.load_balancers[arn] for arn in region.load_balancers_of(group.arn)]
    if not request.get("Targets"):
        targets = list(group.targets.values())
    else:
        targets = [
            group.targets.get((one, port)) or Target(one, port, zone, since=-1)
            for one, port, zone in _wanted(group, request)
        ]
    return {"TargetHealthDescriptions": [_described(region, group, one, balancers) for one in targets]}


def _described(region: Region, group: TargetGroup, target: Target, balancers: list[LoadBalancer]) -> dict[str, Any]:
    check = group.settings["HealthCheckPort"]
    state, reason, why = _health(region, group, target, balancers)
    return {
        "Target": {
            "Id": target.id,
            "Port": target.port,
            **({"AvailabilityZone": target.zone} if target.zone else {}),
        },
        "HealthCheckPort": str(target.port) if check == "traffic-port" else check,
        "TargetHealth": {"State": state, **({"Reason": reason, "Description": why} if reason else {})},
    }


def _health(
    region: Region, group: TargetGroup, target: Target, balancers: list[LoadBalancer]
) -> tuple[str, str, str]:
    """State, reason and description (API reference, TargetHealth)."""
    if target.since < 0:
        return "unused", "Target.NotRegistered", "Target is not registered to the target group"
    if target.draining_since is not None:
        return "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
    if not balancers or group.used_since is None:
        return (
            "unused",
            "Target.NotInUse",
            "Target group is not configured to receive traffic from the load balancer",
        )
    instance = region.ec2.get_instance_by_id(target.id) if group.settings["TargetType"] == "instance" else None
    if instance is not None and instance.state in ("stopping", "stopped"):
        return "unused", "Target.InvalidState", "Target is in the stopped state"
    zone = zone_of(region, target)
    enabled = any(
        is_cross_zone(one, group) or zone == "all" or zone in [that.name for that in one.zones] for one in balancers
    )
    if not enabled:
        return (
            "unused",
            "Target.NotInUse",
            "Target is in an Availability Zone that is not enabled for the load balancer",
        )
    waited = (time.monotonic() - max(target.since, group.used_since)) * 1000
    if waited < region.settings.target_health_ms:
        return "initial", "Elb.RegistrationInProgress", "Target registration is in progress"
    if target.id in region.settings.unhealthy_targets:
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
    return "healthy", "", ""
