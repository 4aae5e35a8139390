"""Checks requests against the constraints of the service's own description (botocore's service model)."""

import re
from typing import Any

from botocore.model import Shape

from .errors import invalid


def check(shape: Shape, value: Any, path: str = "") -> None:
    """Raises ValidationError where a value breaks a length, range, pattern, enumeration or a required member."""
    if shape.type_name == "structure":
        _check_structure(shape, value, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            check(shape.member, item, f"{path}.{index + 1}.member")
        _check_size(shape, len(value), value, path)
    elif shape.type_name == "string":
        _check_string(shape, value, path)
    elif shape.type_name in ("integer", "long"):
        _check_size(shape, value, value, path)


def _check_structure(shape: Shape, value: dict[str, Any], path: str) -> None:
    for name in shape.required_members:
        if value.get(name) is None:
            raise _broken(None, f"{path}.{name}", "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            check(member, value[name], f"{path}.{name}")


def _check_string(shape: Shape, value: str, path: str) -> None:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        raise _broken(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    # Java's classes of Unicode characters are unknown to Python; tags are all that they are used for.
    if pattern and r"\p" not in pattern and not re.fullmatch(pattern, value):
        raise _broken(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    _check_size(shape, len(value), value, path)


def _check_size(shape: Shape, size: int, value: Any, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    what = "value" if isinstance(value, int) else "length"
    if least is not None and size < least:
        raise _broken(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        raise _broken(value, path, f"Member must have {what} less than or equal to {most}")


def _broken(value: Any, path: str, rule: str) -> Exception:
    name = ".".join(part[:1].lower() + part[1:] for part in path.strip(".").split("."))
    shown = "null" if value is None else f"'{value}'"
    return invalid(
        f"1 validation error detected: Value {shown} at '{name}' failed to satisfy constraint: {rule}"
    )
