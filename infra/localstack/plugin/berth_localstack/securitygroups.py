"""Security groups: rules change all or none, quotas, and what stands in the way of a deletion."""

from collections.abc import Iterator
from typing import Any

from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule

from .errors import refuse
from .state import Region


def atomically(region: Region, inner: Any, context: Any, request: dict[str, Any]) -> Any:
    """moto applies one permission after the other; EC2 applies all of them or none, and answers with all rules."""
    _check_permissions(region, request.get("IpPermissions") or [])
    named = request.get("GroupId") or request.get("GroupName") or ""
    group = region.ec2.get_security_group_by_name_or_id(named)
    if group is None:
        return inner(context, request)
    ingress, egress = list(group.ingress_rules), list(group.egress_rules)
    try:
        result = inner(context, request)
        for rules in (group.ingress_rules, group.egress_rules):
            _check_quota(region, rules)
    except Exception:
        group.ingress_rules, group.egress_rules = ingress, egress
        raise
    if context.operation.name.startswith("Authorize"):
        known = {rule.id for rule in (*ingress, *egress)}
        added = [one for one in (*group.ingress_rules, *group.egress_rules) if one.id not in known]
        return {"Return": True, "SecurityGroupRules": [described(region, one) for one in added]}
    return result


def _check_permissions(region: Region, permissions: list[dict[str, Any]]) -> None:
    seen: set[tuple[Any, ...]] = set()
    for permission in permissions:
        for prefix_list in permission.get("PrefixListIds") or []:
            if prefix_list["PrefixListId"] not in region.ec2.managed_prefix_lists:
                raise refuse(
                    "InvalidPrefixListID.NotFound",
                    f"The prefix list ID '{prefix_list['PrefixListId']}' does not exist",
                )
        ports = (permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort"))
        for source in _sources(permission):
            if (*ports, source) in seen:
                raise refuse("InvalidParameterValue", "The same permission must not appear multiple times")
            seen.add((*ports, source))


def _sources(permission: dict[str, Any]) -> Iterator[str]:
    for member, key in (
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("PrefixListIds", "PrefixListId"),
        ("UserIdGroupPairs", "GroupId"),
    ):
        yield from (one[key] for one in permission.get(member) or [] if key in one)


def _check_quota(region: Region, rules: list[SecurityGroupRule]) -> None:
    """Counted for each family; groups and prefix lists count for both, a prefix list with all its entries.

    Source: Amazon VPC quotas, "Inbound or outbound rules per security group".
    """
    for family in ("CidrIp", "CidrIpv6"):
        count = 0
        for rule in rules:
            if rule.prefix_list_id:
                prefix_list = region.ec2.managed_prefix_lists.get(rule.prefix_list_id)
                count += (prefix_list.max_entries if prefix_list else None) or 1
            elif rule.source_group or family in rule.ip_range:
                count += 1
        if count > region.settings.rules_limit:
            raise refuse(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            )


def described(region: Region, rule: SecurityGroupRule) -> dict[str, Any]:
    """As Authorize calls return it."""
    description = rule.description
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": region.account_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        **({"CidrIpv4": rule.cidr_ipv4} if rule.cidr_ipv4 else {}),
        **({"CidrIpv6": rule.cidr_ipv6} if rule.cidr_ipv6 else {}),
        **({"PrefixListId": rule.prefix_list_id} if rule.prefix_list_id else {}),
        **({"Description": description} if description else {}),
        **({"Tags": [{"Key": one["key"], "Value": one["value"]} for one in rule.get_tags()]}),
        **(
            {"ReferencedGroupInfo": {"GroupId": rule.source_group["GroupId"], "UserId": region.account_id}}
            if rule.source_group
            else {}
        ),
    }


def refuse_dependent(region: Region, inner: Any, context: Any, request: dict[str, Any]) -> Any:
    """DeleteSecurityGroup: not while a network interface has the group or another group's rule names it."""
    group = region.ec2.get_security_group_by_name_or_id(request.get("GroupId") or request.get("GroupName") or "")
    if group is not None:
        if group.name == "default":
            raise refuse(
                "CannotDelete", f'the specified group: "{group.id}" name: "default" cannot be deleted by a user'
            )
        if _is_used(region, group):
            raise refuse("DependencyViolation", f"resource {group.id} has a dependent object")
    return inner(context, request)


def _is_used(region: Region, group: SecurityGroup) -> bool:
    if any(group.id in (one.id for one in eni.group_set) for eni in region.ec2.enis.values()):
        return True
    return any(
        rule.source_group.get("GroupId") == group.id
        for groups in region.ec2.groups.values()
        for other in groups.values()
        if other is not group
        for rule in (*other.ingress_rules, *other.egress_rules)
    )
