"""NumPy's signatures, on both faces: names, places and options of arguments as NumPy has them, or errors that say."""

import inspect
from typing import Any

import numpy
import pytest

import gpugrad as gg
import gpugrad.numpy

RNG = numpy.random.default_rng(3)
BARE = RNG.random((3, 4)).astype(numpy.float32)
MASK = BARE > 0.5
ROW = BARE[0]
INDEX = numpy.array([[0, -3, 2], [5, 1, -1]])

# What NumPy takes, with `np` for the namespace and `x` for an array: the same call, value, shape and dtype.
CALLS = """
np.sum(a=x); np.sum(x, 0, None, None, True); np.sum(x, initial=1.0); np.sum(x, where=MASK); np.prod(x, initial=2.0)
np.max(x, initial=0.0, where=MASK); np.mean(x, where=MASK); np.var(x, where=MASK); np.std(x, where=MASK)
np.std(x, mean=np.mean(x, keepdims=True)); np.var(x, 0, ddof=1, mean=np.mean(x, 0, keepdims=True))
np.var(x, axis=1, keepdims=True, mean=0.25)
np.nansum(x, initial=0, where=MASK); np.nanmean(x, where=MASK); np.count_nonzero(a=x); np.percentile(a=x, q=50)
np.array(x, copy=True); np.array(x, ndmin=3); np.array(x, order="F"); np.asarray(x, order="C")
np.array([x, x], ndmin=4); np.concatenate([x, x], dtype=np.float64); np.concatenate([x, x], out=None)
np.concatenate([x, x], casting="unsafe"); np.stack([x, x], dtype=np.float64); np.stack([x, x], 0, None)
np.hstack(tup=[x, x]); np.vstack([x, x], dtype=np.float64); np.trace(x, 0, 0, 1, np.float64)
np.trace(a=x, offset=1); np.diagonal(a=x, axis1=1, axis2=0); np.take(x, INDEX, mode="clip")
np.take(x, INDEX, mode="wrap"); np.take(x, INDEX, axis=1, mode="clip"); np.take(x, [0], out=None)
np.take_along_axis(arr=x, indices=MASK.astype(int), axis=1); np.ravel(x, order="F"); np.ravel(x, "F")
np.ravel(x, "C"); np.reshape(x, (4, 3), order="F"); np.reshape(x, -1, order="F"); np.reshape(x, shape=(2, 6))
np.reshape(x, shape=(2, 6), order="F"); np.copy(x, order="F"); np.copy(a=x); np.cumsum(x, 0, None, None)
np.cumsum(x, axis=0, out=None); np.cumsum(x, dtype=np.float64); np.cumprod(a=x); np.round(x, 1, None)
np.around(x, decimals=1, out=None); np.clip(x, 0.1, 0.5, None); np.clip(x, a_min=0.1, a_max=0.5)
np.dot(x, x.T, out=None); np.outer(x[0], x[0], out=None); np.matmul(x, x.T, casting="same_kind")
np.linalg.norm(x=x); np.flip(m=x); np.diag(v=x); np.real(val=x); np.tril(m=x); np.rot90(m=x); np.roll(a=x, shift=1)
np.diff(a=x); np.expand_dims(a=x, axis=0); np.squeeze(a=x); np.repeat(a=x, repeats=2); np.tile(A=x, reps=(2, 1))
np.tile(x, reps=2); np.split(ary=x, indices_or_sections=2, axis=1)[1]; np.broadcast_to(array=x, shape=(2, 3, 4))
np.moveaxis(a=x, source=0, destination=1); np.pad(array=x, pad_width=1); np.pad(x, 1, mode="maximum")
np.pad(x, ((1, 2), (0, 1)), "linear_ramp", end_values=((1, 2), (3, 4))); np.sort(x, order=None)
np.sort(x, axis=0, kind="mergesort"); np.argsort(x, kind="stable"); np.partition(x, 1, kind="introselect")
np.array_equal(a1=x, a2=x); np.array_equal(x, x * np.nan, equal_nan=True); np.transpose(a=x, axes=(1, 0))
np.permute_dims(x, axes=(1, 0)); np.zeros_like(a=x); np.zeros_like(x, order="C"); np.ones_like(x, shape=(2, 2))
np.empty_like(prototype=x) * 0; np.add(x, x, None); np.add(x, x, out=None); np.add(x, x, where=True)
np.add(x, x, dtype=np.float64); np.sin(x, dtype="float64"); np.exp(x, casting="same_kind"); np.add.reduce(x)
np.multiply.outer(x, x); np.add.accumulate(x); np.add.accumulate(x, 1); np.fft.fft(a=x); np.fft.rfft(x, out=None)
np.linalg.inv(a=x[:, :3]); np.linalg.outer(x[0], x[1])
"""
SAME = [call.strip() for call in CALLS.replace("\n", ";").split(";") if call.strip()]
BUILT = ("np.array(", "np.asarray(", "_like(")  # NumPy asks nobody before it makes these of a tensor


