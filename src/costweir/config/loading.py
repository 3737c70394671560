"""Finds the configuration file, lays the environment and the command line over it, and checks the result."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from costweir.config.environment import from_environment, scalar_keys, section_type, variable_of
from costweir.config.problems import Problem, nearest
from costweir.config.secrets import named_secret, plain_secrets, way_of
from costweir.config.settings import Settings
from costweir.errors import ConfigError

FILE_NAME = "costweir.toml"
COMMAND_LINE = "command line"


@dataclass(slots=True)
class _Draft:
    """Settings while they are put together: the raw values, where each one came from, and what is wrong."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[Problem] = field(default_factory=list[Problem])
    file: Path | None = None
    text: str = ""

    def put(self, key: str, value: Any, origin: str) -> None:
        section, _, name = key.partition(".")
        if name:
            held = self.values.setdefault(section, {})
            if not isinstance(held, dict):
                return
            held[name] = value
        else:
            self.values[key] = value
        self.origins[key] = origin


def load(
    *,
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    source: Mapping[str, object] | None = None,
) -> Settings:
    """The settings. `path` is what `--config` says and `overrides` maps dotted keys to what other flags say.
    `source` is one more row of `sources`, in place of the one with its id.

    Flags go before `COSTWEIR_` variables, these before the names of other tools, these before the file, and
    the file before the defaults. Raises ConfigError for the first thing that is wrong, and says how many more
    there are.
    """
    environ = os.environ if environ is None else environ
    settings, problems = _read(path, environ, overrides or {}, source)
    if settings is None:
        first = problems[0]
        more = f" (1 of {len(problems)} problems.)" if len(problems) > 1 else ""
        raise ConfigError(first.sentence + more, hint=first.hint)
    return settings


def check(
    *,
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """Everything that is wrong with the settings; nothing when `load` would succeed."""
    return tuple(_read(path, os.environ if environ is None else environ, overrides or {})[1])


def data_dir_of(environ: Mapping[str, str], overrides: Mapping[str, str]) -> tuple[Path, str]:
    """The data directory before any file is read, and where it came from."""
    if overrides.get("data_dir"):
        return Path(overrides["data_dir"]).expanduser(), COMMAND_LINE
    if environ.get("COSTWEIR_DATA_DIR"):
        return Path(environ["COSTWEIR_DATA_DIR"]).expanduser(), "environment COSTWEIR_DATA_DIR"
    return _xdg(environ, "XDG_DATA_HOME", ".local/share"), "default"


def _xdg(environ: Mapping[str, str], name: str, below_home: str) -> Path:
    base = environ.get(name, "")
    # The XDG specification says that a relative path is to be ignored.
    if base and Path(base).is_absolute():
        return Path(base) / "costweir"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path("~").expanduser()
    return home / below_home / "costweir"


def _find(path: Path | None, environ: Mapping[str, str], data_dir: Path) -> Path | None:
    chosen = path or (Path(environ["COSTWEIR_CONFIG"]) if environ.get("COSTWEIR_CONFIG") else None)
    if chosen is not None:
        return chosen.expanduser()
    for candidate in (data_dir / FILE_NAME, _xdg(environ, "XDG_CONFIG_HOME", ".config") / FILE_NAME):
        if candidate.is_file():
            return candidate
    return None


def _read(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
    source: Mapping[str, object] | None = None,
) -> tuple[Settings | None, list[Problem]]:
    data_dir, data_dir_origin = data_dir_of(environ, overrides)
    draft = _Draft(file=_find(path, environ, data_dir))
    if draft.file is not None:
        _read_file(draft, draft.file)
    if data_dir_origin != "default" or "data_dir" not in draft.values:
        draft.put("data_dir", str(data_dir.absolute()), data_dir_origin)
    found, problems = from_environment(environ)
    draft.problems += problems
    for key, (value, name) in found.items():
        draft.put(key, value, f"environment {name}")
    for key, value in overrides.items():
        if key != "data_dir":
            draft.put(key, value, COMMAND_LINE)
    if source is not None:
        held = draft.values.get("sources")
        others = [row for row in cast("list[Any]", held) if _id(row) != source["id"]] if held else []
        draft.put("sources", [*others, source], COMMAND_LINE)
    settings = _validate(draft)
    if settings is None or draft.problems:
        return None, draft.problems
    names = {provider.api_key_env for provider in settings.providers if provider.api_key_env}
    names |= {key.key_env for key in settings.keys if key.key_env}
    names |= {name for row in (*settings.sources, *settings.channels) for name in row.secret_names}
    names |= {row.url_env for row in settings.alerts if row.url_env}
    if settings.store.password_env:
        names.add(settings.store.password_env)
    if settings.oidc.client_secret_env:
        names.add(settings.oidc.client_secret_env)
    settings._origins = draft.origins  # pyright: ignore[reportPrivateUsage]
    settings._file = draft.file  # pyright: ignore[reportPrivateUsage]
    settings._secrets = {  # pyright: ignore[reportPrivateUsage]
        name: SecretStr(environ[name]) for name in names if environ.get(name)
    }
    return settings, []


def _id(row: object) -> object:
    return cast("dict[str, object]", row).get("id") if isinstance(row, dict) else None


def _read_file(draft: _Draft, file: Path) -> None:
    place = str(file)
    try:
        draft.text = file.read_text(encoding="utf-8-sig")
        draft.values = tomllib.loads(draft.text)
    except FileNotFoundError:
        draft.problems.append(Problem(place, "", "the file does not exist"))
        return
    except OSError as error:
        draft.problems.append(Problem(place, "", f"the file cannot be read: {error.strerror}"))
        return
    except UnicodeDecodeError:
        draft.problems.append(Problem(place, "", "the file is not UTF-8"))
        return
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+), column \d+\)", str(error))
        said = str(error).removesuffix(match[0] if match else "").strip().rstrip(".")
        draft.problems.append(
            Problem(
                place,
                "",
                f"the file is not TOML: {said[:1].lower()}{said[1:]}",
                line=int(match[1]) if match else 0,
            )
        )
        return
    for key, value in draft.values.items():
        if isinstance(value, dict) and section_type(_annotation(key)):
            names = cast("dict[str, Any]", value)
            draft.origins |= {f"{key}.{name}": f"file {place}" for name in names}
        else:
            draft.origins[key] = f"file {place}"
    _refuse_secrets(draft, place)
    if isinstance(draft.values.get("data_dir"), str):
        given = Path(draft.values["data_dir"]).expanduser()
        draft.values["data_dir"] = str(file.parent.absolute() / given)


