"""The house rules that no linter knows. Every rule takes one file and returns one sentence for each breach."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.meta.tree import Source

FILE_LINES_MAX = 399
FUNCTION_LINES_MAX = 59
EMPTY_SUFFIXES = ("Manager", "Handler", "Helper", "Base", "Impl", "Utils")
EMPTY_FILES = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})
BROAD = frozenset({"Exception", "BaseException"})
# Where someone can act on anything: the room's loop, and the two places in which native code may panic.
MAY_CATCH_ALL = ("server/rooms/host.py", "crdt_sync/replica.py", "server/scribes/")
MUTABLE_CALLS = frozenset({"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray"})
MUTABLE_LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
READ_ONLY = frozenset({"Mapping", "Sequence", "Collection", "Set", "AbstractSet", "Iterable"})
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
SOMEONES_HOME = re.compile(r"(?<![\w.])(?:/(?:home|Users)/\w+/|[A-Z]:\\Users\\)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_file(source: Source) -> Iterator[str]:
    count = len(source.text.splitlines())
    if count > FILE_LINES_MAX:
        yield f"{source.path} has {count} lines, at most {FILE_LINES_MAX} are allowed: split it by subject"


def long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.syntax()):
        if isinstance(node, Function):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.lineno} {node.name} has {count} lines, at most {FUNCTION_LINES_MAX}"


def swallowed_errors(source: Source) -> Iterator[str]:
    """A handler for everything must raise again as its last act, or stand where someone can act on anything."""
    if source.path.startswith(MAY_CATCH_ALL):
        return
    for node in ast.walk(source.syntax()):
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type) and not isinstance(node.body[-1], ast.Raise):
            yield f"{source.path}:{node.lineno} catches everything and goes on"


def is_broad(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Tuple(elts=several):
            return any(map(is_broad, several))
        case _:
            return last_name(caught) in BROAD


def sleeping_tests(source: Source) -> Iterator[str]:
    for node in ast.walk(source.syntax()):
        match node:
            case ast.ImportFrom(module="time", names=names) if any(alias.name == "sleep" for alias in names):
                yield f"{source.path}:{node.lineno} imports sleep: wait for what must happen, with a deadline"
            case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                yield f"{source.path}:{node.lineno} sleeps: wait for what must happen, with a deadline"


def mocks(source: Source) -> Iterator[str]:
    for node in ast.walk(source.syntax()):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("unittest"):
                yield f"{source.path}:{node.lineno} imports a mock: use the real thing"
            case ast.Import(names=names) if any(alias.name.startswith("unittest") for alias in names):
                yield f"{source.path}:{node.lineno} imports a mock: use the real thing"


def mutable_module_state(source: Source) -> Iterator[str]:
    """Module level holds constants only: in capitals, and of a type that nothing can write to.

    A constant may be built from a dict or list when its annotation (Mapping, Sequence ...) lets mypy refuse a write.
    """
    for node in source.syntax().body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                read_only = False
            case ast.AnnAssign(target=ast.Name(id=name)):
                read_only = CONSTANT.fullmatch(name) is not None and is_read_only(node.annotation)
            case _:
                continue
        if is_mutable(node.value) and not read_only and not name.startswith("__"):
            yield f"{source.path}:{node.lineno} {name} can be changed by anyone: pass it in, or annotate it read-only"


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return last_name(value.func) in MUTABLE_CALLS
    return isinstance(value, MUTABLE_LITERALS)


def is_read_only(annotation: ast.expr | None) -> bool:
    match annotation:
        case None:
            return False
        case ast.Subscript(value=value, slice=inner) if last_name(value) == "Final":
            return is_read_only(inner)
        case ast.Subscript(value=value):
            return last_name(value) in READ_ONLY
        case _:
            return last_name(annotation) in READ_ONLY


def empty_names(source: Source) -> Iterator[str]:
    """Names that say nothing about the thing they name."""
    if PurePosixPath(source.path).stem in EMPTY_FILES or EMPTY_FILES.intersection(source.folders):
        yield f"{source.path}: name the file for its subject"
    for node in ast.walk(source.syntax()):
        if isinstance(node, ast.ClassDef) and node.name.endswith(EMPTY_SUFFIXES):
            yield f"{source.path}:{node.lineno} {node.name}: name the class for what it is"


def machine_paths(source: Source, *, checkout: str) -> Iterator[str]:
    """``checkout`` is where the project lies on this machine; no file may know it."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        if SOMEONES_HOME.search(line) or re.search(rf"(?<![\w.]){re.escape(checkout)}(?!\w)", line):
            yield f"{source.path}:{number} holds a path of one machine"


def last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
