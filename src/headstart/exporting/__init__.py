"""Backbone and head as one model for others: transformers, timm, ONNX."""
