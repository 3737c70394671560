"""What the mock answers and what that uses; both follow from the request and the seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast
from zlib import crc32

import msgspec

from costweir.gateway.mock.bill import Tokens

Form = Literal["openai.chat", "openai.embeddings", "anthropic.messages"]

#: The output when the request has no cap.
UNCAPPED = 4_096
_FRAME = 3
_OTHER_PART = 85
_CACHED_FROM = 1_024


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct):
    name: str = ""
    function: _Function = _Function()


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str = "user"
    content: str | list[_Part] | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"")

    @property
    def tokens(self) -> int:
        """Three for the frame, one for four bytes of text, and a fixed count for what is no text."""
        parts = [_Part(text=self.content)] if isinstance(self.content, str) else self.content or ()
        texts = sum(_quarter(part.text.encode()) if part.text else _OTHER_PART for part in parts)
        return _FRAME + texts + _quarter(self.tool_calls)


class _Request(msgspec.Struct):
    """What of a request decides the answer."""

    model: str
    messages: list[_Message] = []
    system: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    dimensions: int | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Any = None

    @property
    def cap(self) -> int:
        return self.max_completion_tokens or self.max_tokens or UNCAPPED

    @property
    def prompt(self) -> int:
        """Input tokens, as an honest tokenizer might count them: never more than the bytes of the text and a frame."""
        messages = sum(message.tokens for message in self.messages)
        tools = sum(_quarter(msgspec.json.encode(tool)) for tool in self.tools or ())
        return _FRAME + messages + tools + _quarter(self.system) + _quarter(self.input)

    @property
    def inputs(self) -> int:
        """How many texts are to be embedded."""
        given = msgspec.json.decode(self.input) if self.input else ""
        texts = cast("list[object]", given) if isinstance(given, list) else []
        return 1 if not texts or isinstance(texts[0], int) else len(texts)

    @property
    def tool(self) -> str:
        """The tool to call: the first one, unless the last message is a tool's result."""
        last = self.messages[-1] if self.messages else _Message()
        answered = last.role == "tool" or (
            isinstance(last.content, list) and any(part.type == "tool_result" for part in last.content)
        )
        if not self.tools or self.tool_choice == "none" or answered:
            return ""
        return self.tools[0].name or self.tools[0].function.name


_decode = msgspec.json.Decoder(_Request).decode


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer before it is written: what it used, and what it looks like."""

    form: Form
    id: str
    model: str
    tokens: Tokens
    cap: int
    choices: int = 1
    stream: bool = False
    tells_usage: bool = True
    tool: str = ""
    """The tool that is called instead of an answer in words."""
    dimensions: int = 8
    inputs: int = 1

    @property
    def words(self) -> int:
        """Tokens of one choice."""
        return -(-self.tokens.output // self.choices)


def answer(form: Form, body: bytes, *, number: int, seed: int, ignores_cap: bool) -> Answer:
    """Decides the answer to a request. ValueError for what is no request."""
    asked = _read(body)
    name, prompt = f"mock{number}", asked.prompt
    if form == "openai.embeddings":
        vectors = asked.dimensions or 8
        return Answer(form, name, asked.model, Tokens(prompt), 0, dimensions=vectors, inputs=asked.inputs)
    drawn = crc32(body, seed)
    wanted = asked.cap + 1 + drawn % (2 * asked.cap) if ignores_cap else 1 + drawn % asked.cap
    choices = asked.n or 1
    options = asked.stream_options
    return Answer(
        form=form,
        id=name,
        model=asked.model,
        tokens=_split(form, prompt, wanted * choices, marks_cache=b'"cache_control"' in body),
        cap=asked.cap,
        choices=choices,
        stream=bool(asked.stream),
        tells_usage=form != "openai.chat" or not asked.stream or bool(options and options.include_usage),
        tool=asked.tool,
    )


def count(body: bytes) -> int:
    """Input tokens of a request. ValueError for what is no request."""
    return _read(body).prompt


def _read(body: bytes) -> _Request:
    try:
        return _decode(body)
    except msgspec.MsgspecError as wrong:
        raise ValueError(str(wrong)) from None


def _quarter(text: bytes | msgspec.Raw) -> int:
    return -(-len(bytes(text)) // 4)


def _split(form: Form, prompt: int, output: int, *, marks_cache: bool) -> Tokens:
    """Long OpenAI prompts are half from the cache; an Anthropic prompt with cache marks is half written to it."""
    if form == "openai.chat" and prompt >= _CACHED_FROM:
        return Tokens(prompt - prompt // 2, output, cache_read=prompt // 2)
    if form == "anthropic.messages" and marks_cache:
        return Tokens(prompt - prompt // 2, output, cache_write=prompt // 2)
    return Tokens(prompt, output)
