"""The keys of a cluster without Strimzi: made once, kept in the cluster's Secrets alone."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rapt.cluster.programs import Kubectl

USERS = ("feeder", "transformer", "predictor", "explainer", "catalogue-feed", "gateway", "labels", "experiments",
         "dashboard")  # fmt: skip
"""Kafka's users, each with a Secret of its name, as Strimzi's KafkaUser makes them."""
CA, SERVER = "rapt-cluster-ca-cert", "rapt-kafka-server"
STORE = "object-store-credentials"
STEPS = "rapt-s3"
"""The Secret of pipelines' steps, as `pipelines.tasks` names it."""
VALID_DAYS = 365
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


def make_secrets(cluster: Kubectl, *, kafka: bool) -> list[str]:
    """Make the Secrets that are not there yet, with Kafka's where Strimzi does not; the names of those made."""
    there = {one["metadata"]["name"] for one in cluster.items("secrets")}
    made: list[dict[str, Any]] = []
    if STORE not in there:
        keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)}
        made.append(secret(STORE, keys))
    if kafka and not {CA, SERVER} <= there:
        names = (f"rapt-kafka-bootstrap.{cluster.namespace}.svc", "rapt-kafka-bootstrap",
                 f"*.rapt-kafka-brokers.{cluster.namespace}.svc", "localhost")  # fmt: skip
        ca, broker = certificates(names)
        made += [secret(CA, {"ca.crt": ca}), secret(SERVER, {"broker.pem": broker})]
    made += [secret(user, {"password": secrets.token_urlsafe(24)}) for user in USERS if kafka and user not in there]
    if made:
        cluster.apply(*made)
    return [one["metadata"]["name"] for one in made]


def copy_store_keys(cluster: Kubectl, namespace: str) -> None:
    """Have the object store's keys in another namespace too, as the Secret that pipelines' steps are given."""
    found = cluster.get("secret", STORE)["data"]
    cluster.of(namespace).apply(secret(STEPS, {name: base64.b64decode(one).decode() for name, one in found.items()}))


def secret(name: str, values: dict[str, str]) -> dict[str, Any]:
    """A Secret as an object for kubectl."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    labels = {"app.kubernetes.io/part-of": "rapt"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "data": data}


def certificates(names: Sequence[str], authority: str = "rapt cluster authority") -> tuple[str, str]:
    """An authority's certificate and, signed by it, a broker's key and certificate for these names, as PEM.

    A name is one of DNS or an IP address.

    The authority's key is thrown away: nobody can sign with it later; to renew, make both anew.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, authority)])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rapt-kafka")])
    ca = _certificate(
        ca_name,
        ca_key,
        ca_name,
        ca_key,
        {
            x509.BasicConstraints(ca=True, path_length=0): True,
            _usage(key_cert_sign=True, crl_sign=True): True,
        },
    )
    own = _certificate(
        name,
        key,
        ca_name,
        ca_key,
        {
            x509.SubjectAlternativeName([_general(one) for one in names]): False,
            x509.BasicConstraints(ca=False, path_length=None): True,
            _usage(digital_signature=True): True,
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]): False,
        },
    )
    form, hidden = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, form, hidden)
    return _pem(ca), private.decode() + _pem(own)


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: Mapping[x509.ExtensionType, bool],
) -> x509.Certificate:
    """With `extensions`, each critical or not, and whose key it is and signed it: strict checks ask for that."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions.items():
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(**wanted: bool) -> x509.KeyUsage:
    return x509.KeyUsage(**dict.fromkeys(USAGES, False) | wanted)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
