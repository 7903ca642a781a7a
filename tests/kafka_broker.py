"""A real Apache Kafka from Maven: a plain listener, and one with TLS, SCRAM-SHA-512 and ACLs as Strimzi gives it.

The jars (44 MB) are fetched once into the user's cache. Needs Java 17 and Maven; see `missing_programs`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

from rapt.cluster.secrets import certificates
from tests.kept import fetch_jars, kept
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

    def fetch(folder: Path) -> Path:
        if reason := fetch_jars(POM, folder):
            raise KafkaMissing(f"Maven cannot fetch Kafka: {reason}")
        return folder / "libs"

    return kept("kafka", POM, fetch)


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
    ca, broker = certificates(("127.0.0.1",), f"authority {ca_file.parent.name}")
    ca_file.write_text(ca)
    if broker_file is not None:
        broker_file.write_text(broker)
