"""Transfer strategies for few images, one file a method."""
