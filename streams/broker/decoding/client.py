"""Asks a schema registry by the API of Confluent's, which Apicurio, Karapace and Redpanda serve too.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import base64
import http.client
import ssl
import urllib.error
import urllib.request
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from streams.config.errors import RegistryError, SettingsError
from streams.config.logins.tls import SYSTEM, trusting_context
from streams.config.settings import REGISTRY, Settings, setting_label
from streams.engine.payload.wire_format import HIGHEST_ID

T = TypeVar("T")

TIMEOUT_S = 5.0
_MOST_BYTES = 16 * 1024 * 1024  # far above the largest schema that a registry takes
_NOT_FOUND = {40401: "subject", 40402: "version", 40403: "schema"}  # the error codes of a registry in a 404
_REFUSED = (401, 403)
_REDIRECTIONS = range(300, 400)
_NOT_TAKEN = (409, 422)  # a schema that does not fit the versions before, and one that the registry cannot use
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class Reference(msgspec.Struct, frozen=True):
    """A schema that another schema names."""

    name: str  # the type of Avro, the import of Protobuf, the address of JSON Schema
    subject: str
    version: int


class Registered(msgspec.Struct, frozen=True):
    """A schema as the registry holds it."""

    schema: str  # JSON, or the text of a .proto file
    kind: str = msgspec.field(name="schemaType", default="AVRO")  # The registry leaves this type out.
    references: list[Reference] = []


class _Id(msgspec.Struct):
    id: Annotated[int, Meta(ge=0, le=HIGHEST_ID)]


class NotRegistered(Exception):  # noqa: N818 - an answer of the registry, and not yet an error
    """The registry answers that it does not hold the schema."""


class _Refusal(msgspec.Struct):
    error_code: int = 0
    message: str = ""


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows what is only read. urllib would send a schema on as a request without the schema."""

    def redirect_request(self, req: urllib.request.Request, *answer: Any) -> urllib.request.Request | None:
        return None if req.data is not None else super().redirect_request(req, *answer)


