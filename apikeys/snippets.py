"""Programs to copy from the page Delivery credentials, with the tenant's own values in them.

Each is a file in templates/apikeys/snippets/, and tests run each as it stands on the page. Keys and
passwords come from the environment: `$TT_KEY` and `$TT_AMQP_PASSWORD`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string

LANGUAGES = {"sh": "curl", "py": "Python", "mjs": "Node", "go": "Go"}


@dataclass(frozen=True)
class Snippet:
    """What stands on the page: an id there, the language's name, what it needs, and the lines."""

    id: str
    language: str
    needs: str
    text: str


# Which ways there are in which language, and what is to be installed for each.
REST = {"sh": "", "py": "", "mjs": "", "go": ""}
WEBSOCKET = {
    "py": "pip install websockets",
    "mjs": "npm install ws",
    "go": "go get github.com/gorilla/websocket",
}
AMQP = {
    "py": "pip install pika",
    "mjs": "npm install amqplib",
    "go": "go get github.com/rabbitmq/amqp091-go",
}


def snippets(
    way: str, languages: Mapping[str, str], values: Mapping[str, object]
) -> Sequence[Snippet]:
    """One for each language of a way (`rest`, `websocket`, `amqp`)."""
    return [
        Snippet(
            id=f"{way}-{suffix}",
            language=LANGUAGES[suffix],
            needs=needs,
            text=render_to_string(f"apikeys/snippets/{way}.{suffix}.txt", dict(values)).rstrip(
                "\n"
            ),
        )
        for suffix, needs in languages.items()
    ]
