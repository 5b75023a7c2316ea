"""A digest of the code that a calculator runs: an approval covers it, so that a changed calculator is
noticed.

The digest covers the calculator's module and, transitively, every module that it imports: the source where it
is project code, name and version where it is an installed package. The packages around a module count with
their own source, and without what they import for others. The standard library is left out. Imports are read
from the source (also those inside functions), so that nothing needs to run and every process comes to the
same digest. What a calculator reads from elsewhere at run time (a file, a database, a service) is not
covered: keep rates in Python modules.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")


class CodeNotFound(LookupError):
    """A calculator's module has no source that could be digested: it was typed into a shell, for example."""


def digest_of_module(module: str, name: str, version: str) -> str:
    """SHA-256 (hex) over a calculator's name and version, the code of its `module` and of what that imports.

    Raises `CodeNotFound`.
    """
    digest = sha256(b"calculator-code/1\n")
    parts = [(name, version.encode()), *sorted(_code_of(module).items())]
    for part, content in parts:
        digest.update(b"%d:%b,%d:%b," % (len(part.encode()), part.encode(), len(content), content))
    return digest.hexdigest()


def _code_of(module: str) -> dict[str, bytes]:
    """Module name → source, and package name → version, of all that `module` leads to."""
    if _spec(module) is None:
        raise CodeNotFound(
            f"The module {module} has no source that can be found again. Put the calculator into a file."
        )
    code: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in code or name.partition(".")[0] in sys.stdlib_module_names:
            continue
        spec = _spec(name)
        if spec is None:
            continue  # An optional import that is not installed here.
        if _is_installed(spec):
            package = name.partition(".")[0]
            code[f"package {package}"] = _version_of(package).encode()
            continue
        code[name] = _source(name)
        waiting.extend(_imported(name))
    for name in [name for name in code if not name.startswith("package ")]:
        code.update((parent, _source(parent)) for parent in _parents(name))
    return code


@cache
def _spec(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return None


def _is_installed(spec: ModuleSpec) -> bool:
    return spec.origin is not None and any(part in _INSTALLED for part in Path(spec.origin).parts)


@cache
def _version_of(package: str) -> str:
    try:
        return installed_version(
            package
        )  # Mostly the package has the name of its distribution, and this is quick.
    except PackageNotFoundError:
        distributions = packages_distributions().get(package, [])
        return (
            ", ".join(f"{name}=={installed_version(name)}" for name in sorted(set(distributions)))
            or "unknown"
        )


@cache
def _source(name: str) -> bytes:
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return b""  # A namespace package, which has no code of its own.
    return Path(spec.origin).read_bytes()


@cache
def _imported(name: str) -> tuple[str, ...]:
    """Names that the source of `name` imports, absolute. What is optional may not be there."""
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ()
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(_source(name))):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            modules = {f"{base}.{alias.name}" for alias in node.names if _spec(f"{base}.{alias.name}")}
            names.extend(modules)
            if len(modules) < len(node.names):
                names.append(base)
    return tuple(names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _parents(name: str) -> Iterator[str]:
    """The packages around a module, which run when it is imported."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
