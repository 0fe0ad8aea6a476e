"""Run directories: one fitted head or fine-tuned model each, with its report."""
