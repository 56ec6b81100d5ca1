"""TLS from end to end, with certificates that our own command made; and every way to be wrong."""

import asyncio
import io
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from central.certs_command import certs_command
from cluster.peer import Peer, PeerFailed
from cluster.protocol import central, node
from cluster.settings import SettingsWrong
from cluster.trust.certs import make_certs
from cluster.trust.member import check_host
from cluster.trust.settings import CallerSettings
from cluster.trust.tls import Tls, TlsFiles
from console.plain.program import run
from tests.program import until
from tests.security.members import Members, ask
from tests.world import lines

OPERATOR = "an-operator-of-tests-0123456789"
HERE = ["127.0.0.1"]
pytestmark = pytest.mark.fault(66)


def pair(folder: Path, name: str, *, mutual: bool = False) -> dict[str, Any]:
    """The settings of a member with this pair."""
    own = {"tls_cert": str(folder / f"{name}.crt"), "tls_key": str(folder / f"{name}.key")}
    return own | {"tls_ca": str(folder / "ca.crt"), "tls_mutual": mutual}


@pytest.fixture
def certs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What the command makes for a central, two nodes and an operator on this machine."""
    folder = tmp_path / "certs"
    assert certs_command([str(folder), "central", "n1", "n2=other.example", "ann"]) == 0
    assert str(folder / "n1.crt") in capsys.readouterr().out
    return folder


@pytest.mark.parametrize("mutual", [False, True], ids=["one side", "both sides"])
async def test_records_come_over_tls(fleet: Members, certs: Path, mutual: bool) -> None:
    """Hello, polls and a pull; the console's plain words as well."""
    url = await fleet.central(**pair(certs, "central", mutual=mutual))
    at_node = await fleet.node("n1", **pair(certs, "n1", mutual=mutual))
    own = {"cert": str(certs / "ann.crt"), "key": str(certs / "ann.key")} if mutual else {}
    operator = await fleet.peer(url, OPERATOR, ca=str(certs / "ca.crt"), **own)
    assert url.startswith("https://")
    assert (await fleet.until_up(operator, "n1")).url == at_node

    to_node = await fleet.peer(at_node, OPERATOR, ca=str(certs / "ca.crt"), **own)
    await to_node.call(node.APPEND, node.APPEND.ask(), timeout_s=10, body=lines(50))
    flags = [f"--tls-{name}={path}" for name, path in {"ca": str(certs / "ca.crt"), **own}.items()]
    out, err = io.StringIO(), io.StringIO()
    argv = ["n1", f"--central={url}", f"--token-file={fleet.operator}", *flags]
    code = await asyncio.to_thread(run, "pull", argv, {}, out, err)

    assert (code, err.getvalue()) == (0, "")
    assert "50 new" in out.getvalue()


def expired(folder: Path) -> dict[str, Any]:
    make_certs(folder, {"n1": HERE}, days=-0.01)
    return pair(folder, "n1")


def of_another_host(folder: Path) -> dict[str, Any]:
    return pair(folder, "n2")


def of_another_authority(folder: Path) -> dict[str, Any]:
    make_certs(folder.parent / "others", {"n1": HERE}, days=1)
    return pair(folder.parent / "others", "n1") | {"tls_ca": str(folder / "ca.crt")}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (expired, "certificate has expired"),
        (of_another_host, "ip address mismatch"),
        (of_another_authority, "unable to get local issuer certificate"),
    ],
)
async def test_a_node_whose_certificate_is_wrong_is_not_believed(
    fleet: Members, certs: Path, wrong: Callable[[Path], dict[str, Any]], says: str
) -> None:
    """The reason is `tls`, and the detail says what to mend."""
    url = await fleet.central(**pair(certs, "central"))
    at_node = await fleet.node("n1", **wrong(certs), central=None)
    operator = await fleet.peer(url, OPERATOR, ca=str(certs / "ca.crt"))
    await ask(operator, central.HELLO, central.Hello(name="n1", url=at_node))

    view = await fleet.until(operator, "n1", lambda view: view.reason is not None)

    assert view.reason == "tls"
    assert says in (view.detail or "")


@pytest.mark.parametrize(
    "given",
    [{}, {"ca": "ca.crt"}, {"ca": "ca.crt", "cert": "others.crt", "key": "others.key"}],
    ids=["who believes nobody", "who shows none", "who shows another's"],
)
async def test_a_caller_without_the_right_certificate_gets_no_answer(
    fleet: Members, certs: Path, given: dict[str, str]
) -> None:
    """The token is not even asked for."""
    make_certs(certs.parent / "others", {"others": HERE}, days=1)
    for name in ("others.crt", "others.key"):
        (certs / name).write_bytes((certs.parent / "others" / name).read_bytes())
        (certs / name).chmod(0o600)
    url = await fleet.central(**pair(certs, "central", mutual=True))
    files = {key: str(certs / name) for key, name in given.items()}
    peer = await fleet.peer(url, OPERATOR, **files)

    with pytest.raises(PeerFailed) as failed:
        await ask(peer, central.STATUS)

    assert failed.value.reason in ("tls", "reset")  # with TLS 1.3 the refusal may come too late


