"""What several requests used is the sum of what each used."""

from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.usage import Usage

counts = st.integers(0, 10**9)
usages = st.builds(
    Usage,
    requests=counts,
    input_tokens=counts,
    output_tokens=counts,
    cached_tokens=counts,
    reasoning_tokens=counts,
    reported=st.booleans(),
)


def test_usage_adds_up() -> None:
    one = Usage(requests=1, input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=2)
    two = Usage(requests=1, input_tokens=1, output_tokens=1, reported=False)
    assert one + two == Usage(
        requests=2, input_tokens=11, output_tokens=6, cached_tokens=4, reasoning_tokens=2, reported=False
    )
    assert one.total_tokens == 15


@given(usages, usages, usages)
def test_the_order_of_adding_does_not_matter(a: Usage, b: Usage, c: Usage) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a
