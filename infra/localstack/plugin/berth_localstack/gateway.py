"""What happens to every call before and after the service: record, latency, faults."""

import time
from typing import Any

from localstack.aws import handlers
from localstack.aws.api import RequestContext
from localstack.aws.chain import HandlerChain
from localstack.aws.protocol.serializer import create_serializer
from localstack.http import Response
from rolo.serving import twisted as serving
from twisted.internet import reactor

from . import calls, faults
from .errors import refuse
from .state import settings

CONNECTION = "berth.connection"
BY_HAND = "app/by-hand"
"""In the user agent of calls that a test makes for itself: they meet no fault and no latency and are not recorded."""


def install() -> None:
    """Adds the handlers to LocalStack's chain."""
    handlers.serve_custom_service_request_handlers.append(before)
    handlers.run_custom_response_handlers.append(after)
    _keep_connections()


def before(chain: HandlerChain, context: RequestContext, response: Response) -> None:
    """Raises the error of a fault, or closes the connection, before the service sees the call."""
    del response
    if context.service is None or context.operation is None:
        return
    if BY_HAND in context.request.headers.get("User-Agent", ""):
        return
    service, operation = context.service.service_name, context.operation.name
    call = calls.Call(service, operation, dict(context.service_request or {}))
    context.berth_call = call
    calls.record(context.account_id, call)
    latency = settings[context.account_id].latency_ms if context.account_id in settings else 0
    fault = faults.find(context.account_id, service, operation)
    context.berth_fault = fault if fault and fault.after else None
    if fault is not None and not fault.after:
        latency += fault.delay_ms
    if latency:
        time.sleep(latency / 1000)
    if fault is None or fault.after:
        return
    if fault.disconnect:
        call.outcome = "disconnected"
        _disconnect(context)
        chain.terminate()
    elif error := fault.error(service):
        code, status, message = error
        raise refuse(code, message, status)


def after(chain: HandlerChain, context: RequestContext, response: Response) -> None:
    """Replaces or delays the answer of a call that has taken effect."""
    del chain
    call: calls.Call | None = context.get("berth_call")
    if call is None:
        return
    fault: faults.Fault | None = context.get("berth_fault")
    if fault is not None:
        time.sleep(fault.delay_ms / 1000)
        if fault.disconnect:
            call.outcome = "disconnected"
            _disconnect(context)
            return
        if error := fault.error(call.service):
            code, status, message = error
            context.service_exception = refuse(code, message, status)
            serializer = create_serializer(context.service, context.protocol)
            response.update_from(
                serializer.serialize_error_to_response(
                    context.service_exception, context.operation, context.request.headers, context.request_id
                )
            )
    if context.service_exception is not None:
        call.outcome = context.service_exception.code
    elif response.status_code >= 400:
        call.outcome = str(response.status_code)


def _keep_connections() -> None:
    """LocalStack hides the connection from its handlers, which need it to close it."""
    inner = serving.update_wsgi_environment

    def update(environ: dict[str, Any], request: Any) -> None:
        inner(environ, request)
        environ[CONNECTION] = request

    serving.update_wsgi_environment = update


def _disconnect(context: RequestContext) -> None:
    request = context.request.environ[CONNECTION]
    reactor.callFromThread(request.channel.forceAbortClient)
