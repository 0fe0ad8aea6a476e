"""Folders of images, with or without metadata files."""