async def test_an_old_tls_is_refused(fleet: Members, certs: Path) -> None:
    url = await fleet.central(**pair(certs, "central"))
    peer = await fleet.peer(url, OPERATOR, ca=str(certs / "ca.crt"))
    old = peer._session.connector._ssl  # type: ignore[union-attr]
    assert isinstance(old, ssl.SSLContext)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(PeerFailed) as failed:
        await ask(peer, central.STATUS)

    assert failed.value.reason in ("tls", "reset")


async def test_plain_http_at_a_tls_port_and_the_other_way_round(
    fleet: Members, certs: Path
) -> None:
    secure = await fleet.central(**pair(certs, "central"))
    plain = await fleet.node("n1", central=None)
    asked: list[tuple[Peer, Any]] = [
        (await fleet.peer(secure.replace("https", "http"), OPERATOR), central.STATUS),
        (await fleet.peer(plain.replace("http", "https"), OPERATOR), node.STATUS),
    ]

    seen = []
    for peer, exchange in asked:
        with pytest.raises(PeerFailed) as failed:
            await ask(peer, exchange)
        seen.append(failed.value.reason)

    assert seen == ["reset", "tls"]  # who speaks TLS only hangs up on the other one


@pytest.mark.fault(65)
async def test_a_pair_is_renewed_under_polls(fleet: Members, certs: Path) -> None:
    """New connections see the new one; nothing is missed."""
    url = await fleet.central(**pair(certs, "central"))
    await fleet.node("n1", **pair(certs, "n1"))
    operator = await fleet.peer(url, OPERATOR, ca=str(certs / "ca.crt"))
    await fleet.until_up(operator, "n1")
    before = await serial(url, certs)

    make_certs(certs, {"central": HERE, "n1": HERE}, days=1)

    async def changed() -> bool:
        return bool(await serial(url, certs) != before)

    await until(changed, "the new certificate is shown")
    journal = await ask(operator, central.JOURNAL)
    assert not [line for line in journal.lines if "missed" in line.text]
    assert (await fleet.until_up(operator, "n1")).failures == 0


async def serial(url: str, certs: Path) -> Any:
    """The serial number of the certificate that is shown there."""
    tls = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        return writer.get_extra_info("peercert")["serialNumber"]
    finally:
        writer.close()
        await writer.wait_closed()


def test_files_that_do_not_belong_together_are_refused(certs: Path) -> None:
    crt, key = str(certs / "n1.crt"), str(certs / "ann.key")
    for files, says in (
        (TlsFiles(crt, key), "belong together"),
        (TlsFiles(crt, str(certs / "none.key")), "No such file"),
        (TlsFiles(crt), "give both or none"),
        (TlsFiles(ca=crt, mutual=True), "--tls-mutual needs"),
        (TlsFiles(ca=key), "--tls-ca"),
    ):
        with pytest.raises(SettingsWrong, match=says):
            Tls(files)
    (certs / "n1.key").chmod(0o640)
    with pytest.raises(SettingsWrong, match="others can read it"):
        Tls(TlsFiles(crt, str(certs / "n1.key")))


@pytest.mark.fault(72)
def test_keys_are_the_owners_alone(certs: Path) -> None:
    assert certs.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in certs.iterdir()} == {0o600}


@pytest.mark.fault(62)
def test_with_tls_a_service_may_listen_for_others(certs: Path) -> None:
    own = pair(certs, "n1")
    tls = Tls(TlsFiles(own["tls_cert"], own["tls_key"]))

    check_host("0.0.0.0", tls)
    with pytest.raises(SettingsWrong, match="without TLS"):
        check_host("0.0.0.0", Tls(TlsFiles(ca=own["tls_ca"])))


@pytest.mark.parametrize(
    "argv",
    [
        ["n1=not a host"],
        ["../up"],
        ["ca"],
        ["n1="],
        [],
        ["n1", "--days", "soon"],
        ["n1", "--days", "1e99"],
    ],
)
def test_a_wrong_word_to_the_command_is_told(
    tmp_path: Path, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        certs_command([str(tmp_path / "certs"), *argv])

    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "certs").exists()


def test_a_folder_of_others_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.key").write_text("something else")
    assert certs_command([str(tmp_path), "n1"]) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_whom_the_system_believes_is_believed_without_a_file() -> None:
    assert Tls(TlsFiles()).calling.verify_mode == ssl.CERT_REQUIRED
    assert CallerSettings().tls_ca is None
