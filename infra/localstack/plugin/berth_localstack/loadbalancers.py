"""Load balancers: create, describe, change, delete."""

import secrets
import time
from typing import Any

from . import attributes, interfaces
from .errors import invalid, not_configurable, refuse
from .listeners import note_use
from .operations import Request, balancer_of, check_name, operation, page, tags_of
from .state import LoadBalancer, Region, Zone
from .zones import (
    check_address_type,
    check_dual_stack,
    check_groups,
    check_subnets,
    subnet_of,
    wanted_zones,
)

HOSTED_ZONES = {
    "us-east-1": "Z26RNL4JYFTOTI",
    "us-east-2": "ZLMOA37VPKANP",
    "us-west-1": "Z24FKFUX50B4VW",
    "us-west-2": "Z18D5FSROUN65G",
    "eu-central-1": "Z3F0SRJ5LGBH90",
    "eu-west-1": "Z2IFOLAFXWLO4F",
}
"""Route 53 hosted zones of Network Load Balancers (AWS General Reference); other regions get the first one's."""


@operation("CreateLoadBalancer")
def create(region: Region, request: Request) -> dict[str, Any]:
    """A second call with the same name and settings returns the first one's load balancer; tags are not compared."""
    if request.get("Type", "application") != "network":
        raise not_configurable("This test cloud has load balancers of type 'network' only")
    check_name("Load balancer", request["Name"])
    if request["Name"].startswith("internal-"):
        raise invalid(f"Load balancer name '{request['Name']}' cannot begin with 'internal-'")
    wanted = _wanted(region, request)
    present = next((one for one in region.load_balancers.values() if one.name == wanted.name), None)
    if present is not None:
        if _choices(present) != _choices(wanted):
            raise _taken(wanted.name)
        return {"LoadBalancers": [described(region, present)]}
    if region.lingering_names.get(wanted.name, 0) > time.monotonic():
        raise _taken(wanted.name)
    _check(region, wanted)
    if len(region.load_balancers) >= region.settings.load_balancers_limit:
        raise refuse("TooManyLoadBalancers", "You have reached the maximum number of load balancers")
    region.load_balancers[wanted.arn] = wanted
    for zone in wanted.zones:
        interfaces.attach(region, wanted, zone)
    return {"LoadBalancers": [described(region, wanted)]}


def _taken(name: str) -> Exception:
    return refuse(
        "DuplicateLoadBalancerName",
        f"A load balancer with the same name '{name}' exists, but with different settings",
    )


def _wanted(region: Region, request: Request) -> LoadBalancer:
    name, scheme = request["Name"], request.get("Scheme") or "internet-facing"
    zones = wanted_zones(region, request)
    identifier = secrets.token_hex(8)
    return LoadBalancer(
        arn=region.arn(f"loadbalancer/net/{name}/{identifier}"),
        tags=tags_of(request),
        attributes=attributes.load_balancer_defaults(scheme),
        name=name,
        dns_name=f"{name}-{identifier}.elb.{region.name}.amazonaws.com",
        scheme=scheme,
        vpc_id=subnet_of(region, zones[0].subnet_id).vpc_id,
        ip_address_type=request.get("IpAddressType") or "ipv4",
        zones=zones,
        security_groups=list(request.get("SecurityGroups") or []),
        created_with_groups=bool(request.get("SecurityGroups")),
        ipv6_source_nat=request.get("EnablePrefixForIpv6SourceNat") or "off",
    )


def _choices(balancer: LoadBalancer) -> tuple[Any, ...]:
    """Two load balancers of one name are the same when these are."""
    return (
        balancer.scheme,
        balancer.ip_address_type,
        balancer.ipv6_source_nat,
        frozenset(zone.asked_for() for zone in balancer.zones),
        frozenset(balancer.security_groups),
    )


def _check(region: Region, wanted: LoadBalancer) -> None:
    check_subnets(region, wanted.scheme, wanted.zones)
    check_groups(region, wanted.vpc_id, wanted.security_groups)
    check_address_type(region, wanted.ip_address_type, wanted.ipv6_source_nat, wanted.zones)
    interfaces.check_elastic_ips(region, wanted.scheme, wanted.zones)
    interfaces.check_private_addresses(region, wanted.scheme, wanted.zones)


