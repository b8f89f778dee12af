"""The Hugging Face Hub: asked for with patience, understood when it fails, kept in its own cache."""
