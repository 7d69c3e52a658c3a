"""All settings, each one a `CSOR_…` environment variable or a file of that name, and where it makes sense an option of `csor serve`.

What holds a password (`CSOR_STORE`, `CSOR_SMTP_URL`) is best a file `csor_store`, `csor_smtp_url` in the directory of secrets: other programs
of the machine can see arguments, and whoever inspects a container sees its environment.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECRETS = Path("/run/secrets")  # where container engines put them


class Settings(BaseSettings):
    """Defaults are those of one machine. Raises pydantic's ValidationError, which the command line turns into a sentence."""

    model_config = SettingsConfigDict(env_prefix="CSOR_", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="HTTP port; 0 takes a free one.")
    mllp_port: int = Field(default=2575, ge=-1, le=65535, description="HL7v2 (MLLP) port; 0 takes a free one, -1 opens none.")
    mllp_certificate: Path | None = Field(default=None, description="HL7v2 over TLS: the server's certificate (PEM).")
    mllp_key: Path | None = Field(default=None, description="HL7v2 over TLS: its key (PEM).")
    mllp_client_authorities: Path | None = Field(
        default=None, description="HL7v2 over TLS: who may sign senders' certificates (PEM); without it senders need none."
    )
    store: str = Field(default="", description="Store URL; empty: SQLite in the data directory.", repr=False)
    data: Path = Field(default=Path("data"), description="Directory of the embedded store.")
    workers: int = Field(default=1, ge=1, le=64, description="Server processes on one store.")
    sandbox: bool = Field(default=False, description="Loopback only, no sign-in: whoever asks is a national administrator.")
    base_url: str = Field(
        default="", description="Public root URL, such as https://csor.example.org; empty: as each caller addresses the server."
    )
    max_body: int = Field(default=50 * 1024 * 1024, ge=1024, description="Most bytes of one request's body.")
    body_seconds: float = Field(default=60.0, gt=0, description="Time that a caller has to send one body.")
    smtp_url: str = Field(
        default="", description="Mail server, smtp://user:password@host:port; empty: letters wait in the outbox.", repr=False
    )
    letters_from: str = Field(default="csor@csor.example.org", description="Sender of the letters to parents.")
    packages: str = Field(
        default="",
        description="FHIR packages (.tgz, or directories) whose profiles $validate knows; several with ':' between them.",
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    secrets: Path = Field(default=SECRETS, description="Directory of settings that are files; only from the environment.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, then the environment, then files."""
        directory = Path(os.environ.get("CSOR_SECRETS") or SECRETS)
        if not directory.is_dir():  # one that is named and is not there is refused below
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, directory)

    @field_validator("base_url")
    @classmethod
    def _root(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: str) -> str:
        if value and not _is_mail_server(value):
            raise ValueError(
                "must look like smtp://user:password@host:port or smtps://…, special characters of the password percent-encoded"
            )
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return value.lower()

    @field_validator("secrets")
    @classmethod
    def _there(cls, value: Path) -> Path:
        if value != SECRETS and not value.is_dir():
            raise ValueError(f"the directory {value} is not there")
        return value

    @model_validator(mode="after")
    def _certificate_and_key(self) -> "Settings":
        if (self.mllp_certificate is None) != (self.mllp_key is None):
            raise ValueError("CSOR_MLLP_CERTIFICATE and CSOR_MLLP_KEY go together")
        if self.mllp_client_authorities and not self.mllp_certificate:
            raise ValueError("CSOR_MLLP_CLIENT_AUTHORITIES needs CSOR_MLLP_CERTIFICATE and CSOR_MLLP_KEY")
        return self

    @model_validator(mode="after")
    def _sandbox_stays_at_home(self) -> "Settings":
        if self.sandbox and self.host not in LOOPBACK:
            raise ValueError(f"a sandbox has no sign-in and so listens on this machine alone: not on {self.host}")
        return self

    @property
    def package_paths(self) -> tuple[Path, ...]:
        """The packages one by one."""
        return tuple(Path(each) for each in self.packages.split(os.pathsep) if each)

    @property
    def store_url(self) -> str:
        """The store, with the default worked out."""
        return self.store or f"sqlite:///{self.data.resolve() / 'csor.db'}"


def _is_mail_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    rest = parts.path.strip("/") or parts.query or parts.fragment
    return parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and port != 0 and not rest