@operation("DescribeLoadBalancers")
def describe(region: Region, request: Request) -> dict[str, Any]:
    """All, or those of the named ARNs or names; an unknown one fails the call."""
    arns, names = request.get("LoadBalancerArns") or [], request.get("Names") or []
    if len(arns) > 20:
        raise invalid("The maximum number of load balancer ARNs per call is 20")
    found = [one for one in region.load_balancers.values() if region.is_visible(one)]
    if arns or names:
        found = [one for one in found if one.arn in arns or one.name in names]
        if len(found) < len(set(arns)) + len(set(names)):
            raise refuse("LoadBalancerNotFound", "One or more load balancers not found")
    shown, following = page(found, request)
    return {"LoadBalancers": [described(region, one) for one in shown], **following}


@operation("DeleteLoadBalancer")
def delete(region: Region, request: Request) -> dict[str, Any]:
    """Its listeners go with it; one that is not there is no error; deletion protection is."""
    balancer = region.load_balancers.get(request["LoadBalancerArn"])
    if balancer is None:
        return {}
    if balancer.attributes["deletion_protection.enabled"] == "true":
        raise refuse(
            "OperationNotPermitted",
            f"Load balancer '{balancer.arn}' cannot be deleted because deletion protection is enabled",
        )
    listeners = region.listeners_of(balancer.arn)
    for listener in listeners:
        del region.listeners[listener.arn]
    del region.load_balancers[balancer.arn]
    note_use(region, (group for listener in listeners for group, _ in listener.forward))
    interfaces.release(region, [zone.interface_id for zone in balancer.zones])
    region.lingering_names[balancer.name] = time.monotonic() + region.settings.name_linger_ms / 1000
    return {}


@operation("DescribeLoadBalancerAttributes")
def describe_attributes(region: Region, request: Request) -> dict[str, Any]:
    """All attributes of one."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    return {"Attributes": attributes.described(balancer.attributes)}


@operation("ModifyLoadBalancerAttributes")
def modify_attributes(region: Region, request: Request) -> dict[str, Any]:
    """Those not named stay as they are."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    attributes.change_load_balancer(balancer, request["Attributes"])
    return {"Attributes": attributes.described(balancer.attributes)}


@operation("SetSecurityGroups")
def set_security_groups(region: Region, request: Request) -> dict[str, Any]:
    """Only for one that was created with a security group."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    groups = list(request["SecurityGroups"])
    if not balancer.created_with_groups:
        raise not_configurable(
            f"Security groups can't be set for load balancer '{balancer.arn}': it was created without any"
        )
    if not groups:
        raise invalid("At least one security group must be specified")
    check_groups(region, balancer.vpc_id, groups)
    balancer.security_groups = groups
    rules = request.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic")
    balancer.private_link_rules = rules or balancer.private_link_rules
    for zone in balancer.zones:
        region.ec2.modify_network_interface_attribute(zone.interface_id, groups)
    return {
        "SecurityGroupIds": groups,
        "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic": balancer.private_link_rules,
    }


@operation("SetSubnets")
def set_subnets(region: Region, request: Request) -> dict[str, Any]:
    """Zones may come and go; the subnet and the addresses of a zone that stays may not change."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    present = {zone.name: zone for zone in balancer.zones}
    wanted = [_kept(present.get(zone.name), zone) for zone in wanted_zones(region, request)]
    if subnet_of(region, wanted[0].subnet_id).vpc_id != balancer.vpc_id:
        raise not_configurable("The subnets must belong to the load balancer's VPC")
    address_type = request.get("IpAddressType") or balancer.ip_address_type
    source_nat = request.get("EnablePrefixForIpv6SourceNat") or balancer.ipv6_source_nat
    check_address_type(region, address_type, source_nat, wanted)
    added = [zone for zone in wanted if zone.name not in present]
    check_subnets(region, balancer.scheme, added)
    interfaces.check_elastic_ips(region, balancer.scheme, added)
    interfaces.check_private_addresses(region, balancer.scheme, added)
    names = {zone.name for zone in wanted}
    interfaces.release(region, [one.interface_id for one in balancer.zones if one.name not in names])
    balancer.zones, balancer.ip_address_type, balancer.ipv6_source_nat = wanted, address_type, source_nat
    for zone in added:
        interfaces.attach(region, balancer, zone)
    return {
        "AvailabilityZones": [_described_zone(region, zone) for zone in wanted],
        "IpAddressType": address_type,
        "EnablePrefixForIpv6SourceNat": source_nat,
    }


