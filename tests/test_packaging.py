"""What a user gets: the wheel's contents, the CUDA sources wherever gpugrad is installed, and a light import.

The wheel and the source distribution are built once for all tests, by hatchling itself, without any network.
"""

import email
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gpugrad.fusion.locate import kernel_dir, read_kernel

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = set(
    "autograd cuda cudnn cupy cupyx hypothesis jax matplotlib ml_dtypes mpi4py numba nvmath pytest "
    "safetensors scipy sklearn torch tqdm".split()
)
# Where it was found and what it holds, as one line of JSON.
REPORT = """
import json, sys, gpugrad, gpugrad.fusion.locate as locate
from importlib.metadata import version
root = locate.kernel_dir()
names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.cu*") if p.is_file())
print(json.dumps({
    "package": gpugrad.__file__, "kernels": str(root), "names": names, "version": gpugrad.__version__,
    "texts": [locate.read_kernel(name) for name in names],
}))
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command outside the checkout's own import path and return what it printed."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=inherited | variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist of `source` into `target` as pip would, in a process of its own."""
    code = f"from hatchling.build import build_{kind}; print(build_{kind}({str(target)!r}))"
    return target / run(sys.executable, "-c", code, cwd=source).split()[-1]


def sources() -> dict[str, str]:
    """The CUDA sources of the checkout, by name."""
    root = ROOT / "kernels"
    return {p.relative_to(root).as_posix(): p.read_text("utf-8") for p in sorted(root.rglob("*.cu*"))}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture
