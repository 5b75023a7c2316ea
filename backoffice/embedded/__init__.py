"""PostgreSQL and Valkey (or Redis) as private processes under AMENDS_HOME, on unix sockets only."""