def evaluated(call: str, np: Any, x: Any) -> Any:
    return eval(call, {"np": np, "x": x, "MASK": MASK, "INDEX": INDEX})


@pytest.mark.parametrize("face", ["gpugrad.numpy", "numpy", "gpugrad.numpy on a bare array"])
@pytest.mark.parametrize("call", SAME)
def test_a_call_that_numpy_takes_gives_what_numpy_gives(call: str, face: str) -> None:
    if face == "numpy" and any(name in call for name in BUILT):
        pytest.skip("NumPy makes an array of it, which a tensor refuses")
    if face == "numpy" and "np.add(x, x, dtype" in call:
        pytest.skip("NumPy's own scalar")
    want = evaluated(call, numpy, BARE)
    tensor = gg.tensor(BARE, requires_grad=True)
    given = BARE if face.endswith("array") else tensor
    found = evaluated(call, numpy if face == "numpy" else gpugrad.numpy, given)
    constant = isinstance(want, bool) or any(n in call for n in ("arg", "count", "_like"))
    if given is tensor and not constant:
        assert found.requires_grad, "the graph is not cut"
        assert gg.grad(lambda t: abs(evaluated(call, gpugrad.numpy, t)).sum())(BARE).shape == BARE.shape
    plain = found.detach().numpy() if isinstance(found, gg.Tensor) else found
    assert numpy.shape(plain) == numpy.shape(want)
    assert numpy.asarray(plain).dtype == numpy.asarray(want).dtype
    numpy.testing.assert_allclose(plain, want, rtol=2e-5, atol=1e-6)


METHODS = """
x.reshape(4, 3, order="F"); x.reshape((4, 3), order="F"); x.reshape(-1, order="F"); x.ravel("F"); x.ravel("K")
x.flatten("F"); x.flatten(order="F"); x.copy(order="F"); x.take([0, 9], axis=0, mode="clip"); x.take([0], 0, None)
x.cumsum(0, None, None); x.cumsum(axis=0, out=None); x.cumprod(1, "float64", None); x.round(decimals=1, out=None)
x.item(3); x.item((1, 1)); x.item(1, 1); x.conjugate()
"""


