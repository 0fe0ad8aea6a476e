"""Models of transformers: texts, images, both (CLIP), and sentence-transformers folders."""
