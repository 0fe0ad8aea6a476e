"""Augmented views: seeded changes to samples, whose features are kept beside the plain ones.

Importing this package imports neither torch nor Pillow.
"""

from __future__ import annotations

from headstart.augmentation.views import View, open_views, reopen_view

__all__ = ["View", "open_views", "reopen_view"]
