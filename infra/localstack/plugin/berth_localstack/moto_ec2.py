"""Changes inside moto's EC2 that cannot be made around a call."""

import random
from typing import Any

from moto.ec2.models import elastic_ip_addresses
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.security_groups import SecurityGroupBackend, SecurityGroupRule
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix


def patch() -> None:
    """Replaces the methods below."""
    TaggedEC2Resource.get_tags = _tags
    SecurityGroupRule.description = property(_description)
    SecurityGroupRule.group_owner_id = property(lambda self: self.ec2_backend.account_id)
    SecurityGroupRule.__init__ = _with_prefix_description(SecurityGroupRule.__init__)
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


def _description(self: Any) -> str | None:
    """moto knows the descriptions of ranges only."""
    found = self.ip_range.get("Description") or self.source_group.get("Description")
    return found or getattr(self, "prefix_description", None)


def _with_prefix_description(inner: Any) -> Any:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        inner(self, *args, **kwargs)
        # The eighth argument after self, see SecurityGroupRule.
        prefix_list = kwargs.get("prefix_list_id") or (args[7] if len(args) > 7 else None)
        self.prefix_description = (prefix_list or {}).get("Description")

    return init


def _with_filters(inner: Any) -> Any:
    def get_filter_value(self: Any, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "attachment.instance-owner-id" and self.requester_managed:
            return "amazon-aws"
        return inner(self, filter_name, method_name)

    return get_filter_value


def public_address() -> str:
    """moto takes Elastic IPs from loopback; these are from the range for benchmarks (RFC 2544)."""
    return f"198.{random.choice((18, 19))}.{random.randrange(256)}.{random.randrange(1, 255)}"
