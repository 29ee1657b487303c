"""Five hundred random programs, the same on each run, against central differences (`random_programs`)."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed")


def test_derivatives_of_500_random_programs_equal_central_differences(capsys):
    from tests.transforms.random_programs import main

    main(500)
    said = int(capsys.readouterr().out.split()[0])
    assert said >= 400
