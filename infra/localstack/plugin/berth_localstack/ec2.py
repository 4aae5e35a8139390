"""EC2 as moto simulates it, corrected where a provider of load balancers would notice."""

import time
from collections.abc import Callable
from typing import Any

from localstack.aws.api import RequestContext
from localstack.aws.skeleton import DispatchTable

from . import moto_ec2, paging
from .errors import refuse
from .interfaces import ManagedInterface, settle
from .securitygroups import atomically, refuse_dependent
from .state import Region, locked

Handler = Callable[[RequestContext, dict[str, Any]], Any]
Correction = Callable[[Region, Handler, RequestContext, dict[str, Any]], Any]


def correct(table: DispatchTable) -> None:
    """Wraps the operations of LocalStack's EC2; each call holds the account's lock."""
    moto_ec2.patch()
    for name, handler in list(table.items()):
        table[name] = _guarded(handler, CORRECTIONS.get(name))


def _guarded(handler: Handler, correction: Correction | None) -> Handler:
    def guarded(context: RequestContext, request: dict[str, Any]) -> Any:
        with locked(context.account_id, context.region) as region:
            settle(region)
            if correction is None:
                return handler(context, request)
            return correction(region, handler, context, request)

    return guarded


def _create_group(region: Region, inner: Handler, context: RequestContext, request: dict[str, Any]) -> Any:
    result = inner(context, request)
    region.group_born[result["GroupId"]] = time.monotonic()
    return result


def _describe_groups(region: Region, inner: Handler, context: RequestContext, request: dict[str, Any]) -> Any:
    """New groups are not shown yet when the settings say so."""
    result = inner(context, request)
    since = time.monotonic() - region.settings.consistency_ms / 1000
    hidden = {group for group, born in region.group_born.items() if born > since}
    for group in request.get("GroupIds") or []:
        if group in hidden:
            raise refuse("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    shown = [one for one in result.get("SecurityGroups") or [] if one["GroupId"] not in hidden]
    return paging.page(result | {"SecurityGroups": shown}, "SecurityGroups", "GroupIds", request)


def _release(region: Region, inner: Handler, context: RequestContext, request: dict[str, Any]) -> Any:
    """The Elastic IP of a load balancer can be neither released nor taken away."""
    for address in region.ec2.addresses:
        named = (address.allocation_id, address.association_id, address.public_ip)
        wanted = {request.get(key) for key in ("AllocationId", "AssociationId", "PublicIp")} - {None}
        if wanted & set(named) and isinstance(address.eni, ManagedInterface):
            raise refuse("AuthFailure", "You do not have permission to access the specified resource.")
    return inner(context, request)


def _delete_interface(region: Region, inner: Handler, context: RequestContext, request: dict[str, Any]) -> Any:
    interface = region.ec2.enis.get(request.get("NetworkInterfaceId", ""))
    if isinstance(interface, ManagedInterface):
        raise refuse("OperationNotPermitted", "You are not allowed to manage this network interface.")
    return inner(context, request)


CORRECTIONS: dict[str, Correction] = {
    "CreateSecurityGroup": _create_group,
    "DeleteSecurityGroup": refuse_dependent,
    "DescribeSecurityGroups": _describe_groups,
    "AuthorizeSecurityGroupIngress": atomically,
    "AuthorizeSecurityGroupEgress": atomically,
    "RevokeSecurityGroupIngress": atomically,
    "RevokeSecurityGroupEgress": atomically,
    "ReleaseAddress": _release,
    "AssociateAddress": _release,
    "DisassociateAddress": _release,
    "DeleteNetworkInterface": _delete_interface,
    "DetachNetworkInterface": _delete_interface,
    "ModifyNetworkInterfaceAttribute": _delete_interface,
    "DescribeSecurityGroupRules": paging.paged("SecurityGroupRules", "SecurityGroupRuleIds"),
    "DescribeNetworkInterfaces": paging.paged("NetworkInterfaces", "NetworkInterfaceIds"),
    "DescribeSubnets": paging.paged("Subnets", "SubnetIds"),
    "DescribeRouteTables": paging.paged("RouteTables", "RouteTableIds"),
}
