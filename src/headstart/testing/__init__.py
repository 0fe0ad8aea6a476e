"""Contract tests that every implementation of a contract inherits."""
