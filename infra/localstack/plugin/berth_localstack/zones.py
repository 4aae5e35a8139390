"""Subnets, security groups and address types of load balancers: what may be asked for, and what it resolves to."""

from typing import Any

from moto.ec2.models.subnets import Subnet

from .errors import invalid, not_configurable, refuse
from .operations import Request
from .state import Region, Zone

FREE_ADDRESSES = 8
"""A subnet with fewer is refused (Network Load Balancers guide, "Requirements for your subnets")."""


def wanted_zones(region: Region, request: Request) -> list[Zone]:
    """The zones that `Subnets` or `SubnetMappings` name. Raises for none, for unknown ones and for two in one zone."""
    subnets, mappings = request.get("Subnets") or [], request.get("SubnetMappings") or []
    if subnets and mappings:
        raise invalid("You can specify either subnets or subnet mappings, but not both")
    if not subnets and not mappings:
        raise invalid("At least one subnet must be specified")
    zones = [_zone(region, mapping) for mapping in mappings or [{"SubnetId": one} for one in subnets]]
    if len({zone.name for zone in zones}) < len(zones):
        raise not_configurable(
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        )
    if len({subnet_of(region, zone.subnet_id).vpc_id for zone in zones}) > 1:
        raise not_configurable("All subnets must belong to the same VPC")
    return zones


def _zone(region: Region, mapping: dict[str, Any]) -> Zone:
    subnet = subnet_of(region, mapping.get("SubnetId") or "")
    return Zone(
        name=subnet.availability_zone,
        subnet_id=subnet.id,
        allocation_id=mapping.get("AllocationId"),
        private_ipv4=mapping.get("PrivateIPv4Address"),
        ipv6=mapping.get("IPv6Address"),
        ipv6_prefix=mapping.get("SourceNatIpv6Prefix"),
    )


def subnet_of(region: Region, subnet_id: str) -> Subnet:
    """Raises SubnetNotFound."""
    for subnets in region.ec2.subnets.values():
        if subnet_id in subnets:
            return subnets[subnet_id]
    raise refuse("SubnetNotFound", f"The subnet ID '{subnet_id}' does not exist")


def check_subnets(region: Region, scheme: str, zones: list[Zone]) -> None:
    """Raises InvalidSubnet for too few free addresses, and for a public load balancer in a VPC without a gateway."""
    for zone in zones:
        subnet = subnet_of(region, zone.subnet_id)
        if subnet.available_ip_address_count < FREE_ADDRESSES:
            raise refuse(
                "InvalidSubnet",
                f"Not enough IP space available in {subnet.id}. "
                f"ELB requires at least {FREE_ADDRESSES} free IP addresses in each subnet",
            )
        connected = [one.vpc.id for one in region.ec2.internet_gateways.values() if one.vpc]
        if scheme == "internet-facing" and subnet.vpc_id not in connected:
            raise refuse("InvalidSubnet", f"VPC {subnet.vpc_id} has no internet gateway")


def check_groups(region: Region, vpc_id: str, groups: list[str]) -> None:
    """Raises InvalidSecurityGroup for unknown groups and InvalidConfigurationRequest for too many or another VPC's."""
    if len(groups) > 5:
        raise not_configurable("The maximum number of security groups per load balancer has been reached")
    for group_id in groups:
        group = region.ec2.get_security_group_from_id(group_id)
        if group is None:
            raise refuse("InvalidSecurityGroup", f"Security group '{group_id}' does not exist")
        if group.vpc_id != vpc_id:
            raise not_configurable(f"Security group '{group_id}' does not belong to VPC '{vpc_id}'")


def check_address_type(region: Region, address_type: str, source_nat: str, zones: list[Zone]) -> None:
    """Raises where dual stack is asked for in subnets without IPv6, or its options without dual stack."""
    if address_type not in ("ipv4", "dualstack"):
        raise not_configurable(f"Network Load Balancers do not support the IP address type '{address_type}'")
    if address_type == "ipv4":
        if source_nat == "on":
            raise not_configurable("IPv6 source NAT prefixes need the IP address type 'dualstack'")
        if any(zone.ipv6 for zone in zones):
            raise not_configurable("IPv6 addresses need the IP address type 'dualstack'")
        return
    for zone in zones:
        if not subnet_of(region, zone.subnet_id).ipv6_cidr_block_associations:
            raise invalid("You must specify subnets with an associated IPv6 CIDR block.")
        if zone.ipv6_prefix and source_nat != "on":
            raise not_configurable("SourceNatIpv6Prefix needs EnablePrefixForIpv6SourceNat to be 'on'")


def check_dual_stack(address_type: str, source_nat: str, protocol: str) -> None:
    """Raises where datagrams are to be balanced over both families without a prefix for source NAT."""
    if address_type == "dualstack" and source_nat != "on" and protocol in ("UDP", "TCP_UDP"):
        raise not_configurable(
            f"{protocol} listeners on a dualstack load balancer need EnablePrefixForIpv6SourceNat to be 'on'"
        )
