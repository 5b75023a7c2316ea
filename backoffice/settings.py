"""Settings, from the environment. `AMENDS_ENV=production` demands what production needs; else defaults serve one machine.

Read here: AMENDS_ENV, AMENDS_HOME, AMENDS_LOG_LEVEL, AMENDS_PROCESS, AMENDS_CALCULATORS, AMENDS_APPROVAL_POLICY, AMENDS_BROKER_PREFIX,
AMENDS_AUDIT_VERIFY_AT, AMENDS_SIGN_IN_FAILURES, AMENDS_SIGN_IN_LOCKED_MINUTES, AMENDS_SECOND_FACTOR, AMENDS_PROXIES, SECRET_KEY,
ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, DATABASE_URL, DATABASE_OWNER_URL, DATABASE_SEALER_URL, DATABASE_ADMIN_URL, REDIS_URL, PORT.
"""

import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
import structlog
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from backoffice.broker_url import celery_broker_url
from backoffice.embedded.home import Home

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = os.environ.get("AMENDS_ENV", "development")
if ENVIRONMENT not in ("development", "production"):
    raise ImproperlyConfigured(f"AMENDS_ENV is “{ENVIRONMENT}”: it must be development or production.")
PRODUCTION = ENVIRONMENT == "production"
DEBUG = False


def _whole(name: str, default: int, *, least: int) -> int:
    given = os.environ.get(name) or str(default)
    if not given.isdecimal() or int(given) < least:
        raise ImproperlyConfigured(f"{name} is “{given}”: it must be a whole number, {least} or more.")
    return int(given)


def _listed(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


if PRODUCTION:
    _missing = [
        name
        for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL")
        if not os.environ.get(name)
    ]
    if _missing:
        raise ImproperlyConfigured(f"AMENDS_ENV=production needs {', '.join(_missing)} in the environment.")

# What is embedded lies here: PostgreSQL, the broker, their sockets and secrets.
AMENDS_HOME = Path(os.environ.get("AMENDS_HOME") or BASE_DIR / ".amends").absolute()
HOME = Home(AMENDS_HOME)

SECRET_KEY = os.environ.get("SECRET_KEY") or HOME.credentials.secret_key
ALLOWED_HOSTS = _listed("ALLOWED_HOSTS") or ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = _listed("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "backoffice",
    "monitoring",
    "remediation",
    "transactions",
    "audit",
    "backoffice.apps.AmendsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_structlog",
    "csp",
    "rest_framework",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "backoffice.preferences.TimeZoneMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "backoffice.request_id.RequestIdMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers instead of the sign-in page
]

ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "backoffice.preferences.shown",
            ],
        },
    },
]

# PostgreSQL. The application and its workers connect as a role that cannot change what is written once; the owner's
# connection exists only where prepare_database runs.
EMBEDDED_DATABASE = not os.environ.get("DATABASE_URL")
EMBEDDED_BROKER = not os.environ.get("REDIS_URL")


def _database(url: str) -> dict[str, Any]:
    parsed: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"Amends needs PostgreSQL, and DATABASE_URL names {parsed['ENGINE']}.")
    options: dict[str, Any] = {
        "application_name": os.environ.get("AMENDS_PROCESS", "amends"),
        "connect_timeout": 10,
    }
    parsed["OPTIONS"] = {**options, **parsed.get("OPTIONS", {})}
    return parsed


