"""The services for LocalStack: ELBv2 by this package's operations and moto's for all others, STS by moto."""

from typing import Any

from localstack.aws.api import RequestContext
from localstack.aws.skeleton import DispatchTable, Skeleton
from localstack.aws.spec import load_service
from localstack.services.moto import call_moto
from localstack.services.plugins import Service

from . import listeners, loadbalancers, tags, targetgroups, targets
from .constraints import check
from .interfaces import settle
from .operations import TABLE, Operation
from .state import locked

MODULES = (listeners, loadbalancers, tags, targetgroups, targets)
"""Importing them fills the table."""


def elbv2() -> Service:
    """For LocalStack's registry."""
    table = _moto_table("elbv2") | {name: _serve(function) for name, function in TABLE.items()}
    return Service("elbv2", skeleton=Skeleton(load_service("elbv2"), table))


def sts() -> Service:
    """moto's; LocalStack's own needs Python 3.12."""
    return Service("sts", skeleton=Skeleton(load_service("sts"), _moto_table("sts")))


def _moto_table(service: str) -> DispatchTable:
    return {name: _with_moto for name in load_service(service).operation_names}


def _serve(function: Operation) -> Any:
    def handler(context: RequestContext, request: dict[str, Any]) -> dict[str, Any]:
        check(context.operation.input_shape, request)
        with locked(context.account_id, context.region) as region:
            settle(region)
            return function(region, request)

    return handler


def _with_moto(context: RequestContext, request: dict[str, Any]) -> Any:
    del request
    with locked(context.account_id, context.region):
        return call_moto(context)
