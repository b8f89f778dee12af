"""Other people's weights: read their files as data, without running anything in them."""
