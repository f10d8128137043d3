"""Account types of other packages: found by their entry point, checked, and kept to their own accounts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import syncer
from syncer.accounts.registry import store_of
from syncer.clock import SystemClock
from syncer.config import account_types, parse
from syncer.stores.context import StoreContext
from syncer.stores.simple import SimpleStoreAdapter
from syncer.testing import SimpleRig, StoreContract

EXAMPLE = Path(__file__).parent.parent / "examples" / "syncer-sqlite"
Installed = Callable[..., Path]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Installs a package: its module's text, and its entry point in a dist-info directory on sys.path."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    added: list[str] = []

    def install(name: str, module: str, text: str, target: str) -> Path:
        (site / f"{module}.py").write_text(text, encoding="utf-8")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{account_types.GROUP}]\n{name} = {module}:{target}\n")
        added.append(module)
        return site

    yield install
    for module in added:
        sys.modules.pop(module, None)


@pytest.fixture
def sqlite(installed: Installed) -> Path:
    """The example, installed as its pyproject.toml says."""
    text = (EXAMPLE / "syncer_sqlite.py").read_text(encoding="utf-8")
    assert 'sqlite = "syncer_sqlite:SqliteStore"' in (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    return installed("sqlite", "syncer_sqlite", text, "SqliteStore")


class TestSqliteStore(StoreContract):
    """The contract suite on the example."""

    @pytest.fixture
    def rig(self, tmp_path: Path, sqlite: Path) -> SimpleRig:
        from syncer_sqlite import SqliteStore  # type: ignore[import-not-found]

        return SimpleRig(lambda: SqliteStore(tmp_path / "files.db", "a/folder"), tmp_path)


class TestWithoutRenames(StoreContract):
    """The contract suite on the example as a service that can neither rename nor hold times."""

    @pytest.fixture
    def rig(self, tmp_path: Path, sqlite: Path) -> SimpleRig:
        from syncer_sqlite import SqliteStore

        class Poor(SqliteStore):  # type: ignore[misc]
            capabilities = syncer.Capabilities(
                symlinks=False,
                executable=False,
                any_bytes=False,
                moves=False,
                moves_directories=False,
                mtime_granularity_ns=0,
            )

        return SimpleRig(lambda: Poor(tmp_path / "files.db"), tmp_path)


def test_the_example_s_own_suite_passes_in_a_process_of_its_own(sqlite: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'p'}"]
    some = "test_a_put_makes_a_file_and_says_what_it_made or test_an_edited_file_is_not_deleted"
    done = subprocess.run(
        [*command, "-k", some, str(EXAMPLE)],
        cwd=EXAMPLE,
        env={"PYTHONPATH": str(sqlite), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr


def config(tmp_path: Path, accounts: str) -> syncer.Settings:
    path = tmp_path / "config.toml"
    jobs = '[jobs.docs]\nlocal = "local"\nremote = "stick:docs"\n'
    path.write_text(f'state_dir = "state"\n{accounts}\n{jobs}')
    return syncer.load_config(path)


def test_a_job_is_synced_with_an_account_of_an_installed_type(sqlite: Path, tmp_path: Path) -> None:
    (tmp_path / "local" / "d").mkdir(parents=True)
    (tmp_path / "local" / "d" / "f").write_bytes(b"x" * (3 << 20))
    settings = config(tmp_path, f'[accounts.stick]\ntype = "sqlite"\ndatabase = "{tmp_path}/files.db"\n')
    with syncer.Job.from_config("docs", settings) as job:
        assert job.sync(wait=True).ok
        assert job.sync().actions == ()
        (tmp_path / "local" / "d" / "f").unlink()
        assert job.sync().deleted == 1
    with syncer.Job(tmp_path / "other", "stick:docs", config=settings, settle=0) as job:
        (tmp_path / "other").mkdir()
        assert job.sync().ok and (tmp_path / "other" / "d").is_dir()


def test_a_type_that_is_not_known_names_one_that_is(sqlite: Path, tmp_path: Path) -> None:
    with pytest.raises(syncer.ConfigError, match=r'accounts\.stick\.type: "sqlit" is not known.*sqlite'):
        config(tmp_path, '[accounts.stick]\ntype = "sqlit"\n')


def test_the_keys_of_an_installed_type_are_checked_as_all_others(sqlite: Path, tmp_path: Path) -> None:
    with pytest.raises(syncer.ConfigError) as raised:
        config(tmp_path, '[accounts.stick]\ntype = "sqlite"\ndatabas = "x"\n')
    assert "accounts.stick.databas: unknown key" in raised.value.message
    assert "accounts.stick.database: is missing" in raised.value.message


BROKEN = {
    "it cannot be imported": ("import no_such_library", "Plugin", "ModuleNotFoundError"),
    "its class is gone": ("Other = 1", "Plugin", "AttributeError"),
    "it has no Config": ("class Plugin: pass", "Plugin", "no pydantic model Config"),
    "it has no open": (
        "import pydantic\nclass Plugin:\n    class Config(pydantic.BaseModel): pass",
        "Plugin",
        "no class method open",
    ),
    "it takes a key of ours": (
        "import pydantic\nclass Plugin:\n    open = print\n    class Config(pydantic.BaseModel): type: str",
        "Plugin",
        "must not have a field 'type'",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_plugin_that_is_broken_stops_only_its_own_accounts(
    what: str, installed: Installed, tmp_path: Path
) -> None:
    text, target, told = BROKEN[what]
    installed("broken", f"broken_{list(BROKEN).index(what)}", text, target)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "f").write_text("x")
    settings = config(tmp_path, '[accounts.stick]\ntype = "broken"\npassword = "secret"\n')
    assert [w for w in settings.warnings if "accounts.stick" in w and told in w]
    assert "secret" not in repr(settings.accounts)
    with syncer.Job.from_config("docs", settings) as job, pytest.raises(syncer.ConfigError) as raised:
        job.sync()
    assert told in raised.value.message and not isinstance(raised.value, syncer.StoreError)
    with syncer.Job(tmp_path / "local", tmp_path / "disk", config=settings, settle=0) as job:
        assert job.sync().uploaded == 1


def test_a_plugin_whose_open_fails_is_a_config_error(installed: Installed, tmp_path: Path) -> None:
    text = (
        "import pydantic\nclass Plugin:\n    class Config(pydantic.BaseModel): pass\n"
        "    @classmethod\n    def open(cls, config, path, *, context): raise KeyError('no')"
    )
    installed("raising", "raising_plugin", text, "Plugin")
    settings = config(tmp_path, '[accounts.stick]\ntype = "raising"\n')
    with pytest.raises(syncer.ConfigError, match=r"accounts\.stick: type raising cannot be opened: KeyError"):
        store_of(
            settings.accounts["stick"],
            "docs",
            state_dir=tmp_path,
            clock=SystemClock(),
            cache=tmp_path,
            tag="01234567",
        )


def test_no_package_takes_the_place_of_a_built_in_type(installed: Installed, tmp_path: Path) -> None:
    installed("smartfile", "impostor", "raise SystemError('loaded')", "Plugin")
    account = '[accounts.box]\ntype = "smartfile"\nurl = "https://box.example/"\n'
    settings = parse(account, tmp_path / "config.toml")
    assert type(settings.accounts["box"]).__module__ == "syncer.config.accounts"
    assert account_types.names()[:4] == list(account_types.BUILT_IN)


def test_every_built_in_type_is_found_as_an_installed_one_would_be() -> None:
    for name in account_types.BUILT_IN:
        found = account_types.find(name)
        assert callable(found.open) and found.__doc__


def test_two_places_of_one_type_have_two_identities(sqlite: Path, tmp_path: Path) -> None:
    tables = "".join(f'[accounts.{n}]\ntype = "sqlite"\ndatabase = "/{n}.db"\n' for n in "ab")
    settings = parse(tables, tmp_path / "config.toml")
    assert {a.identity for a in settings.accounts.values()} == {
        "sqlite:database=/a.db",
        "sqlite:database=/b.db",
    }


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionResetError("gone"), syncer.TransientError),
        (TimeoutError("late"), syncer.TransientError),
        (KeyError("bug"), syncer.PermanentError),
        (syncer.AuthError("who?"), syncer.AuthError),
    ],
)
def test_an_exception_of_a_plugin_becomes_one_of_the_tree(
    sqlite: Path, tmp_path: Path, raised: Exception, expected: type[Exception]
) -> None:
    from syncer_sqlite import SqliteStore

    class Raising(SqliteStore):  # type: ignore[misc]
        def stat(self, path: str) -> syncer.Entry | None:
            raise raised

    context = StoreContext(account="x", identity="x", clock=SystemClock(), cache=tmp_path, tag="01234567")
    store = SimpleStoreAdapter(Raising(tmp_path / "db"), context)
    with pytest.raises(expected):
        store.root()