def new_venv(tmp_path: Path) -> Path:
    """The Python of a new environment; its own packages come before those of this one (NumPy, hatchling)."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name == "posix")
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    Path(paths["purelib"], "zz_parent.pth").write_text(sysconfig.get_path("purelib"))
    return Path(paths["scripts"], "python")


@pytest.fixture
def pip_install(new_venv: Path, tmp_path: Path) -> Callable[..., None]:
    def install(*what: str | Path) -> None:
        flags = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", "--quiet")
        run(sys.executable, "-m", "pip", "--python", new_venv, "install", *flags, *what, cwd=tmp_path)

    return install


# ---- the archives


def test_wheel_puts_only_gpugrad_on_the_import_path(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"gpugrad", wheel.name.split("-py3")[0] + ".dist-info"}


def test_wheel_holds_every_module_and_every_cuda_source_and_the_typing_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "gpugrad").rglob("*.py")}
    assert modules | {"gpugrad/py.typed"} <= names
    assert {name for name in names if name.startswith("gpugrad/kernels/")} >= {
        f"gpugrad/kernels/{name}" for name in sources()
    }
    assert not [name for name in names if name.endswith((".pyc", ".pyo"))]


def test_wheel_needs_only_numpy_and_offers_the_extras_and_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = wheel.name.split("-py3")[0] + ".dist-info"
    metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    required = metadata.get_all("Requires-Dist", [])
    assert [line for line in required if "extra ==" not in line] == ["numpy>=2.0"]
    extras = "cuda12 cuda13 cudnn12 cudnn13 cpu scipy train mpi test lint"
    assert set(metadata.get_all("Provides-Extra", [])) == set(extras.split())
    assert "gpugrad = gpugrad.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in archive.namelist()


def test_wheel_built_from_the_sdist_is_the_wheel_built_from_the_checkout(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    for needed in ("README.md", "CHANGELOG.md", "kernels", "tests", "benchmarks"):
        assert (unpacked / needed).exists(), needed
    again = build("wheel", unpacked, tmp_path)
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    assert sorted(first.namelist()) == sorted(second.namelist())
    assert all(first.read(name) == second.read(name) for name in first.namelist())


# ---- the sources, wherever gpugrad is installed


def test_kernels_are_found_in_an_installed_wheel(
    wheel: Path, new_venv: Path, pip_install: Callable[..., None], tmp_path: Path
) -> None:
    pip_install(wheel)
    found = json.loads(run(new_venv, "-c", REPORT, cwd=tmp_path))
    package = Path(found["package"]).parent
    assert package.is_relative_to(tmp_path / "venv")
    assert Path(found["kernels"]) == package / "kernels"
    assert dict(zip(found["names"], found["texts"], strict=True)) == sources()
    assert not (package.parent / "kernels").exists()


def test_kernels_are_found_in_an_editable_install(
    new_venv: Path, pip_install: Callable[..., None], tmp_path: Path
) -> None:
    pip_install("--editable", ROOT)
    found = json.loads(run(new_venv, "-c", REPORT, cwd=tmp_path))
    assert Path(found["package"]) == ROOT / "gpugrad" / "__init__.py"
    assert Path(found["kernels"]) == ROOT / "kernels"
    assert dict(zip(found["names"], found["texts"], strict=True)) == sources()
    # A copy among the installed packages would go stale with the first edit of a source.
    assert not list((tmp_path / "venv").rglob("gpugrad/kernels"))


def test_kernels_are_found_when_python_starts_in_the_checkout(new_venv: Path) -> None:
    found = json.loads(run(new_venv, "-c", REPORT, cwd=ROOT, PYTHONDONTWRITEBYTECODE="1"))
    assert Path(found["kernels"]) == ROOT / "kernels"
    assert dict(zip(found["names"], found["texts"], strict=True)) == sources()


def test_there_are_cuda_sources() -> None:
    assert sources(), "kernels/ holds no .cu or .cuh file, so the tests of the locator show nothing"


def test_version_is_the_same_in_the_package_and_in_its_metadata(
    wheel: Path, new_venv: Path, pip_install: Callable[..., None], tmp_path: Path
) -> None:
    pip_install(wheel)
    code = "import gpugrad, importlib.metadata as m; print(gpugrad.__version__, m.version('gpugrad'))"
    assert run(new_venv, "-c", code, cwd=tmp_path).split() == ["0.1.0", "0.1.0"]


def test_read_kernel_reads_once() -> None:
    name = next(iter(sources()))
    assert read_kernel(name) is read_kernel(name)


def test_read_kernel_of_a_missing_name_says_what_there_is_and_where_it_looked() -> None:
    with pytest.raises(FileNotFoundError, match=r"\[read_kernel\] no CUDA source, name = 'none") as caught:
        read_kernel("none.cu")
    assert str(kernel_dir()) in str(caught.value)
    assert all(name in str(caught.value) for name in sources())


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/hostname", "generated/../../README.md"])
def test_read_kernel_refuses_a_name_that_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match=r"\[read_kernel\] the name leads out of the folder"):
        read_kernel(name)


def test_kernel_dir_does_not_take_a_stranger_folder_beside_an_installed_package(tmp_path: Path) -> None:
    fusion = tmp_path / "gpugrad" / "fusion"
    fusion.mkdir(parents=True)
    (tmp_path / "kernels").mkdir()
    (fusion / "locate.py").write_text((ROOT / "gpugrad" / "fusion" / "locate.py").read_text("utf-8"))
    code = "import sys; sys.path.insert(0, 'gpugrad/fusion'); import locate\n" + (
        "try: locate.kernel_dir()\nexcept FileNotFoundError as error: print(error)"
    )
    assert run(sys.executable, "-c", code, cwd=tmp_path).startswith("[kernel_dir] no CUDA sources: neither ")


# ---- the import


def test_import_is_light() -> None:
    # Time of the processor, not of the clock: other work on the machine is not what this measures. NumPy's own import
    # takes some 0.065 s; where it takes longer, the machine is slow just now and the bound moves with it.
    code = (
        "import sys, time; start = time.process_time(); import numpy; first = time.process_time() - start; "
        "before = set(sys.modules); start = time.process_time(); import gpugrad; "
        "print(time.process_time() - start, first, *(set(sys.modules) - before))"
    )
    runs = [run(sys.executable, "-c", code, cwd=ROOT).split() for _ in range(5)]
    seconds, numpy_seconds = (min(float(r[k]) for r in runs) for k in (0, 1))
    bound = max(0.25, 4 * numpy_seconds)
    assert seconds < bound, f"import gpugrad took {seconds:.3f} s on top of NumPy's own import, over {bound:.3f}"
    modules = runs[0][2:]
    assert not {module.split(".")[0] for module in modules} & EXTRAS
    floors = [module for module in modules if module.startswith(("gpugrad.train", "gpugrad.cli"))]
    assert not floors, f"import gpugrad imports {floors}"


def test_every_module_imports_without_any_extra() -> None:
    code = f"""
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import gpugrad
for module in pkgutil.walk_packages(gpugrad.__path__, "gpugrad."):
    # The bodies that Numba compiles are loaded by numba_cache, where Numba is there.
    if not module.name.endswith("__main__") and "numba" not in module.name.rpartition(".")[2]:
        importlib.import_module(module.name)
"""
    run(sys.executable, "-W", "error", "-c", code, cwd=ROOT)
