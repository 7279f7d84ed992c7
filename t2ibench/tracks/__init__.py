"""What a method is asked for: the contract of every track, and one module a track that asks for its samples."""
