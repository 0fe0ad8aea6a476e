"""Sets, copied between this cache and one that lies elsewhere: a folder, a bucket, a repository of the hub."""
