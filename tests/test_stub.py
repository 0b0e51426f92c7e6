"""What the extension module exports and what `_whiskyjack.pyi` says of it are one list."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import whiskyjack
from whiskyjack import _whiskyjack

STUB = Path(whiskyjack.__file__).with_name("_whiskyjack.pyi")
# every module has these; __all__ is made by the macro that declares the module
OF_ANY_MODULE = {"__all__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"}


def declared() -> dict[str, ast.stmt]:
    names: dict[str, ast.stmt] = {}
    for statement in ast.parse(STUB.read_text(encoding="utf-8")).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names[name] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = statement
    return names


def test_the_stub_has_every_exported_name_and_no_other() -> None:
    assert set(declared()) == set(dir(_whiskyjack)) - OF_ANY_MODULE


def test_the_stub_lists_what_the_module_lists() -> None:
    assert set(_whiskyjack.__all__) == set(declared())


def test_functions_take_the_parameters_of_the_stub() -> None:
    for name, statement in declared().items():
        if isinstance(statement, ast.FunctionDef):
            parameters = [argument.arg for argument in statement.args.args]
            assert list(inspect.signature(getattr(_whiskyjack, name)).parameters) == parameters, name


def test_the_package_exports_its_version_alone() -> None:
    assert whiskyjack.__all__ == ["__version__"]
    assert whiskyjack.__version__ == _whiskyjack.__version__
