"""Tags of load balancers, target groups and listeners."""

from typing import Any

from .errors import invalid, refuse
from .operations import Request, balancer_of, group_of, listener_of, merged_tags, operation
from .state import Region, Resource


def _resources(region: Region, arns: list[str]) -> list[Resource]:
    """Raises the not-found error of the first one that does not exist."""
    if len(arns) > 20:
        raise invalid("The maximum number of resource ARNs per call is 20")
    finders = {"loadbalancer": balancer_of, "targetgroup": group_of, "listener": listener_of}
    found: list[Resource] = []
    for arn in arns:
        kind = arn.split(":")[-1].split("/")[0]
        if kind not in finders:
            raise invalid(f"'{arn}' is not a valid resource ARN")
        found.append(finders[kind](region, arn))
    return found


@operation("AddTags")
def add(region: Region, request: Request) -> dict[str, Any]:
    """To all of the resources or none."""
    resources = _resources(region, request["ResourceArns"])
    after = [merged_tags(one.tags, request["Tags"]) for one in resources]
    for resource, tags in zip(resources, after, strict=True):
        resource.tags = tags
    return {}


@operation("RemoveTags")
def remove(region: Region, request: Request) -> dict[str, Any]:
    """Keys that are not there are no error."""
    for resource in _resources(region, request["ResourceArns"]):
        resource.tags = {key: value for key, value in resource.tags.items() if key not in request["TagKeys"]}
    return {}


@operation("DescribeTags")
def describe(region: Region, request: Request) -> dict[str, Any]:
    """Of 20 resources at most; an unknown one fails the call."""
    resources = _resources(region, request["ResourceArns"])
    if not all(region.is_visible(one) for one in resources):
        raise refuse("LoadBalancerNotFound", "One or more resources not found")
    return {
        "TagDescriptions": [
            {"ResourceArn": one.arn, "Tags": [{"Key": key, "Value": value} for key, value in one.tags.items()]}
            for one in resources
        ]
    }
