"""Tables of texts, pairs of texts, and images by path or as bytes: CSV, TSV, JSONL, Parquet."""
