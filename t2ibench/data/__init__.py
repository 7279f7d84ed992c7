"""The data layer: splits and their images, attributes, representations of images, and one opened data set."""