DATABASE_ADMIN_URL = os.environ.get("DATABASE_ADMIN_URL", "")
DATABASES = {"default": _database(os.environ.get("DATABASE_URL") or HOME.application_url())}
# The sealer's own process connects by this; "" where the database is elsewhere and this process was not given it.
DATABASE_SEALER_URL = os.environ.get("DATABASE_SEALER_URL") or (
    HOME.sealer_url() if EMBEDDED_DATABASE else ""
)
if os.environ.get("DATABASE_OWNER_URL"):
    DATABASES["owner"] = _database(os.environ["DATABASE_OWNER_URL"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Celery is a doorbell: a message says only that there is work. Nothing is lost with one, so nothing waits for one.
REDIS_URL = os.environ.get("REDIS_URL") or HOME.broker_url
CELERY_BROKER_URL = celery_broker_url(REDIS_URL)
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "amends"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker for as long as it takes
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 3,  # longer than the second that a worker waits for a message at a time
    "retry_on_timeout": False,
    # kombu would retry a publish for minutes otherwise, with a person's request waiting behind it.
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "global_keyprefix": os.environ.get("AMENDS_BROKER_PREFIX", ""),
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "celery.beat.Scheduler"  # the schedule is code: nothing to keep on disk
# When everything that the trail covers is verified, UTC: see docs/audit.md.
AMENDS_AUDIT_VERIFY_AT = os.environ.get("AMENDS_AUDIT_VERIFY_AT", "02:30")
if not re.fullmatch(r"([01]?[0-9]|2[0-3]):[0-5][0-9]", AMENDS_AUDIT_VERIFY_AT):
    raise ImproperlyConfigured(
        f"AMENDS_AUDIT_VERIFY_AT is “{AMENDS_AUDIT_VERIFY_AT}”: it must be a time such as 02:30."
    )
_verify_hour, _verify_minute = AMENDS_AUDIT_VERIFY_AT.split(":")
CELERY_BEAT_SCHEDULE = {
    "forget expired sessions": {"task": "backoffice.tasks.forget_expired_sessions", "schedule": 6 * 60 * 60},
    "verify the trail": {
        "task": "audit.tasks.verify_nightly",
        "schedule": crontab(hour=int(_verify_hour), minute=int(_verify_minute)),
    },
    "look after the trail": {"task": "audit.tasks.look_after_trail", "schedule": 30},
}

# Modules that register calculators, beside those of the entry-point group amends.calculators.
AMENDS_CALCULATORS = _listed("AMENDS_CALCULATORS") or ["transactions.calculators.pricing"]

# The job engine. A plan's chunk is frozen at so many rows; a lease that is not renewed for so long is taken back.
AMENDS_PLAN_CHUNK_ROWS = int(os.environ.get("AMENDS_PLAN_CHUNK_ROWS", "10000"))
AMENDS_LEASE_SECONDS = int(os.environ.get("AMENDS_LEASE_SECONDS", "30"))
# An apply's chunk is made so large that it commits in about this time; a replica that is further behind makes jobs rest.
AMENDS_TARGET_COMMIT_MILLISECONDS = int(os.environ.get("AMENDS_TARGET_COMMIT_MILLISECONDS", "250"))
AMENDS_MOST_REPLICA_LAG_SECONDS = float(os.environ.get("AMENDS_MOST_REPLICA_LAG_SECONDS", "10"))
# Larger applies go 1 row, 100 rows, 1 %, all, with a gate after each: see remediation.stages and remediation.gates.
AMENDS_STAGES_ABOVE_ROWS = int(os.environ.get("AMENDS_STAGES_ABOVE_ROWS", "10000"))
AMENDS_GATE_CONFLICT_PERCENT = float(os.environ.get("AMENDS_GATE_CONFLICT_PERCENT", "5"))
# A calculator that takes longer for a slice of rows, or more memory, costs its process; after three it is asked row by row, locked away.
AMENDS_SLICE_SECONDS = float(os.environ.get("AMENDS_SLICE_SECONDS", "20"))
AMENDS_ROW_SECONDS = float(os.environ.get("AMENDS_ROW_SECONDS", "5"))
AMENDS_WORKER_MEMORY_MEGABYTES = int(os.environ.get("AMENDS_WORKER_MEMORY_MEGABYTES", "1024"))
AMENDS_MOST_RINGS = (
    8  # messages sent for one job at a time: no more than there are worker processes to hear them
)
AMENDS_CHECK_ROWS_BEFORE_APPLY = (
    50_000  # plans up to this size are hashed anew as a whole before the first chunk
)
# The audit trail's seal: see docs/audit.md. Embedded, a key is made at the first start, and checkpoints go to a folder beside it.
AMENDS_AUDIT_SIGNER = os.environ.get("AMENDS_AUDIT_SIGNER", "")
AMENDS_AUDIT_KEY = os.environ.get("AMENDS_AUDIT_KEY", "")
AMENDS_AUDIT_KEY_FILE = os.environ.get("AMENDS_AUDIT_KEY_FILE") or (
    str(HOME.audit_key) if EMBEDDED_DATABASE else ""
)
AMENDS_AUDIT_PLACES = _listed("AMENDS_AUDIT_PLACES") or (
    [HOME.checkpoints.as_uri()] if EMBEDDED_DATABASE else []
)
AMENDS_AUDIT_CHECKPOINT_SECONDS = float(os.environ.get("AMENDS_AUDIT_CHECKPOINT_SECONDS", "60"))
AMENDS_AUDIT_HEARTBEAT_SECONDS = float(os.environ.get("AMENDS_AUDIT_HEARTBEAT_SECONDS", "3600"))
AMENDS_ALARM_EMAILS = _listed("AMENDS_ALARM_EMAILS")
# The mail server for alarms and for checkpoints that go to a mailbox. One that does not answer holds up nobody for long.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS", "") == "1"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "amends@localhost")
# How many people must approve, from which limits on: JSON, such as {"approvals_for_large": 2, "large_money": {"USD": "100000"}}; see
# remediation.policy.Policy.
try:
    AMENDS_APPROVAL_POLICY: dict[str, Any] = dict(
        json.loads(os.environ.get("AMENDS_APPROVAL_POLICY") or "{}")
    )
except ValueError as _error:
    raise ImproperlyConfigured(f"AMENDS_APPROVAL_POLICY is no JSON object: {_error}.") from _error

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["backoffice.lockout.LockoutBackend", "django.contrib.auth.backends.ModelBackend"]
# So many wrong passwords for a name, from one address and with no longer pauses than this, are followed by so many minutes in which none
# from there is looked at: see backoffice/lockout.py. A right one before that begins the count anew.
AXES_FAILURE_LIMIT = _whole("AMENDS_SIGN_IN_FAILURES", 10, least=1)
AXES_COOLOFF_TIME = timedelta(minutes=_whole("AMENDS_SIGN_IN_LOCKED_MINUTES", 15, least=1))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who goes on trying is not locked out for longer
AXES_LOCKOUT_CALLABLE = "backoffice.lockout.locked_out"
AXES_USERNAME_CALLABLE = "backoffice.lockout.counted_name"
AXES_CLIENT_IP_CALLABLE = "backoffice.sign_in.address_of"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address"]  # with the password: not kept of what was sent
AXES_DISABLE_ACCESS_LOG = True  # the trail tells
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# Whether whoever decides on a plan must have a second factor: see docs/adr/0025. Who has one is asked for its code either way.
AMENDS_SECOND_FACTOR = os.environ.get("AMENDS_SECOND_FACTOR") or "optional"
if AMENDS_SECOND_FACTOR not in ("optional", "required-to-decide"):
    raise ImproperlyConfigured(
        f"AMENDS_SECOND_FACTOR is “{AMENDS_SECOND_FACTOR}”: it must be optional or required-to-decide."
    )
OTP_TOTP_ISSUER = "Amends"
# How many proxies of yours stand in front, each adding to X-Forwarded-For whom it was asked by. 0: that header is not believed, and with a
# proxy in front everybody comes from the proxy's address, so that strangers could lock out others: set it there.
AMENDS_PROXIES = _whole("AMENDS_PROXIES", 0, least=0)
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# Every text is marked for translation. A language is offered here once locale/ holds it: Django's own words alone would make a mixture.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION

# No inline script or style, and nothing from elsewhere.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],  # Django admin's own style sheets hold their icons as data
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "backoffice.error_pages.form_too_old"
SESSION_COOKIE_AGE = 12 * 60 * 60
if PRODUCTION:
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "NUM_PROXIES": AMENDS_PROXIES,
}

# One line of JSON per event in production, readable lines elsewhere. Everything goes to stderr: stdout is for answers.
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # backoffice.sign_in does: an address that nobody can make up
LOG_LEVEL = os.environ.get("AMENDS_LOG_LEVEL", "INFO" if PRODUCTION else "WARNING").upper()
_BEFORE_RENDERING: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(
                    [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
                    if PRODUCTION
                    else []
                ),
                *([] if PRODUCTION else [structlog.dev.ConsoleRenderer(colors=False)]),
            ],
            "foreign_pre_chain": _BEFORE_RENDERING,
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # Each failure, and an error for each command that asks for a password: the trail has both.
        "axes": {"handlers": [], "level": "CRITICAL", "propagate": True},
    },
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_BEFORE_RENDERING,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
