"""The full walk over a body: every field, message, part, tool and header meets its row, and what has none is named.

Reading never decides: it collects what a bound has to count. The bytes of the whole body stand for all text in it, so
the walk only looks for what costs more than its bytes, or less (an image in base64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from costweir.errors import UsageError
from costweir.guard.bounds.shape import BYTES_OF_TOKEN, Format, Media, Need, Shape
from costweir.guard.bounds.tables import Row, table

Object = Mapping[str, Any]

#: Names of problems are cut to this length: they come from the caller and go into answers and logs.
_NAME = 80
#: No model writes more tokens; larger numbers would only not fit a ledger.
MOST_TOKENS = 10_000_000
#: No provider gives more answers to one request, or runs a tool more often.
MOST_TIMES = 1_024
#: More problems than these help nobody.
_MOST_PROBLEMS = 8
_NEEDS: Mapping[str, Need] = {
    "image": "images", "image_low": "images", "image_high": "images", "audio": "audio", "stored_audio": "audio",
    "file": "files", "video": "images",
}  # fmt: skip


class Walk:
    """One walk. Its methods are named after the kinds of bound in the tables."""

    def __init__(self, format: Format, raw: bytes) -> None:  # noqa: A002 - the wire format
        self._table = table(format)
        self._raw = raw
        self._size = len(raw)
        self._tokens = self._table.constants["request"]
        self._estimated = 0
        self._problems: list[str] = []
        self._media: list[Media] = []
        self._fees: dict[str, int] = {}
        self._needs: set[Need] = set()
        self._caps: dict[str, int] = {}
        self._choices = 1
        self._predicted = self._thinking = self._rounds = self._context = self._output = 0
        self._stream = self._stream_usage = self._speaks = False
        self._caching: Literal["", "5m", "1h"] = ""
        self._tiers = self._table.tiers[""]
        self._model = ""
        self._kinds: Mapping[str, Callable[[str, Any, Row], None]] = {
            "free": _nothing, "refuse": self._refuse, "model": self._read_model, "stream": self._read_stream,
            "stream_options": self._read_stream_options, "cap": self._cap, "choices": self._read_choices,
            "tier": self._tier, "speed": self._speed, "messages": self._messages, "texts": self._texts,
            "tools": self._read_tools, "rendered": self._rendered, "predicted": self._read_predicted,
            "modalities": self._modalities, "content": self._content, "system": self._content,
            "media": self._read_media, "document": self._document, "parts": self._nested,
            "thinking": self._read_thinking, "lifetime": self._lifetime, "caching": self._read_caching,
            "edits": self._edits, "known": self._known, "server_tool": self._server_tool,
        }  # fmt: skip

    def shape(self, body: Object, betas: Sequence[str]) -> Shape:
        """The shape of a body that was decoded, with the beta headers it came with."""
        for name, value in body.items():
            self._field("", name, value, self._table.fields)
        for name in betas:
            self._beta(name)
        if not self._model:
            raise UsageError("The request names no model.", hint='Give it "model".')
        caps = self._caps.values()
        return Shape(
            format=self._table.format, model=self._model, raw=self._raw,
            text=self._size + self._tokens,
            estimate=self._size // BYTES_OF_TOKEN + self._estimated + 1, stream=self._stream,
            stream_usage=self._stream_usage,
 cap=min(caps, default=None),
            cap_fields=tuple(self._caps), choices=self._choices, predicted=self._predicted, thinking=self._thinking,
            rounds=self._rounds, media=tuple(self._media), fees=tuple(self._fees.items()), tiers=self._tiers,
            caching=self._caching, speaks=self._speaks, context=self._context, output=self._output,
            needs=frozenset(self._needs), problems=tuple(dict.fromkeys(self._problems))[:_MOST_PROBLEMS],
        )  # fmt: skip

    def problem(self, what: str) -> None:
        """Remembers something that has no bound. Parts of it are the caller's, and end in logs and on terminals."""
        self._problems.append("".join(letter if letter.isprintable() else "?" for letter in what))

    def _field(self, path: str, name: str, value: Any, rows: Mapping[str, Row]) -> None:
        row = rows.get(name)
        if row is None:
            self.problem(f"{path}{name[:_NAME]} is not known")
        elif value is not None:
            self._kinds[row.bound](f"{path}{name}", value, row)

    def _refuse(self, path: str, value: Any, row: Row) -> None:
        self.problem(f"{path}: {row.why}" if row.why else path)

    def _beta(self, name: str) -> None:
        row = self._table.betas.get(name)
        if row is None:
            self.problem(f"the beta {name[:_NAME]} is not known")
        elif row.bound == "refuse":
            self.problem(f"the beta {name}: {row.why}")
        elif row.bound == "context":
            self._context = row.tokens
        elif row.bound == "output":
            self._output = row.tokens

    def _read_model(self, path: str, value: Any, row: Row) -> None:
        if not isinstance(value, str):
            raise UsageError("The model has to be a text.", hint='Give it "model": "...".')
        self._model = value

    def _read_stream(self, path: str, value: Any, row: Row) -> None:
        self._stream = value is True

    def _read_stream_options(self, path: str, value: Any, row: Row) -> None:
        for name in _object(path, value):
            if name not in ("include_usage", "include_obfuscation"):
                self.problem(f"{path}.{name[:_NAME]} is not known")
        self._stream_usage = value.get("include_usage") is True

    def _cap(self, path: str, value: Any, row: Row) -> None:
        # Some servers take 0 or -1 for "no limit", so such a cap is none; Anthropic takes 0 for "only fill the cache".
        number = whole(path, value)
        if number > 0 or (number == 0 and self._table.format == "anthropic.messages"):
            self._caps[path] = number

    def _read_choices(self, path: str, value: Any, row: Row) -> None:
        self._choices = max(self._choices, whole(path, value, most=MOST_TIMES))

    def _tier(self, path: str, value: Any, row: Row) -> None:
        self._prices(path, value, self._table.tiers)

    def _speed(self, path: str, value: Any, row: Row) -> None:
        self._prices(path, value, self._table.speeds)

    def _prices(self, path: str, value: Any, known: Mapping[str, frozenset[str]]) -> None:
        found = known.get(value) if isinstance(value, str) else None
        if found is None:
            self.problem(f"{path} {str(value)[:_NAME]!r} is not known")
        elif known is self._table.tiers:
            self._tiers = found
        else:
            self._tiers |= found

    def _messages(self, path: str, value: Any, row: Row) -> None:
        for index, message in enumerate(_list(path, value)):
            self._tokens += self._table.constants["message"]
            where = f"{path}[{index}]"
            for name, part in _object(where, message).items():
                self._field(f"{where}.", name, part, self._table.message)

    def _texts(self, path: str, value: Any, row: Row) -> None:
        count = len(cast("list[Any]", value)) if isinstance(value, list) else 1
        self._tokens += count * self._table.constants["message"]

    def _content(self, path: str, value: Any, row: Row) -> None:
        if isinstance(value, str):
            return
        for index, part in enumerate(_list(path, value)):
            self._part(f"{path}[{index}]", _object(path, part))

    def _part(self, path: str, part: Object) -> None:
        kind = part.get("type", "text")
        row = self._table.parts.get(kind) if isinstance(kind, str) else None
        if row is None:
            self.problem(f"{path}: a part of type {str(kind)[:_NAME]!r} is not known")
            return
        for name in part:
            anywhere = self._table.everywhere.get(name)
            if anywhere is not None:
                self._kinds[anywhere.bound](f"{path}.{name}", part[name], anywhere)
            elif name != "type" and name not in row.fields:
                self.problem(f"{path}.{name[:_NAME]} is not known")
        self._kinds[row.bound](path, part, row)

    def _read_media(self, path: str, value: Any, row: Row) -> None:
        kind: str = row.options["as"]
        detail = _at(value, row.options.get("detail", ""))
        if kind == "image" and detail in ("low", "high"):
            kind = f"image_{detail}"
        self._medium(cast("Media", kind), _at(value, row.options.get("payload", "")))

    def _medium(self, kind: Media, payload: object) -> None:
        self._media.append(kind)
        if kind in _NEEDS:
            self._needs.add(_NEEDS[kind])
        if isinstance(payload, str):
            # The payload is no text for the model. In the body it has at least as many bytes.
            self._size -= len(payload.encode("utf-8", "surrogatepass"))

    def _document(self, path: str, value: Any, row: Row) -> None:
        self._needs.add("files")
        source = value.get("source")
        kind = source.get("type") if isinstance(source, Mapping) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
        if kind == "content":
            self._content(f"{path}.source.content", source["content"], row)
        elif kind != "text":
            self._medium("file", _at(value, "source.data"))

    def _nested(self, path: str, value: Any, row: Row) -> None:
        name: str = row.options["nested"]
        if value.get(name) is not None:
            self._content(f"{path}.{name}", value[name], row)

    def _rendered(self, path: str, value: Any, row: Row) -> None:
        self._tokens += len(msgspec.json.encode(value)) + row.tokens
        if path.startswith(("response_format", "output_format", "output_config", "guided")):
            self._needs.add("schema")

    def _read_predicted(self, path: str, value: Any, row: Row) -> None:
        self._predicted = len(msgspec.json.encode(value))

    def _modalities(self, path: str, value: Any, row: Row) -> None:
        for name in _list(path, value):
            if name == "audio":
                self._speaks = True
                self._needs.add("audio")
            elif name != "text":
                self.problem(f"{path}: {str(name)[:_NAME]!r} is not known")

    def _read_tools(self, path: str, value: Any, row: Row) -> None:
        tools = _list(path, value)
        if not tools:
            return
        self._needs.add("tools")
        self._tokens += self._table.constants["tools"]
        for index, tool in enumerate(tools):
            where = f"{path}[{index}]"
            kind = _object(where, tool).get("type", "")
            found = self._table.tools.get(kind) if isinstance(kind, str) else None
            if found is None:
                self.problem(f"{where}: a tool of type {str(kind)[:_NAME]!r} is not known")
                continue
            self._tokens += self._table.constants["tool"]
            if tool.get("cache_control") is not None:
                self._read_caching(f"{where}.cache_control", tool["cache_control"], found)
            self._kinds[found.bound](f"{where} ({kind})" if kind else where, tool, found)

    def _server_tool(self, path: str, value: Any, row: Row) -> None:
        self._rendered(path, value, row)
        uses = value.get("max_uses")
        if uses is None:
            self.problem(f"{path}: {row.why}")
            return
        times = max(0, whole(f"{path}.max_uses", uses, most=MOST_TIMES))
        self._rounds += times
        fee = row.options.get("fee")
        if fee:
            self._fees[fee] = self._fees.get(fee, 0) + times

    def _read_thinking(self, path: str, value: Any, row: Row) -> None:
        kind = _object(path, value).get("type")
        if kind == "enabled":
            self._thinking = whole(f"{path}.budget_tokens", value.get("budget_tokens"))
        elif kind not in ("adaptive", "disabled", "between_tools"):
            self.problem(f"{path} {str(kind)[:_NAME]!r} is not known")
        if kind != "disabled":
            self._needs.add("thinking")

    def _read_caching(self, path: str, value: Any, row: Row) -> None:
        if value is None:
            return
        lives: object = _object(path, value).get("ttl", "5m")
        if lives not in ("5m", "1h"):
            self.problem(f"{path}.ttl {str(lives)[:_NAME]!r} is not known")
        elif self._caching != "1h":
            self._caching = lives

    def _lifetime(self, path: str, value: Any, row: Row) -> None:
        if value is None:
            return
        for name in _object(path, value):
            if name not in row.fields:
                self.problem(f"{path}.{name[:_NAME]} is not known")
        lives = value.get("ttl")
        if lives is not None and lives not in row.options["only"]:
            self.problem(f"{path}.ttl {str(lives)[:_NAME]!r}: {row.why}")

    def _edits(self, path: str, value: Any, row: Row) -> None:
        edits: Any = _object(path, value).get("edits") or []
        for name in value:
            if name != "edits":
                self.problem(f"{path}.{name[:_NAME]} is not known")
        for index, edit in enumerate(_list(f"{path}.edits", edits)):
            kind = _object(path, edit).get("type")
            if kind not in row.options["only"]:
                self.problem(f"{path}.edits[{index}] {str(kind)[:_NAME]!r}: {row.why}")

    def _known(self, path: str, value: Any, row: Row) -> None:
        for name in _object(path, value):
            if name not in row.fields:
                self.problem(f"{path}.{name[:_NAME]} is not known")
        self._rendered(path, value, row)


def _nothing(path: str, value: Any, row: Row) -> None:
    """`free`: the bytes of the body bound it."""


def whole(path: str, value: object, *, most: int = MOST_TOKENS) -> int:
    """A whole number of the body. Raises UsageError for anything else, and for one that no provider would take."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(
            f"{path} has to be a whole number.", hint="Send it without quotes or a decimal point."
        )
    if value > most:
        raise UsageError(f"{path} is larger than {most}.", hint="Send what the model can do.")
    return value


def _object(path: str, value: object) -> Object:
    if not isinstance(value, dict):
        raise UsageError(f"{path} has to be an object.", hint="See the provider's reference of this request.")
    return cast("Object", value)


def _list(path: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{path} has to be a list.", hint="See the provider's reference of this request.")
    return cast("list[Any]", value)


def _at(value: object, path: str) -> object:
    """The value at a dotted path, None where there is none."""
    for name in filter(None, path.split(".")):
        value = cast("Object", value).get(name) if isinstance(value, dict) else None
    return value if path else None


def keys_twice(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """An object from its pairs. Raises ValueError for a key that is there twice: two readers may take either."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(name)
        found[name] = value
    return found
