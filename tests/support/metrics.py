"""What a server counts, as Prometheus reads it: its own client's parser is the judge of the text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.support.sockets import ask, request

#: A sample's name and its labels, sorted.
Key = tuple[str, tuple[tuple[str, str], ...]]


class Counted(dict[Key, float]):
    """All samples of one look."""

    def of(self, name: str, **labels: str) -> float:
        """The sum over the samples of that name that have these labels."""
        return sum(
            value
            for (sample, found), value in self.items()
            if sample == f"autonomousai_{name}" and labels.items() <= dict(found).items()
        )

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The samples of that name that are not 0, by these labels' values."""
        rows: dict[tuple[str, ...], float] = {}
        for (sample, found), value in self.items():
            if sample == f"autonomousai_{name}" and value:
                key = tuple(dict(found)[label] for label in labels)
                rows[key] = rows.get(key, 0) + value
        return rows


def read(text: bytes) -> Counted:
    """The samples of a text; each may be there once."""
    counted = Counted()
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in counted
            counted[key] = sample.value
    return counted


async def counted(port: int, key: str = "") -> Counted:
    """What the server on that port counts now; *key*: an admin's, where it wants one."""
    answer = await ask(port, request("GET", "/metrics", **({"authorization": f"Bearer {key}"} if key else {})))
    assert 200 == answer.status
    return read(answer.body)
