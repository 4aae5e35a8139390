"""Pages of EC2's Describe calls, which moto answers in one piece."""

from collections.abc import Callable
from typing import Any

from .errors import refuse


def paged(member: str, identifiers: str) -> Callable[..., Any]:
    """A correction that cuts the list `member` into pages when the caller asks for it."""

    def correction(region: Any, inner: Any, context: Any, request: dict[str, Any]) -> Any:
        del region
        return page(inner(context, request), member, identifiers, request)

    return correction


def page(result: dict[str, Any], member: str, identifiers: str, request: dict[str, Any]) -> dict[str, Any]:
    """By `MaxResults` (5 to 1000, not together with identifiers) and `NextToken`."""
    size, token = request.get("MaxResults"), request.get("NextToken")
    if size is not None and not 5 <= size <= 1000:
        raise refuse("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    if size is not None and request.get(identifiers):
        raise refuse(
            "InvalidParameterCombination",
            f"The parameter {identifiers} cannot be used with the parameter maxResults",
        )
    if token is not None and not token.isdecimal():
        raise refuse("InvalidNextToken", "The token is not valid")
    start = int(token or 0)
    rest = (result.get(member) or [])[start:]
    if size is None or len(rest) <= size:
        return result | {member: rest}
    return result | {member: rest[:size], "NextToken": str(start + size)}
