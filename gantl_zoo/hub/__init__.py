"""Push models to the Hugging Face Hub, pull them, and list them: retries, explained errors, the cache."""
