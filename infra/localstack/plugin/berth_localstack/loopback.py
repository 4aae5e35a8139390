"""How LocalStack listens: on loopback, where it would take every interface whatever GATEWAY_LISTEN says, without TLS."""

import functools
from typing import Any

from localstack.runtime.runtime import LocalstackRuntime
from localstack.runtime.server import twisted as server


def install() -> None:
    """To be called before the gateway listens."""
    server.endpoints.TCP4ServerEndpoint = functools.partial(
        server.endpoints.TCP4ServerEndpoint, interface="127.0.0.1", backlog=512
    )
    LocalstackRuntime._init_gateway_server = _listen


def _listen(self: Any) -> None:
    """Spares a new certificate at every start."""
    self.components.runtime_server.register(self.components.gateway, self.config.GATEWAY_LISTEN)
