"""A real broker with authentication and ACLs: TLS with SCRAM, and mutual TLS.

It has four listeners: plain text for the test itself, which is the super user; SECURE, where clients give a password
(SCRAM or PLAIN) over TLS; MUTUAL, where clients show a certificate; BEARER, where they give a token over TLS. These
tokens have no signature: Kafka's validator for tests takes them. A client must bring a new one before the last ends.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from brokerkit.broker import Broker
from brokerkit.files import ADDRESS, Node, free_ports

PASSWORD: Final = "pass-word-7f3a"  # noqa: S105 - for a broker on loopback that runs for a minute
TIMEOUT_S: Final = 30

Acl = tuple[str, str, str]
"""Resource type, name, operation, as Kafka's tools write them: ("TOPIC", "alerts", "WRITE")."""

_KINDS: Final = {
    "TOPIC": ResourceType.TOPIC,
    "GROUP": ResourceType.GROUP,
    "TRANSACTIONAL_ID": ResourceType.TRANSACTIONAL_ID,
    "CLUSTER": ResourceType.BROKER,  # the client's name for it
}


@dataclass(frozen=True)
class Secured:
    """The broker, and what its clients need."""

    broker: Broker
    secure: str
    mutual: str
    bearer: str
    folder: Path

    @property
    def bootstrap_servers(self) -> str:
        """HOST:PORT for the super user."""
        return self.broker.bootstrap_servers

    @cached_property
    def admin(self) -> AdminClient:
        """The super user's admin client."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers})

    def properties(self, user: str, **other: str) -> dict[str, str]:
        """Returns the environment of a user with the right password. `other` properties replace the usual ones."""
        found = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self.folder / "ca.pem"),
            **{name.replace("_", "."): value for name, value in other.items()},
        }
        return {"KAFKA_BOOTSTRAP_SERVERS": self.secure, "KAFKA_PROPERTIES": json.dumps(found)}

    def certified(self) -> dict[str, str]:
        """Returns the environment of a client that shows its certificate, as User:txwatch."""
        found = {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.folder / "ca.pem"),
            "ssl.certificate.location": str(self.folder / "client.pem"),
            "ssl.key.location": str(self.folder / "client.key"),
        }
        return {"KAFKA_BOOTSTRAP_SERVERS": self.mutual, "KAFKA_PROPERTIES": json.dumps(found)}

    def bearing(self, **other: str) -> dict[str, str]:
        """Returns the environment of a client that gives a token; `other` properties say where it gets one."""
        found = {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.folder / "ca.pem"),
            **{name.replace("_", "."): value for name, value in other.items()},
        }
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bearer, "KAFKA_PROPERTIES": json.dumps(found)}

    def add_user(self, name: str) -> None:
        """Adds a user with the right password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(name, info, PASSWORD.encode())
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(TIMEOUT_S)

    def allow(self, principal: str, *acls: Acl) -> None:
        """Allows this to the principal, in addition to earlier permissions."""
        bindings = [
            AclBinding(
                _KINDS[kind], name, ResourcePatternType.LITERAL, principal, "*", AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for kind, name, operation in acls
        ]  # fmt: skip
        for future in self.admin.create_acls(bindings).values():
            future.result(TIMEOUT_S)

    def forbid(self, principal: str, acl: Acl) -> None:
        """Takes this permission away."""
        kind, name, operation = acl
        one = AclBindingFilter(
            _KINDS[kind], name, ResourcePatternType.LITERAL, principal, "*", AclOperation[operation],
            AclPermissionType.ALLOW,
        )  # fmt: skip
        if not self._delete(one):
            raise LookupError(f"{principal} did not have {acl}")

    def forbid_everything(self, principal: str) -> None:
        """Takes all permissions away."""
        everything = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]
            ResourcePatternType.ANY,
            principal,
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        self._delete(everything)

    def _delete(self, what: AclBindingFilter) -> int:
        (future,) = self.admin.delete_acls([what]).values()
        return len(future.result(TIMEOUT_S))


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Runs one, with new certificates of a new authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other-ca.pem"))
    server = authority.issue_cert(ADDRESS, "localhost")
    # Java reads no other form of a key.
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(pem + b"".join(one.bytes() for one in server.cert_chain_pems))
    client = authority.issue_cert("client.example", common_name="txwatch", organization_name=None)
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    node = Node.alone()
    secure, mutual, bearer = free_ports(3)
    store = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
    }
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="{PASSWORD}";'
    token = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"  # noqa: S105 - a class
    ports = {"PLAINTEXT": node.port, "SECURE": secure, "MUTUAL": mutual, "BEARER": bearer}
    listeners = [f"{name}://{ADDRESS}:{port}" for name, port in ports.items()]
    protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,BEARER:SASL_SSL"
    properties: dict[str, str | int] = {
        "listeners": ",".join([*listeners, f"CONTROLLER://{ADDRESS}:{node.controller_port}"]),
        "advertised.listeners": ",".join(listeners),
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.name.secure.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": plain,
        "listener.name.secure.scram-sha-512.sasl.jaas.config": scram,
        **{f"listener.name.secure.{name}": value for name, value in store.items()},
        **{f"listener.name.mutual.{name}": value for name, value in store.items()},
        **{f"listener.name.bearer.{name}": value for name, value in store.items()},
        "listener.name.bearer.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.bearer.oauthbearer.sasl.jaas.config": token,
        "listener.name.bearer.oauthbearer.connections.max.reauth.ms": 60_000,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with Broker(properties=properties, node=node) as broker:
        yield Secured(broker, f"{ADDRESS}:{secure}", f"{ADDRESS}:{mutual}", f"{ADDRESS}:{bearer}", folder)
