"""The list of a server's tools: read when it is needed, asked again when it is old, and kept while that fails."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import inf

import anyio
from pydantic_core import from_json

from assistant_kit.errors import ToolsetError
from assistant_kit.messages import Json
from assistant_kit.protocols.toolset import Offering, ToolsetHealth
from assistant_kit.toolsets._availability import Availability, CannotReach
from assistant_kit.toolsets._definitions import Terms, misspelt, not_as_approved
from assistant_kit.toolsets.http_tools.definitions import Listing, MalformedListing, read_listing
from assistant_kit.toolsets.http_tools.offers import Catalog, catalog
from assistant_kit.toolsets.http_tools.verdicts import Reply
from assistant_kit.toolsets.http_tools.wire import DISCOVER, Broken, Unreachable, Wire

_log = logging.getLogger("assistant_kit.tools")
_ADVICE = "look whether the server runs, and whether it serves GET /mcp/discover there"
_VALIDATORS = {"etag": "if-none-match", "last-modified": "if-modified-since"}
"""Headers of an answer, and by which header of a request they are given back (RFC 9110, 13.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """When the list is read: it counts for `ttl` seconds; reading it may take `timeout` seconds."""

    ttl: float
    timeout: float


@dataclass(slots=True, kw_only=True)
class _Kept:
    """A list as it was read last. `until` is when it is asked again, `validators` what the request then bears."""

    catalog: Catalog
    validators: Mapping[str, str]
    notes: tuple[str, ...]
    until: float


class Discovery:
    """The tools that one user of a server is offered; `user` is None for all users alike.

    With `required`, a list that cannot be read again goes on to count; without, its tools are missing until it can.
    """

    def __init__(
        self, name: str, wire: Wire, terms: Terms, rhythm: Rhythm, *, user: str | None, required: bool
    ) -> None:
        """Take what it needs; nothing is asked yet. `name` is the toolset's in errors."""
        self._name = name
        self._wire = wire
        self._terms = terms
        self._rhythm = rhythm
        self._user = user
        self._required = required
        self._availability = Availability(name, self._first)
        self._reading = anyio.Lock()
        self._last: _Kept | None = None
        self._doubted = False

    async def catalog(self) -> Catalog:
        """Return the tools: the same object while nothing has changed. Raises ToolsetError when there are none."""
        kept = await self._availability.get()
        if not self._is_old(kept):
            return kept.catalog
        if not self._required:
            self._availability.forget()  # whether it is there is found out, as at first
            return (await self._availability.get()).catalog
        async with self._reading:
            if self._is_old(kept):
                await self._renew(kept)
        return kept.catalog

    async def offering(self) -> Offering:
        """Return the tools on offer, or why there are none. Raises ToolsetError if the server is required."""
        down = self._availability.down
        if not self._required and down is not None and self._availability.peek() is None:
            return Offering(tools=(), unavailable=down)  # tried again meanwhile, and nobody waits for it
        try:
            return Offering(tools=(await self.catalog()).specs)
        except ToolsetError as error:
            if self._required:
                raise
            return Offering(tools=(), unavailable=self._availability.down or str(error))

    async def reread(self, seen: Catalog) -> Catalog:
        """Ask the server whether its tools are still those that were `seen`. Raises ToolsetError."""
        kept = await self._availability.get()
        async with self._reading:
            if kept.catalog is seen:  # otherwise somebody has asked meanwhile
                try:
                    await self._read(kept)
                except CannotReach as error:
                    raise ToolsetError(self._name, str(error)) from error
        return kept.catalog

    def doubt(self) -> None:
        """Ask the server at the next need, whatever the age of the list: a call has not reached it."""
        self._doubted = True

    def health(self) -> ToolsetHealth:
        """Return how the server fares, as far as is known."""
        kept, down = self._availability.value, self._availability.down
        wait = self._availability.standing.wait(anyio.current_time()) if down is not None else 0.0
        return ToolsetHealth(
            toolset=self._name,
            available=down is None,
            reason=down or "",
            retry_in=wait or None,
            notes=() if kept is None else kept.notes,
        )

    async def aclose(self) -> None:
        """End an attempt that is under way."""
        await self._availability.aclose()

    def _is_old(self, kept: _Kept) -> bool:
        return self._doubted or anyio.current_time() >= kept.until

    async def _first(self) -> _Kept:
        kept = self._last or _Kept(catalog=Catalog(), validators={}, notes=(), until=-inf)
        await self._read(kept)
        wrong = self._wrong(kept.catalog) if self._last is None else ""
        if wrong:
            raise CannotReach(wrong)
        self._last = kept
        return kept

    def _wrong(self, found: Catalog) -> str:
        """Say what is wrong with the tools at first sight; later on what was changed is left out, with a note."""
        offered = {name: offer.definition.name for name, offer in found.offers.items()}
        names = "" if self._wire.per_user else misspelt(self._terms, offered)
        return names or not_as_approved(offer.refusal for offer in found.offers.values())

    async def _renew(self, kept: _Kept) -> None:
        try:
            await self._read(kept)
        except CannotReach as error:
            kept.until = anyio.current_time() + self._rhythm.ttl
            _log.warning("%s: %s; the tools that were read before go on to count", self._name, error)

    async def _read(self, kept: _Kept) -> None:
        """Bring a list up to date. Raises CannotReach."""
        self._doubted = False
        reply = await self._reply(kept.validators)
        kept.until = anyio.current_time() + self._rhythm.ttl
        if reply.status == HTTPStatus.NOT_MODIFIED and kept.validators:
            return
        listing = _listing(reply)
        found = catalog(listing.definitions, self._terms)
        notes = (*listing.notes, *(offer.refusal.words for offer in found.offers.values() if offer.refusal is not None))
        for note in set(notes).difference(kept.notes):
            _log.warning("%s: %s", self._name, note)
        kept.notes = notes
        kept.validators = {asked: reply.headers[told] for told, asked in _VALIDATORS.items() if told in reply.headers}
        if found != kept.catalog:
            kept.catalog = found

    async def _reply(self, validators: Mapping[str, str]) -> Reply:
        try:
            with anyio.fail_after(self._rhythm.timeout):
                return await self._wire.get(DISCOVER, user=self._user, headers=validators)
        except TimeoutError as error:
            raise CannotReach(f"no answer within connect_timeout={self._rhythm.timeout:g} s; {_ADVICE}") from error
        except (Unreachable, Broken) as error:
            raise CannotReach(f"the list of tools cannot be read: {error}; {_ADVICE}") from error


def _listing(reply: Reply) -> Listing:
    if reply.status != HTTPStatus.OK:
        raise CannotReach(f"the list of tools cannot be read: it answers {reply.status}; {_ADVICE}")
    try:
        document: Json = from_json(reply.body)
        return read_listing(document)
    except (ValueError, MalformedListing) as error:
        raise CannotReach(f"what it answers to GET /mcp/discover is no list of tools; {_ADVICE}") from error