def _kept(present: Zone | None, wanted: Zone) -> Zone:
    if present is None:
        return wanted
    if present.subnet_id != wanted.subnet_id:
        raise not_configurable(
            "You cannot specify an additional subnet from an Availability Zone that is already associated with the "
            f"load balancer. The Availability Zone '{wanted.name}' corresponding to the new subnet "
            f"'{wanted.subnet_id}' is already associated with the load balancer."
        )
    for now, then in ((present.allocation_id, wanted.allocation_id), (present.private_ipv4, wanted.private_ipv4)):
        if then and then != now:
            raise not_configurable(f"The addresses of the enabled Availability Zone '{wanted.name}' can't be changed")
    present.ipv6_prefix = wanted.ipv6_prefix or present.ipv6_prefix
    return present


@operation("SetIpAddressType")
def set_ip_address_type(region: Region, request: Request) -> dict[str, Any]:
    """Dual stack needs IPv6 in every subnet, and a source NAT prefix where there are UDP listeners."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    wanted = request["IpAddressType"]
    check_address_type(region, wanted, balancer.ipv6_source_nat, balancer.zones)
    for listener in region.listeners_of(balancer.arn):
        check_dual_stack(wanted, balancer.ipv6_source_nat, listener.protocol)
    balancer.ip_address_type = wanted
    return {"IpAddressType": wanted}


def described(region: Region, balancer: LoadBalancer) -> dict[str, Any]:
    """As the API returns it."""
    is_active = balancer.age_ms() >= region.settings.provisioning_ms
    return {
        "LoadBalancerArn": balancer.arn,
        "DNSName": balancer.dns_name,
        "CanonicalHostedZoneId": HOSTED_ZONES.get(region.name, HOSTED_ZONES["us-east-1"]),
        "CreatedTime": balancer.created,
        "LoadBalancerName": balancer.name,
        "Scheme": balancer.scheme,
        "VpcId": balancer.vpc_id,
        "State": {"Code": "active" if is_active else "provisioning"},
        "Type": "network",
        "AvailabilityZones": [_described_zone(region, zone) for zone in balancer.zones],
        "IpAddressType": balancer.ip_address_type,
        "EnablePrefixForIpv6SourceNat": balancer.ipv6_source_nat,
        **(
            {
                "SecurityGroups": balancer.security_groups,
                "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic": balancer.private_link_rules,
            }
            if balancer.created_with_groups
            else {}
        ),
    }


def _described_zone(region: Region, zone: Zone) -> dict[str, Any]:
    """Only addresses that the caller chose are listed."""
    address: dict[str, Any] = {}
    if zone.allocation_id:
        elastic = [one for one in region.ec2.addresses if one.allocation_id == zone.allocation_id]
        address |= {"AllocationId": zone.allocation_id, **({"IpAddress": elastic[0].public_ip} if elastic else {})}
    if zone.private_ipv4:
        address["PrivateIPv4Address"] = zone.private_ipv4
    if zone.ipv6:
        address["IPv6Address"] = zone.ipv6
    return {
        "ZoneName": zone.name,
        "SubnetId": zone.subnet_id,
        "LoadBalancerAddresses": [address] if address else [],
        **({"SourceNatIpv6Prefixes": [zone.ipv6_prefix]} if zone.ipv6_prefix else {}),
    }
