"""A real Apache Kafka from Maven: a plain listener, and one with TLS, SCRAM-SHA-512 and ACLs as Strimzi gives it.

The jars (44 MB) are fetched once into the user's cache. Needs Java 17 and Maven; see `missing_programs`.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

from components.runtime import cache_home
from tests.ports import free_ports
from wire.kafka.settings import KafkaSettings, Security

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>rapt</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.3.1</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.4</version></dependency>
  </dependencies></project>
"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},TLS://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},TLS://127.0.0.1:{tls}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SASL_SSL
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={folder}/broker.pem
listener.name.tls.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.tls.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
sasl.enabled.mechanisms=SCRAM-SHA-512
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={folder}/data
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.segment.bytes=16777216
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
file.delete.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
num.network.threads=2
num.io.threads=2
"""
LOGGING = """appender.console.type=Console
appender.console.name=out
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
"""
JAVA = ("java", "-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
STARTED = "Kafka Server started"
DEADLINE_S = 60.0
USER, STRANGER = "rapt", "stranger"
"""`rapt` may read and write all topics, `stranger` none; both have the password in `password_file`."""


class KafkaMissing(Exception):
    """What a Kafka needs is not on this machine; tests that need it are skipped with this reason."""


def missing_programs() -> str:
    """Why no Kafka can be started here, or nothing."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"real Kafka needs {' and '.join(missing)} on PATH" if missing else ""


def jars() -> Path:
    """The folder with Kafka's jars, fetched when this user does not have those of this POM yet."""
    cache = cache_home()
    libs = cache / f"kafka-{hashlib.sha256(POM.encode()).hexdigest()[:16]}"
    if libs.is_dir():
        return libs
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        (Path(folder) / "pom.xml").write_text(POM)
        fetched = subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if fetched.returncode != 0:
            raise KafkaMissing(f"Maven cannot fetch Kafka: {(fetched.stdout + fetched.stderr).strip()[-300:]}")
        try:
            (Path(folder) / "libs").rename(libs)
        except OSError:
            if not libs.is_dir():  # not that another run was faster
                raise
    return libs


@dataclass
class KafkaBroker:
    """One broker in `folder`, which outlives a `kill` and a `start`."""

    folder: Path
    libs: Path
    first_port: int = field(default_factory=free_ports)
    process: subprocess.Popen[bytes] | None = None

    @property
    def password_file(self) -> Path:
        """The password of both users."""
        return self.folder / "password"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the broker's certificate."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.folder / "kafka.log"

    @property
    def plain(self) -> KafkaSettings:
        """The listener that lets anybody do everything."""
        return KafkaSettings(f"127.0.0.1:{self.first_port}")

    def secure(self, user: str = USER) -> KafkaSettings:
        """The listener with TLS, SCRAM and ACLs."""
        bootstrap = f"127.0.0.1:{self.first_port + 1}"
        return KafkaSettings(bootstrap, Security.SASL_SSL, user, str(self.password_file), str(self.ca_file))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def prepare(self, password: str) -> None:
        """Write keys and configuration, format the disk, and start for the first time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(password + "\n")
        authority(self.ca_file, self.folder / "broker.pem")
        controller = self.first_port + 2
        names = {"plain": self.first_port, "tls": self.first_port + 1, "controller": controller, "folder": self.folder}
        (self.folder / "server.properties").write_text(PROPERTIES.format(**names))
        (self.folder / "log4j2.properties").write_text(LOGGING)
        users = [f"SCRAM-SHA-512=[name={name},password={password},iterations=4096]" for name in (USER, STRANGER)]
        subprocess.run(
            [*self._java("kafka.tools.StorageTool"), "format", "--standalone", "-t", "raptraptraptraptraptrA",
             "-c", "server.properties", *(part for user in users for part in ("--add-scram", user))],
            cwd=self.folder,
            capture_output=True,
            check=True,
            timeout=DEADLINE_S,
        )  # fmt: skip
        self.start()
        self.allow(USER)

    def start(self) -> None:
        """Start the broker and wait until it says that it has."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._java("kafka.Kafka"), "server.properties"], cwd=self.folder, stdout=log, stderr=log
            )
        give_up_at = time.monotonic() + DEADLINE_S
        while STARTED not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise AssertionError(f"Kafka does not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the broker as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def allow(self, user: str) -> None:
        """Let `user` read, write and make all topics."""
        admin = KafkaAdminClient(bootstrap_servers=self.plain.bootstrap)
        try:
            admin.create_acls(
                [
                    ACL(
                        f"User:{user}",
                        "*",
                        ACLOperation.ALL,
                        ACLPermissionType.ALLOW,
                        ResourcePattern(ResourceType.TOPIC, "*"),
                    )
                ]
            )
        finally:
            admin.close()

    def _java(self, program: str) -> tuple[str, ...]:
        return (*JAVA, "-Dlog4j2.configurationFile=log4j2.properties", "-cp", f"{self.libs}/*", program)


def authority(ca_file: Path, broker_file: Path | None = None) -> None:
    """Write the certificate of a new authority and, signed by it, key and certificate of a broker on 127.0.0.1."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {ca_file.parent.name}")])
    ca = _certificate(ca_name, ca_key.public_key(), ca_name, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    if broker_file is None:
        return
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    certificate = _certificate(name, key.public_key(), ca_name, ca_key, loopback)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    broker_file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(issuer_key, hashes.SHA256())
    )