class RegistryClient:
    """Blocks while the registry answers. Several threads may ask at once."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError for a CA file that cannot be used."""
        assert settings.schema_registry is not None, "only a registry in the settings can be asked"
        self.address = settings.schema_registry.rstrip("/")
        self._settings = settings
        context = trusting_context(settings.schema_registry_ca or SYSTEM, f"{REGISTRY}_ca")
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirections)

    def kinds(self) -> list[str]:
        """The kinds of schemas that the registry holds, such as AVRO. Checks address, TLS and login on the way.

        Raises SettingsError, and RegistryError where the registry does not answer.
        """
        try:
            return self._ask("/schemas/types", list[str])
        except (NotRegistered, msgspec.MsgspecError) as error:
            raise SettingsError(
                f"{setting_label(REGISTRY)} = {self.address!r} does not answer as a schema registry: {error}; name "
                "the address with its path, as in http://localhost:8080/apis/ccompat/v7 for Apicurio"
            ) from None

    def schema(self, schema_id: int) -> Registered:
        """The schema of an id. Raises NotRegistered, SettingsError, RegistryError."""
        return self._read(f"/schemas/ids/{schema_id}")

    def referenced(self, reference: Reference) -> Registered:
        """The schema that a reference names, also where its subject was deleted softly.

        Raises NotRegistered, SettingsError, RegistryError.
        """
        subject = quote(reference.subject, safe="")
        return self._read(f"/subjects/{subject}/versions/{reference.version}?deleted=true")

    def latest(self, subject: str) -> Registered:
        """The newest schema of a subject. Raises NotRegistered, SettingsError, RegistryError."""
        return self._read(f"/subjects/{quote(subject, safe='')}/versions/latest")

    def id_of(self, subject: str, schema: Registered) -> int:
        """The id under which a subject holds this schema. Raises NotRegistered, SettingsError, RegistryError."""
        return self._send(f"/subjects/{quote(subject, safe='')}", schema)

    def register(self, subject: str, schema: Registered) -> int:
        """Register the next version of a subject, and return the id of the schema.

        Raises SettingsError for a schema that does not fit the versions before, or that the registry does not take, and
        RegistryError.
        """
        return self._send(f"/subjects/{quote(subject, safe='')}/versions", schema)

    def _send(self, path: str, schema: Registered) -> int:
        try:
            return self._ask(path, _Id, msgspec.json.encode(registration_body(schema))).id
        except msgspec.MsgspecError as error:
            raise RegistryError(f"the schema registry at {self.address} answered {path} with no id: {error}") from None

    def _read(self, path: str) -> Registered:
        try:
            return self._ask(path, Registered)
        except msgspec.MsgspecError as error:
            raise RegistryError(
                f"the schema registry at {self.address} answered {path} with no schema: {error}"
            ) from None

    def _ask(self, path: str, kind: type[T], body: bytes | None = None) -> T:
        """body: JSON that is sent to the path (POST); None where the path is read (GET)."""
        headers = {"Accept": "application/json"} | ({} if body is None else {"Content-Type": CONTENT_TYPE})
        request = urllib.request.Request(self.address + path, body, headers)
        if self._settings.schema_registry_user:
            login = (
                f"{self._settings.schema_registry_user}:{str.__str__(self._settings.schema_registry_password or '')}"
            )
            # The header must not follow a redirection to another server.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                answered = answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                if body is not None and error.code in _REDIRECTIONS:
                    raise self._redirected(path, error) from None
                raise self._refusal(path, error.code, _body(error)) from None
        except ssl.SSLError as error:
            raise self._unanswered(path, error) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):
                raise self._tls_fault(error.reason) from None
            raise self._unanswered(path, error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unanswered(path, error) from None
        except UnicodeError as error:
            raise SettingsError(
                f"{setting_label(REGISTRY)} = {self.address!r} is no address that can be asked: {error}"
            ) from None
        return _read_json(answered, kind)

    def _redirected(self, path: str, error: urllib.error.HTTPError) -> SettingsError:
        return SettingsError(
            f"the schema registry at {self.address} answered {path} with HTTP {error.code}, a redirection to "
            f"{error.headers.get('Location')!r}: name the address that takes schemas in {setting_label(REGISTRY)}"
        )

    def _refusal(self, path: str, status: int, body: bytes) -> Exception:
        if status in _REFUSED:
            user = self._settings.schema_registry_user
            client = f"user {user!r}" if user else "a client without a user"
            return SettingsError(
                f"the schema registry at {self.address} refused {client} (HTTP {status}); look at "
                f"{setting_label('schema_registry_user')} and {setting_label('schema_registry_password')}"
                f"{_right_to(path)}"
            )
        refusal = _decoded(body)
        if status == http.HTTPStatus.NOT_FOUND and (refusal.error_code in _NOT_FOUND or path == "/schemas/types"):
            return NotRegistered(f"HTTP 404 {refusal.message}".rstrip())
        shown = refusal.message or f"{len(body)} bytes"
        if status in _NOT_TAKEN and path.startswith("/subjects/"):
            return SettingsError(f"the schema registry at {self.address} does not take the schema: {shown}")
        return RegistryError(f"the schema registry at {self.address} answered {path} with HTTP {status}: {shown}")

    def _tls_fault(self, error: ssl.SSLError) -> Exception:
        ca = setting_label("schema_registry_ca")
        if isinstance(error, ssl.SSLCertVerificationError):
            return SettingsError(
                f"the certificate of the schema registry at {self.address} is not to be trusted: "
                f"{error.verify_message}; set {ca} to the PEM file of the authority that signed the certificate"
            )
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return SettingsError(
                f"the schema registry at {self.address} does not speak TLS ({error.reason}): look at its port, or "
                f"write http:// in {setting_label(REGISTRY)}"
            )
        return self._unanswered("", error)

    def _unanswered(self, path: str, reason: object) -> RegistryError:
        return RegistryError(f"the schema registry at {self.address} does not answer {path}: {reason}; is it running?")


def registration_body(schema: Registered) -> dict[str, str]:
    """What a registration of a schema without references sends."""
    return {"schema": schema.schema, "schemaType": schema.kind}


def _right_to(path: str) -> str:
    """The right that a request for a subject needs, as the end of a message."""
    if not path.startswith("/subjects/"):
        return ""
    subject = unquote(path.split("/")[2])
    if path.endswith("/versions"):
        return f", or let an administrator register the schema of the subject {subject} (`thalweg setup`)"
    return f", and give the user the right to read the subject {subject}"


def _body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _read_json(answered: bytes, kind: type[T]) -> T:
    """Raises MsgspecError."""
    try:
        return msgspec.json.decode(answered, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError(str(error)) from None


def _decoded(body: bytes) -> _Refusal:
    try:
        return _read_json(body, _Refusal)
    except msgspec.MsgspecError:
        return _Refusal()
