"""Target groups: create, describe, change, delete."""

import secrets
from typing import Any

from . import attributes
from .errors import invalid, not_configurable, refuse
from .operations import Request, balancer_of, check_name, group_of, operation, page, tags_of
from .state import Region, TargetGroup

PROTOCOLS = ("TCP", "TLS", "UDP", "TCP_UDP")
HEALTH_PROTOCOLS = ("TCP", "HTTP", "HTTPS")


@operation("CreateTargetGroup")
def create(region: Region, request: Request) -> dict[str, Any]:
    """A second call with the same name and settings returns the first one's group; tags are not compared."""
    check_name("Target group", request["Name"])
    _check_kind(region, request)
    wanted = {
        "Protocol": request["Protocol"],
        "Port": request["Port"],
        "VpcId": request["VpcId"],
        "TargetType": request.get("TargetType") or "instance",
        "IpAddressType": request.get("IpAddressType") or "ipv4",
        **_health(request, {}),
    }
    tags = tags_of(request)
    present = next((one for one in region.target_groups.values() if one.name == request["Name"]), None)
    if present is not None:
        if present.settings != wanted:
            raise refuse(
                "DuplicateTargetGroupName",
                f"A target group with the same name '{request['Name']}' exists, but with different settings",
            )
        return {"TargetGroups": [described(region, present)]}
    if len(region.target_groups) >= region.settings.target_groups_limit:
        raise refuse("TooManyTargetGroups", "You have reached the maximum number of target groups")
    group = TargetGroup(
        arn=region.arn(f"targetgroup/{request['Name']}/{secrets.token_hex(8)}"),
        tags=tags,
        attributes=attributes.target_group_defaults(wanted["Protocol"], wanted["TargetType"]),
        name=request["Name"],
        settings=wanted,
    )
    region.target_groups[group.arn] = group
    return {"TargetGroups": [described(region, group)]}


def _check_kind(region: Region, request: Request) -> None:
    for member, what in (("Protocol", "protocol"), ("Port", "port"), ("VpcId", "VPC ID")):
        if request.get(member) is None:
            raise invalid(f"A {what} must be specified")
    if request["Protocol"] not in PROTOCOLS:
        raise not_configurable(f"This test cloud has target groups of protocol {', '.join(PROTOCOLS)} only")
    if request.get("TargetType", "instance") not in ("instance", "ip"):
        raise not_configurable("This test cloud has target groups of type instance and ip only")
    if request.get("ProtocolVersion"):
        raise not_configurable(f"Protocol version is not supported for {request['Protocol']} target groups")
    if request["VpcId"] not in region.ec2.vpcs:
        raise invalid(f"The VPC ID '{request['VpcId']}' is not found")


def _health(request: Request, present: dict[str, Any]) -> dict[str, Any]:
    """The health check after a create call (nothing present) or a modify call."""
    if request.get("HealthCheckEnabled") is False:
        raise not_configurable("Health checks can't be disabled for target groups of this type")
    protocol = request.get("HealthCheckProtocol") or present.get("HealthCheckProtocol") or "TCP"
    if protocol not in HEALTH_PROTOCOLS:
        raise invalid(f"Health check protocol '{protocol}' must be one of '{', '.join(HEALTH_PROTOCOLS)}'")
    if protocol != present.get("HealthCheckProtocol"):
        present = {key: value for key, value in present.items() if key not in ("HealthCheckPath", "Matcher")}
    defaults = {
        "HealthCheckPort": "traffic-port",
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 6 if protocol == "HTTP" else 10,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
        **({} if protocol == "TCP" else {"HealthCheckPath": "/", "Matcher": {"HttpCode": "200-399"}}),
    }
    for member in ("HealthCheckPath", "Matcher"):
        if request.get(member) is not None and member not in defaults:
            raise not_configurable(f"{member} is not supported for health checks over {protocol}")
    after = {key: request.get(key) or present.get(key) or default for key, default in defaults.items()}
    _check_health(after)
    return {"HealthCheckEnabled": True, "HealthCheckProtocol": protocol, **after}


def _check_health(check: dict[str, Any]) -> None:
    port = check["HealthCheckPort"]
    if port != "traffic-port" and not (port.isdecimal() and 1 <= int(port) <= 65535):
        raise invalid(f"Health check port '{port}' must be 'traffic-port' or in range [1, 65535]")
    interval, timeout = check["HealthCheckIntervalSeconds"], check["HealthCheckTimeoutSeconds"]
    if timeout > interval:
        raise invalid(f"Health check timeout '{timeout}' must not be greater than the interval '{interval}'")
    if not check.get("HealthCheckPath", "/").startswith("/"):
        raise invalid(f"Health check path '{check['HealthCheckPath']}' must begin with a '/' character")
    for part in check.get("Matcher", {}).get("HttpCode", "200").split(","):
        codes = part.split("-")
        if len(codes) > 2 or not all(code.isdecimal() and 200 <= int(code) <= 599 for code in codes):
            raise invalid(f"Health check matcher HTTP code '{part}' must be within '200-599'")


@operation("ModifyTargetGroup")
def modify(region: Region, request: Request) -> dict[str, Any]:
    """Changes the health check; all else is fixed at creation."""
    group = group_of(region, request["TargetGroupArn"])
    group.settings = group.settings | _health(request, group.settings)
    if group.settings["HealthCheckProtocol"] == "TCP":
        group.settings.pop("HealthCheckPath", None)
        group.settings.pop("Matcher", None)
    return {"TargetGroups": [described(region, group)]}


@operation("DescribeTargetGroups")
def describe(region: Region, request: Request) -> dict[str, Any]:
    """All, those of the named ARNs or names, or those that a load balancer's listeners forward to."""
    arns, names = request.get("TargetGroupArns") or [], request.get("Names") or []
    found = [one for one in region.target_groups.values() if region.is_visible(one)]
    if request.get("LoadBalancerArn"):
        balancer = balancer_of(region, request["LoadBalancerArn"])
        used = {arn for one in region.listeners_of(balancer.arn) for arn, _ in one.forward}
        found = [one for one in found if one.arn in used]
    if arns or names:
        found = [one for one in found if one.arn in arns or one.name in names]
        if len(found) < len(set(arns)) + len(set(names)):
            raise refuse("TargetGroupNotFound", "One or more target groups not found")
    shown, following = page(found, request)
    return {"TargetGroups": [described(region, one) for one in shown], **following}


@operation("DeleteTargetGroup")
def delete(region: Region, request: Request) -> dict[str, Any]:
    """One that is not there is no error; one that a listener uses is."""
    arn = request["TargetGroupArn"]
    if region.load_balancers_of(arn):
        raise refuse("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
    region.target_groups.pop(arn, None)
    return {}


@operation("DescribeTargetGroupAttributes")
def describe_attributes(region: Region, request: Request) -> dict[str, Any]:
    """All attributes of one."""
    return {"Attributes": attributes.described(group_of(region, request["TargetGroupArn"]).attributes)}


@operation("ModifyTargetGroupAttributes")
def modify_attributes(region: Region, request: Request) -> dict[str, Any]:
    """Those not named stay as they are."""
    group = group_of(region, request["TargetGroupArn"])
    attributes.change_target_group(group, request["Attributes"])
    return {"Attributes": attributes.described(group.attributes)}


def described(region: Region, group: TargetGroup) -> dict[str, Any]:
    """As the API returns it."""
    return {
        "TargetGroupArn": group.arn,
        "TargetGroupName": group.name,
        **group.settings,
        "LoadBalancerArns": region.load_balancers_of(group.arn),
    }
