"""TLS between nodes: one certificate, which every node has and which is all that a node trusts.
And the certificate of the API, as its own machine sees it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import lru_cache

from xinfer.core.security import HandshakeError
from xinfer.errors import InvalidRequest
from xinfer.settings import Settings


@dataclass(frozen=True)
class Tls:
    """The two sides of a connection. Each proves that it has the key and asks the same back."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def cluster_tls(settings: Settings) -> Tls | None:
    """By the cluster's certificate and key; None when there is none, and nothing is encrypted.

    Raises:
        InvalidRequest: one is given without the other, or they cannot be read or do not match.
    """
    if not settings.cluster_cert and not settings.cluster_key:
        return None
    if not settings.cluster_cert or not settings.cluster_key:
        given, missing = "a certificate", "--ssl-cluster-key (XINFERENCE_CLUSTER_KEY)"
        if not settings.cluster_cert:
            given, missing = "a key", "--ssl-cluster-cert (XINFERENCE_CLUSTER_CERT)"
        raise InvalidRequest(f"The cluster has {given} alone. Give {missing} too.")
    return _load(settings.cluster_cert, settings.cluster_key)


def check_api_certificate(settings: Settings) -> None:
    """Refuse what the API could not serve HTTPS with.

    Raises:
        InvalidRequest: a certificate without its key or the other way round, or they cannot be
            read or do not match.
    """
    if not settings.ssl_certfile or not settings.ssl_keyfile:
        given, missing = "a certificate", "--ssl-keyfile (XINFERENCE_SSL_KEYFILE)"
        if not settings.ssl_certfile:
            given, missing = "a key", "--ssl-certfile (XINFERENCE_SSL_CERTFILE)"
        raise InvalidRequest(f"HTTPS has {given} alone. Give {missing} too.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.ssl_certfile, settings.ssl_keyfile
        )
    except OSError as error:  # SSLError is one
        raise InvalidRequest(
            f"The certificate {settings.ssl_certfile} and key {settings.ssl_keyfile} cannot be "
            f"used: {error}. Expected are a certificate chain, and its key without a passphrase, "
            "in PEM files."
        ) from None


def trusting(certfile: str) -> ssl.SSLContext:
    """For a client that trusts the first certificate of a PEM file, whatever it is called by.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with open(certfile, encoding="ascii") as file:
        leaf, end, _ = file.read().partition("-----END CERTIFICATE-----")
    context.load_verify_locations(cadata=leaf + end)
    return context


def not_ours(peer: str, error: ssl.SSLError) -> HandshakeError:
    """What to say of a peer with which no encrypted connection comes about."""
    return HandshakeError(
        f"TLS with {peer} failed: {error}. Every node needs the same cluster certificate, or none."
    )


@lru_cache(maxsize=1)
def _load(certificate: str, key: str) -> Tls:
    certificate, key = os.path.expanduser(certificate), os.path.expanduser(key)
    sides = []
    for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Who the peer is follows from the one certificate there is, not from a name in it.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # It is trusted itself, whether it signed itself or an authority did.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_cert_chain(certificate, key)
            context.load_verify_locations(certificate)
        except OSError as error:  # SSLError is one
            raise InvalidRequest(
                f"The cluster's certificate {certificate} and key {key} cannot be used: {error}. "
                "Expected are a certificate and its key without a passphrase, in PEM files."
            ) from None
        sides.append(context)
    return Tls(*sides)