@pytest.mark.parametrize("call", [call.strip() for call in METHODS.replace("\n", ";").split(";") if call.strip()])
def test_methods_take_what_numpys_do(call: str) -> None:
    want, found = evaluated(call, numpy, BARE), evaluated(call, numpy, gg.tensor(BARE, requires_grad=True))
    plain = found.detach().numpy() if isinstance(found, gg.Tensor) else found
    assert numpy.shape(plain) == numpy.shape(want)
    assert numpy.asarray(plain).dtype == numpy.asarray(want).dtype
    numpy.testing.assert_allclose(plain, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("np.add(x, x, where=MASK)", r"\[add\] where= would leave elements that nobody has set"),
        ("np.add(x, x, out=x)", r"\[add\] out= is not supported"),
        ("np.add(x, x, x)", r"\[add\] out= is not supported"),
        ("np.cumsum(x, 0, None, x)", r"\[cumsum\] out= is not supported"),
        ("np.concatenate([x, x], out=x)", r"\[concatenate\] out= is not supported"),
        ("np.ravel(x.T, 'K')", r"\[ravel\] order = 'K'; expected 'C' or 'F'"),
        ("np.unique(x, axis=0)", r"\[unique\] axis=0 is not supported for tensors"),
        ("np.take(x, [0], mode='nearest')", r"\[take\] mode='nearest' is not supported"),
        ("np.concatenate([x], casting='no')", r"\[concatenate\] casting='no' is not supported"),
        ("np.sin(x, casting='no')", r"\[sin\] casting='no' is not supported"),
        ("np.sort(x, order='field')", r"\[sort\] order"),
        ("np.reshape(x, (4, 3), colour='red')", "colour"),
        ("np.sum()", "missing"),
        ("np.pad(x, 1, mode='spiral')", r"\[pad\] mode = 'spiral'; expected one of constant"),
        ("np.pad(x, 1, mode='mean', stat_length=0)", r"\[pad\] stat_length = 0"),
    ],
)
def test_what_has_no_meaning_for_a_tensor_is_refused_by_name(call: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        evaluated(call, gpugrad.numpy, gg.tensor(BARE, requires_grad=True))


def test_without_a_tensor_numpys_own_options_work() -> None:
    np, out = gpugrad.numpy, numpy.empty_like(BARE)
    assert np.add(BARE, BARE, out=out) is out
    numpy.testing.assert_array_equal(out, BARE + BARE)
    found = np.add(BARE, 1, where=MASK, out=numpy.zeros_like(BARE))
    numpy.testing.assert_array_equal(found, numpy.where(MASK, BARE + 1, 0))
    assert np.concatenate([BARE, BARE], out=numpy.empty((6, 4), numpy.float32)).shape == (6, 4)
    numpy.testing.assert_array_equal(np.unique(np.array([[1, 1], [1, 1], [2, 0]]), axis=0), [[1, 1], [2, 0]])
    assert np.add.nin == 2
    assert np.maximum.accumulate(ROW).shape == ROW.shape


def test_an_error_of_the_values_is_not_taken_for_one_of_the_call() -> None:
    with pytest.raises(TypeError, match=r"\[concatenate\]|integer|axis"):
        gpugrad.numpy.concatenate([gg.tensor(BARE), gg.tensor(BARE)], "rows")
    with pytest.raises(TypeError, match=r"axis = 1.5"):
        gpugrad.numpy.cumsum(gg.tensor(BARE), 1.5)


def test_every_argument_of_numpys_is_taken_under_its_name() -> None:
    """Each argument that NumPy has, given its default by name, changes nothing, for each function of one matrix."""
    seen = 0
    for name in gpugrad.numpy.__all__:
        theirs, ours = getattr(numpy, name, None), getattr(gpugrad.numpy, name)
        if not inspect.isfunction(ours) or not callable(theirs):
            continue
        parameters = list(inspect.signature(theirs).parameters.values())
        if not parameters:
            continue
        first, others = parameters[0], parameters[1:]
        if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD) or first.default is not first.empty:
            continue
        defaults = [p for p in others if p.default is not p.empty and "no value" not in repr(p.default)]
        if len(defaults) < len([p for p in others if p.kind is p.POSITIONAL_OR_KEYWORD]):
            continue  # it wants more than a matrix
        given = [[gg.tensor(BARE)]] if "tup" in first.name or "arrays" in first.name else [gg.tensor(BARE)]
        try:
            want = ours(*given)
        except (TypeError, ValueError, numpy.linalg.LinAlgError):
            continue  # or something else than this one
        found = ours(*given, **{p.name: p.default for p in defaults})
        assert type(found) is type(want), name
        seen += 1
    assert seen > 60
