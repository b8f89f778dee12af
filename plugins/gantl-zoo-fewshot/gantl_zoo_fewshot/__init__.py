"""Transfer strategies for few images, one file per method."""
