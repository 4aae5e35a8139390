"""Changes inside moto's EC2 that cannot be made around a call."""

import random
from ipaddress import ip_network
from typing import Any

from moto.ec2.models import elastic_ip_addresses
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.security_groups import (
    GroupedSecurityRuleView,
    SecurityGroup,
    SecurityGroupBackend,
    SecurityGroupRule,
)
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix


def patch() -> None:
    """Replaces the methods below."""
    TaggedEC2Resource.get_tags = _tags
    SecurityGroup._flattened_rules = _permissions
    SecurityGroupRule.__init__ = _canonical(SecurityGroupRule.__init__)
    SecurityGroupRule.__eq__ = _same_rule
    SecurityGroupRule.description = property(_description)
    SecurityGroupRule.group_owner_id = property(lambda self: self.ec2_backend.account_id)
    NetworkInterface.get_filter_value = _with_filters(NetworkInterface.get_filter_value)
    elastic_ip_addresses.random_ip = public_address
    # The quota is checked in `securitygroups`, for each family as EC2 does.
    SecurityGroupBackend._verify_group_will_respect_rule_count_limit = lambda *_, **__: None


def _tags(self: Any) -> list[dict[str, str]]:
    """moto looks through the tags of everything for those of one resource."""
    identifier = self.id
    if not identifier:
        return []
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(identifier), "")
    tags = self.ec2_backend.tags.get(identifier, {})
    return [
        {"resource_id": identifier, "key": key, "value": value, "resource_type": kind}
        for key, value in tags.items()
    ]


def _canonical(inner: Any) -> Any:
    """CIDRs lose the bits behind their prefix (API reference, IpRange), and prefix lists keep their description."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        inner(self, *args, **kwargs)
        # The eighth argument after self, see SecurityGroupRule.
        prefix_list = kwargs.get("prefix_list_id") or (args[7] if len(args) > 7 else None)
        self.prefix_description = (prefix_list or {}).get("Description")
        cidrs = {key: str(ip_network(self.ip_range[key], False)) for key in CIDRS if self.ip_range.get(key)}
        self.ip_range = self.ip_range | cidrs

    return init


CIDRS = ("CidrIp", "CidrIpv6")


def _same_rule(self: Any, other: Any) -> bool:
    """What makes a rule a duplicate, and what a revocation finds; moto compares descriptions of groups too."""
    return _identity(self) == _identity(other)


def _identity(rule: Any) -> tuple[Any, ...]:
    cidrs = tuple(rule.ip_range.get(key) for key in CIDRS)
    ports = (rule.from_port, rule.to_port)
    return rule.ip_protocol, ports, cidrs, rule.source_group.get("GroupId"), rule.prefix_list_id


def _description(self: Any) -> str | None:
    """moto knows the descriptions of ranges only."""
    return self.ip_range.get("Description") or self.source_group.get("Description") or self.prefix_description


def _permissions(self: Any, rules: list[Any]) -> list[GroupedSecurityRuleView]:
    """Rules by protocol and ports, as DescribeSecurityGroups shows them; moto drops descriptions of prefix lists."""
    views: dict[tuple[Any, ...], GroupedSecurityRuleView] = {}
    for rule in rules:
        key = (rule.from_port, rule.to_port, rule.ip_protocol)
        view = views.setdefault(key, GroupedSecurityRuleView(*key))
        if rule.ip_range:
            view.all_ip_ranges.append(rule.ip_range)
        if rule.source_group:
            view.source_groups.append(rule.source_group)
        if rule.prefix_list_id:
            named = {"Description": rule.prefix_description} if rule.prefix_description else {}
            view.prefix_list_ids.append({"PrefixListId": rule.prefix_list_id} | named)
    return list(views.values())


def _with_filters(inner: Any) -> Any:
    """Interfaces of instances have their groups from the instance, and those of load balancers no owner but Amazon."""

    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "group-id":
            return [group.id for group in self.group_set]
        if filter_name == "attachment.instance-owner-id" and self.requester_managed:
            return "amazon-aws"
        return inner(self, filter_name, method_name)

    return get_filter_value


def public_address() -> str:
    """moto takes Elastic IPs from loopback; these are from the range for benchmarks (RFC 2544)."""
    return f"198.{random.choice((18, 19))}.{random.randrange(256)}.{random.randrange(1, 255)}"
