"""By what the certificate of a server is checked, and which certificate it is shown in turn."""

import ssl
from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias

import httpx2

from assistant_kit.errors import ConfigurationError

Verify: TypeAlias = Literal[True] | ssl.SSLContext | Callable[[], ssl.SSLContext]
"""True: the authorities of this machine. A context: those that it trusts, and the certificate that it holds. A function
that makes one is called when a toolset connects, so that a renewed certificate is read from its file."""


def checked(verify: object, *, where: str) -> None:
    """See that this is a `Verify`. Raises ConfigurationError: a server that is not checked may be anybody."""
    if verify is not True and not isinstance(verify, ssl.SSLContext) and not callable(verify):
        raise ConfigurationError(
            f"{where}: verify= is an ssl.SSLContext, a function that makes one, or True: to trust a certificate "
            "authority of your own, give ssl.create_default_context(cafile=…)"
        )


def context_of(verify: Verify | None = None) -> ssl.SSLContext:
    """Return the context to connect with. Raises what the function of the application raises."""
    if verify is None or verify is True:
        return _of_this_machine()
    return verify if isinstance(verify, ssl.SSLContext) else verify()


@cache
def _of_this_machine() -> ssl.SSLContext:
    """Read the certificates of this machine, once: it takes up to a tenth of a second."""
    return httpx2.create_ssl_context()
