"""What a stranger imports: one list, all of it there, documented in numpydoc's form, its examples true."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest
from numpydoc.validate import validate

import diffmemlib
from diffmemlib.places import checkout

ROOT = checkout()
NAMES = [name for name in diffmemlib.__all__ if name != "__version__"]
MODULES = sorted(m.name for m in pkgutil.walk_packages(diffmemlib.__path__, "diffmemlib."))
# GL: sections in order, no tabs, blank lines; SS03-SS05: a summary in one sentence, in the infinitive; PR01-PR03: every
# parameter documented, none that is not there, in order; PR10: a space before a colon; RT04, YD01: what comes back.
CHECKS = {"GL05", "GL06", "GL07", "GL08", "SS03", "SS04", "PR01", "PR02", "PR03", "PR10"}


def test_the_list_of_names_is_the_list_for_type_checkers():
    """`_HOME` and the imports under TYPE_CHECKING say the same."""
    tree = ast.parse((ROOT / "diffmemlib" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {(node.module, alias.name) for node in block.body for alias in node.names}
    assert imported == {(module, name) for module, names in diffmemlib._HOME.items() for name in names}
    assert all(alias.asname == alias.name for node in block.body for alias in node.names), "else not re-exported"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_lives_where_it_says(name: str):
    thing = getattr(diffmemlib, name)
    assert thing.__module__ == f"diffmemlib.{diffmemlib._MODULE[name]}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = diffmemlib.nothing


@pytest.mark.parametrize("name", NAMES)
def test_a_public_docstring_is_in_the_form_of_numpydoc(name: str):
    thing = getattr(diffmemlib, name)
    faults = [f"{code}: {text}" for code, text in validate(f"{thing.__module__}.{name}")["errors"] if code in CHECKS]
    assert not faults


@pytest.mark.parametrize("module", MODULES)
def test_every_public_thing_has_a_docstring_of_whole_sentences(module: str):
    if module.endswith("__main__"):
        pytest.skip("a script, not a module to import from")
    loaded = importlib.import_module(module)
    for name, thing in vars(loaded).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module or not callable(thing):
            continue
        text = inspect.getdoc(thing)
        assert text, f"{module}.{name}"
        assert re.search(r"[.:](\s|$)", text), f"{module}.{name}: {text}"


@pytest.mark.parametrize("module", ["diffmemlib", *MODULES])
def test_examples_in_docstrings_are_true(module: str):
    result = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert result.failed == 0


def test_the_public_functions_that_need_an_example_have_one():
    with_example = {name for name in NAMES if ">>>" in (inspect.getdoc(getattr(diffmemlib, name)) or "")}
    assert with_example >= {
        "Schedule", "UNet", "ResidualMLP", "sample", "train", "memorized_fraction", "NeighbourIndex", "first_crossing",
        "exponent", "frechet_distance", "spectrum", "learning_curves", "GradientFlow",
    }  # fmt: skip


def test_the_example_of_the_readme_prints_what_it_says():
    """Each line that prints has what it prints as its comment."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = [line.rpartition("  # ")[2] for line in code.splitlines() if line.lstrip().startswith("print(")]
    assert told
    assert done.stdout.splitlines() == told


def test_importing_the_library_brings_no_heavy_package():
    line = "import sys, diffmemlib; print(sorted({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
