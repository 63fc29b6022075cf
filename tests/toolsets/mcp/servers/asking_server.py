"""A low-level server of the SDK, in this process, that asks back, and has resources and prompts; for both generations.

What it asks for is the name of the tool that is called, and the answer is the text of the result.
"""

import warnings
from typing import Any

from mcp import MCPError
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.shared.subscriptions import ResourceUpdated
from mcp.types import (
    INVALID_PARAMS,
    URL_ELICITATION_REQUIRED,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListRootsRequest,
    ListRootsResult,
    ListToolsResult,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    Tool,
)

MODERN = "2026-07-28"
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "nights": {"type": "integer", "default": 1, "maximum": 30}},
    "required": ["name"],
}
Context = ServerRequestContext[Any, Any]
Request = ElicitRequest | CreateMessageRequest | ListRootsRequest


class AskingServer:
    """`sampling` is what it asks a model, `page` the page to open, `log` what it writes to its log.

    `seen` are the methods that were called, `levels` the levels of its log that were asked for.
    """

    def __init__(self) -> None:
        self.page = "https://pay.example/1"
        self.pages: Any = {
            "elicitations": [{"mode": "url", "message": "Pay", "url": self.page, "elicitationId": "e1"}],
        }
        self.form = FORM
        self.log: Any = "hello"
        self.sampling: dict[str, Any] = {
            "messages": [{"role": "user", "content": {"type": "text", "text": "how many?"}}],
            "maxTokens": 5000,
        }
        self.levels: list[str] = []
        self.seen: list[str] = []
        self.refused: MCPError | None = None
        self.endless = False
        self.bus = InMemorySubscriptionBus()
        self.sessions: dict[str, Any] = {}
        with warnings.catch_warnings():
            # A log is what older servers still have.
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            self.server: Server[Any] = Server(  # pyright: ignore[reportDeprecated]  (its log is)
                "asking",
                on_list_tools=self.list_tools,
                on_call_tool=self.call_tool,
                on_list_resources=self.list_resources,
                on_list_resource_templates=self.list_templates,
                on_read_resource=self.read_resource,
                on_subscribe_resource=self.subscribe,
                on_subscriptions_listen=ListenHandler(self.bus),
                on_list_prompts=self.list_prompts,
                on_get_prompt=self.get_prompt,
                on_completion=self.complete,
                on_set_logging_level=self.set_level,
            )

    def request(self, name: str) -> Request:
        match name:
            case "form":
                return ElicitRequest(params=ElicitRequestFormParams(message="Who?", requested_schema=self.form))
            case "page":
                return ElicitRequest(params=ElicitRequestURLParams(message="Pay", url=self.page, elicitation_id="e1"))
            case "think":
                params = CreateMessageRequestParams.model_validate(self.sampling, by_name=False)
                return CreateMessageRequest(params=params)
            case _:
                return ListRootsRequest()

    async def list_tools(self, _: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
        names = ("form", "page", "think", "folders", "again", "later", "speak", "pay")
        return ListToolsResult(tools=[Tool(name=name, input_schema={"type": "object"}) for name in names])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        self.seen.append(params.name)
        if params.name == "speak":
            await context.session.send_notification(
                LoggingMessageNotification(
                    params=LoggingMessageNotificationParams(level="warning", logger="l1", data=self.log)
                ),
                related_request_id=context.request_id,
            )
            return text("spoken")
        if params.name == "pay":
            raise MCPError(URL_ELICITATION_REQUIRED, "pay first", self.pages)
        if params.name == "later":
            return text("now") if params.request_state else InputRequiredResult(request_state="s1")
        request = self.request(params.name)
        if context.protocol_version != MODERN:
            results = {"form": ElicitResult, "page": ElicitResult, "think": CreateMessageResult}
            kind = results.get(params.name, ListRootsResult)
            answer = await context.session.send_request(request, kind)
            return text(answer.model_dump_json(exclude_none=True, by_alias=True))
        if params.input_responses and params.name != "again":
            assert params.request_state == "s1"
            answer = params.input_responses["q"]
            return text(answer.model_dump_json(exclude_none=True, by_alias=True))
        return InputRequiredResult(input_requests={"q": request}, request_state="s1")

    async def list_resources(self, _: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        self.seen.append("resources")
        if self.refused is not None:
            raise self.refused
        second = params is not None and params.cursor is not None
        one = Resource(uri="note://2" if second else "note://1", name="n", title="Note", mime_type="text/plain", size=2)
        return ListResourcesResult(resources=[one], next_cursor="2" if not second or self.endless else None)

    async def list_templates(self, _: Context, _params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(
            resource_templates=[ResourceTemplate(uri_template="note://{id}", name="notes", description="All notes")]
        )

    async def read_resource(self, _: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        if params.uri != "note://1":
            raise MCPError(INVALID_PARAMS, "no such note")
        return ReadResourceResult(
            contents=[
                TextResourceContents(uri=params.uri, text="hi"),
                BlobResourceContents(uri="note://1/picture", blob="aGk=", mime_type="image/png"),
            ]
        )

    async def subscribe(self, context: Context, params: SubscribeRequestParams) -> EmptyResult:
        if params.uri == "note://none":
            raise MCPError(INVALID_PARAMS, "no such note")
        self.sessions[params.uri] = context.session
        return EmptyResult()

    async def touch(self, uri: str) -> None:
        """Say that a resource is another, in either generation."""
        await self.bus.publish(ResourceUpdated(uri))
        if uri in self.sessions:
            await self.sessions[uri].send_resource_updated(uri)

    async def list_prompts(self, _: Context, _params: PaginatedRequestParams | None) -> ListPromptsResult:
        place = PromptArgument(name="city", description="Where", required=True)
        return ListPromptsResult(prompts=[Prompt(name="trip", title="A trip", arguments=[place]), Prompt(name="bare")])

    async def get_prompt(self, _: Context, params: GetPromptRequestParams) -> GetPromptResult:
        words = TextContent(type="text", text=f"{params.name} to {(params.arguments or {}).get('city')}")
        return GetPromptResult(messages=[PromptMessage(role="user", content=words)])

    async def complete(self, _: Context, params: CompleteRequestParams) -> CompleteResult:
        known = "" if params.context is None else str(params.context.arguments)
        return CompleteResult(completion=Completion(values=[f"{params.ref.type} {params.argument.value}…{known}"]))

    async def set_level(self, _: Context, params: SetLevelRequestParams) -> EmptyResult:
        self.levels.append(params.level)
        return EmptyResult()


def text(words: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=words)])
