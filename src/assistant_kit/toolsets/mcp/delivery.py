"""What is known of a request to an MCP server that got no proper answer.

The transports of this package know why a request failed; the SDK hands only a JSON-RPC error to its caller. So the
knowledge travels in the `data` of that error.
"""

from dataclasses import dataclass
from http import HTTPStatus

from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, PARSE_ERROR, REQUEST_TIMEOUT, ErrorData

_KEY = "assistant_kit/delivery"
_SDK_CLOSED = "Connection closed"  # the SDK's own words for a connection that ended under a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`may_have_run`: the server may have acted on the request. `reconnect`: the connection is of no further use.

    `status` is that of an HTTP answer, where there was one.
    """

    may_have_run: bool
    reconnect: bool = False
    status: int | None = None

    @property
    def unreached(self) -> bool:
        """Whether it looks as if the server were not there: no answer at all, or a status that says so."""
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def undelivered(message: str, *, may_have_run: bool, reconnect: bool = False, status: int | None = None) -> ErrorData:
    """Make the error by which a transport tells that a request got no answer of the server itself."""
    marks = {"may_have_run": may_have_run, "reconnect": reconnect, "status": status}
    return ErrorData(code=CONNECTION_CLOSED, message=message, data={_KEY: marks})


def delivery_of(error: MCPError) -> Delivery | None:
    """Tell what became of a request that ended with `error`; None when the server itself has answered."""
    match error.data:
        case {
            "assistant_kit/delivery": {
                "may_have_run": bool() as may_have_run,
                "reconnect": bool() as reconnect,
                "status": int() | None as status,
            }
        }:
            return Delivery(may_have_run=may_have_run, reconnect=reconnect, status=status)
        case _:
            pass
    if error.code == CONNECTION_CLOSED:
        return Delivery(may_have_run=True, reconnect=error.message == _SDK_CLOSED)
    if error.code in (REQUEST_TIMEOUT, PARSE_ERROR):
        return Delivery(may_have_run=True)
    return None
