"""Whatever a document says is in a column, in attributes, in extras or in quarantine."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import flattened, page_of

from bench.kept import PLACES, Change, changed, missing

# The documents are a full one with anything put anywhere.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "0", "12", "1760227200123", "3600.0", "true", "null", "5GiB", "[]", "{}", '""']),
    st.text(max_size=8),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
# What is put where: in the place of the value that is there, or beside what its object has.
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.none() | st.text(max_size=4), ANYTHING), min_size=1, max_size=5
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(CHANGES, min_size=15, max_size=15))
def test_whatever_a_document_says_is_kept_somewhere(changes: list[list[Change]]) -> None:
    sent = [{**changed(each), "id": f"DE-{number}"} for number, each in enumerate(changes)]
    found = flattened(page_of(*sent))
    assert sorted(row["instance_id"] for row in found["instances"]) == sorted(each["id"] for each in sent)
    assert missing(sent, found) == []
