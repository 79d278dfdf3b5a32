import pytest

from zoo.cli.main import main


@pytest.fixture
def call(capsys):
    """`call("list", "--tag", "core")`: exit code, standard output, standard error."""

    def call(*words):
        try:
            code = main([*words])
        except SystemExit as stop:  # argparse's own way to end
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
