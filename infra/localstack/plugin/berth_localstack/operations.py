"""The table of operations that this package serves, and what they share: paging, tags, look-ups."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .errors import invalid, refuse
from .state import Listener, LoadBalancer, Region, Resource, TargetGroup

Request = dict[str, Any]
Operation = Callable[[Region, Request], dict[str, Any]]
Some = TypeVar("Some", bound=Resource)

TABLE: dict[str, Operation] = {}
"""By the API's names; whatever is not here is moto's."""


def operation(name: str) -> Callable[[Operation], Operation]:
    """Enters a function in the table."""

    def enter(function: Operation) -> Operation:
        TABLE[name] = function
        return function

    return enter


def balancer_of(region: Region, arn: str | None) -> LoadBalancer:
    """Raises LoadBalancerNotFound."""
    found = region.load_balancers.get(arn or "")
    if found is None:
        raise refuse("LoadBalancerNotFound", f"Load balancer '{arn}' not found")
    return found


def group_of(region: Region, arn: str | None) -> TargetGroup:
    """Raises TargetGroupNotFound."""
    found = region.target_groups.get(arn or "")
    if found is None:
        raise refuse("TargetGroupNotFound", f"Target group '{arn}' not found")
    return found


def listener_of(region: Region, arn: str | None) -> Listener:
    """Raises ListenerNotFound."""
    found = region.listeners.get(arn or "")
    if found is None:
        raise refuse("ListenerNotFound", f"Listener '{arn}' not found")
    return found


def page(resources: Iterable[Some], request: Request) -> tuple[list[Some], dict[str, str]]:
    """One page by `Marker` and `PageSize` (400 at most, and the default), and what to say of the next one."""
    after = request.get("Marker") or "0"
    if not after.isdecimal():
        raise invalid(f"Marker '{after}' is not valid")
    rest = [one for one in resources if one.sequence > int(after)]
    size = request.get("PageSize") or 400
    if len(rest) <= size:
        return rest, {}
    return rest[:size], {"NextMarker": str(rest[size - 1].sequence)}


def tags_of(request: Request) -> dict[str, str]:
    """The tags of a create call. Raises DuplicateTagKeys and TooManyTags."""
    return merged_tags({}, request.get("Tags") or [])


def merged_tags(present: dict[str, str], wanted: list[dict[str, str]]) -> dict[str, str]:
    """Tags after AddTags. Raises DuplicateTagKeys, TooManyTags (50) and ValidationError for AWS's own prefix."""
    keys = [tag["Key"] for tag in wanted]
    if len(set(keys)) < len(keys):
        raise refuse("DuplicateTagKeys", "Tag keys must be unique")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("aws: prefixed tag key names are not allowed for external use.")
    after = present | {tag["Key"]: tag.get("Value") or "" for tag in wanted}
    if len(after) > 50:
        raise refuse("TooManyTags", "The maximum number of tags per resource is 50")
    return after


def check_name(what: str, name: str) -> None:
    """Raises ValidationError: 32 letters, digits and hyphens at most, no hyphen at either end."""
    if len(name) > 32:
        raise invalid(f"{what} name '{name}' cannot be longer than '32' characters")
    if not name or not all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in name):
        raise invalid(f"{what} name '{name}' can only contain alphanumeric characters and hyphens(-)")
    if name.startswith("-") or name.endswith("-"):
        raise invalid(f"{what} name '{name}' cannot begin or end with a hyphen(-)")
