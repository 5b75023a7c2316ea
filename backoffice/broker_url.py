"""One address of the broker, REDIS_URL, in the two spellings that its clients understand."""

from urllib.parse import parse_qs, urlencode, urlsplit


def celery_broker_url(redis_url: str) -> str:
    """Celery's spelling of a redis-py address.

    They agree on redis:// and rediss://; `unix:///path?db=1` is `redis+socket:///path?virtual_host=1` to Celery.
    """
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if "db" in query:
        query["virtual_host"] = query.pop("db")
    address = f"redis+socket://{parts.path}"
    return f"{address}?{urlencode(query)}" if query else address
