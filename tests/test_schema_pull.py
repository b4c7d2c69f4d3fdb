"""Cutting a small schema out of a big one."""

import gzip

import pytest
from graphql import GraphQLError, build_schema, parse, print_ast, validate

from plugin.schema_pull import bundle_documents, pull
from tests.shared import ROOT, folder

FULL = '''
schema { query: Q mutation: M }
"""Once only."""
directive @idempotent("""The key.""" key: String!) on FIELD
scalar Money
scalar Unused
type Q { order(id: ID!): Order node(id: ID!): Node others: [Other!] }
type M { pay(input: Pay!): Order drop: Order }
interface Node { id: ID! }
interface Way { amount: Money! }
type Cash implements Way & Node { amount: Money! id: ID! till: String }
type Bank implements Way { amount: Money! iban: String }
union Thing = Order | Other
"""An order."""
type Order implements Node {
  id: ID!
  "Its name." name(long: Kind = LONG, unused: Deep): String
  old: String @deprecated(reason: "use name")
  ways: [Way!]!
  thing: Thing
  hidden: Other
}
type Other implements Node { id: ID! text: String }
enum Kind { LONG SHORT @deprecated(reason: "no") }
input Deep { deeper: [Deeper!]! kind: Kind }
input Deeper { value: Money = "1.0" }
input Pay @oneOf { amount: Money deep: Deep }
'''

CUT = """schema {
  query: Q
  mutation: M
}

directive @idempotent(key: String!) on FIELD

type Bank implements Way {
  amount: Money!
}

type Cash implements Way & Node {
  amount: Money!
  id: ID!
}

input Deep {
  deeper: [Deeper!]!
  kind: Kind
}

input Deeper {
  value: Money = "1.0"
}

enum Kind {
  LONG
  SHORT @deprecated(reason: "no")
}

type M {
  pay(input: Pay!): Order
}

scalar Money

interface Node {
  id: ID!
}

type Order implements Node {
  id: ID!
  name(long: Kind = LONG, unused: Deep): String
  old: String @deprecated(reason: "use name")
  ways: [Way!]!
}

input Pay @oneOf {
  amount: Money
  deep: Deep
}

type Q {
  node(id: ID!): Node
}

interface Way {
  amount: Money!
}
"""

DOCUMENTS = (
    "fragment Reads on Order { name old ways { amount } }",
    'mutation Do($p: Pay!) { pay(input: $p) @idempotent(key: "k") { __typename } }',
    "query Look($id: ID!) { node(id: $id) { ... on Order { id } } }",
)


def test_what_documents_select_is_kept_with_arguments_inputs_and_implementations_and_nothing_else() -> None:
    assert pull(FULL, DOCUMENTS) == CUT


def test_pulling_from_what_was_pulled_changes_nothing() -> None:
    assert pull(CUT, DOCUMENTS) == CUT


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("fragment F on Order { price }", "Order has no field 'price' in this schema"),
        ("fragment F on Ordr { name }", "this schema has no type 'Ordr'"),
    ],
)
def test_a_name_the_schema_does_not_have_is_named(document: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pull(FULL, [document])


def test_text_that_is_no_graphql_is_refused() -> None:
    with pytest.raises(GraphQLError):
        pull(FULL, ["fragment on on {"])


def test_the_committed_schema_is_what_our_documents_need() -> None:
    committed = (ROOT / "schemas" / "shopify-2026-10.graphql").read_text(encoding="utf-8")
    assert pull(committed, bundle_documents(ROOT)) == committed


def test_every_document_of_the_bundle_and_of_the_store_is_valid_on_the_committed_schema() -> None:
    schema = build_schema((ROOT / "schemas" / "shopify-2026-10.graphql").read_text(encoding="utf-8"), assume_valid=True)
    wrong = [
        one.message
        for text in bundle_documents(ROOT)
        for one in validate(schema, parse(text))
        if "is never used" not in one.message
    ]
    assert wrong == []


def test_the_committed_schema_is_a_cut_of_shopifys() -> None:
    path = folder("SCHEMA_DIR", "schema") / "admin-2026-10.graphql.gz"
    if not path.is_file():
        pytest.skip(f"1 file not here: {path}")
    committed = (ROOT / "schemas" / "shopify-2026-10.graphql").read_text(encoding="utf-8")
    assert pull(gzip.decompress(path.read_bytes()).decode(), bundle_documents(ROOT)) == committed
    assert print_ast(parse(committed)) + "\n" == committed
