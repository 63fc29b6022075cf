"""What an MCP server has beside tools: resources, prompts, completions."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias, TypeVar

import anyio
from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND, PromptReference, ResourceTemplateReference
from pydantic import ValidationError

from assistant_kit.errors import ToolsetError
from assistant_kit.messages import Part
from assistant_kit.toolsets.mcp.connections import Connection
from assistant_kit.toolsets.mcp.delivery import delivery_of
from assistant_kit.toolsets.mcp.link import Link
from assistant_kit.toolsets.mcp.results import content_part, resource_part
from assistant_kit.toolsets.mcp.updates import watching

MOST_PAGES = 1000

T = TypeVar("T")
Use: TypeAlias = Callable[[], AbstractContextManager[Connection]]
"""Gives the connection, which is kept while the block lasts. Raises Left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Something that can be read; `size` is in bytes. All of it is the server's word."""

    uri: str
    name: str
    description: str = ""
    media_type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceTemplate:
    """A family of resources: `uri_template` becomes an address when its variables are filled in (RFC 6570)."""

    uri_template: str
    name: str
    description: str = ""
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptArgument:
    """A place in a prompt that has to be filled in, or may be."""

    name: str
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text that a server keeps ready for a person to choose."""

    name: str
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMessage:
    """One message of a prompt."""

    role: Literal["user", "assistant"]
    content: Part


class MCPFeatures:
    """What one server has beside tools, over the connection of a user: `server.features(user)`.

    Each request takes at most `timeout` seconds, and is sent once more over a new connection when the server turns out
    to have ended: it only reads. Raises ToolsetError. What a server does not have is an empty list.
    """

    def __init__(self, name: str, use: Use, timeout: float) -> None:
        self._name = name
        self._use = use
        self._timeout = timeout

    async def resources(self) -> list[Resource]:
        """Return what can be read."""

        async def read(client: Client, cursor: str | None) -> tuple[list[Resource], str | None]:
            page = await client.list_resources(cursor=cursor)
            found = [
                Resource(
                    uri=one.uri,
                    name=one.title or one.name,
                    description=one.description or "",
                    media_type=one.mime_type,
                    size=one.size,
                )
                for one in page.resources
            ]
            return found, page.next_cursor

        return await self._pages(read)

    async def templates(self) -> list[ResourceTemplate]:
        """Return the families of what can be read."""

        async def read(client: Client, cursor: str | None) -> tuple[list[ResourceTemplate], str | None]:
            page = await client.list_resource_templates(cursor=cursor)
            found = [
                ResourceTemplate(
                    uri_template=one.uri_template,
                    name=one.title or one.name,
                    description=one.description or "",
                    media_type=one.mime_type,
                )
                for one in page.resource_templates
            ]
            return found, page.next_cursor

        return await self._pages(read)

    async def read(self, uri: str) -> tuple[Part, ...]:
        """Return the contents of a resource, as parts of a message: `ask([*parts, "What does it say?"])`."""

        async def read(client: Client) -> tuple[Part, ...]:
            result = await client.read_resource(uri)
            return tuple(resource_part(contents) for contents in result.contents)

        return await self._ask(read)

    @asynccontextmanager
    async def watch(self, *uris: str) -> AsyncGenerator[AsyncGenerator[str]]:
        """Tell of changes inside the block: `async with features.watch(uri) as changes: async for uri in changes`.

        Each address comes once at the begin, and whenever its resource may be another: read it then. The iteration
        ends when the connection does; changes that come close together are one.
        """
        with self._use() as connection:
            link, opened = await connection.get(), False
            try:
                with anyio.fail_after(self._timeout) as scope:
                    async with watching(link, uris) as changes, aclosing(changes):
                        scope.deadline, opened = inf, True
                        yield changes
            except (MCPError, TimeoutError) as error:
                if opened:  # then it comes from the block
                    raise
                raise self._problem(error) from error

    async def prompts(self) -> list[Prompt]:
        """Return the texts that are kept ready."""

        async def read(client: Client, cursor: str | None) -> tuple[list[Prompt], str | None]:
            page = await client.list_prompts(cursor=cursor)
            found = [
                Prompt(
                    name=one.name,
                    description=one.description or one.title or "",
                    arguments=tuple(
                        PromptArgument(
                            name=argument.name,
                            description=argument.description or "",
                            required=bool(argument.required),
                        )
                        for argument in one.arguments or ()
                    ),
                )
                for one in page.prompts
            ]
            return found, page.next_cursor

        return await self._pages(read)

    async def prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> tuple[PromptMessage, ...]:
        """Return the messages of a prompt with its places filled in."""

        async def read(client: Client) -> tuple[PromptMessage, ...]:
            result = await client.get_prompt(name, dict(arguments or {}))
            return tuple(PromptMessage(role=one.role, content=content_part(one.content)) for one in result.messages)

        return await self._ask(read)

    async def complete(
        self,
        of: Prompt | ResourceTemplate,
        argument: str,
        value: str,
        *,
        others: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """Return what the begin `value` of an argument may become; `others` are arguments that are known already."""
        reference = (
            PromptReference(type="ref/prompt", name=of.name)
            if isinstance(of, Prompt)
            else ResourceTemplateReference(type="ref/resource", uri=of.uri_template)
        )

        async def ask(client: Client) -> tuple[str, ...]:
            known = dict(others) if others else None
            result = await client.complete(reference, {"name": argument, "value": value}, known)
            return tuple(result.completion.values)

        return await self._ask(ask)

    async def _pages(self, read: Callable[[Client, str | None], Awaitable[tuple[list[T], str | None]]]) -> list[T]:
        async def all_pages(client: Client) -> list[T]:
            found: list[T] = []
            cursor: str | None = None
            seen: set[str | None] = set()
            while cursor not in seen and len(seen) < MOST_PAGES:  # servers exist whose pages never end
                seen.add(cursor)
                try:
                    page, cursor = await read(client, cursor)
                except MCPError as error:
                    if error.code == METHOD_NOT_FOUND:
                        return found
                    raise
                found += page
                if not cursor:
                    return found
            return found

        return await self._ask(all_pages)

    async def _ask(self, ask: Callable[[Client], Awaitable[T]]) -> T:
        with self._use() as connection:
            link = await connection.get()
            try:
                return await self._asked(link, ask)
            except MCPError as error:
                delivery = delivery_of(error)
                if delivery is None or not delivery.reconnect:
                    raise self._problem(error) from error
                link.close()
            try:
                return await self._asked(await connection.get(), ask)
            except MCPError as error:
                raise self._problem(error) from error

    async def _asked(self, link: Link, ask: Callable[[Client], Awaitable[T]]) -> T:
        try:
            with anyio.fail_after(self._timeout):
                answer = await ask(link.client)
        except (TimeoutError, ValidationError, RuntimeError) as error:  # RuntimeError: the SDK's, after too many rounds
            raise self._problem(error) from error
        link.served = True
        return answer

    def _problem(self, error: Exception) -> ToolsetError:
        match error:
            case MCPError():
                words = error.message
            case TimeoutError():
                words = f"no answer within {self._timeout:g} s"
            case _:
                words = f"what it answers does not follow the protocol: {type(error).__name__}"
        return ToolsetError(self._name, words)
