"""Where one can go: the side bar, the tabs below it, the search box and the keys are all made from this list, so that a
new page is one row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """One page. `tab` is what the page calls itself, `letter` the key after `g`, `words` what the search box finds it
    by besides its title."""

    tab: str
    title: str
    href: str
    letter: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the side bar with its tabs; the first place is where the entry leads."""

    key: str
    title: str
    places: tuple[Place, ...]

    @property
    def href(self) -> str:
        """Where the entry of the side bar leads."""
        return self.places[0].href


@dataclass(frozen=True, slots=True)
class Action:
    """Something the search box offers to do, on the page that does it. `edits` is true where it changes something."""

    title: str
    href: str
    icon: str = "plus"
    edits: bool = True


SECTIONS = (
    Section("overview", "Overview", (Place("overview", "Overview", "/", "o", "month to date forecast budget"),)),
    Section("explore", "Explore", (
        Place("explore", "Explore", "/explore", "e", "spend filter group compare"),
        Place("views", "Saved views", "/explore/views", "v"),
        Place("annotations", "Annotations", "/explore/annotations", "a", "notes release events on charts"),
    )),
    Section("customers", "Customers", (
        Place("customers", "Customers", "/customers", "c", "cost revenue margin"),
        Place("plans", "Plans & margin", "/customers/plans", "", "profit"),
        Place("models", "Models", "/customers/models", "m", "tokens unit cost"),
    )),
    Section("live", "Live", (
        Place("rate", "Spend rate", "/live", "l", "gateway now per hour"),
        Place("calls", "Calls", "/live/calls", "", "requests refused blocked why"),
        Place("sessions", "Sessions", "/live/sessions", "", "running cost stop"),
        Place("budgets", "Budgets", "/live/budgets", "b", "limits thresholds freeze"),
        Place("keys", "Keys", "/live/keys", "k", "gateway virtual key rotate revoke"),
    )),
    Section("settings", "Settings", (
        Place("health", "Data health", "/settings/health", "s", "quarantine runs late sources"),
        Place("sources", "Sources", "/settings/sources", "", "connect lag last runs"),
        Place("prices", "Prices", "/settings/prices", "p", "price book rates"),
        Place("unknown", "Unknown SKUs", "/settings/unknown", "", "mapping"),
        Place("directory", "Customers & plans", "/settings/customers", "d", "edit import revenue budget"),
        Place("start", "First steps", "/settings/start", "", "wizard begin setup onboarding"),
        Place("all", "All settings", "/settings/all", "", "configuration environment keyboard shortcuts theme"),
    )),
)  # fmt: skip

#: What the top bar leads to, from every page.
TOP = (Section("incidents", "Incidents", (
    Place("incidents", "Incidents", "/incidents", "n", "alerts wrong acknowledge snooze"),
)),)  # fmt: skip

ACTIONS = (
    Action("Add a customer", "/settings/customers/edit"),
    Action("Add a plan", "/settings/plans/edit"),
    Action("Import customers", "/settings/customers/import", icon="csv"),
    Action("Import plans", "/settings/plans/import", icon="csv"),
    Action("Annotate a day", "/explore/annotations/edit"),
    Action("Switch keys off or on", "/settings/all#browser", icon="settings", edits=False),
)


def places() -> tuple[tuple[Section, Place], ...]:
    """Every page with its section, in the order of the side bar and then of the top bar."""
    return tuple((section, place) for section in (*SECTIONS, *TOP) for place in section.places)


def letters() -> dict[str, str]:
    """Where each key after `g` leads."""
    return {place.letter: place.href for _, place in places() if place.letter}


def section_of(key: str) -> Section:
    """The section with this key."""
    return next(section for section in SECTIONS if section.key == key)
