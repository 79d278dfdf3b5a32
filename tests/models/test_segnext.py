import pytest
import torch

from tests.models.networks import check_cost, check_shapes
from zoo.models.segnext import _Factorisation, segnext


@pytest.mark.parametrize(
    ("size", "parameters", "giga_macs"),
    [("t", 4_229_747, 50.1), ("s", 13_899_219, 125), ("b", 27_569_107, 276)],
)
def test_cost_is_the_published_one(size, parameters, giga_macs):
    # That of T is the reference code's, which is not the published 56 (see the network's header).
    check_cost(f"segnext_{size}", parameters, giga_macs)


@pytest.mark.parametrize("size", ["t", "b"])
def test_shapes_and_heads(size):
    check_shapes(f"segnext_{size}", 8, [(65, 129), (90, 75)], [7])


def test_bases_are_the_same_in_every_network_and_drawn_anew_in_training():
    one, other = (segnext(3, False, size="t") for _ in range(2))
    assert torch.equal(one.ham.bases, other.ham.bases)
    assert "ham.bases" not in one.state_dict()
    features = torch.rand(2, 256, 40)
    assert torch.equal(one.ham.eval()(features), other.ham.eval()(features))
    assert not torch.equal(one.ham.train()(features), one.ham(features))


def test_the_factorisation_approximates_what_has_its_rank():
    torch.manual_seed(0)
    ham = _Factorisation(32, 4).eval()
    of_rank_4 = torch.rand(1, 32, 4) @ torch.rand(1, 4, 50)
    error = (ham(of_rank_4) - of_rank_4).norm() / of_rank_4.norm()
    assert error < 0.2
    assert torch.linalg.matrix_rank(ham(torch.rand(1, 32, 50))[0], rtol=1e-4) <= 4
