from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("dabnet", 756_643)


def test_shapes():
    check_shapes("dabnet", 8, [(72, 104), (40, 88)], [7])
