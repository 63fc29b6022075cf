"""All recognisers that come along, in the order in which they win where two find the same."""

from functools import cache

from assistant_kit.maskers.rules.network import email, ipv4, ipv6, login
from assistant_kit.maskers.rules.numbers import card, german_tax_id, iban, us_social_security
from assistant_kit.maskers.rules.phones import north_american_phone, phone
from assistant_kit.maskers.rules.recogniser import Recogniser
from assistant_kit.maskers.rules.secrets import api_key, bearer, jwt, named_secret, private_key


@cache
def standard() -> tuple[Recogniser, ...]:
    """Return all recognisers that come along."""
    return (
        private_key(),
        jwt(),
        api_key(),
        login(),
        bearer(),
        named_secret(),
        email(),
        iban(),
        card(),
        us_social_security(),
        german_tax_id(),
        phone(),
        north_american_phone(),
        ipv4(),
        ipv6(),
    )
