"""The programs under test beside ours; each runs in the environment of its own peer."""
