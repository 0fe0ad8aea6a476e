"""What an exported folder carries: files that need torch and transformers, and nothing of headstart."""
