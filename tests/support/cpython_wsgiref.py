"""Runs CPython's own `test.test_wsgiref`, as this interpreter has it installed, against `whiskyjack.wsgiref`.

Its imports of `wsgiref` get our modules, and an import of the standard library's `wsgiref` fails. What was run, and
how it ended, goes to standard output as JSON.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import unittest
from collections.abc import Sequence
from types import ModuleType

# Cases that cannot pass, each with its reason. There is none.
LEFT_OUT: list[str] = []


class Redirect(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds our modules under the standard library's names. What we lack is not found at all."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "wsgiref" or name.startswith("wsgiref."):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return importlib.import_module(f"whiskyjack.{spec.name}")

    def exec_module(self, module: ModuleType) -> None:
        """It has run already, under its own name."""


class Record(unittest.TextTestResult):
    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self.passed: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.passed.append(test.id())


def cases(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for test in suite:
        found += cases(test) if isinstance(test, unittest.TestSuite) else [test]
    return found


def main() -> None:
    assert not any(name.partition(".")[0] == "wsgiref" for name in sys.modules)
    sys.meta_path.insert(0, Redirect())
    module = importlib.import_module("test.test_wsgiref")
    loaded = cases(unittest.defaultTestLoader.loadTestsFromModule(module))
    kept = [case for case in loaded if type(case).__name__ not in LEFT_OUT]
    runner = unittest.TextTestRunner(stream=sys.stderr, resultclass=Record, verbosity=2)
    result = runner.run(unittest.TestSuite(kept))
    assert isinstance(result, Record)
    standard = [
        name
        for name, module in sys.modules.items()
        if "/wsgiref/" in (getattr(module, "__file__", None) or "") and "whiskyjack" not in str(module.__file__)
    ]
    told = {
        "passed": result.passed,
        "failed": [test.id() for test, _ in result.failures + result.errors],
        "skipped": [f"{test.id()}: {reason}" for test, reason in result.skipped],
        "left_out": len(loaded) - len(kept),
        "standard": standard,
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
