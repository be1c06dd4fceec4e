"""How many workers a server was told to start, in all the ways in which it can be told."""

import pytest

from apikeys.edge.workers import told_workers


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("granian --interface asgi apikeys.edge.app:application", 1),
        ("granian --workers 4 apikeys.edge.app:application", 4),
        ("granian --workers=4 apikeys.edge.app:application", 4),
        ("granian apikeys.edge.app:application --workers 4", 4),
        ("gunicorn -w 4 apikeys.edge.app", 4),
        ("gunicorn -w4 apikeys.edge.app", 4),
        ("gunicorn -w=4 apikeys.edge.app", 4),
        # The last one counts
        ("granian --workers 1 --workers 4 apikeys.edge.app:application", 4),
        ("granian --workers=4 --workers 1 apikeys.edge.app:application", 1),
        ("gunicorn -w1 --workers 4 apikeys.edge.app", 4),
        # Others, and what no server takes
        ("granian --workers-lifetime 600 --workers-kill-timeout=3 app", 1),
        ("granian --respawn-failed-workers --backlog 1024 app", 1),
        ("granian app --workers", 1),
        ("granian app --workers=", 1),
        ("gunicorn app -w", 1),
        ("granian app --workers +4", 4),
        ("granian app --workers four", 1),
    ],
)
@pytest.mark.parametrize("environment", [{}, {"GRANIAN_WORKERS": ""}])
def test_the_command_line_is_read_as_servers_read_it(
    command: str, expected: int, environment: dict[str, str]
) -> None:
    """Of options that they do not have there is nothing to say: they end by themselves."""
    assert told_workers(command.split()[1:], environment) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GRANIAN_WORKERS": "4"}, 4),
        ({"GRANIAN_WORKERS": " 4 "}, 4),
        ({"GRANIAN_WORKERS": "many"}, 1),
        ({"WEB_CONCURRENCY": "4"}, 4),
        ({"GRANIAN_WORKERS": "4", "WEB_CONCURRENCY": "2"}, 4),
        ({"GRANIAN_WORKERS": "", "WEB_CONCURRENCY": "2"}, 2),
    ],
)
def test_the_environment_counts_where_the_command_line_says_nothing(
    environment: dict[str, str], expected: int
) -> None:
    """And only there."""
    command = ["--interface", "asgi", "apikeys.edge.app:application"]
    assert told_workers(command, environment) == expected
    assert told_workers([*command, "--workers", "3"], environment) == 3
