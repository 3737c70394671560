"""Views that people saved: a name and the part of the address that holds the whole state of a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from costweir.control.database import Database
from costweir.control.runs import instant


@dataclass(frozen=True, slots=True)
class SavedView:
    """One saved view. `link` starts with a slash, such as `/explore?by=model`."""

    name: str
    link: str
    created_at: str

    def to_json(self) -> dict[str, str]:
        """All fields."""
        return {"name": self.name, "link": self.link, "created_at": self.created_at}


class SavedViews:
    """The saved views of one control database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[SavedView]:
        """Every view, by name."""
        return [
            SavedView(**dict(row)) for row in self._database.read("SELECT * FROM saved_views ORDER BY name")
        ]

    def save(self, name: str, link: str) -> None:
        """Saves a view, or changes the one of that name. Raises ValueError for a link to another site."""
        # A second slash would make it an address of another host.
        if not link.startswith("/") or link.startswith(("//", "/\\")):
            raise ValueError(f"{link!r} is not a page of this site")
        with self._database.write() as run:
            run(
                "INSERT INTO saved_views VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET link = excluded.link",
                (name, link, instant(datetime.now(UTC))),
            )

    def drop(self, name: str) -> bool:
        """Forgets a view; true when there was one."""
        with self._database.write() as run:
            return bool(run("DELETE FROM saved_views WHERE name = ? RETURNING name", (name,)))
