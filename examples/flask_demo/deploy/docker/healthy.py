"""Tells a container engine whether the part that runs here can be used: `healthy.py [VARIABLE] [PATH]`.

VARIABLE has the address that is asked (default: ADMIN_LISTEN), PATH is what is asked for (default: /ready).
"""

import http.client
import os
import sys
from collections.abc import Mapping, Sequence

SECONDS = 4.0


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 when the answer is 200, else 1 and why on standard error."""
    variable, path = [*arguments, *("ADMIN_LISTEN", "/ready")[len(arguments) :]][:2]
    _, _, port = environment.get(variable, "").rpartition(":")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"{variable}={environment.get(variable, '')} does not answer: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {status}", file=sys.stderr)
    return 0 if status == http.client.OK else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ))
