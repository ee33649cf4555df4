"""Floor 2: the shapes people use: servers and supervisors, built on processes."""
