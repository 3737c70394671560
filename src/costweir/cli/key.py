"""`costweir key`: who may call the gateway. A key is shown once, when it is made or rotated."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from costweir.cli.frame import Group, flags
from costweir.cli.output import columns, note, show_record, show_rows
from costweir.cli.session import settings
from costweir.cli.values import SPAN

if TYPE_CHECKING:
    from costweir.config import Settings
    from costweir.control import Control

ACTOR = "command line"
_SHOWN = columns(
    "id", "prefix", "customer", "models", ("may_assert", "may assert"), "name", ("created_at", "created"),
    ("expires_at", "expires"), ("revoked_at", "revoked"),
)  # fmt: skip


@click.group(cls=Group)
def key() -> None:
    """Make, list, rotate and revoke keys of the gateway."""


@key.command()
@click.option("--customer", default="", metavar="ID", help="Whom its calls are for.")
@click.option("--models", default="", metavar="A,B", help="The models it may use; without it, every one.")
@click.option(
    "--may-assert", default="", metavar="KINDS", help="What a call may say in headers: customer,session,user."
)
@click.option("--name", default="", metavar="TEXT", help="What it is for.")
@click.option("--expires", type=SPAN, metavar="TIME", help="How long it lives, such as 30d, 12h or 90m.")
def create(*, customer: str, models: str, may_assert: str, name: str, expires: timedelta | None) -> None:
    """Make a key and show it, once.

    Calls without a session header share the key's session of the day; a customer, session or user in a header counts
    only when the key may assert it.
    """
    from costweir.control.keys import KeyWish

    chosen = settings()
    names = _words(models)
    wish = KeyWish(customer, names, _words(may_assert), name, expires)
    wish.check()
    _warn(chosen, names)
    with _control(chosen) as control:
        if customer and all(row.id != customer for row in (*control.customers(), *chosen.customers)):
            note(f"No customer {customer!r} is set up; the key counts for that id all the same.")
        made, text = control.keys.create(wish, by=ACTOR)
    _show_new(chosen, made.to_json(), text)


@key.command("list")
def list_() -> None:
    """List the keys that were made; the keys themselves are not kept."""
    with _control(settings(), read_only=True) as control:
        rows = [row.to_json() for row in control.keys.listed()]
    show_rows("keys", rows, _SHOWN, empty="No key was made yet. Try `costweir key create --customer ID`.")


@key.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """End a key at once, by its id or prefix."""
    chosen = settings()
    with _control(chosen) as control:
        ended = control.keys.revoke(key_id, by=ACTOR)
    _await_gateway(chosen)
    show_record("key", ended.to_json())


@key.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace", type=SPAN, default="24h", show_default=True, metavar="TIME",
    help="How long the key before still works; 0m ends it at once.",
)  # fmt: skip
def rotate(key_id: str, *, grace: timedelta) -> None:
    """Give a key a new text, and show it once. Its id, budgets and history stay."""
    chosen = settings()
    with _control(chosen) as control:
        made, text = control.keys.rotate(key_id, by=ACTOR, grace=grace)
    _show_new(chosen, made.to_json(), text)


def _show_new(chosen: Settings, record: dict[str, object], text: str) -> None:
    _await_gateway(chosen)
    show_record("key", {"id": record["id"], "key": text, **record})
    if not flags().json:
        note("Keep the key now: it is not shown again.")


def _await_gateway(chosen: Settings) -> None:
    """Returns once a running gateway knows the change, so that the very next call meets it."""
    from costweir.app.budgets import in_force

    if in_force(chosen) is False:
        note("The gateway has not taken it over yet; `costweir doctor` shows whether it runs.")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _warn(chosen: Settings, models: tuple[str, ...]) -> None:
    declared = {row.id for row in chosen.models}
    for name in models:
        if declared and name not in declared:
            note(f"No model {name!r} is declared, so it cannot be called.")


@contextmanager
def _control(chosen: Settings, *, read_only: bool = False) -> Generator[Control]:
    """The control data beside a running server or without one; a running gateway looks for changes itself."""
    from costweir.control import Control

    with Control.open(chosen.control_path, read_only=read_only) as control:
        yield control
