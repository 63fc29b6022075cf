"""Never fewer than the tokens of a text, without a vocabulary."""


class UpperBound:
    """Counts the bytes of a text in UTF-8.

    Byte-level BPE, which OpenAI's and most open models use, makes each token of one byte or more, so there are never
    more tokens than bytes. English takes about 4 bytes a token, so the bound is that much too high; scripts that need
    3 bytes a character are bounded more tightly. Not a bound for tokenizers that add text of their own, such as
    a leading space: that is one token for each message, which the framing of messages covers.
    """

    name = "upper_bound"

    @property
    def current(self) -> "UpperBound":
        """This counter: it never changes."""
        return self

    def count(self, text: str) -> int:
        """Return the number of UTF-8 bytes; a lone surrogate counts as three."""
        return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
