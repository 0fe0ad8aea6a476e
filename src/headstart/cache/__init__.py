"""Where features are kept: recipes and spaces, shards, sets, claims and memos.

docs/spec.md is the normative description of what lies on disk.
"""
