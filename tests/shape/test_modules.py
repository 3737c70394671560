"""The shape of the house: sizes, names, documentation, and no float near money."""

from __future__ import annotations

import ast
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/costweir"
MODULES = sorted(SOURCE.rglob("*.py"))

MODULE_WALL = 600
MODULE_SIGN = 400
FUNCTION_WALL = 60
FUNCTION_SIGN = 50
FORBIDDEN_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}
)

#: Rooms where an amount may pass; no float may.
MONEY_ROOMS = ("domain", "prices", "sources", "store", "queries", "control", "config", "guard")
#: Floats that are no money: the file and a part of the line, with the reason.
FLOATS_ALLOWED: dict[tuple[str, str], str] = {
    ("config/problems.py", "cutoff="): "how alike two names are",
    ("sources/formats/__init__.py", "missing("): "the share of a format's columns that a file lacks",
    ("sources/formats/__init__.py", "_share_missing("): "the same share, compared",
    ("guard/ledgers/writer.py", "_SECONDS"): "seconds",
    ("sources/live/gcp_client.py", "with_delay("): "seconds",
    ("sources/staging/runs.py", "ALIKE ="): "the share of rows that two files have in common",
    ("sources/staging/runs.py", "return both / least"): "the same share",
    ("store/engines/duckdb.py", "_LOCK_PATIENCE"): "seconds",
    ("store/engines/duckdb.py", "_LOCK_STEP"): "seconds",
}

#: The only modules that read the environment, with the reason where it is not the configuration room.
ENVIRONMENT_READERS = {
    "config/loading.py": "the configuration",
    "cli/frame.py": "COSTWEIR_DEBUG and the shell's completion are needed before settings can be read",
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (
                f"{name_of(path)}:{node.lineno} {node.name}",
                (node.end_lineno or node.lineno) - node.lineno + 1,
            )


def test_no_module_is_longer_than_the_wall() -> None:
    assert {name_of(path): length(path) for path in MODULES if length(path) > MODULE_WALL} == {}


def test_no_function_is_longer_than_the_wall() -> None:
    assert {name: lines for path in MODULES for name, lines in functions(path) if lines > FUNCTION_WALL} == {}


def test_what_is_near_the_wall_is_said(record_property: Callable[[str, object], None]) -> None:
    """Sizes between the sign and the wall are listed with the report; they are no failure."""
    modules = [name_of(path) for path in MODULES if length(path) > MODULE_SIGN]
    long = [name for path in MODULES for name, lines in functions(path) if lines > FUNCTION_SIGN]

    record_property("modules_over_the_sign", modules)
    record_property("functions_over_the_sign", long)
    assert len(modules) <= len(MODULES) // 10, modules
    assert len(long) <= 15, long


def test_no_module_is_a_drawer_for_everything() -> None:
    named = {part for path in MODULES for part in (*path.relative_to(SOURCE).parent.parts, path.stem)}

    assert named & FORBIDDEN_NAMES == set()


def public_definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Public functions, classes and their public methods; what starts with an underscore is private."""
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith(
                    "_"
                ):
                    yield f"{node.name}.{inner.name}", inner


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(path) for path in MODULES if not ast.get_docstring(tree_of(path))]

    assert silent == []


def test_every_public_name_is_documented() -> None:
    silent = [
        f"{name_of(path)}:{node.lineno} {name}"  # pyright: ignore[reportAttributeAccessIssue]
        for path in MODULES
        if not any(part.startswith("_") and part != "__init__" for part in (path.stem,))
        for name, node in public_definitions(path)
        if not ast.get_docstring(node)  # pyright: ignore[reportArgumentType]
        and not any(getattr(mark, "id", "") in ("overload", "override") for mark in node.decorator_list)  # pyright: ignore
    ]

    assert silent == []


def floats(path: Path) -> Iterator[tuple[int, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree_of(path)):
        is_literal = isinstance(node, ast.Constant) and type(node.value) is float
        is_cast = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
        if is_literal or is_cast:
            yield node.lineno, lines[node.lineno - 1].strip()


def test_no_float_stands_near_money() -> None:
    """Law L10. `isinstance(value, float)` is how a float is refused, and is no call of it."""
    found = [
        f"{name_of(path)}:{line} {text}"
        for path in MODULES
        if path.relative_to(SOURCE).parts[0] in MONEY_ROOMS
        for line, text in floats(path)
        if not any(name_of(path) == file and part in text for file, part in FLOATS_ALLOWED)
    ]

    assert found == []


def test_every_allowed_float_is_still_there() -> None:
    present = [(name_of(path), text) for path in MODULES for _, text in floats(path)]
    gone = [
        (file, part)
        for file, part in FLOATS_ALLOWED
        if not any(name == file and part in text for name, text in present)
    ]

    assert gone == []


def test_the_check_for_floats_finds_them() -> None:
    sample = ROOT / "tests/shape/floats.txt"
    kinds = [text for _, text in floats(sample)]

    assert kinds == ["price = 3.0", "price = float('3.0')", "price = 1e-6"]


def test_only_the_configuration_reads_the_environment() -> None:
    readers: set[str] = set()
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "os.environ",
                "os.getenv",
                "os.environb",
            ):
                readers.add(name_of(path))
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                readers |= {name_of(path) for alias in node.names if alias.name in ("environ", "getenv")}

    assert readers <= set(ENVIRONMENT_READERS)


def test_nothing_but_a_message_is_printed() -> None:
    """Data leaves through the command line's own writers; a stray print would break `--json`."""
    printing = {
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if not any(keyword.arg == "file" for keyword in node.keywords)
    }

    assert printing == set()


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()


def test_every_room_has_a_place_in_the_documentation() -> None:
    text = (ROOT / "docs/rooms.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}

    assert {room for room in rooms if f"`{room}`" not in text} == set()


def test_no_source_file_hides_a_syntax_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in MODULES:
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
