"""Items as the SDK makes them, and any other ones."""

from typing import Any

from hypothesis import strategies as st

Item = dict[str, Any]

NO_TEXT = st.characters(blacklist_categories=("Cs",))
TEXTS = st.text(NO_TEXT, max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def user(text: str) -> Item:
    return {"content": text, "role": "user"}


def message(text: str, number: int = 1) -> Item:
    content: list[Item] = [{"annotations": [], "text": text, "type": "output_text", "logprobs": []}]
    return {"id": f"msg_{number}", "content": content, "role": "assistant", "status": "completed", "type": "message"}


def call(call_id: str = "call_1", name: str = "weather", arguments: str = '{"city":"Oslo"}') -> Item:
    return {
        "arguments": arguments,
        "call_id": call_id,
        "name": name,
        "type": "function_call",
        "id": f"fc_{call_id}",
        "status": "completed",
    }


def result(call_id: str = "call_1", output: Any = "sunny") -> Item:
    return {"call_id": call_id, "output": output, "type": "function_call_output"}


def reasoning(*, sealed: bool = True) -> Item:
    item = {"id": "rs_1", "summary": [{"text": "I think", "type": "summary_text"}], "type": "reasoning"}
    return {**item, "encrypted_content": "gAAAAA"} if sealed else item


def of_chat(item: Item) -> Item:
    """The item as the SDK makes it of an answer in Chat Completions."""
    return {**item, "id": "__fake_id__", "provider_data": {"model": "m", "response_id": "chatcmpl_1"}}


PIECES: list[Any] = [
    {"type": "input_text", "text": "look"},
    {"type": "input_image", "image_url": "https://pictures.example/1.png", "detail": "high"},
    {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw=="},
    {"type": "input_image", "file_id": "file_1", "detail": "original"},
    {"type": "input_file", "file_url": "https://files.example/1.pdf"},
    {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGVsbG8="},
    {"type": "input_file", "file_data": "data:text/plain;base64,a"},
    {"type": "input_file", "file_data": "no address"},
    {"type": "input_audio", "data": "UklGRg=="},
    "a bare text",
]
PARTS = st.sampled_from(PIECES)
CALL_IDS = st.sampled_from(["call_1", "call_2", "call_3"])
ITEMS: st.SearchStrategy[Item] = st.one_of(
    TEXTS.map(user),
    st.lists(PARTS, max_size=3).map(lambda parts: {"type": "message", "role": "user", "content": parts}),
    TEXTS.map(message),
    TEXTS.map(message).map(of_chat),
    TEXTS.map(lambda text: {"role": "assistant", "content": text}),
    st.just({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
    CALL_IDS.map(call),
    CALL_IDS.map(call).map(of_chat),
    CALL_IDS.map(result),
    st.builds(result, CALL_IDS, st.lists(PARTS, max_size=2)),
    st.builds(result, CALL_IDS, JSON),
    st.booleans().map(lambda sealed: reasoning(sealed=sealed)),
    st.sampled_from(["system", "developer", "critic"]).map(lambda role: {"role": role, "content": "Be brief."}),
    st.just({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "news"}}),
    st.just({"type": "shell_call_output", "call_id": "call_1", "output": "ok"}),
    st.just({"type": "function_call", "name": "no id"}),
    st.just({"type": "item_reference", "id": "msg_1"}),
    st.dictionaries(TEXTS | st.sampled_from(["type", "role", "content"]), JSON, max_size=4),
)
