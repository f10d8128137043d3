"""Secrets: looked up late, never shown."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from syncer.config.secrets import MASK, Secret
from syncer.errors import AuthError
from syncer.exit_codes import exit_code

WORD = "correct horse battery"


def test_a_literal_secret_is_revealed_only_on_request() -> None:
    secret = Secret.parse(WORD)
    assert secret.literal
    assert secret.reveal() == WORD
    assert WORD not in f"{secret} {secret!r} {secret.describe()}"
    assert secret.describe() == MASK


def test_an_environment_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret.parse({"env": "SYNCER_TEST_SECRET"})
    monkeypatch.setenv("SYNCER_TEST_SECRET", WORD)
    assert secret.reveal() == WORD
    assert secret.describe() == {"env": "SYNCER_TEST_SECRET"}


def test_a_missing_variable_is_an_error_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCER_TEST_SECRET", raising=False)
    with pytest.raises(AuthError, match="SYNCER_TEST_SECRET is not set") as caught:
        Secret.parse({"env": "SYNCER_TEST_SECRET"}).reveal()
    assert exit_code(caught.value) == 7


def test_a_file_is_relative_to_the_config_and_its_line_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{WORD}\r\n", encoding="utf-8")
    assert Secret.parse({"file": "key"}, tmp_path).reveal() == WORD


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_a_file_without_a_secret_in_it_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(AuthError, match="key"):
        Secret.parse({"file": str(tmp_path / "key")}).reveal()


def test_a_command_is_run_without_a_shell() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1])", f"{WORD} $HOME"]
    assert Secret.parse({"command": command}).reveal() == f"{WORD} $HOME"


@pytest.mark.parametrize("command", ["/no/such/program", f"{sys.executable} -c 'print()'", "'unclosed"])
def test_a_command_that_gives_nothing_is_an_error(command: str) -> None:
    with pytest.raises(AuthError, match="secret"):
        Secret.parse({"command": command}).reveal()


def test_a_failing_command_tells_its_status_and_nothing_of_its_words() -> None:
    command = [sys.executable, "-c", f"import sys; print({WORD!r}); sys.exit(3)"]
    with pytest.raises(AuthError, match="status 3") as caught:
        Secret.parse({"command": command}).reveal()
    assert WORD not in str(caught.value)


@pytest.mark.parametrize("value", ["", 5, {}, {"env": ""}, {"env": "A", "file": "b"}, {"nope": "x"}, ["x"]])
def test_what_is_no_secret_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a secret is"):
        Secret.parse(value)


def test_a_secret_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret.parse(WORD))


def test_secrets_compare_by_where_they_are_kept() -> None:
    assert Secret.parse(WORD) == Secret.parse(WORD)
    assert Secret.parse(WORD) != Secret.parse("other")
    assert Secret.parse({"env": "A"}) == Secret.parse({"env": "A"})
    assert hash(Secret.parse({"env": "A"})) == hash(Secret.parse({"env": "A"}))


def test_variables_in_the_path_of_a_secret_file_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`$CREDENTIALS_DIRECTORY/x`, as the example promises for a service of systemd."""
    (tmp_path / "x").write_text(WORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret.parse({"file": "$CREDENTIALS_DIRECTORY/x"}).reveal() == WORD
    assert Secret.parse({"file": "${CREDENTIALS_DIRECTORY}/x"}).reveal() == WORD
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(AuthError, match="CREDENTIALS_DIRECTORY is not set"):
        Secret.parse({"file": "$CREDENTIALS_DIRECTORY/x"}).reveal()


def test_a_secret_file_that_others_may_write_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "key").write_text(WORD)
    (tmp_path / "key").chmod(0o602)
    assert Secret.parse({"file": "key"}, tmp_path).reveal() == WORD
    assert "others may write the secret file" in caplog.text and WORD not in caplog.text
