from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("cgnet", 496_325)  # the authors' 496,306 and a bias of the classifier


def test_shapes():
    check_shapes("cgnet", 8, [(72, 104), (40, 88)], [7])
