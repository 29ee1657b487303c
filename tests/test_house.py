"""The house rules that no linter checks: sizes, docstrings, who may import what, files that must agree.

The README is a program here: its Python blocks run in order, and its commands are those that CI runs.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import gpugrad

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "gpugrad").rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 450, 60
# An optional package, and the floors that may import it (always inside a function: tests/test_packaging.py).
HOMES = {
    "cudnn": {"backend"},
    "cupy": {"backend", "fusion"},
    "cupyx": {"backend", "fusion"},
    "numba": {"backend", "fusion"},
    "matplotlib": {"train", "cli", "cost", "explaining"},
    "sklearn": {"train", "cli"},
    "tqdm": {"train", "cli", "cost"},
}

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def readme() -> str:
    path = ROOT / "README.md"
    assert path.is_file(), "README.md is missing; pyproject.toml names it and the tests run its code blocks"
    return path.read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language in the README, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", readme(), flags=re.MULTILINE | re.DOTALL)


def ci_variables() -> dict[str, str]:
    """The one-line string constants at the head of `.ci/run`."""
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    return dict(re.findall(r"^(\w+)='([^']*)'$", script, flags=re.MULTILINE))


# ---- the modules


@each_module
def test_module_is_short_and_so_are_its_functions(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= FILE_LINES, f"{lines} lines; split what lives here"
    functions = (n for n in ast.walk(parse(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    sizes = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


@each_module
def test_module_says_what_lives_in_it(path: Path) -> None:
    docstring = ast.get_docstring(parse(path))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


@each_module
def test_module_imports_an_optional_package_only_on_its_own_floor(path: Path) -> None:
    floor = path.relative_to(ROOT / "gpugrad").parts[0].removesuffix(".py")
    strangers = {name for name in imported(parse(path)) if floor not in HOMES.get(name, {floor})}
    assert not strangers, f"{strangers} may be imported on the floors {[HOMES[n] for n in strangers]} only"


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of all packages that a module imports, at its head or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@each_module
def test_module_holds_no_notes_to_self(path: Path) -> None:
    notes = re.findall(r"\b(?:TODO|FIXME|XXX|HACK)\b.*", path.read_text("utf-8"))
    assert not notes, "make it an issue, or do it"


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by name alone, and a second one of a name ends the whole run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


# ---- the README


def test_readme_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    assert code, "README.md shows no Python"
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(code, start=1):
        exec(compile(block, f"README.md, Python block {number}", "exec"), namespace)


def test_readme_commands_are_those_that_ci_runs() -> None:
    parts = ci_variables()
    test_command = " && ".join(parts[name] for name in ("make_environment", "install", "run_tests"))
    # What cannot run on every machine, such as an install for CUDA, is a `console` block.
    assert [block.strip() for block in blocks("sh")] == [parts["train_command"], test_command]


def test_readme_names_only_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = re.findall(r"(?:gpugrad|\.)\[([\w,]+)\]", readme())
    assert set(",".join(groups).split(",")) <= set(project["optional-dependencies"])


def test_readme_shows_only_pictures_and_files_that_are_there() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", readme())
    targets += re.findall(r'(?:src|href)="([^"#]+)"', readme())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (ROOT / target).exists()] == []


# ---- files that must agree


def test_changelog_opens_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(.+)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, flags=re.MULTILINE)
    assert versions[0][0] == gpugrad.__version__
    assert len(versions) == len(re.findall(r"^## ", text, flags=re.MULTILINE))


def test_citation_is_complete_and_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith("gpugrad")
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["version"] == gpugrad.__version__
    assert citation["license"] == project["license"] == "Apache-2.0"


def test_licence_is_the_apache_licence_of_the_gpugrad_authors() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert re.search(r"^   Copyright \d{4} the gpugrad authors$", text, flags=re.MULTILINE)


def test_commands_of_the_contributors_table_name_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]+\| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert ".ci/run" in rows
    files = [word for row in rows for word in row.split() if "/" in word]
    assert [name for name in files if not (ROOT / name).exists()] == []


# ---- the checks themselves


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("import warnings\ndef test_it(): warnings.warn('old', DeprecationWarning)", "1 failed"),
        ("import pytest\n@pytest.mark.nonsense\ndef test_it(): pass", "2 errors"),
        ("import pytest\n@pytest.mark.xfail\ndef test_it(): pass", "1 failed"),
        ("import pytest\n@pytest.mark.slow\ndef test_it(): assert False", "1 skipped"),
        ("def test_it(rng): assert rng.random() == rng.random()", "1 failed"),
        ("def test_it(rng, request): assert 0 < rng.random() < 1", "1 passed"),
    ],
    ids=["warning is an error", "unknown marker", "unexpected pass", "slow is skipped", "rng draws", "rng"],
)
def test_pytest_is_as_strict_as_it_says(body: str, outcome: str, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "tests/conftest.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"))
    (tmp_path / "tests" / "test_it.py").write_text(body)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert outcome in done.stdout.splitlines()[-1], done.stdout + done.stderr
