"""All settings. They come from the environment; what is unsafe in production is refused by name.

`bin/run` says PORTAL_ENV=development; anything else is production. See docs/operations.md.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from portal.lib.env import (
    database_parts,
    env_bool,
    env_int,
    env_list,
    env_str,
    is_development,
    trusted_proxies,
)
from portal.lib.mail import SMTP_TIMEOUT_SECONDS, email_settings

BASE_DIR = Path(__file__).resolve().parent.parent
PORTAL_HOME = Path(env_str("PORTAL_HOME", str(BASE_DIR / ".portal")))
DEVELOPMENT = is_development()
DEBUG = False

# --- Names and addresses of the provider; the defaults are those of its public documentation.
PORTAL_BASE_URL = env_str(
    "PORTAL_BASE_URL", "http://localhost:8000" if DEVELOPMENT else "https://ticktock.bet"
).rstrip("/")
PROVIDER_NAME = env_str("PROVIDER_NAME", "Ticktock")
PROVIDER_EMAIL = env_str("PROVIDER_EMAIL", "b2b@ticktock.bet")
FEED_BASE_URL = env_str(
    "FEED_BASE_URL", PORTAL_BASE_URL if DEVELOPMENT else "https://ticktock.bet"
).rstrip("/")

# --- The message broker: where the portal provisions (empty: there is none), and where clients go
RABBITMQ_MANAGEMENT_URL = env_str("RABBITMQ_MANAGEMENT_URL", "")
AMQP_HOST = env_str("AMQP_HOST", "mq.ticktock.bet")
AMQP_TLS_PORT = env_int("AMQP_TLS_PORT", 5671, least=1)
AMQP_PORT = env_int("AMQP_PORT", 5672, least=1)

# --- Secrets
SECRET_KEY = env_str("SECRET_KEY")
FIELD_KEYS = env_list("FIELD_KEYS")  # Fernet keys, newest first: they encrypt TOTP secrets

# --- Hosts and proxies
_base = urlsplit(PORTAL_BASE_URL)
IS_HTTPS = _base.scheme == "https"
ALLOWED_HOSTS = [_base.hostname or "", *env_list("ALLOWED_HOSTS")]
if DEVELOPMENT:
    ALLOWED_HOSTS += ["localhost", "127.0.0.1", "[::1]"]
TRUSTED_PROXIES = trusted_proxies()
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None

# --- Applications
INSTALLED_APPS = [
    "portal",
    "accounts.apps.AccountsConfig",
    "markets",
    "apikeys",
    "accounts.apps.StaffConfig",  # Django's admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "procrastinate.contrib.django",
]
MIDDLEWARE = [
    "portal.middleware.RequestRecord",
    "portal.middleware.SecurityHeaders",
    "portal.middleware.Health",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.middleware.RefuseRubbish",
    "portal.middleware.TooMany",
    "accounts.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "accounts.middleware.Authentication",
    "accounts.middleware.Preferences",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.LoginRequired",
    "accounts.middleware.CurrentTenant",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
APPEND_SLASH = False
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.shell",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS += ["django.forms"]

# --- Postgres: the application's role, and the owner that migrates
DATABASE_URL = env_str("DATABASE_URL", "" if DEVELOPMENT else None)
DATABASE_OWNER_URL = env_str("DATABASE_OWNER_URL", DATABASE_URL)
DATABASE_POOL_SIZE = env_int("DATABASE_POOL_SIZE", 8)


def _database(url: str, *, pool_size: int, parameters: str) -> dict[str, Any]:
    parts = database_parts(url) if url else {}
    options: dict[str, Any] = {
        keyword: value
        for keyword, value in parts.items()
        if keyword not in {"host", "port", "user", "password", "dbname"}
    }
    options |= {"connect_timeout": 2, "options": parameters}
    if pool_size:
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 2}
    return {
        "ENGINE": "portal.lib.postgres",
        "NAME": parts.get("dbname", ""),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "OPTIONS": options,
    }


DATABASES = {
    "default": _database(
        DATABASE_URL,
        pool_size=DATABASE_POOL_SIZE,
        parameters="-c statement_timeout=10s -c idle_in_transaction_session_timeout=15s",
    ),
    # A migration that cannot have its lock soon gives way to those who work.
    "owner": _database(DATABASE_OWNER_URL, pool_size=0, parameters="-c lock_timeout=5s"),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Who
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.UsernameOrEmail"]
PASSWORD_HASHERS = ["accounts.hashers.BoundedArgon2"]
# Each hash takes 100 MiB for its tenth of a second.
HASHES_AT_ONCE = env_int("HASHES_AT_ONCE", 2, least=1)

# --- How long the audit trail is kept, by `bin/manage prune_audit`
AUDIT_SIGN_IN_DAYS = env_int("AUDIT_SIGN_IN_DAYS", 90, least=1)
AUDIT_DAYS = env_int("AUDIT_DAYS", 7 * 365 + 2, least=1)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "accounts.passwords.CommonPassword"},
    {"NAME": "accounts.passwords.ContextWords"},
]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "overview"

# --- Sessions and cookies. `__Host-` needs https: on plain http (localhost) the prefix falls away.
_prefix = "__Host-" if IS_HTTPS else ""
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_NAME = f"{_prefix}portal_session"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
CSRF_COOKIE_NAME = f"{_prefix}portal_csrf"
CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "portal.views.stale_form"
MESSAGE_STORAGE = "portal.lib.notices.NoticeStorage"
NOTICE_COOKIE_NAME = f"{_prefix}portal_notice"
KNOWN_BROWSER_COOKIE_NAME = f"{_prefix}portal_known"

# --- Counting tries: in Redis where there is one, else in Postgres; both count atomically
REDIS_URL = env_str("REDIS_URL", "")
CACHES: dict[str, Any] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # A Redis that does not answer must not hold a page's thread.
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }
    if REDIS_URL
    else {"BACKEND": "accounts.counters.PostgresCounters"}
}
# Honoured in development alone, for load tests (portal.E005).
RATELIMIT_ENABLE = env_bool("RATELIMIT_ENABLE", default=True) or not DEVELOPMENT

# --- Headers
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env_bool("HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = env_bool("HSTS_PRELOAD", default=True)
SECURE_REFERRER_POLICY = "same-origin"  # `no-referrer` makes browsers send `Origin: null`
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000  # Markets sends one for each type; Django would stop at 1000

# --- Mail
EMAIL_URL = env_str("EMAIL_URL", "")
_mail = email_settings(EMAIL_URL)
EMAIL_BACKEND = _mail.backend
EMAIL_HOST = _mail.host
EMAIL_PORT = _mail.port
EMAIL_HOST_USER = _mail.user
EMAIL_HOST_PASSWORD = _mail.password
EMAIL_USE_TLS = _mail.use_tls
EMAIL_TIMEOUT = SMTP_TIMEOUT_SECONDS
EMAIL_FILE_PATH = str(PORTAL_HOME / "mail")  # where FileBackend writes
DEFAULT_FROM_EMAIL = env_str("MAIL_FROM", f"{PROVIDER_NAME} <{PROVIDER_EMAIL}>")

# --- The queue, in Postgres; what was done is forgotten at once
PROCRASTINATE_WORKER_DEFAULTS = {"delete_jobs": "successful"}

# --- Language and time
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["portal.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Static files: gathered once, with their hash in the name
STATIC_URL = "/static/"
STATIC_ROOT = PORTAL_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # usernames are unique whatever their case, by a constraint on lower(username)
    "security.W002",  # X-Frame-Options comes from portal.middleware, on refusals too
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # The formatter redacts keys, invite links and query strings, whoever wrote them.
    "formatters": {"line": {"()": "portal.lib.redact.RedactingFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"level": "WARNING"},
        # 4xx are in `portal.requests`, one line each; here only what broke, with its traceback.
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "CRITICAL"},
        # Never DEBUG, whatever the rest is set to: a variable that a template does not find is then
        # logged with the whole context, and contexts hold TOTP secrets and recovery codes.
        "django.template": {"level": "INFO"},
        "procrastinate": {"level": "WARNING"},
    },
}
