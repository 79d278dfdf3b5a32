from tests.models.networks import check_parameters, check_shapes


def test_parameters_are_the_published_codes():
    check_parameters("erfnet", 2_064_191)  # 2.07 M with 20 channels and the encoder's own head


def test_shapes():
    check_shapes("erfnet", 1, [(72, 104), (40, 88)], [7])
