"""Certificates of a cluster's own: one authority, and a pair for each member.

    make_certs(Path("certs"), {"central": ["central.example"], "ams1": ["10.1.2.3"]}, days=365)

A folder gets ca.crt, ca.key, and NAME.crt, NAME.key for each member. A second call goes on with
the same authority, so that members can be added and pairs be renewed. ca.key should not stay on
any member. The pairs serve both ends of a connection (mutual TLS). RFC 5280.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.shape import END
from cluster.trust.private import write_private

#: Host names and addresses, one pattern for both: what does not parse as an address is a name.
HOST_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?" + END + "|^::1" + END
CA_DAYS = 3650
EARLIER = timedelta(hours=1)  # a member's clock may be behind
USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]

Key = ec.EllipticCurvePrivateKey


def make_certs(folder: Path, members: Mapping[str, Sequence[str]], *, days: float) -> list[Path]:
    """Make the authority where there is none, and a pair for each member at its hosts.

    The paths of the new certificates. OSError or ValueError when the folder cannot be used.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, ca_key = _authority(folder)
    return [_pair(folder, name, hosts, ca, ca_key, days) for name, hosts in members.items()]


def _authority(folder: Path) -> tuple[x509.Certificate, Key]:
    cert_file, key_file = folder / "ca.crt", folder / "ca.key"
    if cert_file.exists() or key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file}: not a key that was made here")
        return x509.load_pem_x509_certificate(cert_file.read_bytes()), key
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("Tidehold's own authority")
    cert = (
        _begun(name, name, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _keep(folder, "ca", cert, key)
    return cert, key


def _pair(
    folder: Path,
    name: str,
    hosts: Sequence[str],
    ca: x509.Certificate,
    ca_key: Key,
    days: float,
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    public = ca_key.public_key()
    cert = (
        _begun(_name(name), ca.subject, key, days)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USES), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _keep(folder, name, cert, key)


def _begun(subject: x509.Name, issuer: x509.Name, key: Key, days: float) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _keep(folder: Path, name: str, cert: x509.Certificate, key: Key) -> Path:
    """Key first: a certificate without its key would be of no use."""
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / f"{name}.key", private)
    return write_private(folder / f"{name}.crt", cert.public_bytes(pem))