def _refuse_secrets(draft: _Draft, place: str) -> None:
    secret = frozenset(key for key, annotation in scalar_keys().items() if SecretStr in get_args(annotation))
    for loc, text in plain_secrets(draft.values, secret):
        line = _line(draft.text, loc)
        draft.problems.append(Problem(place, _dotted(loc), text, line=line, way=way_of(str(loc[-1]))))


def _annotation(key: str) -> object:
    field_info = Settings.model_fields.get(key)
    return None if field_info is None else field_info.annotation


def _validate(draft: _Draft) -> Settings | None:
    try:
        return Settings.model_validate(draft.values)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            problem = _problem(draft, item["type"], item["loc"], item["msg"])
            if all(problem.key != told.key for told in draft.problems if told.way):
                draft.problems.append(problem)
        return None


def _problem(draft: _Draft, kind: str, loc: Sequence[int | str], message: str) -> Problem:
    key = _dotted(loc)
    origin = (
        draft.origins.get(key)
        or draft.origins.get(_dotted(loc[:2]))
        or draft.origins.get(str(loc[0]) if loc else "", "")
    )
    place = origin.removeprefix("file ") if origin.startswith("file ") else origin
    line = 0
    if place.startswith("environment "):
        place, key = "environment", place.removeprefix("environment ")
    elif place != COMMAND_LINE:
        place = place or str(draft.file or "settings")
        line = _line(draft.text, loc)
    if kind == "extra_forbidden":
        if named_secret(str(loc[-1])):
            way = way_of(str(loc[-1]))
            return Problem(
                place, key, "is not a setting, and a secret is not kept in this file", line=line, way=way
            )
        siblings = _valid_keys(loc[:-1])
        near = nearest(str(loc[-1]), siblings)
        return Problem(
            place, key, "is not a setting", line=line, nearest=_dotted((*loc[:-1], near)) if near else ""
        )
    if kind == "missing":
        return Problem(place, key, "is missing", line=line)
    said = message.removeprefix("Value error, ").rstrip(".")
    said = re.sub(r"^(Input|String|Value) should", "should", said)
    glue = "" if said.startswith("should") else "is wrong: "
    return Problem(place, key, glue + said if key else said, line=line)


def _dotted(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _valid_keys(loc: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] | None = Settings
    for part in loc:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            model = _inner_model(model.model_fields[part].annotation)
    return [] if model is None else list(model.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    found = section_type(annotation)
    if found is not None:
        return found
    for option in getattr(annotation, "__args__", ()):
        inner = _inner_model(option)
        if inner is not None:
            return inner
    return None


def _line(text: str, loc: Sequence[int | str]) -> int:
    """The line of a key, or 0 where finding it would be a guess."""
    names = [part for part in loc if isinstance(part, str)]
    if not names:
        return 0
    lines = text.splitlines()
    wanted = re.compile(rf"""(^|[\s{{,.])["']?{re.escape(names[-1])}["']?\s*[=.]""")
    first, last = _block(lines, loc)
    hits = [number for number in range(first, last) if wanted.search(lines[number])]
    if len(hits) == 1 or (hits and first):
        return hits[0] + 1
    return first


def _block(lines: Sequence[str], loc: Sequence[int | str]) -> tuple[int, int]:
    """Where the table of a key stands: from the line after its header to the next header."""
    index = next((part for part in loc if isinstance(part, int)), 0)
    head = re.compile(rf"\s*\[{{1,2}}\s*{re.escape(str(loc[0]))}\s*\]")
    heads = [number for number, line in enumerate(lines) if head.match(line)] if len(loc) > 1 else []
    if index >= len(heads):
        return 0, len(lines)
    first = heads[index] + 1
    after = (number for number in range(first, len(lines)) if lines[number].lstrip().startswith("["))
    return first, next(after, len(lines))


__all__ = ["check", "data_dir_of", "load", "variable_of"]
