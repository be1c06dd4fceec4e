"""The key in a query, found without taking the query apart."""

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from apikeys.edge.calls import query_keys

PIECES = ["api_key", "api%5Fkey", "a%70i_key", "API_KEY", "%", "%5", "%26", "+", "=", "&", "x"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_key_in_a_query_is_what_every_reader_of_queries_finds(query: str) -> None:
    """However its name is written; and an empty one is one."""
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    expected = [value for name, value in pairs if name == "api_key"]
    assert query_keys(query.encode("ascii")) == expected
