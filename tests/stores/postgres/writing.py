"""Short ways to write, for tests of the store in Postgres."""

from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore


def write(
    lease: Lease, at: int, *record_ids: str, body: bytes = b"x", kind: str = "k", release: bool = False
) -> Append:
    records = [NewRecord(record_id=name, kind=kind, body=body, tokens=1) for name in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1, release=release)


async def ids(user: UserStore, conversation: str) -> list[str]:
    return [record.record_id for record in await user.read(conversation)]
