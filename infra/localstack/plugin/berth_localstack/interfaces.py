"""Network interfaces and Elastic IPs of load balancers, as EC2 shows them."""

import time
from ipaddress import ip_address, ip_network
from typing import Any

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.utils import random_eip_association_id

from .errors import not_configurable, refuse
from .moto_ec2 import public_address
from .state import LoadBalancer, Region, Zone


class ManagedInterface(NetworkInterface):
    """An interface that belongs to the load-balancing service: its owner's account sees it and cannot change it."""

    association_id: str | None = None

    @property
    def attachment(self) -> Any:
        """Attached to something of Amazon's, never to an instance of the account."""
        return {
            "AttachmentId": f"ela-attach-{self.id[4:]}",
            "DeleteOnTermination": False,
            "DeviceIndex": 1,
            "InstanceOwnerId": "amazon-aws",
            "Status": "attached",
        }

    @property
    def association(self) -> dict[str, Any]:
        """A public address that is not the account's own Elastic IP has Amazon as its owner."""
        known = super().association
        return known if not known or known.get("allocationId") else known | {"ipOwnerId": "amazon"}


def attach(region: Region, balancer: LoadBalancer, zone: Zone) -> None:
    """Creates the zone's interface, with the wanted or a free address, and associates its Elastic IP."""
    suffix = balancer.arn.split(":loadbalancer/")[1]
    interface = ManagedInterface(
        region.ec2,
        region.ec2.get_subnet(zone.subnet_id),
        zone.private_ipv4 or _free_address(region, zone.subnet_id),
        group_ids=balancer.security_groups,
        description=f"ELB {suffix}",
        ipv6_addresses=[zone.ipv6] if zone.ipv6 else [],
    )
    if not balancer.security_groups:
        interface._group_set = []
    interface.interface_type = "network_load_balancer"
    interface.requester_managed = True
    interface.requester_id = "amazon-elb"
    interface.status = "in-use"
    region.ec2.enis[interface.id] = interface
    zone.interface_id = interface.id
    if zone.allocation_id:
        address = region.ec2.address_by_allocation([zone.allocation_id])[0]
        address.eni = interface
        address.association_id = random_eip_association_id()
        interface.public_ip = address.public_ip
    elif balancer.scheme == "internet-facing":
        interface.public_ip = public_address()


def release(region: Region, interface_ids: list[str]) -> None:
    """Removes interfaces, after the time that the settings let them linger."""
    linger = region.settings.interface_linger_ms / 1000
    for interface_id in interface_ids:
        region.lingering_interfaces[interface_id] = time.monotonic() + linger
    settle(region)


def settle(region: Region) -> None:
    """Removes the interfaces whose time is over, and frees their Elastic IPs."""
    now = time.monotonic()
    for interface_id, over in list(region.lingering_interfaces.items()):
        if over > now:
            continue
        del region.lingering_interfaces[interface_id]
        interface = region.ec2.enis.pop(interface_id, None)
        for address in region.ec2.addresses:
            if interface is not None and address.eni is interface:
                address.eni = None
                address.association_id = None


def check_elastic_ips(region: Region, scheme: str, zones: list[Zone]) -> None:
    """Raises for Elastic IPs that do not exist, are in use, or do not fit the scheme."""
    wanted = [zone.allocation_id for zone in zones if zone.allocation_id]
    if not wanted:
        return
    if scheme == "internal":
        raise not_configurable("Elastic IPs are not supported for load balancers with scheme 'internal'")
    known = {address.allocation_id: address for address in region.ec2.addresses}
    missing = [allocation for allocation in wanted if allocation not in known]
    if missing:
        names = ", ".join(f"'{allocation}'" for allocation in missing)
        raise refuse("AllocationIdNotFound", f"The allocation IDs {names} do not exist")
    taken = any(known[one].eni is not None or known[one].instance is not None for one in wanted)
    if taken or len(set(wanted)) < len(wanted):
        raise refuse("ResourceInUse", "The allocation IDs are not available for use")


def check_private_addresses(region: Region, scheme: str, zones: list[Zone]) -> None:
    """Raises for private addresses outside the subnet, reserved, in use, or on a load balancer that faces the internet."""
    for zone in zones:
        if not zone.private_ipv4:
            continue
        if scheme != "internal":
            raise not_configurable(
                "Private IPv4 addresses are only supported for load balancers with scheme 'internal'"
            )
        network = ip_network(region.ec2.get_subnet(zone.subnet_id).cidr_block)
        address = ip_address(zone.private_ipv4)
        if address not in network:
            raise not_configurable(
                f"Private IPv4 address '{address}' is not in the range of subnet '{zone.subnet_id}'"
            )
        # EC2 keeps the first four addresses and the last one of every subnet (VPC user guide, "Subnet CIDR blocks").
        if int(address) - int(network.network_address) < 4 or address == network.broadcast_address:
            raise not_configurable(f"Private IPv4 address '{address}' is reserved")
        if zone.private_ipv4 in _addresses_in_use(region, zone.subnet_id):
            raise refuse("ResourceInUse", f"Private IPv4 address '{address}' is in use")


def _addresses_in_use(region: Region, subnet_id: str) -> set[str]:
    return {
        str(address.get("PrivateIpAddress"))
        for interface in region.ec2.enis.values()
        if interface.subnet.id == subnet_id
        for address in interface.private_ip_addresses
    }


def _free_address(region: Region, subnet_id: str) -> str:
    """The highest free one: EC2's simulation hands them to instances from below."""
    network = ip_network(region.ec2.get_subnet(subnet_id).cidr_block)
    taken = _addresses_in_use(region, subnet_id)
    for number in range(int(network.broadcast_address) - 1, int(network.network_address) + 3, -1):
        if str(ip_address(number)) not in taken:
            return str(ip_address(number))
    raise refuse("InvalidSubnet", f"Not enough IP space available in {subnet_id}")
