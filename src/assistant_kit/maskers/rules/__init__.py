"""A masker of rules: it finds values by their form and their check digits, and knows no names and no meaning."""

from assistant_kit.maskers.rules.masker import RuleMasker
from assistant_kit.maskers.rules.network import email, ipv4, ipv6, login
from assistant_kit.maskers.rules.numbers import card, german_tax_id, iban, us_social_security
from assistant_kit.maskers.rules.pattern import Pattern
from assistant_kit.maskers.rules.phones import north_american_phone, phone
from assistant_kit.maskers.rules.recogniser import Recogniser
from assistant_kit.maskers.rules.secrets import api_key, bearer, jwt, named_secret, private_key
from assistant_kit.maskers.rules.standard import standard

__all__ = [
    "Pattern",
    "Recogniser",
    "RuleMasker",
    "api_key",
    "bearer",
    "card",
    "email",
    "german_tax_id",
    "iban",
    "ipv4",
    "ipv6",
    "jwt",
    "login",
    "named_secret",
    "north_american_phone",
    "phone",
    "private_key",
    "standard",
    "us_social_security",
]
