"""`gg.save` and `gg.load`: states come back as they were, files are replaced whole, nothing foreign is run."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg

pytest.importorskip("safetensors")


def training() -> tuple[Any, Any, Any]:
    gg.manual_seed(0)
    model = gg.nn.Sequential(gg.nn.Linear(3, 4), gg.nn.BatchNorm1d(4))
    optimizer = gg.optim.Adam(model.parameters(), lr=0.1)
    return model, optimizer, gg.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.5)


def step(model: Any, optimizer: Any, schedule: Any) -> None:
    optimizer.zero_grad()
    (model(gg.arange(6.0).reshape(2, 3)) ** 3).sum().backward()
    optimizer.step()
    schedule.step()


def test_a_training_goes_on_from_its_file(tmp_path: Path) -> None:
    first, second = training(), training()
    for _ in range(3):
        step(*first)
    state = {"epoch": 3, "parts": [part.state_dict() for part in first], "rng": gg.get_rng_state()}
    gg.save(state, tmp_path / "state.pt")
    loaded = gg.load(tmp_path / "state.pt", map_location="cpu")
    assert loaded["epoch"] == 3
    for part, own in zip(second, loaded["parts"], strict=True):
        part.load_state_dict(own)
    for _ in range(3):
        step(*first)
        step(*second)
    for a, b in zip(first[0].state_dict().values(), second[0].state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert first[2].get_last_lr() == second[2].get_last_lr()
    gg.set_rng_state(loaded["rng"])


def test_values_come_back_as_they_were() -> None:
    leaf = gg.ones(2, requires_grad=True)
    value: dict[Any, Any] = {1: (True, None, "a", 2.5), (2, "b"): [np.float32(1.5), float("inf"), {}], "l": leaf}
    value["t"] = gg.arange(4)[::2]
    file = io.BytesIO()
    gg.save(value, file)
    file.seek(0)
    back = gg.load(file)
    assert (back[1], back[(2, "b")]) == ((True, None, "a", 2.5), [1.5, float("inf"), {}])
    assert (back["t"].tolist(), back["t"].dtype) == ([0, 2], np.int64)
    assert back["l"].requires_grad
    assert back["l"].is_leaf


def test_files_of_other_programs(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3, np.float32)}, tmp_path / "w.safetensors")
    assert gg.load(tmp_path / "w.safetensors")["w"].tolist() == [1.0] * 3
    (tmp_path / "p").write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        gg.load(tmp_path / "p")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        gg.load(tmp_path / "missing")


def test_what_cannot_be_saved_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    gg.save({"a": 1}, tmp_path / "f")
    with pytest.raises(TypeError, match=r"obj\['model'\]\[0\] is a Linear"):
        gg.save({"model": [gg.nn.Linear(1, 1)]}, tmp_path / "f")
    assert gg.load(tmp_path / "f") == {"a": 1}
