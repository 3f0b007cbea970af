"""A labelled picture set drawn by the program itself: nothing to download, shape and texture to learn."""
