"""pyproject.toml, requirements.lock and environment.yml ask for the same versions; CITATION.cff is valid."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import diffmemlib

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
CONDA = ROOT / "environment.yml"

VERSION = r"(?P<version>[0-9]+(?:\.[0-9]+)*(?:\.?(?:a|b|rc|post|dev)[0-9]+)?)"
NAME = r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
LINUX = r'(?: ; platform_system == "Linux" and platform_machine == "x86_64")?'
LOCK_LINE = re.compile(NAME + "==" + VERSION + LINUX)
PIP_LINE = re.compile(NAME + "==" + VERSION)
CONDA_LINE = re.compile(r"(?P<name>[a-z0-9_.-]+)=" + VERSION)  # the name=version form of conda's MatchSpec
PIP_NAME = {"pytorch": "torch"}  # conda's name -> pip's, where they differ


def read_lock() -> dict[str, str]:
    """{canonical name: version} of requirements.lock."""
    versions: dict[str, str] = {}
    for number, line in enumerate(LOCK.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = LOCK_LINE.fullmatch(line)
        assert match, f"{LOCK.name}:{number} is not name==version: {line!r}. Run make lock."
        name = canonicalize_name(match["name"])
        assert name not in versions, f"{LOCK.name}:{number} repeats {name}. Run make lock."
        versions[name] = match["version"]
    return versions


def read_conda() -> dict[str, str]:
    """{canonical pip name: version} of environment.yml, its pip section included; Python and pip apart."""
    dependencies = yaml.safe_load(CONDA.read_text())["dependencies"]
    specs = [(line, CONDA_LINE) for line in dependencies if isinstance(line, str) and line != "pip"]
    for section in (item for item in dependencies if isinstance(item, dict)):
        assert list(section) == ["pip"], f"{CONDA.name}: unknown section {list(section)}"
        specs += [(line, PIP_LINE) for line in section["pip"] if line != "-e ."]
    versions: dict[str, str] = {}
    for line, form in specs:
        match = form.fullmatch(line)
        assert match, f"{CONDA.name}: {line!r} does not read as {form.pattern}"
        name = canonicalize_name(PIP_NAME.get(match["name"], match["name"]))
        assert name not in versions, f"{CONDA.name} repeats {name}"
        versions[name] = match["version"]
    del versions["python"]
    return versions


def direct_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in the core and in every extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(s for e in project["optional-dependencies"].values() for s in e)]
    return [r for r in map(Requirement, lines) if r.name != project["name"]]


def test_extra_all_names_every_other_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = map(Requirement, extras.pop("all"))
    assert everything.extras == set(extras)


@pytest.mark.parametrize("requirement", sorted(set(map(str, direct_requirements()))))
def test_lock_satisfies_pyproject(requirement: str):
    wanted = Requirement(requirement)
    version = read_lock().get(canonicalize_name(wanted.name))
    assert version, f"{wanted.name} is not in {LOCK.name}. Run make lock."
    assert wanted.specifier.contains(version, prereleases=True), (
        f"pyproject.toml asks for {requirement}, {LOCK.name} has {version}"
    )


def test_lock_is_closed():
    """Whatever a locked package needs is locked too, as far as the packages are installed here."""
    lock = read_lock()
    marked = {m["name"] for m in map(LOCK_LINE.fullmatch, LOCK.read_text().splitlines()) if m and ";" in m[0]}
    missing, seen, queue = [], set(), [(r.name, frozenset(r.extras)) for r in direct_requirements()]
    while queue:
        name, extras = queue.pop()
        if (name := canonicalize_name(name), extras) in seen or name in marked:
            continue
        seen.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if distribution.version.split("+")[0] != lock.get(name):
            continue  # another version, as on a bare GPU node, says nothing about the locked one
        for need in map(Requirement, distribution.requires or []):
            if not need.marker or any(need.marker.evaluate({"extra": e}) for e in (*extras, "")):
                queue.append((need.name, frozenset(need.extras)))
                if canonicalize_name(need.name) not in lock and "Darwin" not in str(need.marker):
                    missing.append(f"{name} needs {need}")
    assert not missing, f"not in {LOCK.name}, run make lock: " + "; ".join(sorted(set(missing)))


def test_conda_environment_agrees_with_lock():
    lock, conda = read_lock(), read_conda()
    direct = {canonicalize_name(r.name) for r in direct_requirements()}
    wrong = [
        f"{name} is {conda.get(name, 'missing')}, should be {lock.get(name, 'left out')}"
        for name in sorted(direct | set(conda))
        if name not in direct or conda.get(name) != lock.get(name)
    ]
    assert not wrong, f"mend {CONDA.name}: " + "; ".join(wrong)


def test_conda_environment_installs_from_conda_forge():
    environment = yaml.safe_load(CONDA.read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "python=3.11" in environment["dependencies"], "the lock is made on Python 3.11"
    assert "pip" in environment["dependencies"], "conda wants pip named where there is a pip section"
    assert "-e ." in environment["dependencies"][-1]["pip"], "the library itself"


@pytest.mark.parametrize("path", [LOCK, CONDA], ids=lambda path: path.name)
def test_versions_come_from_no_particular_place(path: Path):
    """No address, host, file or index: the same lines have to install anywhere."""
    text = path.read_text()
    found = re.findall(
        r"\S*(?:://|@|file:|--\S|\b\w[\w-]*\.(?:com|dev|io|net|org)\b|(?:^|[ '\"])[~.]?/)\S*", text, re.M
    )
    assert not found, f"{path.name} names a place: {found}"


def test_citation():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cff["cff-version"] == "1.2.0"
    assert cff["message"] and cff["title"] == "Why Diffusion Models Don't Memorize: a reproducible companion"
    assert cff["authors"] == [{"name": project["authors"][0]["name"]}]
    assert (str(cff["version"]), cff["license"]) == (diffmemlib.__version__, project["license"])
    (paper,) = cff["references"]
    assert [a["family-names"] for a in paper["authors"]] == ["Bonnaire", "Urfin", "Biroli", "Mézard"]
    assert (paper["year"], paper["conference"]["name"]) == (2025, "NeurIPS 2025")
    assert "arXiv:2505.17638" in {i["value"] for i in paper["identifiers"]}
