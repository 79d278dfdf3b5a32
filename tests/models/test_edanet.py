from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("edanet", 686_679)


def test_shapes():
    check_shapes("edanet", 8, [(72, 104), (40, 88)], [7])
