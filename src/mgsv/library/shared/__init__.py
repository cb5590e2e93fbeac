"""The `Store` for several machines: PostgreSQL with pgvector, and features as objects."""
