"""What the extension module exports and what `_whiskyjack.pyi` says of it are one list."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import whiskyjack
from whiskyjack import _whiskyjack

STUBS = Path(whiskyjack.__file__).with_name("_whiskyjack")
MODULES = {"__init__": _whiskyjack, "wsgiref": _whiskyjack.wsgiref}
# every module has these; __all__ is made by the macro that declares the module
OF_ANY_MODULE = {"__all__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}


def declared(stub: str) -> dict[str, ast.stmt]:
    names: dict[str, ast.stmt] = {}
    for statement in ast.parse((STUBS / f"{stub}.pyi").read_text(encoding="utf-8")).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if not name.startswith("_"):
                names[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = statement
            case ast.ImportFrom(module="whiskyjack._whiskyjack", names=[ast.alias(name=name)]) if stub == "__init__":
                names[name] = statement
    return names


def test_each_module_has_a_stub() -> None:
    assert {path.stem for path in STUBS.glob("*.pyi")} == set(MODULES)


@pytest.mark.parametrize("stub", MODULES)
def test_the_stub_has_every_exported_name_and_no_other(stub: str) -> None:
    assert set(declared(stub)) == set(dir(MODULES[stub])) - OF_ANY_MODULE


@pytest.mark.parametrize("stub", MODULES)
def test_the_stub_lists_what_the_module_lists(stub: str) -> None:
    assert set(MODULES[stub].__all__) == set(declared(stub))


@pytest.mark.parametrize("stub", MODULES)
def test_functions_take_the_parameters_of_the_stub(stub: str) -> None:
    for name, statement in declared(stub).items():
        if isinstance(statement, ast.FunctionDef):
            parameters = [argument.arg for argument in statement.args.args]
            assert list(inspect.signature(getattr(MODULES[stub], name)).parameters) == parameters, name


def test_the_package_exports_its_version_and_the_exception_that_it_raises() -> None:
    assert whiskyjack.__all__ == ["RequestTimeout", "__version__"]
    assert whiskyjack.RequestTimeout is _whiskyjack.RequestTimeout
    assert whiskyjack.__version__ == _whiskyjack.__version__
