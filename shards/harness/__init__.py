"""How every bench of the house times things: in turns, by the clock and in CPU time, with spreads and ratios."""
