"""Networks, each with its own weights or those of the zoo, and in `training` how they are made."""
