"""The rooms of the package: which there are, and that imports point one way."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import check_jobmon

PACKAGE = Path(check_jobmon.__file__).parent
LAYERS = (
    {"text", "sql_files"},
    {"connection"},
    {"schema"},
    {"judging"},
    {"recording", "config"},
    {"plugin", "demo"},
    {"ctl"},
)
"""The entries of check_jobmon/, lowest first. A module imports from its own room and from lower layers, from no other."""
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MOST_LINES = 300


def modules() -> dict[str, Path]:
    """Each module's file by the module's dotted name below check_jobmon."""
    return {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(file: Path) -> Iterator[str]:
    """What a file imports of the package, wherever in the file, by dotted names below check_jobmon."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: name the package in each import"
            names = (
                [node.module or ""] if node.module != "check_jobmon" else [f"check_jobmon.{a.name}" for a in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("check_jobmon.") for name in names if name.startswith("check_jobmon."))


def test_the_listing_is_the_architecture() -> None:
    entries = {entry.name for entry in PACKAGE.iterdir() if entry.name != "__pycache__"}
    entries -= {"__init__.py", "__main__.py", "py.typed"}
    assert entries == {room if (PACKAGE / room).is_dir() else f"{room}.py" for room in LEVEL}
    assert len(entries) <= 10


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, file in modules().items()
        for name in imported(file)
        if (room := module.split(".")[0]) in LEVEL
        and (other := name.split(".")[0]) in LEVEL
        and other != room
        and LEVEL[other] >= LEVEL[room]
    ]
    assert wrong == []


def test_sql_files_take_others_from_their_own_room_and_from_lower_layers() -> None:
    wrong = [
        f"{file} takes {name}"
        for file in (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.sql"))
        for name in re.findall(r"@([\w/]+\.sql)@", (PACKAGE / file).read_text())
        if (other := name.split("/")[0]) != file.parts[0] and LEVEL[other] >= LEVEL[file.parts[0]]
    ]
    assert wrong == []


def test_what_the_head_of_an_sql_file_names_is_in_the_file() -> None:
    for path in PACKAGE.rglob("*.sql"):
        head = re.match(r"(--.*\n)*", path.read_text())
        assert head is not None
        named = set(re.findall(r"@[\w/.]+@", head[0]))
        assert named <= set(re.findall(r"@[\w/.]+@", path.read_text()[head.end() :])), path


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {name.removesuffix(".__init__"): set(imported(file)) for name, file in modules().items()}
    left = {name: {other for other in others if other in names and other != name} for name, others in names.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_no_two_modules_have_names_that_could_be_mistaken() -> None:
    seen: dict[str, str] = {}
    for module in modules():
        name = module.split(".")[-1]
        if name.startswith("__"):
            continue
        stem = name.removesuffix("s")
        assert stem not in seen, f"{module} and {seen[stem]}"
        seen[stem] = module


def test_a_module_is_read_in_one_sitting_and_says_what_belongs_in_it() -> None:
    for module, file in modules().items():
        text = file.read_text()
        assert len(text.splitlines()) <= MOST_LINES, module
        assert ast.get_docstring(ast.parse(text)), module


def test_the_query_that_judges_fits_on_two_screens() -> None:
    assert len((PACKAGE / "schema" / "job_status.sql").read_text().splitlines()) <= 120


def test_the_documentation_has_every_arrow() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.rst").read_text()
    table = page.partition("\nfolder ")[2].partition("\n\n")[0]
    documented: dict[str, set[str]] = {}
    room = ""
    for line in table.splitlines()[2:]:
        room = line.split("``")[1] if line.startswith("``") else room
        documented.setdefault(room, set()).update(re.findall(r"\w+", line.rpartition("  ")[2]))
    assert set(documented) == {room for room in LEVEL if (PACKAGE / room).is_dir()}
    for module, file in modules().items():
        room = module.split(".")[0]
        needed = {name.split(".")[0] for name in imported(file)} & set(documented) - {room}
        assert room not in documented or needed <= documented[room], module
