"""The endpoint for tests: `/_berth/ACCOUNT/...`, JSON in and out."""

from typing import Any

from localstack.http import Request, Response, route
from localstack.services.edge import ROUTER

from . import calls, faults, state


def install() -> None:
    """Adds the routes to LocalStack's gateway."""
    ROUTER.add(Control())


class Control:
    """Everything is per account, so that tests can run side by side."""

    @route("/_berth/ready", methods=["GET"])
    def ready(self, request: Request) -> dict[str, Any]:
        """Answers as soon as calls are served."""
        del request
        return {"ready": True}

    @route("/_berth/operations", methods=["GET"])
    def operations(self, request: Request) -> dict[str, Any]:
        """What was ever called in any account."""
        del request
        return {"operations": calls.operations()}

    @route("/_berth/<account>/reset", methods=["POST"])
    def reset(self, request: Request, account: str) -> dict[str, Any]:
        """Forgets resources, settings, faults and calls."""
        del request
        state.reset(account)
        faults.remove(account)
        calls.forget(account)
        return {}

    @route("/_berth/<account>/settings", methods=["GET", "PATCH"])
    def settings(self, request: Request, account: str) -> dict[str, Any] | Response:
        """Shows the settings, after changing those that are given."""
        try:
            if request.method == "PATCH":
                state.settings[account].change(request.get_json(force=True))
        except KeyError as error:
            return Response(str(error), 400)
        return state.settings[account].as_json()

    @route("/_berth/<account>/faults", methods=["GET", "POST", "DELETE"])
    def faults(self, request: Request, account: str) -> dict[str, Any] | Response:
        """Adds a fault, removes all, or one by `?id=`, or shows how often each struck."""
        if request.method == "POST":
            try:
                return {"id": faults.add(account, request.get_json(force=True))}
            except (KeyError, TypeError) as error:
                return Response(str(error), 400)
        if request.method == "DELETE":
            faults.remove(account, request.args.get("id", type=int))
        return {"faults": faults.described(account)}

    @route("/_berth/<account>/calls", methods=["GET", "DELETE"])
    def calls(self, request: Request, account: str) -> dict[str, Any]:
        """Counts by operation, with `?list=1` every call, or forgets them."""
        if request.method == "DELETE":
            calls.forget(account)
        if request.args.get("list"):
            return {"calls": [call.as_json() for call in calls.of(account)]}
        return {"counts": calls.counts(account)}
