"""The handwritten digits, their fixed split, and the walk over batches."""

import sys

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.train import Examples, MissingExtraError, batches, epoch_order, load_digits

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def scans(digits):
    """The split images on their original scale, 0 to 16, as rows of integers."""
    x = np.concatenate([digits.train_x, digits.test_x])
    return np.rint((x * digits.scale + digits.mean) * 16).astype(int).reshape(-1, 64)


def test_the_split_is_1437_to_360_in_the_dtypes_that_the_model_takes(digits):
    assert digits.train_x.shape == (1437, 1, 8, 8)
    assert digits.test_x.shape == (360, 1, 8, 8)
    assert digits.train_x.dtype == digits.test_x.dtype == digits.mean.dtype == np.float32
    assert digits.train_y.dtype == digits.test_y.dtype == np.int64


def test_every_scan_is_in_exactly_one_part_of_the_split(digits):
    from sklearn.datasets import load_digits as original

    rows = scans(digits)
    labelled = np.column_stack([rows, np.concatenate([digits.train_y, digits.test_y])])
    everything = original()
    expected = np.column_stack([everything.data.astype(int), everything.target])
    assert sorted(map(tuple, labelled)) == sorted(map(tuple, expected))
    # No two of the scans are equal, so a leak from one part into the other would show as a common row.
    assert not set(map(tuple, rows[:1437])) & set(map(tuple, rows[1437:]))


def test_each_class_has_its_share_of_both_parts(digits):
    whole = np.bincount(np.concatenate([digits.train_y, digits.test_y]), minlength=10)
    test = np.bincount(digits.test_y, minlength=10)
    assert np.all(np.abs(test - whole * 360 / 1797) < 1)


def test_the_split_does_not_depend_on_the_seed_of_a_run(digits):
    gg.manual_seed(7)
    np.testing.assert_array_equal(load_digits().test_x, digits.test_x)


def test_inputs_are_standardised_with_training_statistics_only(digits):
    np.testing.assert_allclose(digits.train_x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(digits.train_x.std(), 1, rtol=1e-5)
    assert np.abs(digits.test_x.mean(axis=0)).max() > 1e-3  # its own mean was not taken out


def test_a_missing_scikit_learn_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'scikit-learn .* pip install "gpugrad\[train\]"'):
        load_digits()


def numbered(count):
    x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return Examples.on("cpu", x, np.arange(count))


def test_batches_visit_each_example_once_in_the_order_given():
    order = epoch_order(10, seed=3, epoch=1)
    walked = list(batches(numbered(10), 4, order))
    assert [y.shape[0] for _, y in walked] == [4, 4, 2]
    assert np.concatenate([y.numpy() for _, y in walked]).tolist() == order.tolist()
    for x, y in walked:
        np.testing.assert_array_equal(x.numpy()[:, 0], 2 * y.numpy())


def test_batches_without_an_order_are_views_of_the_examples():
    examples = numbered(5)
    walked = list(batches(examples, 2))
    assert np.concatenate([y.numpy() for _, y in walked]).tolist() == [0, 1, 2, 3, 4]
    assert all(np.shares_memory(x.numpy(), examples.x.numpy()) for x, _ in walked)


def test_a_batch_may_be_larger_than_the_data():
    assert [y.shape[0] for _, y in batches(numbered(3), 100)] == [3]


def test_the_order_of_an_epoch_is_a_permutation_fixed_by_seed_and_epoch():
    first = epoch_order(50, seed=1, epoch=1)
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(first, epoch_order(50, seed=1, epoch=1))
    assert not np.array_equal(first, epoch_order(50, seed=1, epoch=2))
    assert not np.array_equal(first, epoch_order(50, seed=2, epoch=1))


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"\[batches\] batch_size = 0"):
        next(batches(numbered(3), 0))


def test_inputs_and_labels_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"x has 3 rows and y has 2"):
        Examples.on("cpu", np.zeros((3, 2), np.float32), np.zeros(2, np.int64))
