from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("fddwnet", 773_682)


def test_shapes():
    check_shapes("fddwnet", 1, [(72, 104), (40, 88)], [7])
