"""The archives hold Python files, which were code of a user's; they are no tests."""

collect_ignore_glob = ["runs-*"]
