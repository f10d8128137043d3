"""Large objects of Ceph come down on a bad line: what broke off goes on from where it was."""

from __future__ import annotations

from tests.contents import noise
from tests.stores.swift.bench import MIB, Bench
from tests.stores.swift.large import Here


def test_a_download_that_breaks_again_and_again_goes_on_from_where_it_was(bench: Bench) -> None:
    data = noise(1, 4 * MIB)
    bench.machine("a").put("big", data)
    reader, path = bench.machine("b"), f"{bench.container}/big"
    bench.swift.clear()
    bench.swift.rule("cut", method="GET", path=path, times=3, bytes=MIB)
    assert reader.get("big") == data
    got = [a for a in bench.swift.requests(method="GET", path=path) if "manifest" not in a.query]
    assert [a.status for a in got] == [200, 206, 206, 206]
    assert sum(a.sent for a in got) < len(data) + MIB // 2


def test_the_next_run_goes_on_with_what_an_earlier_one_left(bench: Bench) -> None:
    data = noise(1, 4 * MIB)
    bench.machine("a").put("big", data)
    reader, path = bench.machine("b"), f"{bench.container}/big"
    bench.swift.clear()
    bench.swift.rule("cut", method="GET", path=path, times=1, bytes=MIB)
    assert reader.get("big", Here(data, start=2 * MIB)) == data[2 * MIB :]
    got = [a for a in bench.swift.requests(method="GET", path=path) if "manifest" not in a.query]
    assert [a.status for a in got] == [206, 206] and sum(a.sent for a in got) < 2 * MIB + MIB // 2
