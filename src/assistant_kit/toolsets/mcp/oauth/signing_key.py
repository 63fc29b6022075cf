"""A private key by which an application proves who it is (private_key_jwt, RFC 7523)."""

from mcp.client.auth.extensions.client_credentials import SignedJWTParameters

from assistant_kit.errors import ConfigurationError, MissingDependency

try:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
except ImportError as _missing:
    raise MissingDependency("cryptography", "encryption") from _missing


class SigningKey:
    """Signs statements of who `client_id` is with a private key in PEM form: `assertion=SigningKey(…)`.

    `algorithm` is what the authorization server has been told: RS256, ES256, … Each statement holds for five minutes
    and for one issuer. Raises ConfigurationError for what is no key.
    """

    def __init__(self, client_id: str, pem: str, *, algorithm: str = "RS256") -> None:
        try:
            load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"SigningKey for {client_id!r}: give an unencrypted private key as PEM") from error
        terms = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=pem, signing_algorithm=algorithm)
        self._client_id = client_id
        self._sign = terms.create_assertion_provider()

    def __repr__(self) -> str:
        return f"SigningKey({self._client_id!r})"

    async def __call__(self, issuer: str) -> str:
        """Return a signed statement for an issuer."""
        return await self._sign(issuer)
