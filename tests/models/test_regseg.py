from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("regseg", 3_334_951)


def test_shapes():
    check_shapes("regseg", 4, [(80, 112), (48, 176)], [7])
