"""Ways to score tracks and detect moments, behind one protocol."""
