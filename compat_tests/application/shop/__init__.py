"""A small shop with background jobs: what an application of RQ looks like, using most of what RQ offers."""
