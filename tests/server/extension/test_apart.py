"""Keys are kept apart: none learns by digests, lists, tokens, cursors or errors what another one may read."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import blake2b

import pytest
from blake3 import blake3

from syncer.server.extension import CHANGING, READING
from syncer.wire import frames as wire
from syncer.wire.frames import Data, Head
from tests.server.extension.speaking import Client, told, wanted
from tests.server.extension.test_putting import quiet

BIG = 2 << 20
TOKEN = bytes(range(8))


@pytest.fixture
def under(client, folder):
    """A key that is confined to a subfolder."""
    (folder / "sub").mkdir()
    (folder / "other").mkdir()
    return Client(client.port, "under")


def test_a_digest_says_nothing_of_content_in_another_root(client, under, folder):
    """`fetch` with `have` answered "delta" where any key had such content, and its size told the rest."""
    secret = os.urandom(BIG)
    (folder / "sub/mine").write_bytes(os.urandom(BIG))
    client.root = "other"
    client.put(("secret", secret, None))
    quiet(client)
    assert client.sketches.settle(20)
    head, _, _ = under.fetch("mine", under.entry("mine"), have=blake3(secret).digest())
    assert head.fields["encoding"] == "ask"
    (folder / "other/mine").write_bytes(os.urandom(BIG))
    head, _, _ = client.fetch("mine", client.entry("mine"), have=blake3(secret).digest())
    assert head.fields["encoding"] == "delta", "its own root goes on as before"


def test_a_list_that_another_root_sent_is_unknown(client, under):
    known = [["", "00" * 32]]
    text = json.dumps(known, separators=(",", ":")).encode()
    name = blake2b(text, digest_size=32).hexdigest()
    client.root = "other"
    assert "changed" in client.call("changed", {"name": name, "known": known}).json
    assert "changed" in client.call("changed", {"name": name}).json
    assert under.call("changed", {"name": name}).json == {"unknown": True}


def test_what_another_key_began_is_not_gone_on_with(client, under, folder):
    content = os.urandom(BIG)
    head = wire.frame_parts(Head({"items": [told("f", BIG, token=TOKEN)]}))
    begun = wire.frame_parts(Head({"index": 0, "encoding": "whole", "start": 0}))
    part = wire.frame_parts(Data(content[: BIG // 2]))
    client.root = "sub"
    broken = client.call("put", b"".join([*head, *begun, *part]))
    assert broken.status == 200
    question = {"path": "f", "token": TOKEN.hex()}
    assert client.call("partial", question).json == {"start": BIG // 2}
    assert under.call("partial", question).json == {"start": 0}


ENTRY = [1, 1, "00", 0, False, None, None, True]
QUESTION = {
    "path": "f", "paths": ["f"], "items": ["f"], "wanted": [["f", ENTRY]], "limit": 1, "token": "",
    "entry": ENTRY, "marker": "m", "name": "00", "known": [],
}  # fmt: skip


def test_no_error_says_where_the_folder_lies_or_what_a_key_is_confined_to(client, under, folder):
    calls = sorted({**READING, **CHANGING}.keys() - {"sweep"})
    answers = [under.call(call, QUESTION, root=root).body for call in calls for root in ("", "no", "../x")]
    (folder / "sub/file").write_bytes(b"1")
    answers += [under.call(call, QUESTION, root="file").body for call in calls]
    shutil.rmtree(folder / "sub/.syncer")
    (folder / "sub/.syncer").write_bytes(b"a file where the marker's directory is to be")
    answers.append(under.call("mark", {"marker": "m"}).body)
    assert b"failed" in answers[-1]
    shutil.rmtree(folder / "sub")
    answers += [under.call(call, QUESTION).body for call in calls]
    (folder / "sub").write_bytes(b"a file in its place")
    answers += [under.call(call, QUESTION).body for call in calls]
    for answer in answers:
        assert str(folder).encode() not in answer
        assert b"sub" not in answer, answer
        assert str(client.served.state).encode() not in answer


@pytest.mark.parametrize("call", ["changed", "put"])
def test_a_lone_surrogate_is_a_400(client, folder, call):
    known = [["\ud800", "00"]]
    text = json.dumps(known, separators=(",", ":")).encode()
    question = {"name": blake2b(text, digest_size=32).hexdigest(), "known": known}
    items = [told("a", 1), told("\ud800/b", 1)]
    body = question if call == "changed" else wire.encode([Head({"items": items})])
    assert client.call(call, body).status == 400


def test_a_directory_of_many_names_is_put_into_words_piece_by_piece(client, folder):
    """A line of a million names was 240 MiB in memory, three times."""
    from syncer.wire.schema import listing_in

    (folder / "d{}").mkdir()
    for number in range(4500):
        (folder / "d{}" / f"{number}").touch()
    reply = client.call("list", {"paths": ["d{}", ""]})
    [[path, large], [_, small]] = reply.lines
    assert path == "d{}"
    assert {*listing_in(large).entries} == {str(n) for n in range(4500)}
    assert {*listing_in(small).entries} == {"d{}"}
    assert wanted("x", listing_in(large).entries["0"])
